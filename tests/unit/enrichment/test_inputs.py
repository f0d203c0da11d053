"""The inputs of a job are loaded once for all its steps, and held no longer than there is room."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from towpath.core.errors import NotFoundError
from towpath.enrichment.service.inputs import InputCache, JobInputs
from towpath.enrichment.types import BATCH_ENRICHMENT, Plan, Strategy
from towpath.jobs.types import JobRef

PLAN = Plan(content={"root": {"name": "Maker"}}, models=["openai::gpt-4o"], strategy=Strategy.SINGLE_PASS)


class Source:
    """Inputs whose source file has ten characters; counts how often each run's are loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.fails = False

    async def load(self, ref: JobRef) -> JobInputs:
        self.loaded.append(ref.workflow_id)
        await asyncio.sleep(0)
        if self.fails:
            raise NotFoundError("no attachment")
        return JobInputs(PLAN, ["0123456789"], [])


def new_ref() -> JobRef:
    return JobRef(organization="acme", kind=BATCH_ENRICHMENT, job_id=uuid4())


async def use(cache: InputCache, ref: JobRef) -> JobInputs:
    async with cache.lend(ref) as inputs:
        await asyncio.sleep(0)
        return inputs


@pytest.mark.asyncio
async def test_steps_side_by_side_and_one_after_another_share_one_load() -> None:
    source, ref = Source(), new_ref()
    cache = InputCache(source.load)

    side_by_side = await asyncio.gather(*(use(cache, ref) for _ in range(5)))
    later = await use(cache, ref)

    assert source.loaded == [ref.workflow_id]
    assert all(inputs is later for inputs in side_by_side)


@pytest.mark.asyncio
async def test_the_next_attempt_loads_its_own() -> None:
    source, ref = Source(), new_ref()
    cache = InputCache(source.load)

    await use(cache, ref)
    await use(cache, ref.next_attempt())

    assert source.loaded == [ref.workflow_id, ref.next_attempt().workflow_id]


@pytest.mark.asyncio
@pytest.mark.parametrize("limits", [{"max_idle_jobs": 2}, {"max_idle_characters": 29}])
async def test_idle_inputs_go_when_there_is_no_room_the_longest_idle_first(limits: dict[str, int]) -> None:
    source, (first, second, third) = Source(), [new_ref() for _ in range(3)]
    cache = InputCache(source.load, **limits)
    for ref in (first, second, third):
        await use(cache, ref)
    source.loaded.clear()

    await use(cache, third)
    await use(cache, second)
    await use(cache, first)

    assert source.loaded == [first.workflow_id]


@pytest.mark.asyncio
async def test_inputs_in_use_stay_where_there_is_room_for_none() -> None:
    source, ref = Source(), new_ref()
    cache = InputCache(source.load, max_idle_characters=0)

    async with cache.lend(ref):
        await use(cache, ref)
        await use(cache, new_ref())
        await use(cache, ref)
    assert source.loaded.count(ref.workflow_id) == 1

    await use(cache, ref)
    assert source.loaded.count(ref.workflow_id) == 2


@pytest.mark.asyncio
async def test_a_load_that_fails_is_not_held() -> None:
    source, ref = Source(), new_ref()
    cache = InputCache(source.load)
    source.fails = True
    with pytest.raises(NotFoundError):
        await use(cache, ref)
    source.fails = False

    assert (await use(cache, ref)).plan is PLAN
    assert len(source.loaded) == 2
