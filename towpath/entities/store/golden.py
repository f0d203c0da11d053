"""By which rules the values of golden records survive in an index; they outlive its generations."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from towpath.db.engine import Connection


async def read_golden_rules(connection: Connection, organization: str, name: str) -> dict[str, Any] | None:
    """Return the rules of an index; None: it has none of its own."""
    cursor = await connection.execute(
        "SELECT rules FROM entity_golden_rules WHERE organization = %s AND index_name = %s", (organization, name)
    )
    row = await cursor.fetchone()
    return None if row is None else dict(row[0])


async def save_golden_rules(connection: Connection, organization: str, name: str, rules: dict[str, Any]) -> None:
    """Give an index rules, in the place of those that it has."""
    await connection.execute(
        """
        INSERT INTO entity_golden_rules (organization, index_name, rules) VALUES (%s, %s, %s)
        ON CONFLICT (organization, index_name) DO UPDATE SET rules = excluded.rules, updated_at = now()
        """,
        (organization, name, Jsonb(rules)),
    )


async def drop_golden_rules(connection: Connection, organization: str, name: str) -> None:
    """Delete the rules of an index."""
    await connection.execute(
        "DELETE FROM entity_golden_rules WHERE organization = %s AND index_name = %s", (organization, name)
    )
