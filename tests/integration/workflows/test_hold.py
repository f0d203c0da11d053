"""The hold: a durable wait for a person, who answers, does not, or cancels."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import CancelledError

from tests.integration.workflows.acting import Job
from tests.integration.workflows.conftest import MakeJob
from towpath.core.errors import ErrorCode
from towpath.extraction.types import EXTRACTION, HOLD_SECONDS, ExtractionOutcome
from towpath.jobs.types import STOPPED, JobState

HOLD = timedelta(seconds=HOLD_SECONDS)
MARGIN = timedelta(hours=1)


@pytest.fixture
def held(make_job: MakeJob) -> Job:
    """An extraction whose fields a person is to review."""
    return make_job(kind=EXTRACTION, chunks=1, review=ExtractionOutcome(review=True, hold=True))


async def until_held(job: Job) -> None:
    """Wait until the job waits for a person."""
    await job.start()
    await job.called("hold_job")
    await job.settled()
    assert "**review** — **paused**" in await job.details()


async def test_an_answer_lets_the_job_go_on(held: Job) -> None:
    await until_held(held)

    await held.handle.signal("continue")

    assert (await held.handle.result()).state is JobState.COMPLETED
    assert held.labels[-4:] == ["show_review", "hold_job", "settle_review", "finish_job"]
    assert held.finishes[0].result == {"pages": 1}


async def test_a_pause_during_a_hold_changes_nothing_and_one_continue_ends_both(held: Job) -> None:
    await until_held(held)

    await held.handle.signal("pause")
    await held.settled()
    assert "settle_review" not in held.labels
    await held.handle.signal("continue")

    assert (await held.handle.result()).state is JobState.COMPLETED
    assert held.labels.count("settle_review") == 1


async def test_a_pause_while_the_hold_is_written_is_kept(held: Job) -> None:
    held.closed.add("hold_job")
    await held.start()
    await held.called("hold_job")
    await held.handle.signal("pause")
    held.let()
    await held.settled()

    assert "settle_review" not in held.labels
    await held.handle.signal("continue")
    assert (await held.handle.result()).state is JobState.COMPLETED


async def test_an_answer_that_comes_while_the_hold_is_written_is_not_lost(held: Job) -> None:
    held.closed.add("hold_job")
    await held.start()
    await held.called("hold_job")

    await held.handle.signal("continue")
    held.let()

    assert (await held.handle.result()).state is JobState.COMPLETED
    assert held.labels.count("settle_review") == 1


async def test_what_was_answered_before_the_hold_is_not_waited_for(held: Job) -> None:
    held.held = False
    await held.start()

    assert (await held.handle.result()).state is JobState.COMPLETED
    assert held.labels[-3:] == ["hold_job", "settle_review", "finish_job"]


async def test_a_hold_that_nobody_answers_is_cancelled_when_its_time_is_over_and_not_before(held: Job) -> None:
    await until_held(held)

    await held.environment.sleep(HOLD - MARGIN)
    await held.settled()
    assert held.finishes == []
    await held.environment.sleep(2 * MARGIN)

    with pytest.raises(WorkflowFailureError) as cancelled:
        await held.handle.result()
    assert isinstance(cancelled.value.cause, CancelledError)
    assert await held.status() is WorkflowExecutionStatus.CANCELED
    finish = held.finish
    assert finish.state is JobState.CANCELLED
    assert finish.error is not None
    assert finish.error.code is ErrorCode.CANCELLED
    assert finish.error.message.startswith("nobody answered ")
    # Temporal ends as cancelled only what it was asked to cancel.
    assert held.labels[-2:] == ["finish_job", "cancel_workflow"]
    assert "settle_review" not in held.labels


async def test_a_cancel_during_a_hold_ends_the_job(held: Job) -> None:
    await until_held(held)

    await held.handle.cancel()

    with pytest.raises(WorkflowFailureError) as cancelled:
        await held.handle.result()
    assert isinstance(cancelled.value.cause, CancelledError)
    finish = held.finish
    assert finish.state is JobState.CANCELLED
    assert finish.error is not None
    assert finish.error.message == STOPPED
    assert held.labels[-2:] == ["hold_job", "finish_job"]


async def test_a_review_that_nobody_is_waited_for_with_does_not_hold_the_job(held: Job) -> None:
    held.review = ExtractionOutcome(review=True)
    await held.start()

    assert (await held.handle.result()).state is JobState.COMPLETED
    assert held.labels[-2:] == ["show_review", "finish_job"]
