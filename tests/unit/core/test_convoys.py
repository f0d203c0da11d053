"""Who waits for the same thing goes together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from towpath.core.convoys import Convoys


class Road:
    """Carries numbers, and notes which ones went together; the gate holds a convoy until it is opened."""

    def __init__(self) -> None:
        self.gone: list[list[int]] = []
        self.gate = asyncio.Event()

    async def carry(self, items: Sequence[int]) -> list[int | Exception]:
        self.gone.append(list(items))
        await self.gate.wait()
        if 13 in items:
            raise RuntimeError("thirteen")
        return [ValueError(item) if item < 0 else item * 2 for item in items]


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_who_comes_while_others_are_under_way_goes_with_the_next() -> None:
    convoys, road = Convoys(most=3), Road()
    riders = [asyncio.create_task(convoys.ride("key", 1, road.carry))]
    await settle()
    riders += [asyncio.create_task(convoys.ride("key", number, road.carry)) for number in range(2, 7)]
    await settle()
    road.gate.set()

    assert await asyncio.gather(*riders) == [2, 4, 6, 8, 10, 12]
    assert road.gone == [[1], [2, 3, 4], [5, 6]]


async def test_keys_do_not_wait_for_each_other() -> None:
    convoys, road, free = Convoys(), Road(), Road()
    free.gate.set()
    held = asyncio.create_task(convoys.ride("one", 1, road.carry))
    await settle()

    assert await convoys.ride("other", 2, free.carry) == 4

    road.gate.set()
    assert await held == 2


async def test_items_with_the_same_mark_go_one_after_the_other() -> None:
    convoys, road = Convoys(), Road()
    marks = ["a", "b", "a", "c", "b"]
    riders = [
        asyncio.create_task(convoys.ride("key", number, road.carry, marks=frozenset([mark])))
        for number, mark in enumerate(marks)
    ]
    road.gate.set()

    assert await asyncio.gather(*riders) == [0, 2, 4, 6, 8]
    assert road.gone == [[0, 1, 3], [2, 4]]


async def test_an_error_of_one_item_is_its_own() -> None:
    convoys, road = Convoys(), Road()
    riders = [asyncio.create_task(convoys.ride("key", number, road.carry)) for number in (1, -1, 2)]
    road.gate.set()

    first, second, third = await asyncio.gather(*riders, return_exceptions=True)

    assert (first, third) == (2, 4)
    assert isinstance(second, ValueError)


async def test_where_a_convoy_breaks_each_item_goes_alone() -> None:
    convoys, road = Convoys(), Road()
    riders = [asyncio.create_task(convoys.ride("key", number, road.carry)) for number in (12, 13, 14)]
    road.gate.set()

    first, second, third = await asyncio.gather(*riders, return_exceptions=True)

    assert (first, third) == (24, 28)
    assert isinstance(second, RuntimeError)
    assert road.gone == [[12, 13, 14], [12], [13], [14]]


async def test_a_caller_who_leaves_takes_nobody_along() -> None:
    convoys, road = Convoys(), Road()
    riders = [asyncio.create_task(convoys.ride("key", number, road.carry)) for number in range(2)]
    await settle()
    late = [asyncio.create_task(convoys.ride("key", number, road.carry)) for number in range(2, 4)]
    await settle()
    riders[0].cancel()
    late[0].cancel()
    await settle()
    road.gate.set()

    assert [await riders[1], await late[1]] == [2, 6]
    assert road.gone == [[0, 1], [3]]


async def test_convoys_take_turns_with_others() -> None:
    convoys, road = Convoys(), Road()
    road.gate.set()
    async with convoys.turns.of("key"):
        rider = asyncio.create_task(convoys.ride("key", 1, road.carry))
        await settle()
        assert road.gone == []

    assert await rider == 2


async def test_who_still_waits_when_the_process_ends_is_cancelled() -> None:
    convoys, road = Convoys(), Road()
    riders = [asyncio.create_task(convoys.ride("key", number, road.carry)) for number in range(2)]
    await settle()
    riders.append(asyncio.create_task(convoys.ride("key", 3, road.carry)))
    await settle()
    for driver in convoys._drivers.values():
        driver.cancel()

    for rider in riders:
        with pytest.raises(asyncio.CancelledError):
            await rider
