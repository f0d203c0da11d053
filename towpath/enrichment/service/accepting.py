"""Accepting a job that asks language models: job, entities, webhook and answer, all in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from towpath.core.json_values import parse_json
from towpath.db.engine import Database
from towpath.enrichment.service.starts import JobDraft, create_job
from towpath.jobs.idempotency import Slot, StoredResponse
from towpath.jobs.service import JobService
from towpath.jobs.store.jobs import lock_job
from towpath.jobs.store.tables import JobRow
from towpath.webhooks.store.endpoints import add_job_endpoint
from towpath.webhooks.types import JobEndpoint


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that was accepted.

    Attributes:
        id: The job; for a repeat of a request that of the first one.
        answer: What its start answers: `{job_id, message}`, and for many entities their `total`.
        first: The first answer, where the request is a repeat.
    """

    id: UUID
    answer: dict[str, object]
    first: StoredResponse | None = None


async def accept_job(
    database: Database,
    jobs: JobService,
    slot: Slot,
    digest: bytes,
    job: JobRow,
    draft: JobDraft,
    *,
    target: JobEndpoint | None,
    page_size: int,
    max_jobs: int,
) -> Accepted:
    """Store a drafted job and start it, unless its request was answered before.

    Args:
        database: Where the jobs are.
        jobs: Starts it.
        slot: The place of the request's `Idempotency-Key`.
        digest: Of the request's body.
        job: The job's row, not stored yet.
        draft: What it is made of.
        target: Where its end is told.
        page_size: How many entities one activity works through.
        max_jobs: How many jobs of the organization may be in flight; 0: any number.

    Raises:
        LimitReachedError: As many are in flight as may be.
    """
    answer: dict[str, object] = {"job_id": str(job.id), **draft.answer}
    async with database.transaction() as connection:
        if first := await slot.claim(connection):
            return Accepted(UUID(parse_json(first.body)["job_id"]), answer, first)
        await create_job(connection, job, draft, page_size=page_size, most=max_jobs)
        if target is not None:
            await add_job_endpoint(connection, job.id, target)
        await slot.save(connection, digest, 200, answer)
        stored = await lock_job(connection, job.organization, job.id)
    jobs.start_soon(stored)
    return Accepted(job.id, answer)
