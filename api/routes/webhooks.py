"""Endpoints that receive the events of jobs, and the log of what was sent to them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from towpath.api.http.auth import Editor, Operator, Reader
from towpath.api.http.cursors import read_cursor, write_cursor
from towpath.api.http.idempotency import IdempotencyKey, digest_of, replay, respond_once, slot_of
from towpath.api.http.ids import DeliveryId, WebhookId
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.jobs.idempotency import Slot
from towpath.jobs.types import DeliveryRef
from towpath.webhooks.types import (
    DeliveryPage,
    DeliveryState,
    DeliveryView,
    EndpointBody,
    EndpointView,
    StandingSecretBody,
)

router = APIRouter(tags=["webhooks"], route_class=ApiRoute)


def _dump(view: EndpointView | DeliveryView) -> dict[str, Any]:
    return view.model_dump(mode="json", by_alias=True, exclude_none=True)


# Operation ids are made of the names of routes, and generated clients have them: hence the names.
@router.post("/webhooks", status_code=201, summary="Register an endpoint", response_model=EndpointView, name="register")
async def register_endpoint(
    state: State, caller: Editor, body: EndpointBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Every job of the organization is reported to it from then on. The secret is shown in this answer only."""
    draft = await state.endpoints.draft(body)
    digest = digest_of(body)
    slot = Slot(caller.organization, "POST /webhooks", idempotency_key)
    async with state.db.transaction() as connection:
        if first := await slot.claim(connection):
            return replay(first, digest)
        endpoint = await state.endpoints.register(connection, caller, draft)
        await slot.save(connection, digest, 201, _dump(endpoint.repeat_view))
    return json_answer(_dump(endpoint.view), 201)


@router.get("/webhooks", summary="List endpoints", response_model_exclude_none=True, name="receivers")
async def list_endpoints(state: State, caller: Reader) -> list[EndpointView]:
    """Without their secrets."""
    return await state.endpoints.list_all(caller)


@router.get("/webhooks/{webhookId}", summary="One endpoint", response_model_exclude_none=True, name="receiver")
async def get_endpoint(state: State, caller: Reader, webhook_id: WebhookId) -> EndpointView:
    """Without its secret."""
    return await state.endpoints.read(caller, webhook_id)


@router.delete("/webhooks/{webhookId}", status_code=204, summary="Delete an endpoint", name="forget")
async def delete_endpoint(state: State, caller: Editor, webhook_id: WebhookId) -> None:
    """What is on its way to it ends as DISABLED."""
    await state.endpoints.delete(caller, webhook_id)


@router.post(
    "/webhooks/{webhookId}/rotate", summary="Change an endpoint's secret", response_model=EndpointView, name="rotate"
)
async def rotate_secret(
    request: Request, state: State, caller: Editor, webhook_id: WebhookId, idempotency_key: IdempotencyKey = None
) -> Response:
    """The answer has the new secret, once; for 24 hours both sign."""

    async def rotate(inside: AppState) -> dict[str, Any]:
        return _dump(await inside.endpoints.rotate_secret(caller, webhook_id))

    return await respond_once(state, slot_of(request, caller, idempotency_key), b"", rotate, secret="secret")


@router.put("/v1/webhooks/standing-secret", summary="Set the organization's standing secret", name="set_standing")
async def set_standing_secret(state: State, caller: Editor, body: StandingSecretBody | None = None) -> dict[str, str]:
    """It signs for the endpoints of single jobs that bring no secret; shown in this answer only."""
    return {"secret": await state.endpoints.set_standing_secret(caller, None if body is None else body.secret)}


@router.get("/v1/webhooks/standing-secret", summary="Whether there is a standing secret", name="standing")
async def has_standing_secret(state: State, caller: Reader) -> dict[str, bool]:
    """Without the secret."""
    return {"set": await state.endpoints.has_standing_secret(caller)}


@router.delete(
    "/v1/webhooks/standing-secret", status_code=204, summary="Delete the standing secret", name="forget_standing"
)
async def delete_standing_secret(state: State, caller: Editor) -> None:
    """Endpoints without a secret of their own go unsigned from then on."""
    await state.endpoints.delete_standing_secret(caller)


@router.get(
    "/v1/webhooks/deliveries", summary="The log of deliveries", response_model_exclude_none=True, name="deliveries"
)
async def list_deliveries(
    state: State,
    caller: Reader,
    job_id: Annotated[UUID | None, Query(alias="jobId")] = None,
    delivery_state: Annotated[DeliveryState | None, Query(alias="state")] = None,
    cursor: Annotated[str | None, Query(description="`nextCursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> DeliveryPage:
    """Newest first, with every attempt."""
    page = await state.deliveries.list_page(
        caller, job_id=job_id, state=delivery_state, before=read_cursor(cursor) if cursor else None, limit=limit
    )
    return DeliveryPage(
        deliveries=page.deliveries, next_cursor=None if page.next_before is None else write_cursor(page.next_before)
    )


@router.get(
    "/v1/webhooks/deliveries/{deliveryId}", summary="One delivery", response_model_exclude_none=True, name="delivery"
)
async def get_delivery(state: State, caller: Reader, delivery_id: DeliveryId) -> DeliveryView:
    """With the body that is sent."""
    return await state.deliveries.read(caller, delivery_id)


@router.post("/v1/webhooks/deliveries/{deliveryId}/resend", summary="Send it again", response_model=DeliveryView)
async def resend(
    request: Request, state: State, caller: Operator, delivery_id: DeliveryId, idempotency_key: IdempotencyKey = None
) -> Response:
    """From the start of the schedule, with the same `event_id`; not while it is on its way."""
    await state.deliveries.read(caller, delivery_id)
    refs_to_start: list[DeliveryRef] = []

    async def begin(inside: AppState) -> dict[str, Any]:
        view, ref = await inside.deliveries.begin_resend(caller, delivery_id)
        refs_to_start.append(ref)
        return _dump(view)

    answer = await respond_once(state, slot_of(request, caller, idempotency_key), b"", begin)
    for ref in refs_to_start:
        state.deliveries.deliver_soon(ref)
    return answer
