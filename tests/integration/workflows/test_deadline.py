"""The deadline: whatever the job does then, it ends as failed, and says why."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from tests.integration.workflows.acting import Job
from tests.integration.workflows.conftest import MakeJob
from towpath.core.errors import ErrorCode
from towpath.extraction.types import EXTRACTION, ExtractionOutcome
from towpath.jobs.types import JobState, Started

HOUR = timedelta(hours=1)
TEN_MINUTES = timedelta(minutes=10)
AWAY: list[Exception] = [OSError("away")] * 10_000
"""What an activity raises again and again: the server skips the time between two attempts, not that of one."""


async def start(job: Job, deadline: timedelta = HOUR) -> None:
    """Start a job with so much time by the server's clock."""
    await job.start(deadline=await job.environment.get_current_time() + deadline)


async def ends_by_deadline(job: Job) -> None:
    """The row, the workflow and its error all say so; nobody was asked for a cancel."""
    with pytest.raises(WorkflowFailureError) as failed:
        await job.handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.DEADLINE_EXCEEDED
    assert await job.status() is WorkflowExecutionStatus.FAILED
    finish = job.finish
    assert finish.state is JobState.FAILED
    assert finish.error is not None
    assert finish.error.code is ErrorCode.DEADLINE_EXCEEDED
    assert finish.error.message.startswith("not finished by ")
    assert "cancel_workflow" not in job.labels


async def test_a_job_that_is_started_after_its_deadline_does_nothing(job: Job) -> None:
    await start(job, -timedelta(seconds=1))

    await ends_by_deadline(job)
    assert job.labels == ["finish_job"]


async def test_a_deadline_in_the_window_stops_the_chunks_and_begins_none(make_job: MakeJob) -> None:
    job = make_job(chunks=5, faults={"page 0": AWAY, "page 1": AWAY})
    await start(job, TEN_MINUTES)
    await job.called("page 1")

    await job.environment.sleep(2 * TEN_MINUTES)

    await ends_by_deadline(job)
    assert (await job.settled()).scheduled == [0, 1]
    assert {call.label for call in job.calls if call.label.startswith("page")} == {"page 0", "page 1"}


async def test_a_deadline_that_has_not_come_stops_nothing(make_job: MakeJob) -> None:
    job = make_job(begin=Started(window=2, paused=True))
    await start(job)
    await job.called("enter_phase")
    await job.settled()

    await job.environment.sleep(HOUR - timedelta(minutes=5))
    await job.handle.signal("continue")

    assert (await job.handle.result()).state is JobState.COMPLETED


async def test_a_pause_does_not_stop_the_clock(make_job: MakeJob) -> None:
    job = make_job(closed={"page"})
    await start(job)
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")
    await job.handle.signal("pause")
    await job.end(0, 1)

    await job.environment.sleep(2 * HOUR)

    await ends_by_deadline(job)
    assert (await job.settled()).scheduled == [0, 1]


async def test_a_deadline_before_the_end_of_a_hold_fails_the_job(make_job: MakeJob) -> None:
    job = make_job(kind=EXTRACTION, review=ExtractionOutcome(review=True, hold=True))
    await start(job)
    await job.called("hold_job")
    await job.settled()

    await job.environment.sleep(2 * HOUR)

    await ends_by_deadline(job)
    assert "settle_review" not in job.labels


async def test_a_deadline_while_an_activity_runs_outside_the_window_ends_the_job(make_job: MakeJob) -> None:
    job = make_job(faults={"plan_task": AWAY})
    await start(job, TEN_MINUTES)
    await job.called("plan_task")

    await job.environment.sleep(2 * TEN_MINUTES)

    await ends_by_deadline(job)
    assert "enter_phase" not in job.labels
