"""Chunks that fail: tried again, or the end of the job with the cause that the activity gave."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from tests.integration.workflows.acting import Job
from tests.integration.workflows.conftest import MakeJob
from towpath.core.errors import ErrorCode
from towpath.extraction.types import EXTRACTION
from towpath.jobs.types import JobError, JobOutcome, JobState, Progress, RetryNotice, Started

MAX_MESSAGE = 2_000
GONE = ApplicationError("the index is gone", type=ErrorCode.NOT_FOUND, non_retryable=True)


async def failure_of(job: Job) -> JobError:
    """What the row was told; the workflow has failed with the same."""
    with pytest.raises(WorkflowFailureError) as failed:
        await job.handle.result()
    assert await job.status() is WorkflowExecutionStatus.FAILED
    finish = job.finish
    assert finish.state is JobState.FAILED
    assert finish.error is not None
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.message, cause.non_retryable) == (finish.error.code, finish.error.message, True)
    return finish.error


async def test_a_chunk_that_fails_for_good_stops_the_others_and_ends_the_job(make_job: MakeJob) -> None:
    job = make_job(chunks=6, begin=Started(window=3), closed={"page"}, faults={"page 1": [GONE]})
    await job.start()
    for page in range(3):
        await job.called(f"page {page}")

    job.let("page 1")

    error = await failure_of(job)
    assert (error.code, error.message) == (ErrorCode.NOT_FOUND, "the index is gone")
    assert (await job.settled()).scheduled == [0, 1, 2]
    assert job.labels.count("page 1") == 1
    await job.stopped("page 0", "page 2")


async def test_a_chunk_that_fails_in_a_full_window_ends_the_job_also_while_it_is_paused(make_job: MakeJob) -> None:
    job = make_job(chunks=4, closed={"page"}, faults={"page 0": [GONE]})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")
    await job.handle.signal("pause")

    job.let("page 0")

    assert (await failure_of(job)).code is ErrorCode.NOT_FOUND
    assert (await job.settled()).scheduled == [0, 1]


async def test_a_chunk_that_fails_beside_a_free_place_ends_a_paused_job(make_job: MakeJob) -> None:
    job = make_job(chunks=4, closed={"page"}, faults={"page 0": [GONE]})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")
    await job.handle.signal("pause")
    await job.end(1)

    job.let("page 0")

    assert (await failure_of(job)).code is ErrorCode.NOT_FOUND
    assert (await job.settled()).scheduled == [0, 1]


async def test_a_chunk_that_fails_in_a_window_that_was_narrowed_in_a_pause_ends_the_job(make_job: MakeJob) -> None:
    job = make_job(chunks=4, closed={"page"}, faults={"page 0": [GONE]})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")
    await job.handle.signal("pause")
    await job.end(1)
    await job.handle.execute_update("set_concurrency", 1)
    await job.handle.signal("continue")

    job.let("page 0")

    assert (await failure_of(job)).code is ErrorCode.NOT_FOUND
    assert (await job.settled()).scheduled == [0, 1]


async def test_a_chunk_that_fails_once_is_tried_again_and_counts_once(make_job: MakeJob) -> None:
    job = make_job(faults={"page 1": [OSError("the disk is full")]})
    await job.start()

    assert (await job.handle.result()).state is JobState.COMPLETED
    assert [job.labels.count(f"page {page}") for page in range(3)] == [1, 2, 1]
    assert (await job.settled()).scheduled == [0, 1, 2]


async def test_a_plan_that_fails_for_good_ends_the_job_before_any_chunk(make_job: MakeJob) -> None:
    job = make_job(faults={"plan_task": [GONE]})
    await job.start()

    assert (await failure_of(job)).code is ErrorCode.NOT_FOUND
    assert job.labels == ["begin_job", "plan_task", "finish_job"]


async def test_a_projection_that_fails_once_is_tried_again(make_job: MakeJob) -> None:
    away: list[Exception] = [OSError("the database is away")]
    job = make_job(faults={"begin_job": away, "enter_phase": away, "finish_job": away})
    await job.start()

    assert (await job.handle.result()).state is JobState.COMPLETED
    assert [job.labels.count(label) for label in ("begin_job", "enter_phase", "finish_job")] == [2, 2, 2]


@pytest.mark.parametrize("type_", [None, "OurSecretError", ""])
async def test_an_error_without_a_code_of_ours_is_an_internal_one(make_job: MakeJob, type_: str | None) -> None:
    job = make_job(faults={"page 0": [ApplicationError("no idea", type=type_, non_retryable=True)]})
    await job.start()

    error = await failure_of(job)

    assert (error.code, error.message) == (ErrorCode.INTERNAL, "no idea")


async def test_a_long_message_is_cut(make_job: MakeJob) -> None:
    long = ApplicationError("x" * 3 * MAX_MESSAGE, type=ErrorCode.INVALID_VALUE, non_retryable=True)
    job = make_job(faults={"page 0": [long]})
    await job.start()

    assert (await failure_of(job)).message == "x" * MAX_MESSAGE


async def test_a_defect_of_the_workflow_itself_fails_the_job_at_once(make_job: MakeJob) -> None:
    # A share without pages, which no plan has: the workflow cannot name it.
    job = make_job(kind=EXTRACTION, chunks=1, shares=[[]])
    await job.start()

    error = await failure_of(job)

    assert error.code is ErrorCode.INTERNAL
    assert error.message.startswith("IndexError")


async def test_the_row_may_judge_otherwise_than_the_workflow(make_job: MakeJob) -> None:
    # All chunks were through, and each of their items has failed.
    error = JobError(code=ErrorCode.INVALID_VALUE, message="all 3 items failed")
    job = make_job(verdict=JobOutcome(state=JobState.FAILED, progress=Progress(), error=error))
    await job.start()

    with pytest.raises(WorkflowFailureError) as failed:
        await job.handle.result()

    assert job.finishes[0].state is JobState.COMPLETED
    assert isinstance(failed.value.cause, ApplicationError)
    assert (failed.value.cause.type, failed.value.cause.message) == (error.code, error.message)


async def test_operators_see_what_is_tried_again_the_worst_first_until_it_is_over(make_job: MakeJob) -> None:
    job = make_job(closed={"page"})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")
    for number in range(1, 8):
        notice = RetryNotice(activity="delete_page", key=str(number), attempt=number, message=f"fault {number}")
        await job.handle.signal("retrying", notice)

    shown = await job.details()
    assert shown.count("Trying again") == 5
    assert [f"fault {number}" in shown for number in range(1, 8)] == [False, False, *[True] * 5]
    assert shown.index("fault 7") < shown.index("fault 3")

    for number in range(3, 8):
        await job.handle.signal("retrying", RetryNotice(activity="delete_page", key=str(number)))
    shown = await job.details()
    assert "fault 2" in shown
    assert "fault 7" not in shown
