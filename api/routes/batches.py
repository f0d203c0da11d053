"""Batches of OpenAI's API: a file of requests, asked by a durable job."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from towpath.api.http.auth import Operator, Reader
from towpath.api.http.idempotency import IdempotencyKey, accept_job_once, digest_of, slot_of
from towpath.api.http.ids import BatchId
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import State
from towpath.api.http.webhook_fields import read_job_endpoint
from towpath.serving.types import BatchBody, show_batch_id
from towpath.webhooks.types import WebhookFields

router = APIRouter(prefix="/v1/batches", tags=["batches"], route_class=ApiRoute)


@router.post("", summary="Ask all requests of a file")
async def create_batch(
    request: Request, state: State, caller: Operator, body: BatchBody, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """The file is checked first, and a batch whose file is wrong fails with what is wrong, by line.

    Chat completions and embeddings are served. A model is named `provider::model`; the name alone does where only one
    provider has it. The webhook of the batch's end is named by the `Towpath-Webhook-*` headers.
    """
    draft = await state.request_batches.draft(caller, body)
    endpoint = await read_job_endpoint(request, state, WebhookFields())
    store = partial(draft.store, endpoint=endpoint, max_jobs=state.limits.max_jobs(caller.organization))
    slot = slot_of(request, caller, idempotency_key)
    job = await accept_job_once(state, slot, digest_of(body), draft.job, store)
    return await state.request_batches.show(caller, show_batch_id(job.id))


@router.get("", summary="List batches")
async def list_batches(
    state: State,
    caller: Reader,
    after: Annotated[str | None, Query(description="The last batch of the page before.", max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """Batches of the organization, newest first."""
    page = await state.request_batches.list_page(caller, after=after, limit=limit)
    return {
        "object": "list",
        "data": page.batches,
        "first_id": page.batches[0]["id"] if page.batches else None,
        "last_id": page.batches[-1]["id"] if page.batches else None,
        "has_more": page.has_more,
    }


@router.get("/{batchId}", summary="One batch")
async def get_batch(state: State, caller: Reader, batch_id: BatchId) -> dict[str, Any]:
    """Status, counts, files and usage."""
    return await state.request_batches.show(caller, batch_id)


@router.post("/{batchId}/cancel", summary="Stop a batch")
async def cancel_batch(state: State, caller: Operator, batch_id: BatchId) -> dict[str, Any]:
    """What was answered is kept and written; requests that have not left are not asked."""
    return await state.request_batches.cancel(caller, batch_id)
