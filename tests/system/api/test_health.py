"""`/health` says what is ready, what is away and which queue has nobody, in time; `/health/live` asks nobody."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.console.site import Site, site
from tests.support.llm_server import LlmServer
from tests.support.supervised import supervised
from tests.support.waiting import until
from towpath.core.queues import Queue
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.embedded.stack import ROOT
from towpath.runtime.settings import Settings, child_environment

ALL = "engine,compute,llm,io"


class OnlyTemporal(EmbeddedStack):
    """No other part."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(settings, parts={"temporal"}, **options)

    async def start_chroma(self) -> str:
        return ""


@pytest.fixture(scope="module")
def alone(session_home: Path) -> Iterator[EmbeddedStack]:
    """A Temporal of its own: it remembers the workers of other tests for minutes.

    Supervised in a thread: it would stand still when a test does not await and nobody reads what it says.
    """
    settings = Settings(home=session_home / "health", port=0, ui_port=0, temporal_port=0)
    with supervised(settings, make=OnlyTemporal) as stack:
        yield stack


@contextmanager
def process(command: list[str], **environment: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that nobody starts again."""
    started = subprocess.Popen(command, cwd=ROOT, env=child_environment(**environment), stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@contextmanager
def worker(alone: EmbeddedStack, database_url: str, queues: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "towpath.worker", "--queues", queues]
    names = {"database_url": database_url, "temporal_address": alone.temporal_address, "home": alone.home.folder}
    with process(command, **names) as started:
        yield started


@contextmanager
def chroma(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    program = str(Path(sys.executable).parent / "chroma")
    command = [program, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with process(command) as started:
        yield started


def health(place: Site, status: int = 200) -> dict[str, Any]:
    answer = httpx.get(f"{place.url}/health", timeout=30)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def pollers(place: Site) -> dict[str, int]:
    return {name: one["pollers"] for name, one in health(place)["queues"].items()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_queue_without_a_worker_is_seen_and_so_is_its_return(
    alone: EmbeddedStack, database_url: str, loopback: LlmServer
) -> None:
    with site(alone, database_url, loopback) as place:
        nobody = health(place)
        assert nobody["status"] == "degraded"
        assert {one["pollers"] for one in nobody["queues"].values()} == {0}

        with worker(alone, database_url, "engine,compute,llm"):
            until(lambda: sum(pollers(place).values()) == 3, "worker of three queues")
            assert health(place)["queues"]["io"] == {"pollers": 0}
            assert health(place)["status"] == "degraded"

            with worker(alone, database_url, ALL) as second:
                until(lambda: health(place)["status"] == "ready", "readiness")
                assert pollers(place) == {"engine": 2, "compute": 2, "llm": 2, "io": 1}

                second.kill()
                until(lambda: pollers(place) == {"engine": 1, "compute": 1, "llm": 1, "io": 0}, "notice of the kill")
                assert health(place)["status"] == "degraded"

            with worker(alone, database_url, ALL) as third:
                until(lambda: health(place)["status"] == "ready", "readiness again")

                # One that is told to stop is no longer counted on, at once.
                third.send_signal(signal.SIGTERM)
                until(lambda: pollers(place)["io"] == 0, "notice of the stop", seconds=15)


def test_a_chroma_that_dies_degrades_and_is_seen_to_come_back(
    alone: EmbeddedStack, database_url: str, loopback: LlmServer, tmp_path: Path
) -> None:
    port = free_port()
    with site(alone, database_url, loopback, chroma_url=f"http://127.0.0.1:{port}/") as place:
        with chroma(tmp_path, port) as server:
            until(lambda: health(place)["parts"]["chroma"] == "ready", "Chroma")

            server.kill()
            until(lambda: health(place)["parts"]["chroma"] == "away", "notice of the kill")
            assert health(place)["status"] == "degraded"

        with chroma(tmp_path, port):
            until(lambda: health(place)["parts"]["chroma"] == "ready", "Chroma again")


def test_a_local_model_of_ones_own_is_asked_and_what_no_stack_would_start_is_not_missed(
    alone: EmbeddedStack, database_url: str, loopback: LlmServer
) -> None:
    with site(alone, database_url, loopback, local_llm_url=f"http://127.0.0.1:{free_port()}/v1") as place:
        assert health(place)["parts"]["llm"] == "away"
        assert health(place)["parts"]["chroma"] == "idle"


@contextmanager
def deaf() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        yield int(silent.getsockname()[1])


def test_parts_that_hang_are_told_of_in_time_and_without_their_secrets(
    alone: EmbeddedStack, database_url: str, loopback: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        deaf() as port,
        site(
            alone, database_url, loopback, chroma_url=f"http://user:hunter2@127.0.0.1:{port}", chroma_token="hunter2",
            local_llm_url=f"http://127.0.0.1:{port}/v1",
        ) as place,
    ):  # fmt: skip
        monkeypatch.setattr(alone, "temporal_address", f"127.0.0.1:{port}")
        with site(alone, database_url, loopback, chroma_url=f"http://127.0.0.1:{port}") as cut_off:
            # Each is given two seconds; without that the client would give up.
            answer = httpx.get(f"{cut_off.url}/health", timeout=30)
            assert answer.status_code == 503
            assert answer.json()["status"] == "not ready"
            assert answer.json()["parts"] == {
                "postgres": "ready", "temporal": "away", "chroma": "away", "llm": "idle",
            }  # fmt: skip
            assert answer.json()["queues"]["engine"] == {"pollers": None}
            assert httpx.get(f"{cut_off.url}/health/live", timeout=30).json() == {"status": "live"}

        answer = httpx.get(f"{place.url}/health", timeout=30)
        assert answer.status_code == 200
        assert answer.json()["parts"]["chroma"] == answer.json()["parts"]["llm"] == "away"
        assert "hunter2" not in answer.text and str(port) not in answer.text


def test_the_whole_system_is_ready(system: EmbeddedStack) -> None:
    found = until(
        lambda: (answer := httpx.get(f"{system.api_url}/health").json())["status"] == "ready" and answer, "readiness"
    )

    assert found["parts"]["postgres"] == found["parts"]["temporal"] == "ready"
    # Idle until the first test of this process has needed it.
    assert found["parts"]["chroma"] in {"ready", "idle"}
    assert set(found["queues"]) == set(Queue)
    assert os.environ.get("TOWPATH_QUEUES") is not None or min(one["pollers"] for one in found["queues"].values()) >= 1
