"""Receivers of notices, and the log of what they were sent."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from towpath.accounts.types import Principal, Role, Scope
from towpath.api.http.auth import Editor, Operator, Reader
from towpath.api.http.cursors import read_cursor, write_cursor
from towpath.api.http.idempotency import IdempotencyKey, digest_of, replay, respond_once, slot_of
from towpath.api.http.ids import DeliveryId, WebhookId
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.webhook_targets import check_url
from towpath.core.json_values import parse_json
from towpath.jobs.idempotency import Slot
from towpath.jobs.policy import seer_of
from towpath.jobs.types import DeliveryRef
from towpath.net.urls import receiver_shown
from towpath.secrets.urls import seal_receiver, seen_url
from towpath.webhooks.domain.signing import new_secret, signing_key, standard_form
from towpath.webhooks.store import deliveries as log
from towpath.webhooks.store import endpoints as store
from towpath.webhooks.types import (
    DeliveryPage,
    DeliveryState,
    DeliveryView,
    ReceiverBody,
    ReceiverView,
    StandingSecretBody,
    Try,
)

router = APIRouter(tags=["webhooks"], route_class=ApiRoute)


def address_of(state: AppState, caller: Principal | None, stored: str) -> str:
    """A receiver's URL: the whole of it for who may change receivers, for anybody else its host.

    Args:
        state: The parts that routes use.
        caller: Who looks; None: the answer is kept for a repeat of the request.
        stored: As the store has it.
    """
    whole = caller is not None and caller.role.covers(Role.EDITOR) and Scope.WRITE in caller.scopes
    return seen_url(state.vault, stored, receiver_shown, whole=whole)


def _receiver(
    state: AppState, caller: Principal | None, row: store.Receiver, secret: str | None = None
) -> ReceiverView:
    return ReceiverView(
        webhook_id=row.id,
        url=address_of(state, caller, row.url),
        events=row.events,
        secret=secret,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        previous_secret_until=row.previous_until,
    )


def _delivery(state: AppState, caller: Principal | None, row: log.Delivery, *, body: bool = False) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        job_id=row.job_id,
        webhook_id=row.webhook_id,
        url=address_of(state, caller, row.url),
        event=row.event,
        event_id=row.event_id,
        state=row.state,
        attempts=[Try.model_validate(one) for one in row.tries],
        next_attempt_at=row.next_attempt_at,
        created_at=row.created_at,
        body=parse_json(row.body) if body else None,
    )


@router.post("/webhooks", status_code=201, summary="Register a receiver", response_model=ReceiverView)
async def register(
    state: State, caller: Editor, body: ReceiverBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Every job of the organization is told to it from then on. The secret is shown in this answer only."""
    await check_url(state, body.url, "url")
    secret = body.secret or new_secret()
    signing_key(secret)
    digest = digest_of(body)
    slot = Slot(caller.organization, "POST /webhooks", idempotency_key)
    async with state.db.transaction() as connection:
        if known := await slot.claim(connection):
            return replay(known, digest)
        row = await store.add_receiver(
            connection,
            caller.organization,
            seal_receiver(state.vault, body.url),
            state.vault.seal(secret),
            list(dict.fromkeys(body.events)),
        )
        made = _receiver(state, caller, row, standard_form(secret))
        shown = made.model_dump(mode="json", by_alias=True, exclude_none=True)
        # The secret is shown once: a repeat of the request names the receiver, and keeps its secret and the rest
        # of its URL to itself.
        kept = {name: value for name, value in shown.items() if name != "secret"}
        await slot.save(connection, digest, 201, kept | {"url": receiver_shown(body.url)})
    return json_answer(shown, 201)


@router.get("/webhooks", summary="List receivers", response_model_exclude_none=True)
async def receivers(state: State, caller: Reader) -> list[ReceiverView]:
    """Without their secrets."""
    return [_receiver(state, caller, row) for row in await store.list_receivers(state.db, caller.organization)]


@router.get("/webhooks/{webhookId}", summary="One receiver", response_model_exclude_none=True)
async def receiver(state: State, caller: Reader, webhook_id: WebhookId) -> ReceiverView:
    """Without its secret."""
    return _receiver(state, caller, await store.get_receiver(state.db, caller.organization, webhook_id))


