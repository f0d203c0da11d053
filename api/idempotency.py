"""`Idempotency-Key`: the first answer is kept for 24 h, written in the transaction of the effect itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated

import orjson
from fastapi import Header
from fastapi.responses import Response

from contracts.errors import BadInput, Conflict, Unprocessable
from stores.db import Connection

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
            Unprocessable: The key came with another body.
        """
        if digest != self.digest:
            raise Unprocessable("this Idempotency-Key was used with another request")
        return Response(self.body, self.status, media_type="application/json", headers={"Idempotency-Replayed": "true"})


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
            Conflict: The first request with this key is still running.
            BadInput: The key is empty.
        """
        if self.key is None:
            return None
        if not self.key.strip():
            raise BadInput("Idempotency-Key must not be empty", field="Idempotency-Key")
        name = f"{self.organization}\n{self.route}\n{self.key}".encode()
        lock = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big", signed=True)
        claimed = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (lock,))
        if not (await claimed.fetchone() or (False,))[0]:
            raise Conflict("the first request with this Idempotency-Key is still running")
        found = await connection.execute(
            """
            SELECT digest, status, body FROM idempotency_keys
            WHERE organization = %s AND route = %s AND key = %s AND created_at > now() - interval '24 hours'
            """,
            (self.organization, self.route, self.key),
        )
        row = await found.fetchone()
        return Remembered(*row) if row else None

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
            (self.organization, self.route, self.key, digest, status, orjson.dumps(body).decode()),
        )
