"""A loopback server in a process of its own: what it computes does not slow what is measured."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe


@contextmanager
def run_provider(serve: Callable[..., None], *arguments: object) -> Iterator[tuple[str, Pipe]]:
    """Run a server; yield its address, and a pipe that it answers.

    Args:
        serve: Runs in the process: sends the address through the pipe that is its first argument, and ends once it
            reads `stop` from it.
        arguments: What else it is given.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, *arguments), daemon=True)
    process.start()
    try:
        yield ours.recv(), ours
    finally:
        ours.send("stop")
        process.join(5)
