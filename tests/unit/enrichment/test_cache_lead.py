"""The first call goes ahead of those that read what it has written to a provider's cache."""

from __future__ import annotations

import asyncio

import pytest

from towpath.enrichment.cache_lead import CacheLead


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("fails", [False, True])
async def test_others_begin_when_the_first_call_is_over_however_it_ends(fails: bool) -> None:
    lead, begun, over = CacheLead(), [], asyncio.Event()

    async def call(name: str, model: str = "p::a") -> None:
        async with lead.turn(model):
            begun.append(name)
            if name == "first":
                await over.wait()
                if fails:
                    raise RuntimeError("the provider is away")

    tasks = [asyncio.create_task(call(name)) for name in ("first", "second", "third")]
    tasks.append(asyncio.create_task(call("other", "p::b")))
    await settle()
    assert begun == ["first", "other"]
    over.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(begun) == ["first", "other", "second", "third"]
    assert [isinstance(outcome, RuntimeError) for outcome in outcomes] == [fails, False, False, False]
    await call("later")
    assert begun[-1] == "later"


async def test_a_first_call_that_hangs_holds_up_nobody_for_long() -> None:
    lead, over = CacheLead(seconds=0.01), asyncio.Event()

    async def hang() -> None:
        async with lead.turn("p::a"):
            await over.wait()

    task = asyncio.create_task(hang())
    await settle()
    async with lead.turn("p::a"):
        assert not task.done()
    over.set()
    await task
