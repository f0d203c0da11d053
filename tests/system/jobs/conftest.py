"""A system whose worker can be broken, activity by activity."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.builders import providers
from tests.support.llm_server import LlmServer
from tests.support.supervised import supervised
from tests.system.jobs.broken_worker import FILE
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.embedded.process import Child
from towpath.runtime.settings import Settings


class Breakable(EmbeddedStack):
    """The stack with `broken_worker` in the place of the worker."""

    break_file: Path

    async def start_worker(self, number: int = 0) -> Child:
        self._extra[FILE.removeprefix("TOWPATH_").lower()] = str(self.break_file)
        return await self._run_ours(f"worker-{number}", [sys.executable, "-m", "tests.system.jobs.broken_worker"])

    def log(self) -> str:
        """What the worker has written."""
        return (self.home.logs / "worker-0.log").read_text()

    @contextmanager
    def broken(self, *names: str, by: str = "index") -> Iterator[None]:
        """Let activities raise for a while."""
        self.break_file.write_text(json.dumps(dict.fromkeys(names, by)))
        try:
            yield
        finally:
            self.break_file.write_text("{}")


@pytest.fixture(scope="session")
def breakable(session_home: Path, files: Path, databases: Path, loopback: LlmServer) -> Iterator[Breakable]:
    """One breakable system for all tests of this folder."""
    Breakable.break_file = session_home / "broken.json"
    Breakable.break_file.write_text("{}")
    settings = Settings(
        home=session_home / "breakable", port=0, ui_port=0, workers=1, index_chunk=50, match_chunk=200,
        vector_chunk=50, files_root=files, allowed_hosts="127.0.0.1", llm_providers=providers(loopback.url),
        databases_root=databases, ai_rate=1_000_000, llm_batch_first_wait=0.2,
    )  # fmt: skip
    with supervised(settings, make=Breakable) as stack:
        assert isinstance(stack, Breakable)
        yield stack
