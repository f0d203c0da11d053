"""A job that is held for a person: a decision that comes before the hold lets it through."""

from __future__ import annotations

from uuid import uuid4

import pytest

from towpath.db.engine import Database
from towpath.extraction.types import EXTRACTION
from towpath.jobs.store.events import hold_job
from towpath.jobs.store.jobs import begin_job, create_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import Hold, JobRef, NewEvent

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def running(database: Database) -> Hold:
    """What a running job asks to be held for."""
    organization = uuid4().hex
    job = JobRow(id=uuid4(), organization=organization, kind=EXTRACTION, params={})
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO organizations (id, name) VALUES (%s, 'x')", (organization,))
        await create_job(connection, job)
    ref = JobRef(organization=organization, kind=job.kind, job_id=job.id, attempt=1)
    await begin_job(database, ref)
    return Hold(ref=ref, event=NewEvent(type="review.requested", key="review"))


async def set_review(database: Database, hold: Hold, status: str) -> None:
    async with database.transaction() as connection:
        await connection.execute("UPDATE jobs SET review_status = %s WHERE id = %s", (status, hold.ref.job_id))


async def state(database: Database, hold: Hold) -> str:
    async with database.transaction() as connection:
        found = await connection.execute("SELECT state FROM jobs WHERE id = %s", (hold.ref.job_id,))
        return str((await found.fetchone() or ("",))[0])


async def test_a_job_waits_for_a_review_that_is_pending(database: Database) -> None:
    hold = await running(database)
    await set_review(database, hold, "PENDING")

    assert await hold_job(database, hold)

    assert await state(database, hold) == "PAUSED"
    assert await hold_job(database, hold), "told once more, it still waits"


async def test_a_job_whose_review_was_decided_before_does_not_wait(database: Database) -> None:
    hold = await running(database)
    await set_review(database, hold, "APPROVED")

    assert not await hold_job(database, hold)

    assert await state(database, hold) == "RUNNING"


async def test_a_job_that_is_being_cancelled_does_not_wait(database: Database) -> None:
    hold = await running(database)
    async with database.transaction() as connection:
        await connection.execute("UPDATE jobs SET cancelling = true WHERE id = %s", (hold.ref.job_id,))

    assert not await hold_job(database, hold)

    assert await state(database, hold) == "RUNNING"
