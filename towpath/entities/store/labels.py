"""What people say of pairs; it belongs to an index's name and outlives its generations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from towpath.db.engine import Connection


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """A labelled pair, `left_uid < right_uid`."""

    left_uid: int
    right_uid: int
    left_id: str
    right_id: str
    duplicate: bool


async def save_labels(connection: Connection, organization: str, name: str, labels: Sequence[StoredLabel]) -> None:
    """Add labels; a pair that has one already gets the new one."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO entity_labels (organization, index_name, left_uid, right_uid, left_id, right_id, duplicate)
            VALUES (%s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (organization, index_name, left_uid, right_uid) DO UPDATE SET duplicate = excluded.duplicate
            """,
            [(organization, name, x.left_uid, x.right_uid, x.left_id, x.right_id, x.duplicate) for x in labels],
        )


async def read_labels(connection: Connection, organization: str, name: str) -> list[StoredLabel]:
    """Return every label of an index, in a fixed order."""
    cursor = await connection.execute(
        """
        SELECT left_uid, right_uid, left_id, right_id, duplicate FROM entity_labels
        WHERE organization = %s AND index_name = %s ORDER BY left_uid, right_uid
        """,
        (organization, name),
    )
    return [StoredLabel(*row) for row in await cursor.fetchall()]
