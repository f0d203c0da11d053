"""Which tests are fast: those that start no process and open no connection; and what holds them to it.

`pytest -m fast` takes every test but those that use a fixture of a real part or are named in `ROOMS`. One that starts
something all the same fails there and says what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOMS = (
    "ai/",
    "api/test_addresses.py",
    "api/test_request_log.py",
    "clients/",
    "domain/ai/test_charts.py::test_hours_are_those_of_the_database_wherever_the_server_is",
    "enrichment/",
    "extraction/",
    "pages/test_schema_safety.py",
    "replay/",
    "runtime/",
    "tooling/test_containers.py::test_every_script_is_valid_shell",
    "tooling/test_extras.py",
    "tooling/test_wheel.py",
    "vectors/",
    "webhooks/",
)
"""Beginnings of the names of tests that start processes or servers by themselves."""
FIXTURES = frozenset({"parts", "session_home", "loopback", "hook", "browser", "skipping_server"})
"""What all fixtures of real parts come from."""
FORBIDDEN = frozenset({"socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec"})

_now: list[str] = []


def is_fast(item: pytest.Item) -> bool:
    """Whether a test needs no part of the system."""
    if FIXTURES & set(getattr(item, "fixturenames", ())):
        return False
    return not f"{item.path.relative_to(HERE).as_posix()}::{item.name}".startswith(ROOMS)


@contextmanager
def held(item: pytest.Item) -> Iterator[None]:
    """Let a fast test fail when it starts a process or opens a connection."""
    if item.get_closest_marker("fast") is None:
        yield
        return
    _now.append(item.nodeid)
    try:
        yield
    finally:
        _now.pop()


def watch(config: pytest.Config) -> None:
    """Refuse what a fast test must not do, where they run by themselves."""
    if config.option.markexpr != "fast":
        return

    def refuse(event: str, _: tuple[Any, ...]) -> None:
        if _now and event in FORBIDDEN:
            raise RuntimeError(f"{_now[-1]} is a fast test, and {event} is not fast: name its room in tests/tiers.py")

    sys.addaudithook(refuse)
