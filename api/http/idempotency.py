"""`Idempotency-Key`: the first answer is kept for 24 h, written in the transaction of the effect itself.

Three ways: `Slot` inside a route's own transaction; `once` around an effect of several transactions;
`job_once` where the answer is what a job brings, so that a repeat waits for the same job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Request
from fastapi.responses import Response
from pydantic import BaseModel

from towpath.accounts.types import Principal
from towpath.api.http.responses import json_answer
from towpath.api.http.state import AppState
from towpath.core.errors import BadInputError, ConflictError, UnprocessableError
from towpath.core.json_values import parse_json, write_json
from towpath.db.engine import Connection, Database
from towpath.db.tables import JobRow
from towpath.jobs.store.jobs import lock_job

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Makes a repeat of this request safe for 24 h: the first answer is given again.",
        max_length=255,
    ),
]


@dataclass(frozen=True, slots=True)
class Remembered:
    """The first answer to a key."""

    digest: bytes
    status: int
    body: str

    def replay(self, digest: bytes) -> Response:
        """The first answer again.

        Raises:
            UnprocessableError: The key came with another body.
        """
        self.check(digest)
        return Response(self.body, self.status, media_type="application/json", headers={"Idempotency-Replayed": "true"})

    def check(self, digest: bytes) -> None:
        """Refuse another request under the same key.

        Raises:
            UnprocessableError: The key came with another body.
        """
        if digest != self.digest:
            raise UnprocessableError("this Idempotency-Key was used with another request")


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one key; does nothing when the request has none.

    Args:
        organization: Whose key.
        route: Method and path: the same key on two routes is two keys.
        key: The header.
    """

    organization: str
    route: str
    key: str | None

    async def open(self, connection: Connection) -> Remembered | None:
        """Claim the key until the transaction ends, and look for a first answer.

        Raises:
            ConflictError: The first request with this key is still running.
            BadInputError: The key is empty.
        """
        if self.key is None:
            return None
        if not self.key.strip():
            raise BadInputError("Idempotency-Key must not be empty", field="Idempotency-Key")
        name = f"{self.organization}\n{self.route}\n{self.key}".encode()
        lock = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big", signed=True)
        claimed = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (lock,))
        if not (await claimed.fetchone() or (False,))[0]:
            raise ConflictError("the first request with this Idempotency-Key is still running")
        found = await connection.execute(
            """
            SELECT digest, status, body FROM idempotency_keys
            WHERE organization = %s AND route = %s AND key = %s AND created_at > now() - interval '24 hours'
            """,
            (self.organization, self.route, self.key),
        )
        row = await found.fetchone()
        return Remembered(*row) if row else None

    async def is_taken(self, database: Database) -> bool:
        """Whether the key's first request has had its effect."""
        async with database.transaction() as connection:
            return await self.open(connection) is not None

    async def keep(self, connection: Connection, digest: bytes, status: int, body: object) -> None:
        """Remember the answer, in the transaction of the effect."""
        if self.key is None:
            return
        await connection.execute(
            """
            INSERT INTO idempotency_keys (organization, route, key, digest, status, body)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (organization, route, key) DO UPDATE
            SET digest = excluded.digest, status = excluded.status, body = excluded.body, created_at = now()
            """,
            (self.organization, self.route, self.key, digest, status, write_json(body).decode()),
        )


def slot_of(request: Request, caller: Principal, key: str | None) -> Slot:
    """The place of a request's key."""
    return Slot(caller.organization, f"{request.method} {request.url.path}", key)


def digest_of(body: BaseModel) -> bytes:
    """The digest of a request whose body was read into a model."""
    return hashlib.sha256(body.model_dump_json().encode()).digest()


async def once(
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
        if known := await slot.open(connection):
            return known.replay(digest)
        body = await effect(replace(state, db=db))
        kept = body if secret is None else {name: value for name, value in body.items() if name != secret}
        await slot.keep(connection, digest, status, kept)
    return json_answer(body, status)


async def job_once(
    state: AppState, slot: Slot, digest: bytes, job: JobRow, create: Callable[[Connection, JobRow], Awaitable[object]]
) -> JobRow:
    """Accept a job and start it, or find the one that the first request made."""
    async with state.db.transaction() as connection:
        job_id = job.id
        if known := await slot.open(connection):
            known.check(digest)
            job_id = UUID(parse_json(known.body)["job"])
        else:
            await create(connection, job)
            await slot.keep(connection, digest, 200, {"job": str(job.id)})
        stored = await lock_job(connection, job.organization, job_id)
    if not stored.state.final:
        state.gateway.start_soon(stored)
    return stored
