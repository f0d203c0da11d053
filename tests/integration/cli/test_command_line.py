"""What `towpath` says when it cannot do what it was told: one sentence, and no traceback."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from towpath.core.queues import Queue, read_queues
from towpath.runtime.embedded.stack import ROOT


def towpath(*words: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; everything has a port of its own, unless it is told another."""
    zeros = {f"TOWPATH_{name}": "0" for name in ("PORT", "UI_PORT", "TEMPORAL_PORT", "POSTGRES_PORT", "CHROMA_PORT")}
    return subprocess.run(
        [sys.executable, "-m", "towpath", *words],
        cwd=ROOT, env={**os.environ, **zeros, "TOWPATH_HOME": str(home), **environment},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def assert_one_sentence(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode in {1, 2}, done.stdout + done.stderr
    assert re.search(said, done.stderr), done.stderr
    assert done.stderr.startswith("towpath: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


@pytest.mark.parametrize("command", [["up"], ["status"], ["keys", "list"], ["secrets", "reseal"]])
def test_a_home_that_cannot_be_made_is_named(command: list[str]) -> None:
    done = towpath(*command, home=Path("/proc/x"))

    assert_one_sentence(done, r"/proc/x cannot be written to \(.+\); set TOWPATH_HOME to another folder")


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("dear")

    assert_one_sentence(towpath("up", home=tmp_path / "file"), r"file cannot be written to")


@pytest.mark.parametrize("name", ["logs/stack.log", "lock"])
def test_a_home_with_something_in_the_way_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir(parents=True)

    assert_one_sentence(towpath("up", home=tmp_path), r"cannot be written to \(Is a directory\); set TOWPATH_HOME")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_home_that_is_somebody_elses_is_named(tmp_path: Path) -> None:
    (tmp_path / "home" / "logs").mkdir(parents=True)
    (tmp_path / "home").chmod(0o500)

    assert_one_sentence(towpath("up", home=tmp_path / "home"), r"home cannot be written to")


@pytest.mark.parametrize("setting", ["PORT", "UI_PORT", "TEMPORAL_PORT", "POSTGRES_PORT", "CHROMA_PORT", "LLM_PORT"])
def test_a_port_in_use_is_named_before_anything_is_made(setting: str, taken: int, tmp_path: Path) -> None:
    done = towpath("up", home=tmp_path / "home", **{f"TOWPATH_{setting}": str(taken)})

    assert_one_sentence(done, f"port {taken} is in use; set TOWPATH_{setting} to another one, or 0 for any")
    assert not (tmp_path / "home" / "postgres").exists()
    assert not (tmp_path / "home" / "temporal.db").exists()


def test_two_parts_on_one_port_are_named(tmp_path: Path) -> None:
    done = towpath("up", home=tmp_path / "home", TOWPATH_PORT="8123", TOWPATH_UI_PORT="8123")

    assert_one_sentence(done, "TOWPATH_PORT and TOWPATH_UI_PORT are both 8123")


def test_a_host_that_is_not_this_machine_is_named(tmp_path: Path) -> None:
    done = towpath("up", home=tmp_path / "home", TOWPATH_PORT="8123", TOWPATH_HOST="192.0.2.1")

    assert_one_sentence(done, r"nothing can listen on 192\.0\.2\.1:8123 \(.+\); see TOWPATH_HOST")


def test_the_facade_alone_names_a_port_in_use(taken: int, tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:9/none"
    done = towpath("api", home=tmp_path, TOWPATH_PORT=str(taken), TOWPATH_DATABASE_URL=url)

    assert_one_sentence(done, f"port {taken} is in use; set TOWPATH_PORT")


def test_a_wrong_queue_is_named_with_the_right_ones(tmp_path: Path) -> None:
    done = towpath("worker", "--queues", "cpu", home=tmp_path)

    assert_one_sentence(done, "unknown queue 'cpu'; known: engine, compute, llm, io")


@pytest.mark.parametrize("command", ["up", "worker"])
def test_a_wrong_queue_in_the_settings_starts_nothing(command: str, tmp_path: Path) -> None:
    done = towpath(command, home=tmp_path / "home", TOWPATH_QUEUES="engine,cpu")

    assert_one_sentence(done, "TOWPATH_QUEUES: unknown queue 'cpu'; known: engine, compute, llm, io")
    assert not (tmp_path / "home").exists()


def test_queues_are_read_each_once_and_none_is_an_error() -> None:
    assert read_queues(" llm, io,llm ,") == [Queue.LLM, Queue.IO]
    with pytest.raises(ValueError, match="no queue is named; known: engine"):
        read_queues(" , ")


def test_the_version_is_told(tmp_path: Path) -> None:
    done = towpath("--version", home=tmp_path / "home")

    assert (done.returncode, done.stdout) == (0, f"{version('towpath')}\n")
