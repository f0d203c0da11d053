"""Pause and continue: what is in flight ends, nothing new begins."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.workflows.acting import Job
from tests.integration.workflows.conftest import MakeJob
from towpath.extraction.types import EXTRACTION
from towpath.jobs.types import JobState, Started


async def test_a_paused_job_begins_no_chunk_until_it_is_continued(make_job: MakeJob) -> None:
    job = make_job(chunks=5, closed={"page"})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")

    await job.handle.signal("pause")
    assert (await job.end(0, 1)).scheduled == [0, 1]
    assert "**delete**: 2 of 5 chunks — **paused**" in await job.details()
    assert job.cancelled == []

    await job.handle.signal("continue")
    going = await job.settled(lambda chunks: len(chunks.scheduled) > 2, "next chunk")
    assert going.scheduled == [0, 1, 2, 3]
    assert "paused" not in await job.details()
    job.let()
    assert (await job.handle.result()).state is JobState.COMPLETED


async def test_two_pauses_need_one_continue_and_a_second_continue_is_harmless(make_job: MakeJob) -> None:
    job = make_job(closed={"page"})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")

    for signal in ("pause", "pause", "continue", "continue"):
        await job.handle.signal(signal)

    assert (await job.end(0)).scheduled == [0, 1, 2]


async def test_a_wider_window_does_not_let_a_paused_job_go_on(make_job: MakeJob) -> None:
    job = make_job(chunks=5, closed={"page"})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")
    await job.handle.signal("pause")

    await job.handle.execute_update("set_concurrency", 4)
    assert (await job.settled()).scheduled == [0, 1]

    await job.handle.signal("continue")
    assert (await job.settled(lambda chunks: len(chunks.scheduled) > 2, "next chunk")).scheduled == [0, 1, 2, 3]


async def test_a_job_that_was_paused_before_its_start_begins_paused(make_job: MakeJob) -> None:
    job = make_job(begin=Started(window=2, paused=True))
    await job.start()
    await job.called("enter_phase")

    assert (await job.settled()).scheduled == []
    await job.handle.signal("continue")

    assert (await job.handle.result()).state is JobState.COMPLETED


async def test_a_pause_that_comes_while_the_job_begins_is_not_lost(make_job: MakeJob) -> None:
    # The row that `begin_job` has read did not know of it yet.
    job = make_job(closed={"begin_job"})
    await job.start()
    await job.called("begin_job")
    await job.handle.signal("pause")
    job.let()
    await job.called("enter_phase")

    assert (await job.settled()).scheduled == []
    await job.handle.signal("continue")

    assert (await job.handle.result()).state is JobState.COMPLETED


async def test_a_pause_that_comes_with_the_start_is_kept(job: Job) -> None:
    await job.start(start_signal="pause")
    await job.called("enter_phase")

    assert (await job.settled()).scheduled == []


async def test_a_pause_in_the_last_chunks_holds_what_follows_them(make_job: MakeJob) -> None:
    job = make_job(kind=EXTRACTION, chunks=2, closed={"page"})
    await job.start()
    await job.settled(lambda chunks: len(chunks.scheduled) == 2, "a full window")

    await job.handle.signal("pause")
    await job.end(0, 1)
    assert "extract_fields" not in job.labels

    await job.handle.signal("continue")
    assert (await job.handle.result()).state is JobState.COMPLETED
    assert job.labels.count("extract_fields") == 1


STEPS = st.one_of(
    st.just("pause"),
    st.just("continue"),
    st.integers(1, 5).map(lambda window: f"window {window}"),
    st.integers(0, 4).map(lambda place: f"end {place}"),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEPS, min_size=4, max_size=14))
async def test_after_any_steps_those_are_in_flight_that_the_window_allows(make_job: MakeJob, steps: list[str]) -> None:
    chunks, window, paused = 12, 2, False
    job = make_job(chunks=chunks, begin=Started(window=window), closed={"page"})
    await job.start()
    flying, begun = [0, 1], 2
    await job.settled(lambda seen: len(seen.scheduled) == begun, "a full window")

    for step in steps:
        word, _, number = step.partition(" ")
        if word == "window":
            window = await job.handle.execute_update("set_concurrency", int(number))
        elif word == "end":
            if flying:
                await job.end(flying.pop(int(number) % len(flying)))
        else:
            await job.handle.signal(word)
            paused = word == "pause"
        while not paused and len(flying) < window and begun < chunks:
            flying.append(begun)
            begun += 1
        seen = await job.settled()
        assert seen.scheduled == list(range(begun)), step
        assert seen.in_flight == set(flying), step
        if not flying and begun == chunks:
            break
    job.let()
    await job.handle.signal("continue") if flying or begun < chunks else None
    assert (await job.handle.result()).state is JobState.COMPLETED
