"""Starts of jobs that ask language models: idempotency, deadline and webhook of the request, and the answer to it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from fastapi import Request, Response

from towpath.accounts.types import Principal
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import replay, slot_of
from towpath.api.http.responses import json_answer
from towpath.api.http.state import AppState
from towpath.api.http.webhook_fields import read_job_endpoint
from towpath.core.json_values import parse_json
from towpath.enrichment.service.starts import JobDraft, create_job
from towpath.jobs.store.jobs import lock_job
from towpath.jobs.store.tables import JobRow
from towpath.webhooks.store.endpoints import add_job_endpoint
from towpath.webhooks.types import WebhookFields


@dataclass(frozen=True, slots=True)
class StartedJob:
    """A job that runs, and the answer to its start.

    Attributes:
        id: The job; for a repeat of a request that of the first one.
        response: `{job_id, message}`, and for many entities their `total`.
    """

    id: UUID
    response: Response


async def start_job(
    request: Request,
    state: AppState,
    caller: Principal,
    draft: JobDraft,
    *,
    digest: bytes,
    webhook: WebhookFields,
    idempotency_key: str | None,
) -> StartedJob:
    """Store a job with its entities, all in one transaction, and start it.

    Args:
        request: Its headers may name a deadline and a webhook.
        state: The parts that routes use.
        caller: Who starts it.
        draft: The job.
        digest: Of the request's body.
        webhook: What the body says of webhooks.
        idempotency_key: Makes a repeat of the request safe.
    """
    slot = slot_of(request, caller, idempotency_key)
    job = JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=draft.kind,
        params=draft.params,
        total=len(draft.entities),
        deadline=read_deadline(request),
        created_by=caller.key_id,
        window_size=state.settings.window,
    )
    answer = {"job_id": str(job.id), **draft.answer}
    target = await read_job_endpoint(request, state, webhook)
    await state.limits.assert_room_for_bytes(caller.organization)
    page_size, most = state.settings.enrichment_chunk, state.limits.max_jobs(caller.organization)
    async with state.db.transaction() as connection:
        if first := await slot.open(connection):
            return StartedJob(UUID(parse_json(first.body)["job_id"]), replay(first, digest))
        await create_job(connection, job, draft, page_size=page_size, most=most)
        if target is not None:
            await add_job_endpoint(connection, job.id, target)
        await slot.keep(connection, digest, 200, answer)
        stored = await lock_job(connection, caller.organization, job.id)
    state.gateway.start_soon(stored)
    return StartedJob(job.id, json_answer(answer))
