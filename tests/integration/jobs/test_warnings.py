"""What a job says of itself: warnings, each once and never without end; and the cause of its end."""

from __future__ import annotations

from uuid import uuid4

import pytest

from towpath.core.errors import ErrorCode, JobNotActiveError
from towpath.db.engine import Database
from towpath.enrichment.types import BATCH_ENRICHMENT
from towpath.jobs.rows import warnings_of
from towpath.jobs.store.control import mark_restart
from towpath.jobs.store.ends import finish_job
from towpath.jobs.store.event_log import read_events
from towpath.jobs.store.jobs import add_progress, begin_job, create_job, get_job, lock_job
from towpath.jobs.store.staging import add_failures
from towpath.jobs.store.tables import JobRow
from towpath.jobs.store.warnings import MAX_WARNINGS, add_warnings
from towpath.jobs.types import FailedItem, Finish, JobError, JobOutcome, JobRef, JobState, JobWarning, Progress

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def running(database: Database, total: int = 0) -> JobRef:
    """A job that runs."""
    organization = uuid4().hex
    job = JobRow(id=uuid4(), organization=organization, kind=BATCH_ENRICHMENT, params={}, total=total)
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO organizations (id, name) VALUES (%s, 'x')", (organization,))
        await create_job(connection, job)
    ref = JobRef(organization=organization, kind=job.kind, job_id=job.id, attempt=1)
    await begin_job(database, ref)
    return ref


async def warn(database: Database, ref: JobRef, *warnings: JobWarning) -> int:
    async with database.transaction() as connection:
        return await add_warnings(connection, ref, warnings)


async def told(database: Database, ref: JobRef) -> list[JobWarning]:
    return warnings_of(await get_job(database, ref.organization, ref.job_id))


def cut(item: str | None, message: str = "cut") -> JobWarning:
    return JobWarning(code=ErrorCode.SOURCE_TRUNCATED, message=message, item=item)


async def test_a_warning_is_kept_once_however_often_its_activity_runs(database: Database) -> None:
    ref = await running(database)

    assert await warn(database, ref, cut("a"), cut("b"), cut("a")) == 2
    assert await warn(database, ref, cut("b"), cut("b", "cut again")) == 1

    assert await told(database, ref) == [cut("a"), cut("b"), cut("b", "cut again")]
    events = await read_events(database, ref.job_id, after=0, limit=100)
    assert [event.data["item"] for event in events if event.type == "job.warning"] == ["a", "b", "b"]


async def test_of_many_warnings_the_first_are_kept_and_the_rest_are_counted(database: Database) -> None:
    ref = await running(database)

    await warn(database, ref, *(cut(f"page {number}") for number in range(MAX_WARNINGS + 1)))
    await warn(database, ref, *(cut(f"sheet {number}") for number in range(1500)))
    await warn(database, ref, cut("page 3"))

    found = await told(database, ref)
    assert len(found) == MAX_WARNINGS + 1
    assert (found[-1].code, found[-1].message) == (ErrorCode.MORE_WARNINGS, "1,501 more warnings are not shown")
    events = await read_events(database, ref.job_id, after=0, limit=1000)
    assert len([event for event in events if event.type == "job.warning"]) == MAX_WARNINGS + 1


async def test_a_warning_is_short_and_holds_no_nul(database: Database) -> None:
    ref = await running(database)

    await warn(
        database, ref, JobWarning(code=ErrorCode.SOURCE_TRUNCATED, message="a\x00b" + "x" * 9000, item="i" * 900)
    )

    (found,) = await told(database, ref)
    assert (found.message[:3], len(found.message), len(found.item or "")) == ("a\ufffdb", 1000, 300)


async def test_a_restart_forgets_the_warnings_of_the_attempt_before(database: Database) -> None:
    ref = await running(database)
    await warn(database, ref, cut("a"))
    await finish_job(
        database, Finish(ref=ref, state=JobState.FAILED, error=JobError(code=ErrorCode.INTERNAL, message="x"))
    )
    with pytest.raises(JobNotActiveError):
        await warn(database, ref, cut("b"))

    async with database.transaction() as connection:
        await mark_restart(connection, await lock_job(connection, ref.organization, ref.job_id))

    assert await told(database, ref) == []
    with pytest.raises(JobNotActiveError):
        await warn(database, ref, cut("b"))
    await warn(database, ref.next_attempt(), cut("a"))
    assert await told(database, ref) == [cut("a")]


async def ended(database: Database, failures: list[tuple[ErrorCode, str]], *, skipped: int = 0) -> JobOutcome:
    """A job whose items have all failed or were left out, at its end."""
    total = len(failures) + skipped
    ref = await running(database, total)
    async with database.transaction() as connection:
        items = [
            FailedItem(index=place, id=str(place), stage="enrich", code=code, message=message)
            for place, (code, message) in enumerate(failures)
        ]
        await add_failures(connection, ref.job_id, items)
        change = Progress(processed=total, failed=len(failures), skipped=skipped)
        await add_progress(connection, ref, change, fraction=0.99)
    outcome = await finish_job(database, Finish(ref=ref, state=JobState.COMPLETED))
    assert (await get_job(database, ref.organization, ref.job_id)).fraction == 1.0
    return outcome


REFUSED = (ErrorCode.MODEL_REFUSED, "the provider refuses the key")
AWAY = (ErrorCode.PROVIDER_DOWN, "it does not answer")


async def test_the_error_of_one_item_is_the_error_of_its_job(database: Database) -> None:
    outcome = await ended(database, [REFUSED])

    assert (outcome.state, outcome.error) == (JobState.FAILED, JobError(code=REFUSED[0], message=REFUSED[1]))


@pytest.mark.parametrize(
    ("failures", "skipped", "said"),
    [
        ([REFUSED] * 12, 0, "all 12 items failed: the provider refuses the key (model_refused)"),
        (
            [AWAY, *[REFUSED] * 10, AWAY],
            0,
            "all 12 items failed; 10 of them with model_refused, the first so: the provider refuses the key",
        ),
        (
            [(ErrorCode.PROVIDER_DOWN, f"no answer to {number}") for number in range(3)],
            0,
            "all 3 items failed with provider_unavailable, the first so: no answer to 0",
        ),
        (
            [REFUSED, AWAY, AWAY],
            2,
            "none of 5 items succeeded: 3 failed, 2 skipped; 2 of them with provider_unavailable, the first so:"
            " it does not answer",
        ),
        ([], 2, "none of 2 items succeeded: 2 skipped"),
    ],
)
async def test_the_error_of_a_job_whose_items_all_failed_tells_why(
    database: Database, failures: list[tuple[ErrorCode, str]], skipped: int, said: str
) -> None:
    outcome = await ended(database, failures, skipped=skipped)

    assert outcome.error == JobError(code=ErrorCode.ALL_ITEMS_FAILED, message=said)


async def test_a_job_that_broke_off_shows_how_far_it_came(database: Database) -> None:
    ref = await running(database, 4)
    async with database.transaction() as connection:
        await add_progress(connection, ref, Progress(processed=1, succeeded=1), fraction=0.25)

    await finish_job(
        database, Finish(ref=ref, state=JobState.FAILED, error=JobError(code=ErrorCode.INTERNAL, message="x"))
    )

    assert (await get_job(database, ref.organization, ref.job_id)).fraction == pytest.approx(0.25)
