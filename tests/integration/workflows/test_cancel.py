"""Cancel: at once, wherever the job is; and the restart that was asked for meanwhile."""

from __future__ import annotations

from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import CancelledError

from tests.integration.workflows.acting import Job
from tests.integration.workflows.conftest import MakeJob
from tests.support.waiting import eventually
from towpath.core.errors import ErrorCode
from towpath.jobs import search_attributes as attributes
from towpath.jobs.types import (
    STOPPED,
    DeliveryRef,
    JobInput,
    JobOutcome,
    JobStart,
    JobState,
    Progress,
    Started,
)
from towpath.vectors.types import VECTOR_DELETION


async def ends_as_cancelled(job: Job) -> None:
    """The workflow and the row say so, and the row is written once."""
    with pytest.raises(WorkflowFailureError) as cancelled:
        await job.handle.result()
    assert isinstance(cancelled.value.cause, CancelledError)
    assert await job.status() is WorkflowExecutionStatus.CANCELED
    finish = job.finish
    assert (finish.state, finish.result) == (JobState.CANCELLED, None)
    assert finish.error is not None
    assert (finish.error.code, finish.error.message) == (ErrorCode.CANCELLED, STOPPED)


def next_attempt(job: Job) -> JobStart:
    """How the restart of a job is started."""
    ref = job.ref.next_attempt()
    return JobStart(input=JobInput(ref=ref), state=JobState.PENDING, summary="again", details="")


async def test_a_cancel_in_the_window_stops_what_is_in_flight_and_begins_nothing(make_job: MakeJob) -> None:
    job = make_job(chunks=5, closed={"page"})
    await job.start()
    await job.called("page 0")
    await job.called("page 1")

    await job.handle.cancel()

    await ends_as_cancelled(job)
    assert (await job.settled()).scheduled == [0, 1]
    await job.stopped("page 0", "page 1")
    # It was Temporal that told the workflow.
    assert "cancel_workflow" not in job.labels


async def test_a_cancel_while_paused_ends_the_job(make_job: MakeJob) -> None:
    job = make_job(begin=Started(window=2, paused=True))
    await job.start()
    await job.called("enter_phase")
    await job.settled()

    await job.handle.cancel()

    await ends_as_cancelled(job)
    assert (await job.settled()).scheduled == []


async def test_a_cancel_while_the_job_begins_leaves_no_work(make_job: MakeJob) -> None:
    job = make_job(closed={"begin_job", "plan_task"})
    await job.start()
    await job.called("begin_job")

    await job.handle.cancel()
    job.let("begin_job")

    await ends_as_cancelled(job)
    assert not {"enter_phase", "page 0"} & set(job.labels)


async def test_a_job_that_was_cancelled_before_its_start_asks_temporal_for_its_end(make_job: MakeJob) -> None:
    job = make_job(begin=Started(window=2, cancelled=True))
    await job.start()

    await ends_as_cancelled(job)
    assert job.labels == ["begin_job", "finish_job", "cancel_workflow"]


async def test_a_second_cancel_does_not_disturb_the_end_that_the_first_has_begun(make_job: MakeJob) -> None:
    job = make_job(closed={"page", "finish_job"})
    await job.start()
    await job.called("page 1")
    await job.handle.cancel()
    await job.called("finish_job")

    await job.handle.cancel()
    job.let()

    await ends_as_cancelled(job)
    assert "finish_job" not in job.cancelled


async def test_a_cancel_that_comes_after_the_last_chunk_does_not_undo_the_end(make_job: MakeJob) -> None:
    job = make_job(closed={"finish_job"})
    await job.start()
    await job.called("finish_job")

    await job.handle.cancel()
    job.let()

    # Temporal lets the workflow hear of the cancel before it ends; the row has its end by then.
    assert (await job.handle.result()).state is JobState.COMPLETED
    assert await job.status() is WorkflowExecutionStatus.COMPLETED
    assert job.finishes[0].state is JobState.COMPLETED


