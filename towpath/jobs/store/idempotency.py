"""The first answers to `Idempotency-Key`s: kept for 24 h, written in the transaction of the effect itself."""

from __future__ import annotations

import hashlib

from psycopg.rows import class_row

from towpath.core.errors import ConflictError
from towpath.db.engine import Connection
from towpath.jobs.store.tables import IdempotencyRow


async def claim_key(connection: Connection, organization: str, route: str, key: str) -> IdempotencyRow | None:
    """Claim a key until the transaction ends, and look for a first answer.

    Args:
        connection: The transaction, in which the effect follows.
        organization: Whose key.
        route: Method and path: the same key on two routes is two keys.
        key: The key.

    Returns:
        The first answer; None: there was no request with this key in the last 24 h.

    Raises:
        Conflict: The first request with this key is still running.
    """
    name = f"{organization}\n{route}\n{key}".encode()
    lock = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big", signed=True)
    claimed = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (lock,))
    if not (await claimed.fetchone() or (False,))[0]:
        raise ConflictError("the first request with this Idempotency-Key is still running")
    async with connection.cursor(row_factory=class_row(IdempotencyRow)) as cursor:
        await cursor.execute(
            """
            SELECT * FROM idempotency_keys
            WHERE organization = %s AND route = %s AND key = %s AND created_at > now() - interval '24 hours'
            """,
            (organization, route, key),
        )
        return await cursor.fetchone()


async def save_response(connection: Connection, answer: IdempotencyRow) -> None:
    """Remember the first answer to a key, in the place of one that is older than 24 h."""
    await connection.execute(
        """
        INSERT INTO idempotency_keys (organization, route, key, digest, status, body)
        VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (organization, route, key) DO UPDATE
        SET digest = excluded.digest, status = excluded.status, body = excluded.body, created_at = now()
        """,
        (answer.organization, answer.route, answer.key, answer.digest, answer.status, answer.body),
    )


async def delete_expired_responses(connection: Connection) -> None:
    """Delete answers that are older than 24 h."""
    await connection.execute("DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'")
