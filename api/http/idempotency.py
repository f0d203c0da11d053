"""The header `Idempotency-Key`: the first answer is kept for 24 h, in the transaction of the effect itself.

Four ways: `Slot` inside a route's own transaction; `write_once` where that transaction is the whole effect and may be
repeated; `respond_once` around an effect of several transactions; `accept_job_once` where the answer is what a job
brings, so that a repeat waits for the same job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Header, Request
from fastapi.responses import Response
from pydantic import BaseModel

from towpath.accounts.types import Principal
from towpath.api.http.responses import json_answer
from towpath.api.http.state import AppState
from towpath.db.engine import Connection
from towpath.jobs.idempotency import Slot, StoredResponse
from towpath.jobs.store.tables import JobRow

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Makes a repeat of this request safe for 24 h: the first answer is given again.",
        max_length=255,
    ),
]


def replay(known: StoredResponse, digest: bytes) -> Response:
    """Give the first answer to a key again.

    Raises:
        UnprocessableError: The key came with another body.
    """
    known.check(digest)
    return Response(known.body, known.status, media_type="application/json", headers={"Idempotency-Replayed": "true"})


def slot_of(request: Request, caller: Principal, key: str | None) -> Slot:
    """Return the place of a request's key."""
    return Slot(caller.organization, f"{request.method} {request.url.path}", key)


def digest_of(body: BaseModel) -> bytes:
    """Return the digest of a request whose body was read into a model."""
    return hashlib.sha256(body.model_dump_json().encode()).digest()


async def write_once(
    state: AppState, slot: Slot, digest: bytes, write: Callable[[Connection], Awaitable[BaseModel]]
) -> Response:
    """Write in one transaction, which is repeated where others are in its way, or answer as the first time.

    Args:
        state: The parts that routes use.
        slot: The place of the request's key.
        digest: Of the request.
        write: Does it, and returns what is answered.
    """

    async def write_and_save(connection: Connection) -> Response:
        if known := await slot.claim(connection):
            return replay(known, digest)
        body = (await write(connection)).model_dump(mode="json", by_alias=True)
        await slot.save(connection, digest, 200, body)
        return json_answer(body)

    return await state.db.repeatable(write_and_save)


async def respond_once(
    state: AppState,
    slot: Slot,
    digest: bytes,
    effect: Callable[[AppState], Awaitable[Any]],
    *,
    status: int = 200,
    secret: str | None = None,
) -> Response:
    """Have an effect and answer with what it gives, or answer as the first time.

    Args:
        state: The parts that routes use.
        slot: The place of the request's key.
        digest: Of the request.
        effect: Does it with the state that it is given, whose database is one transaction; it must not wait
            for what others see, such as a job that it starts.
        status: Of the first answer.
        secret: A member of the answer that is shown once: a repeat of the request is answered without it.
    """
    if slot.key is None:
        return json_answer(await effect(state), status)
    async with state.db.joined() as (db, connection):
        if known := await slot.claim(connection):
            return replay(known, digest)
        body = await effect(replace(state, db=db))
        stored = body if secret is None else {name: value for name, value in body.items() if name != secret}
        await slot.save(connection, digest, status, stored)
    return json_answer(body, status)


async def accept_job_once(
    state: AppState, slot: Slot, digest: bytes, job: JobRow, create: Callable[[Connection, JobRow], Awaitable[object]]
) -> JobRow:
    """Accept a job and start it, or return the one of the first request."""
    return await state.jobs.accept_once(slot, digest, job, create)
