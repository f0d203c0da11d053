"""`towpath up` killed with everything it started: the second start takes up where the first was."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from tests.support.waiting import until
from towpath.runtime.embedded.home import Home
from towpath.runtime.embedded.process import wait_until_ended
from towpath.runtime.embedded.stack import ROOT

START_SECONDS = 120.0


class Up:
    """A `towpath up` in a process of its own, as a user starts it."""

    def __init__(self, home: Path) -> None:
        zeros = {f"TOWPATH_{name}": "0" for name in ("PORT", "UI_PORT", "TEMPORAL_PORT", "POSTGRES_PORT")}
        environment = {**os.environ, **zeros, "TOWPATH_HOME": str(home), "TOWPATH_WORKERS": "1"}
        self.home = Home(home)
        self.log = home.parent / "up.log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "towpath", "up"], cwd=ROOT, env=environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._wait_ready()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            facts = self.home.published()
            children = set(psutil.Process(self.process.pid).children())
            if facts and {psutil.Process(pid) for pid in self._alive(facts)} & children:
                try:
                    if httpx.get(f"{facts['api']}/health", timeout=2).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    @staticmethod
    def _alive(facts: dict[str, dict[str, int]]) -> list[int]:
        return [pid for pid in facts["pids"].values() if pid and psutil.pid_exists(pid)]

    @property
    def facts(self) -> dict[str, str]:
        return self.home.published()

    def everything(self) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]


def gone(processes: list[psutil.Process], *, seconds: float) -> bool:
    return wait_until_ended(processes, seconds)


@pytest.fixture
def ups(home: Path) -> Iterator[list[Up]]:
    started: list[Up] = []
    yield started
    for up in started:
        if up.process.poll() is None:
            up.process.terminate()
            up.process.wait(60)


async def begin(up: Up) -> None:
    """A row that was acknowledged and a workflow that nobody serves."""
    with psycopg.connect(up.facts["database"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 5000) AS n")
    client = await Client.connect(up.facts["temporal"])
    await client.start_workflow("Waits", id="waiting", task_queue="nobody-serves-this")


async def assert_kept(up: Up) -> None:
    with psycopg.connect(up.facts["database"]) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (5000,)
    client = await Client.connect(up.facts["temporal"])
    assert (await client.get_workflow_handle("waiting").describe()).status is WorkflowExecutionStatus.RUNNING


async def test_everything_killed_at_once_is_taken_up_and_then_stops_cleanly(home: Path, ups: list[Up]) -> None:
    first = await asyncio.to_thread(Up, home)
    ups.append(first)
    await begin(first)
    key = (home / "api-key").read_text()
    killed = first.everything()
    said = until(lambda: first.log.read_text() if "\nlogs  " in first.log.read_text() else "", "list of addresses")
    # Once, when it is made; and one line a part, nothing of what they say.
    assert said.count(key.strip()) == 1
    for part in ("postgres", "temporal", "schema", "worker-0", "api"):
        assert len(re.findall(rf"^{part} +ready in +[\d.]+ s  \S", said, re.MULTILINE)) == 1
    assert len(said.splitlines()) < 20
    assert "INFO" in (home / "logs" / "stack.log").read_text()

    # The supervisor last: its end would let the kernel end the others more gently.
    for process in reversed(killed):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    first.process.wait()
    assert gone(killed, seconds=10)
    second = await asyncio.to_thread(Up, home)
    ups.append(second)

    await assert_kept(second)
    assert (home / "api-key").read_text() == key
    until(lambda: f"API key      in {home / 'api-key'}" in second.log.read_text(), "place of the key")
    assert second.log.read_text().count(key.strip()) == 1
    assert second.facts["api"] == first.facts["api"]

    processes = second.everything()
    began = time.monotonic()
    second.process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(second.process.wait, 60) == 0
    assert time.monotonic() - began < 25
    assert gone(processes, seconds=1)
    assert not (home / "postgres" / "postmaster.pid").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends them")
async def test_children_do_not_outlive_a_killed_supervisor(home: Path, ups: list[Up]) -> None:
    up = await asyncio.to_thread(Up, home)
    ups.append(up)
    children = up.everything()[1:]

    up.process.kill()
    up.process.wait()

    assert gone(children, seconds=30)


async def test_a_stop_in_the_middle_of_a_start_leaves_nothing(home: Path) -> None:
    home.mkdir(parents=True)
    zeros = {f"TOWPATH_{name}": "0" for name in ("PORT", "UI_PORT", "TEMPORAL_PORT", "POSTGRES_PORT")}
    process = subprocess.Popen(
        [sys.executable, "-m", "towpath", "up"], cwd=ROOT, env={**os.environ, **zeros, "TOWPATH_HOME": str(home)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while not (home / "temporal.db").exists():
        assert process.poll() is None
        await asyncio.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)

    process.terminate()

    assert await asyncio.to_thread(process.wait, 30) == 0
    assert gone(children, seconds=5)
