"""Continue-as-new: a long history is cut in the middle of a phase, and nothing is lost or done twice."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from temporalio.client import WorkflowFailureError

from tests.integration.workflows.acting import Chunks, Job, chunks_of
from tests.integration.workflows.conftest import SHORT, MakeJob
from towpath.extraction.types import EXTRACTION
from towpath.jobs.types import JobState, Started

CHUNKS = 40
HOUR = timedelta(hours=1)
TIMER = "timer_started_event_attributes"


async def chunks_of_runs(job: Job) -> list[Chunks]:
    """What each run did."""
    return [chunks_of(events) for events in await job.runs()]


async def to_the_cut(job: Job) -> int:
    """Let chunks end, one after the other, until none follows; gives the one that is still in flight."""
    chunks = await job.settled(lambda seen: len(seen.scheduled) == 2, "a full window")
    while True:
        (first, *others) = sorted(chunks.in_flight)
        if not others:
            return first
        chunks = await job.end(first)


async def test_every_chunk_runs_once_over_all_runs(make_job: MakeJob) -> None:
    job = make_job(organization=SHORT, chunks=CHUNKS, begin=Started(window=3))
    await job.start()

    assert (await job.handle.result()).state is JobState.COMPLETED
    runs = await chunks_of_runs(job)
    assert len(runs) > 2
    assert [page for run in runs for page in run.scheduled] == list(range(CHUNKS))
    assert all(sorted(run.scheduled) == sorted(run.ended) for run in runs), "no run leaves a chunk behind"
    assert {run.peak for run in runs[:-1]} == {3}
    assert sorted(label for label in job.labels if label.startswith("page")) == sorted(
        f"page {page}" for page in range(CHUNKS)
    )


async def test_the_job_is_begun_planned_and_ended_once(make_job: MakeJob) -> None:
    job = make_job(organization=SHORT, chunks=CHUNKS)
    await job.start()
    await job.handle.result()

    assert len(await job.runs()) > 1
    assert [label for label in job.labels if not label.startswith("page")] == [
        "begin_job", "plan_task", "enter_phase", "finish_job",
    ]  # fmt: skip


async def test_what_a_phase_has_found_reaches_the_result_in_a_later_run(make_job: MakeJob) -> None:
    job = make_job(organization=SHORT, kind=EXTRACTION, chunks=CHUNKS)
    await job.start()
    await job.handle.result()

    assert len(await job.runs()) > 1
    assert job.labels.count("open_document") == job.labels.count("extract_fields") == 1
    assert job.finishes[0].result == {"pages": CHUNKS}


async def test_a_window_that_was_changed_stays_changed(make_job: MakeJob) -> None:
    job = make_job(organization=SHORT, chunks=CHUNKS, closed={"page"})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")
    await job.handle.execute_update("set_concurrency", 4)
    job.let()
    await job.handle.result()

    runs = await chunks_of_runs(job)
    assert len(runs) > 2
    assert {run.peak for run in runs[:-1]} == {4}


async def test_a_job_that_is_paused_at_the_cut_stays_paused_and_knows_its_place(make_job: MakeJob) -> None:
    job = make_job(organization=SHORT, chunks=CHUNKS, closed={"page"})
    await job.start()
    last = await to_the_cut(job)
    assert 2 <= last < CHUNKS - 1

    await job.handle.signal("pause")
    job.let()
    await job.until_runs(2)
    assert (await job.settled()).scheduled == []
    assert f"{last + 1} of {CHUNKS} chunks — **paused**" in await job.details()
    await job.handle.signal("continue")

    assert (await job.handle.result()).state is JobState.COMPLETED
    runs = await chunks_of_runs(job)
    assert runs[1].scheduled[0] == last + 1
    assert [page for run in runs for page in run.scheduled] == list(range(CHUNKS))


async def test_a_cut_waits_for_what_is_in_flight(make_job: MakeJob) -> None:
    job = make_job(organization=SHORT, chunks=CHUNKS, closed={"page"})
    await job.start()
    last = await to_the_cut(job)

    assert len(await job.runs()) == 1
    assert (await job.settled()).in_flight == {last}
    job.let(f"page {last}")
    await job.until_runs(2)
    going = await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")

    assert going.scheduled == [last + 1, last + 2]


async def test_a_cancel_in_a_later_run_ends_the_job(make_job: MakeJob) -> None:
    job = make_job(organization=SHORT, chunks=CHUNKS, closed={"page"})
    await job.start()
    last = await to_the_cut(job)
    job.let(f"page {last}")
    await job.called(f"page {last + 2}")

    await job.handle.cancel()

    with pytest.raises(WorkflowFailureError):
        await job.handle.result()
    assert [finish.state for finish in job.finishes] == [JobState.CANCELLED]


async def test_a_later_run_keeps_the_deadline(make_job: MakeJob) -> None:
    job = make_job(organization=SHORT, chunks=CHUNKS, closed={"page"})
    deadline = await job.environment.get_current_time() + HOUR
    await job.start(deadline=deadline)
    last = await to_the_cut(job)
    job.let(f"page {last}")
    await job.until_runs(2)
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")

    events = await job.history()
    started = next(event for event in events if event.HasField("workflow_task_started_event_attributes"))
    (timer,) = [event.timer_started_event_attributes for event in events if event.HasField(TIMER)]

    ends = started.event_time.ToDatetime(UTC) + timer.start_to_fire_timeout.ToTimedelta()
    assert abs(ends - deadline) < timedelta(seconds=1)


async def test_a_short_history_is_not_cut(make_job: MakeJob) -> None:
    job = make_job(chunks=CHUNKS)
    await job.start()
    await job.handle.result()

    assert len(await job.runs()) == 1
