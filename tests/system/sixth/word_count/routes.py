"""The API of the feature."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from word_count.service import WordCounts
from word_count.types import WORD_COUNT, WordCountBody

from towpath.api.http.auth import Operator, Reader
from towpath.api.http.idempotency import IdempotencyKey, accept_job_once, digest_of, slot_of
from towpath.api.http.ids import JobId
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import State
from towpath.api.http.webhook_fields import read_job_endpoint
from towpath.jobs.registry import job_type
from towpath.jobs.store.tables import JobRow
from towpath.webhooks.types import WebhookFields

router = APIRouter(prefix="/v1/word-counts", tags=["word counts"], route_class=ApiRoute)


@router.post("", summary="Count the words of texts", status_code=202)
async def start_count(
    request: Request, state: State, caller: Operator, body: WordCountBody, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Accepted as a job; the webhook of its end is named by the `Towpath-Webhook-*` headers."""
    job = WordCounts.draft(caller, body)
    endpoint = await read_job_endpoint(request, state, WebhookFields())
    store = partial(WordCounts.store, endpoint=endpoint, max_jobs=state.limits.max_jobs(caller.organization))
    slot = slot_of(request, caller, idempotency_key)
    return _view(await accept_job_once(state, slot, digest_of(body), job, store))


@router.get("/{jobId}", summary="One count")
async def get_count(state: State, caller: Reader, job_id: JobId) -> dict[str, Any]:
    """Status and result."""
    return _view(await state.jobs.find(caller, job_id, kinds={WORD_COUNT}))


def _view(job: JobRow) -> dict[str, Any]:
    return {"jobId": str(job.id), "status": job_type(job.kind).status_of(job), "result": job.result}