async def test_an_end_that_is_being_written_is_not_cut_off_by_a_cancel(make_job: MakeJob) -> None:
    job = make_job(closed={"finish_job"})
    await job.start()
    await job.called("finish_job")

    await job.handle.cancel()

    async def heard() -> bool:
        kinds = [event.event_type for event in await job.history()]
        return EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED in kinds and (
            kinds[-1] == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
        )

    # The workflow hears of it with its next task, some seconds later, while it still waits for the row.
    await eventually(heard, "task with the cancel")
    job.let()

    assert (await job.handle.result()).state is JobState.COMPLETED
    assert job.cancelled == []
    assert job.labels.count("finish_job") == 1


async def test_the_row_decides_where_a_cancel_and_the_end_meet(make_job: MakeJob) -> None:
    # The façade has written the cancel into the row before `finish_job` came; Temporal has not heard of it yet.
    job = make_job(verdict=JobOutcome(state=JobState.CANCELLED, progress=Progress()))
    await job.start()

    with pytest.raises(WorkflowFailureError) as cancelled:
        await job.handle.result()

    assert isinstance(cancelled.value.cause, CancelledError)
    assert await job.status() is WorkflowExecutionStatus.CANCELED
    assert job.finishes[0].state is JobState.COMPLETED
    assert job.labels[-2:] == ["finish_job", "cancel_workflow"]


async def test_a_cancel_after_the_end_changes_nothing(job: Job) -> None:
    await job.start()
    await job.handle.result()

    await job.handle.cancel()

    assert await job.status() is WorkflowExecutionStatus.COMPLETED
    assert [finish.state for finish in job.finishes] == [JobState.COMPLETED]


async def test_a_restart_that_waits_for_the_cancel_is_started_by_it(make_job: MakeJob) -> None:
    job = make_job(closed={"page"})
    job.following = next_attempt(job)
    await job.start()
    await job.called("page 1")

    await job.handle.cancel()
    await ends_as_cancelled(job)
    job.let()
    again = job.handle_of(job.ref.next_attempt())

    # It outlives the run that has started it, and goes through everything anew.
    assert (await again.result()).state is JobState.COMPLETED
    second = [call.label for call in job.calls if call.job_attempt == 2]
    assert second[:3] == ["begin_job", "plan_task", "enter_phase"]
    assert sorted(second[3:-1]) == ["page 0", "page 1", "page 2"]
    assert second[-1] == "finish_job"
    described = await again.describe()
    assert described.workflow_type == VECTOR_DELETION
    assert described.typed_search_attributes[attributes.ORGANIZATION] == job.organization
    assert described.typed_search_attributes[attributes.KIND] == VECTOR_DELETION


async def test_a_restart_that_was_started_already_is_left_alone(make_job: MakeJob) -> None:
    job = make_job(closed={"page"})
    job.following = next_attempt(job)
    await job.start()
    await job.called("page 1")
    ref = job.ref.next_attempt()
    await job.client.start_workflow(job.kind, JobInput(ref=ref), id=ref.workflow_id, task_queue="engine")

    await job.handle.cancel()
    await ends_as_cancelled(job)
    job.let()

    assert (await job.handle_of(ref).result()).state is JobState.COMPLETED
    assert [call.label for call in job.calls if call.job_attempt == 2].count("begin_job") == 1


async def test_notices_of_a_cancel_are_sent(make_job: MakeJob) -> None:
    delivery = DeliveryRef(organization="acme", delivery_id=uuid4())
    job = make_job(begin=Started(window=2, cancelled=True), deliveries=[delivery])
    await job.start()

    await ends_as_cancelled(job)
    await job.called("try_first")

    assert [call.given for call in job.calls if call.label == "try_first"] == [delivery]


async def test_operators_find_a_cancelled_job_by_its_state(make_job: MakeJob) -> None:
    job = make_job(closed={"page"})
    await job.start()
    await job.called("page 0")
    await job.settled()
    assert (await job.handle.describe()).typed_search_attributes[attributes.STATE] == JobState.RUNNING

    await job.handle.cancel()
    await ends_as_cancelled(job)

    assert (await job.handle.describe()).typed_search_attributes[attributes.STATE] == JobState.CANCELLED
