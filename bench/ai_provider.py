"""A provider whose agent asks one query and answers; in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe

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
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield str(ours.recv())
    finally:
        ours.send("stop")
        process.join(5)
