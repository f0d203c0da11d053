"""The place of an `Idempotency-Key`: the first answer is kept for 24 h, in the transaction of the effect itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from towpath.core.errors import BadInputError, ConflictError, UnprocessableError
from towpath.core.json_values import write_json
from towpath.db.engine import Connection, Database


@dataclass(frozen=True, slots=True)
class Remembered:
    """The first answer to a key."""

    digest: bytes
    status: int
    body: str

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
