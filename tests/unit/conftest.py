"""Unit tests start no process and open no connection: one that does fails, and says what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

UNIT = Path(__file__).parent
FORBIDDEN = frozenset({"socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec"})

_running: list[str] = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Watch, where unit tests run by themselves: the parts of other tests open connections in this process too."""
    if all(item.path.is_relative_to(UNIT) for item in session.items):
        sys.addaudithook(_refuse)


def _refuse(event: str, _: tuple[Any, ...]) -> None:
    if _running and event in FORBIDDEN:
        raise RuntimeError(f"{_running[-1]} is a unit test and must not cause {event}: move it to tests/integration")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Know which test runs, with its fixtures."""
    _running.append(item.nodeid)
    try:
        return (yield)
    finally:
        _running.pop()
