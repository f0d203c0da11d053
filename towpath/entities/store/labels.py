"""What people say of pairs, and the corrections of groups that it comes from; both outlive an index's generations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """A labelled pair, `left_uid < right_uid`; `correction` is the split or merge that it belongs to."""

    left_uid: int
    right_uid: int
    left_id: str
    right_id: str
    duplicate: bool
    correction: UUID | None = None


_COLUMNS = "left_uid, right_uid, left_id, right_id, duplicate, correction"
_OF = "organization = %(organization)s AND index_name = %(name)s"


async def lock_labels(connection: Connection, organization: str, name: str) -> None:
    """Wait until nobody else changes an index's labels: two that contradict each other must not pass each other."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"labels/{organization}/{name}",)
    )


async def save_labels(connection: Connection, organization: str, name: str, labels: Sequence[StoredLabel]) -> None:
    """Add labels; a pair that has one already gets the new one."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO entity_labels
                (organization, index_name, left_uid, right_uid, left_id, right_id, duplicate, correction)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (organization, index_name, left_uid, right_uid) DO UPDATE
            SET duplicate = excluded.duplicate, correction = excluded.correction
            """,
            [
                (organization, name, x.left_uid, x.right_uid, x.left_id, x.right_id, x.duplicate, x.correction)
                for x in labels
            ],
        )


async def read_labels(connection: Connection, organization: str, name: str) -> list[StoredLabel]:
    """Return every label of an index, in a fixed order."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM entity_labels WHERE {_OF} ORDER BY left_uid, right_uid",
        {"organization": organization, "name": name},
    )
    return [StoredLabel(*row) for row in await cursor.fetchall()]


async def page_labels(
    connection: Connection, organization: str, name: str, *, limit: int, offset: int
) -> tuple[list[StoredLabel], int]:
    """Return a page of the labels of an index, newest first, and how many there are."""
    of = {"organization": organization, "name": name}
    counted = await connection.execute(f"SELECT count(*) FROM entity_labels WHERE {_OF}", of)
    cursor = await connection.execute(
        f"""
        SELECT {_COLUMNS} FROM entity_labels WHERE {_OF}
        ORDER BY created_at DESC, left_uid, right_uid LIMIT %(limit)s OFFSET %(offset)s
        """,
        {**of, "limit": limit, "offset": offset},
    )
    return [StoredLabel(*row) for row in await cursor.fetchall()], (await counted.fetchone() or (0,))[0]


async def read_labels_around(
    connection: Connection, organization: str, name: str, uids: Sequence[int]
) -> list[StoredLabel]:
    """Return the labels of some entities, and of all that are the same as one of them by labels."""
    rows: dict[tuple[int, int], StoredLabel] = {}
    reached, frontier = set(uids), list(uids)
    while frontier:
        cursor = await connection.execute(
            f"""
            SELECT {_COLUMNS} FROM entity_labels WHERE {_OF} AND left_uid = ANY(%(uids)b::bigint[])
            UNION
            SELECT {_COLUMNS} FROM entity_labels WHERE {_OF} AND right_uid = ANY(%(uids)b::bigint[])
            """,
            {"organization": organization, "name": name, "uids": frontier},
        )
        labels = [StoredLabel(*row) for row in await cursor.fetchall()]
        rows |= {(label.left_uid, label.right_uid): label for label in labels}
        frontier = sorted(
            {uid for label in labels if label.duplicate for uid in (label.left_uid, label.right_uid)} - reached
        )
        reached.update(frontier)
    return [rows[pair] for pair in sorted(rows)]


async def delete_label(
    connection: Connection, organization: str, name: str, left_uid: int, right_uid: int
) -> StoredLabel | None:
    """Delete the label of a pair and return it; None: it has none."""
    cursor = await connection.execute(
        f"""
        DELETE FROM entity_labels WHERE {_OF} AND left_uid = %(left)s AND right_uid = %(right)s RETURNING {_COLUMNS}
        """,
        {"organization": organization, "name": name, "left": left_uid, "right": right_uid},
    )
    row = await cursor.fetchone()
    return None if row is None else StoredLabel(*row)


@dataclass(frozen=True, slots=True)
class Correction:
    """A split or a merge by a person.

    Attributes:
        groups: The groups that it has to do with, before and after.
        names: The group that each entity was in before, by its uid as text.
        replaced: The labels that its own have taken the place of.
    """

    id: UUID
    kind: str
    groups: list[int]
    names: dict[str, int]
    replaced: list[Any]


_CORRECTION = "id, kind, groups, names, replaced"


async def add_correction(
    connection: Connection,
    organization: str,
    name: str,
    correction: Correction,
    *,
    created_by: UUID | None,
) -> None:
    """Store a correction."""
    await connection.execute(
        """
        INSERT INTO entity_corrections (id, organization, index_name, kind, groups, names, replaced, created_by)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            correction.id, organization, name, correction.kind, correction.groups, Jsonb(correction.names),
            Jsonb(correction.replaced), created_by,
        ),
    )  # fmt: skip


async def find_correction(
    connection: Connection, organization: str, name: str, group_uid: int, correction_id: UUID | None
) -> Correction:
    """Return a correction of a group that is not undone: one by its id, or the newest.

    Raises:
        NotFoundError: There is none.
    """
    async with connection.cursor(row_factory=class_row(Correction)) as cursor:
        await cursor.execute(
            f"""
            SELECT {_CORRECTION} FROM entity_corrections
            WHERE {_OF} AND groups @> ARRAY[%(group)s]::bigint[] AND undone_at IS NULL
            AND (%(id)s::uuid IS NULL OR id = %(id)s) ORDER BY created_at DESC, id LIMIT 1 FOR UPDATE
            """,
            {"organization": organization, "name": name, "group": group_uid, "id": correction_id},
        )
        rows = await cursor.fetchone()
    if rows is None:
        raise NotFoundError("no split or merge of this group is there to be undone")
    return rows


async def note_groups(connection: Connection, correction_id: UUID, groups: Sequence[int]) -> None:
    """Note which groups a correction has led to."""
    await connection.execute("UPDATE entity_corrections SET groups = %s WHERE id = %s", (list(groups), correction_id))


async def end_correction(connection: Connection, correction_id: UUID) -> list[StoredLabel]:
    """Note that a correction is undone, and delete and return the labels that are still its own."""
    await connection.execute("UPDATE entity_corrections SET undone_at = now() WHERE id = %s", (correction_id,))
    cursor = await connection.execute(
        f"DELETE FROM entity_labels WHERE correction = %s RETURNING {_COLUMNS}", (correction_id,)
    )
    return [StoredLabel(*row) for row in await cursor.fetchall()]


async def drop_labels(connection: Connection, organization: str, name: str) -> None:
    """Delete all labels, corrections and judgements of an index."""
    of = {"organization": organization, "name": name}
    await connection.execute(f"DELETE FROM entity_labels WHERE {_OF}", of)
    await connection.execute(f"DELETE FROM entity_corrections WHERE {_OF}", of)
    await connection.execute(f"DELETE FROM entity_judgements WHERE {_OF}", of)
