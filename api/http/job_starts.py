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
from towpath.enrichment.service.accepting import accept_job
from towpath.enrichment.service.starts import JobDraft
from towpath.jobs.store.tables import JobRow
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
    """Accept a job with what its request says besides its body, and start it.

    Args:
        request: Its headers may name a deadline and a webhook.
        state: The parts that routes use.
        caller: Who starts it.
        draft: The job.
        digest: Of the request's body.
        webhook: What the body says of webhooks.
        idempotency_key: Makes a repeat of the request safe.
    """
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
    target = await read_job_endpoint(request, state, webhook)
    await state.limits.assert_room_for_bytes(caller.organization)
    accepted = await accept_job(
        state.db,
        state.jobs,
        slot_of(request, caller, idempotency_key),
        digest,
        job,
        draft,
        target=target,
        page_size=state.settings.enrichment_chunk,
        max_jobs=state.limits.max_jobs(caller.organization),
    )
    first = accepted.first
    return StartedJob(accepted.id, json_answer(accepted.answer) if first is None else replay(first, digest))
