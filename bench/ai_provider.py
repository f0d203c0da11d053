"""A provider whose agent asks one query and answers; in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe

from bench.provider import run_provider

LATENCY = 0.02


def _serve(pipe: Pipe) -> None:
    from tests.support.ai import LATE, TELL, script
    from tests.support.llm_server import llm_server

    with llm_server() as served:
        script(served, LATE, TELL)
        served.seconds = LATENCY
        pipe.send(served.url)
        pipe.recv()


@contextmanager
def agent() -> Iterator[str]:
    """Run one; its base URL."""
    with run_provider(_serve) as (url, _):
        yield url