@router.delete("/webhooks/{webhookId}", status_code=204, summary="Forget a receiver")
async def forget(state: State, caller: Editor, webhook_id: WebhookId) -> None:
    """What is on its way to it ends as DISABLED."""
    await store.delete_receiver(state.db, caller.organization, webhook_id)


@router.post("/webhooks/{webhookId}/rotate", summary="Change a receiver's secret", response_model=ReceiverView)
async def rotate(
    request: Request, state: State, caller: Editor, webhook_id: WebhookId, idempotency_key: IdempotencyKey = None
) -> Response:
    """The answer has the new secret, once; for 24 hours both sign."""

    async def change(inside: AppState) -> dict[str, Any]:
        changed = await rotate_secret(inside, caller, webhook_id)
        return changed.model_dump(mode="json", by_alias=True, exclude_none=True)

    return await respond_once(state, slot_of(request, caller, idempotency_key), b"", change, secret="secret")


async def rotate_secret(state: AppState, caller: Principal, webhook_id: UUID) -> ReceiverView:
    """Give a receiver a new secret.

    Raises:
        NotFound: No such receiver.
    """
    secret = new_secret()
    row = await store.rotate_receiver(state.db, caller.organization, webhook_id, state.vault.seal(secret))
    return _receiver(state, None, row, secret)


@router.put("/v1/webhooks/standing-secret", summary="Set the organization's standing secret")
async def set_standing(state: State, caller: Editor, body: StandingSecretBody | None = None) -> dict[str, str]:
    """It signs for targets of single jobs that bring no secret; shown in this answer only."""
    secret = (body and body.secret) or new_secret()
    signing_key(secret)
    await store.set_standing_secret(state.db, caller.organization, state.vault.seal(secret))
    return {"secret": standard_form(secret)}


@router.get("/v1/webhooks/standing-secret", summary="Whether there is a standing secret")
async def standing(state: State, caller: Reader) -> dict[str, bool]:
    """Without the secret."""
    return {"set": await store.has_standing_secret(state.db, caller.organization)}


@router.delete("/v1/webhooks/standing-secret", status_code=204, summary="Forget the standing secret")
async def forget_standing(state: State, caller: Editor) -> None:
    """Targets without a secret of their own go unsigned from then on."""
    await store.set_standing_secret(state.db, caller.organization, None)


@router.get("/v1/webhooks/deliveries", summary="The log of notices", response_model_exclude_none=True)
async def deliveries(
    state: State,
    caller: Reader,
    job_id: Annotated[UUID | None, Query(alias="jobId")] = None,
    delivery_state: Annotated[DeliveryState | None, Query(alias="state")] = None,
    cursor: Annotated[str | None, Query(description="`nextCursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> DeliveryPage:
    """Newest first, with every attempt."""
    rows = await log.list_deliveries(
        state.db,
        caller.organization,
        job_id=job_id,
        state=delivery_state,
        seer=seer_of(caller),
        before=read_cursor(cursor) if cursor else None,
        limit=limit + 1,
    )
    more = len(rows) > limit
    return DeliveryPage(
        deliveries=[_delivery(state, caller, row) for row in rows[:limit]],
        next_cursor=write_cursor((rows[limit - 1].created_at, rows[limit - 1].id)) if more else None,
    )


@router.get("/v1/webhooks/deliveries/{deliveryId}", summary="One notice", response_model_exclude_none=True)
async def delivery(state: State, caller: Reader, delivery_id: DeliveryId) -> DeliveryView:
    """With the body that is sent."""
    return _delivery(state, caller, await state.webhooks.find(caller, delivery_id), body=True)


@router.post("/v1/webhooks/deliveries/{deliveryId}/resend", summary="Send it again", response_model=DeliveryView)
async def resend(
    request: Request, state: State, caller: Operator, delivery_id: DeliveryId, idempotency_key: IdempotencyKey = None
) -> Response:
    """From the start of the schedule, with the same `event_id`; not while it is on its way."""
    await state.webhooks.find(caller, delivery_id)
    begun: list[DeliveryRef] = []

    async def begin(inside: AppState) -> dict[str, Any]:
        row = await log.begin_resend(inside.db, caller.organization, delivery_id)
        begun.append(row.ref)
        return _delivery(state, None, row, body=True).model_dump(mode="json", by_alias=True, exclude_none=True)

    answer = await respond_once(state, slot_of(request, caller, idempotency_key), b"", begin)
    for ref in begun:
        state.webhooks.deliver_soon(ref)
    return answer
