"""The state of the limiter: one row for each provider's key, under whose lock all processes share it."""

from __future__ import annotations

from towpath.db.engine import Connection, Database
from towpath.llm.limiter.types import PoolKey, PoolState

_LOCK = """
SELECT state::text, extract(epoch FROM clock_timestamp())::float8 FROM llm_pools WHERE digest = %s FOR UPDATE
"""


async def lock_pool(connection: Connection, key: PoolKey) -> tuple[PoolState, float]:
    """Lock a pool's row until the transaction ends.

    Returns:
        What is known of it, and the time in seconds of the epoch.
    """
    row = await (await connection.execute(_LOCK, (key.digest,))).fetchone()
    if row is None:
        await connection.execute(
            "INSERT INTO llm_pools (digest, provider, state) VALUES (%s, %s, '{}') ON CONFLICT DO NOTHING",
            (key.digest, key.provider),
        )
        row = await (await connection.execute(_LOCK, (key.digest,))).fetchone()
        assert row is not None
    return PoolState.model_validate_json(row[0]), float(row[1])


async def save_pool(connection: Connection, key: PoolKey, state: PoolState) -> None:
    """Store what is known of a pool that is locked."""
    await connection.execute(
        "UPDATE llm_pools SET state = %s::jsonb, updated_at = clock_timestamp() WHERE digest = %s",
        (state.model_dump_json(exclude_defaults=True), key.digest),
    )


async def read_pools(database: Database) -> list[tuple[str, PoolState, float]]:
    """Return all pools: the provider's name, what is known, and the time in seconds of the epoch."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT provider, state::text, extract(epoch FROM clock_timestamp())::float8 FROM llm_pools"
            " ORDER BY provider, digest"
        )
        rows = await cursor.fetchall()
    return [(provider, PoolState.model_validate_json(text), float(now)) for provider, text, now in rows]
