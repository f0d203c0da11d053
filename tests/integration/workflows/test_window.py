"""The window: how many chunks are in flight, and when the next one begins."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from tests.integration.workflows.acting import Job, phases
from tests.integration.workflows.conftest import MakeJob
from towpath.core.errors import ErrorCode
from towpath.jobs.types import JobState, Started

MAX_WINDOW = 200


async def test_a_job_begins_plans_goes_through_its_chunks_in_order_and_ends(job: Job) -> None:
    await job.start()
    outcome = await job.handle.result()

    assert outcome.state is JobState.COMPLETED
    assert [label for label in job.labels if not label.startswith("page")] == [
        "begin_job", "plan_task", "enter_phase", "finish_job",
    ]  # fmt: skip
    assert list(phases(job)) == ["delete"]
    chunks = await job.settled()
    assert chunks.scheduled == [0, 1, 2]
    assert sorted(label for label in job.labels if label.startswith("page")) == ["page 0", "page 1", "page 2"]


async def test_a_job_without_chunks_ends_at_once(make_job: MakeJob) -> None:
    job = make_job(chunks=0)
    await job.start()

    assert (await job.handle.result()).state is JobState.COMPLETED
    assert job.labels == ["begin_job", "plan_task", "finish_job"]


async def test_the_window_is_filled_and_refilled_as_chunks_end(make_job: MakeJob) -> None:
    job = make_job(chunks=7, begin=Started(window=3), closed={"page"})
    await job.start()

    filled = await job.settled(lambda chunks: len(chunks.scheduled) >= 3, "a full window")
    assert filled.scheduled == [0, 1, 2]
    assert (await job.end(1)).scheduled == [0, 1, 2, 3]
    assert (await job.end(0, 3)).scheduled == [0, 1, 2, 3, 4, 5]
    job.let()
    await job.handle.result()

    whole = await job.settled()
    assert whole.scheduled == list(range(7))
    assert sorted(whole.ended) == list(range(7))
    assert whole.peak == 3


@pytest.mark.parametrize(("chunks", "window"), [(1, 1), (5, 1), (2, 8), (12, 4)])
async def test_never_more_are_in_flight_than_the_window_is_wide(make_job: MakeJob, chunks: int, window: int) -> None:
    job = make_job(chunks=chunks, begin=Started(window=window))
    await job.start()
    await job.handle.result()

    seen = await job.settled()
    assert seen.scheduled == list(range(chunks))
    assert seen.peak == min(chunks, window)


async def test_the_window_that_the_job_asks_for_goes_before_the_one_of_the_row(make_job: MakeJob) -> None:
    job = make_job(chunks=6, begin=Started(window=2), closed={"page"})
    await job.start(window=4)

    seen = await job.settled(lambda chunks: len(chunks.scheduled) >= 4, "a full window")

    assert seen.scheduled == [0, 1, 2, 3]


async def test_a_wider_window_is_filled_at_once(make_job: MakeJob) -> None:
    job = make_job(chunks=6, begin=Started(window=1), closed={"page"})
    await job.start()
    await job.settled(lambda chunks: chunks.scheduled == [0], "the first chunk")

    assert await job.handle.execute_update("set_concurrency", 4) == 4

    seen = await job.settled(lambda chunks: len(chunks.scheduled) >= 4, "a full window")
    assert seen.scheduled == [0, 1, 2, 3]
    assert (await job.end(2)).in_flight == {0, 1, 3, 4}


async def test_a_narrower_window_lets_those_in_flight_end_before_the_next_one(make_job: MakeJob) -> None:
    job = make_job(chunks=6, begin=Started(window=3), closed={"page"})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 3, "a full window")

    await job.handle.execute_update("set_concurrency", 1)

    assert (await job.end(0)).in_flight == {1, 2}
    assert (await job.end(2)).in_flight == {1}
    assert (await job.end(1)).in_flight == {3}
    assert job.cancelled == []


@pytest.mark.parametrize("window", [-1, 0, MAX_WINDOW + 1])
async def test_a_window_beyond_the_limits_is_refused_and_changes_nothing(make_job: MakeJob, window: int) -> None:
    job = make_job(closed={"page"})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await job.handle.execute_update("set_concurrency", window)

    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.type == ErrorCode.INVALID_VALUE
    assert str(MAX_WINDOW) in refused.value.cause.message
    assert (await job.end(0)).in_flight == {1, 2}
    assert "Window: 2" in await job.details()


@pytest.mark.parametrize("window", [1, MAX_WINDOW])
async def test_a_window_at_its_limits_is_taken(make_job: MakeJob, window: int) -> None:
    job = make_job(closed={"page"})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")

    assert await job.handle.execute_update("set_concurrency", window) == window
    assert f"Window: {window}" in await job.details()
    await job.end(0, 1)
    assert f"Window: {window}" in await job.details()


async def test_a_job_that_has_ended_takes_no_window(job: Job) -> None:
    await job.start()
    await job.handle.result()

    with pytest.raises(RPCError) as refused:
        await job.handle.execute_update("set_concurrency", 3)

    assert refused.value.status is RPCStatusCode.NOT_FOUND


async def test_operators_see_how_many_chunks_are_through(make_job: MakeJob) -> None:
    job = make_job(chunks=4, closed={"page"})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")

    assert "**delete**: 0 of 4 chunks" in await job.details()
    await job.end(1, 0)
    assert "**delete**: 2 of 4 chunks" in await job.details()
