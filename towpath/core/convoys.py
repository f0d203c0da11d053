"""Writers of one thing go together: who comes while others are under way waits, and all who wait go at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVar

from towpath.core.turns import Turns

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Seat:
    item: Any
    marks: frozenset[Hashable]
    carry: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
    future: asyncio.Future[Any]


class Convoys:
    """Carries items of one key together, first come first served, one convoy of a key at a time.

    A convoy is a task of its own: a caller who leaves takes nobody along.

    Args:
        most: Items in one convoy.

    Attributes:
        turns: What the convoys of a key take turns at with whoever else writes to it.
    """

    def __init__(self, *, most: int = 32) -> None:
        self.turns = Turns()
        self._most = most
        self._waiting: dict[Hashable, deque[_Seat]] = {}
        self._drivers: dict[Hashable, asyncio.Task[None]] = {}

    async def ride(
        self,
        key: Hashable,
        item: Item,
        carry: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        marks: frozenset[Hashable] = frozenset(),
    ) -> Result:
        """Wait until an item has been carried.

        Args:
            key: What the item belongs to.
            item: The item.
            carry: Carries some items of the key, all or none, and returns for each its result or its own error. The
                first item's is called for all of them; where it raises, each item is carried alone.
            marks: Items that share a mark never go together: the later one waits for the next convoy.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(_Seat(item, marks, carry, future))
        if key not in self._drivers:
            # In a context of its own: what belongs to one caller says nothing of the others.
            self._drivers[key] = asyncio.create_task(self._drive(key), context=Context())
        return await future

    async def _drive(self, key: Hashable) -> None:
        try:
            while self._waiting[key]:
                async with self.turns.of(key):
                    if seats := self._take(self._waiting[key]):
                        await _carry(seats)
        finally:
            del self._drivers[key]
            for seat in self._waiting.pop(key):
                # The process is going down: nobody will come for them.
                seat.future.cancel()

    def _take(self, waiting: deque[_Seat]) -> list[_Seat]:
        taken: list[_Seat] = []
        later: list[_Seat] = []
        marks: set[Hashable] = set()
        while waiting and len(taken) < self._most:
            seat = waiting.popleft()
            if seat.future.done():
                # Its caller has left.
                continue
            (later if marks & seat.marks else taken).append(seat)
            marks |= seat.marks
        waiting.extendleft(reversed(later))
        return taken


async def _carry(seats: list[_Seat]) -> None:
    try:
        try:
            results = await seats[0].carry([seat.item for seat in seats])
        except Exception as error:
            if len(seats) > 1:
                for seat in seats:
                    await _carry([seat])
                return
            results = [error]
        for seat, result in zip(seats, results, strict=True):
            if seat.future.done():
                continue
            if isinstance(result, Exception):
                seat.future.set_exception(result)
            else:
                seat.future.set_result(result)
    finally:
        for seat in seats:
            seat.future.cancel()
