"""Computing beside the event loop, where that pays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def compute(
    small: bool, function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Run a function in a thread, or at once if it takes no longer than the way there and back.

    A thread that computes in Python keeps the event loop waiting as well, up to Python's switch interval each time.

    Args:
        small: Whether it takes a few milliseconds at most.
        function: What to run.
        arguments: Its arguments.
        named: Its named arguments.
    """
    if small:
        return function(*arguments, **named)
    return await asyncio.to_thread(function, *arguments, **named)
