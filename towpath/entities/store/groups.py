"""Groups: their names and members, the marks of what is to be decided anew, and what was judged beyond the fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GoneMember:
    """What an entity that was removed has left: its id, and the group that it was in."""

    id_json: str
    group_uid: int


@dataclass(frozen=True, slots=True)
class Marks:
    """Entities whose components are to be decided anew; `gone` are those of them that were removed from a group."""

    uids: list[int]
    gone: dict[int, GoneMember]


async def take_marks(
    connection: Connection, index_no: int, uids: Sequence[int] | None = None, *, limit: int | None = None
) -> Marks:
    """Take the marks of a generation, or of some of its entities; a roll-back puts them back.

    Args:
        connection: In the transaction that decides.
        index_no: The generation.
        uids: Of these entities; None: of all.
        limit: The most marks; None: all of them.
    """
    some = "uid = ANY(%(uids)s::bigint[])" if uids is not None else "true"
    if limit is not None:
        some = f"uid IN (SELECT uid FROM entity_dirty WHERE index_no = %(index)s AND {some} LIMIT %(limit)s)"
    cursor = await connection.execute(
        f"""
        WITH taken AS (DELETE FROM entity_dirty WHERE index_no = %(index)s AND {some} RETURNING *)
        SELECT coalesce(string_agg(int8send(uid), ''::bytea), ''::bytea),
               coalesce(array_agg((uid, gone_id, gone_group)) FILTER (WHERE gone_id IS NOT NULL), '{{}}') FROM taken
        """,
        {"index": index_no, "uids": np.array(uids or (), dtype=np.int64), "limit": limit},
        binary=True,
    )
    packed, gone = await cursor.fetchone() or (b"", [])
    return Marks(
        np.frombuffer(packed, dtype=">i8").tolist(),
        {uid: GoneMember(text, group) for uid, text, group in gone if group},
    )


async def take_gone(connection: Connection, index_no: int, groups: Sequence[int]) -> dict[int, GoneMember]:
    """Take the marks that removed members of some groups have left."""
    cursor = await connection.execute(
        """
        DELETE FROM entity_dirty WHERE index_no = %s AND gone_group = ANY(%b::bigint[])
        RETURNING uid, gone_id, gone_group
        """,
        (index_no, list(groups)),
    )
    return {uid: GoneMember(id_json, group) for uid, id_json, group in await cursor.fetchall()}


async def mark_entities(connection: Connection, index_no: int, uids: Sequence[int]) -> None:
    """Mark entities, so that whoever decides next looks at them."""
    await connection.execute(
        """
        INSERT INTO entity_dirty (index_no, uid) SELECT %s, uid FROM unnest(%s::bigint[]) u(uid) ORDER BY uid
        ON CONFLICT DO NOTHING
        """,
        (index_no, list(uids)),
    )


async def read_members(connection: Connection, index_no: int, groups: Sequence[int]) -> dict[int, int]:
    """Return every member of some groups, with its group."""
    if not groups:
        return {}
    cursor = await connection.execute(
        "SELECT uid, group_uid FROM entities WHERE index_no = %s AND group_uid = ANY(%b::bigint[])",
        (index_no, list(groups)),
        binary=True,
    )
    return dict(await cursor.fetchall())


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A stored group."""

    group_uid: int
    size: int
    created_at: datetime


async def read_groups(connection: Connection, index_no: int, groups: Sequence[int]) -> dict[int, GroupRow]:
    """Return stored groups by their numbers; those that are not there are left out."""
    if not groups:
        return {}
    cursor = await connection.execute(
        "SELECT group_uid, size, created_at FROM entity_groups WHERE index_no = %s AND group_uid = ANY(%b::bigint[])",
        (index_no, list(groups)),
        binary=True,
    )
    return {row[0]: GroupRow(*row) for row in await cursor.fetchall()}


async def save_memberships(connection: Connection, index_no: int, uids: Sequence[int], groups: Sequence[int]) -> None:
    """Write the group of each entity, 0 for one that stands alone."""
    if not len(uids):
        return
    await connection.execute(
        """
        UPDATE entities e SET group_uid = nullif(u.group_uid, 0)
        FROM unnest(%b::bigint[], %b::bigint[]) AS u(uid, group_uid)
        WHERE e.index_no = %s AND e.uid = u.uid AND e.group_uid IS DISTINCT FROM nullif(u.group_uid, 0)
        """,
        (list(uids), list(groups), index_no),
    )


async def save_groups(connection: Connection, index_no: int, sizes: Mapping[int, int], gone: Sequence[int]) -> None:
    """Write the sizes of groups, new ones among them, and delete those that are no more."""
    if gone:
        await connection.execute(
            "DELETE FROM entity_groups WHERE index_no = %s AND group_uid = ANY(%b::bigint[])", (index_no, list(gone))
        )
    if sizes:
        await connection.execute(
            """
            INSERT INTO entity_groups (index_no, group_uid, size)
            SELECT %s, u.* FROM unnest(%b::bigint[], %b::int[]) u
            ON CONFLICT (index_no, group_uid) DO UPDATE SET size = excluded.size
            """,
            (index_no, list(sizes), list(sizes.values())),
        )


async def read_ids(connection: Connection, index_no: int, uids: Sequence[int]) -> dict[int, str]:
    """Return the ids of entities as JSON, by uid; those that are not there are left out."""
    if not uids:
        return {}
    cursor = await connection.execute(
        "SELECT uid, id_json FROM entities WHERE index_no = %s AND uid = ANY(%b::bigint[])",
        (index_no, list(uids)),
        binary=True,
    )
    return dict(await cursor.fetchall())


async def save_judgements(
    connection: Connection,
    index_no: int,
    left: Int64s,
    right: Int64s,
    similarity: Floats,
    basis: Sequence[str | None],
) -> None:
    """Bring stored pairs to the similarity that they are judged by, and note what it has beyond their bits."""
    await connection.execute(
        """
        UPDATE entity_pairs p SET similarity = u.similarity, basis = u.basis
        FROM unnest(%b::bigint[], %b::bigint[], %b::float8[], %b::text[]) AS u(left_uid, right_uid, similarity, basis)
        WHERE p.index_no = %s AND p.left_uid = u.left_uid AND p.right_uid = u.right_uid
        """,
        (left.tolist(), right.tolist(), similarity.tolist(), list(basis), index_no),
    )


async def find_missing_pairs(
    connection: Connection, index_no: int, pairs: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return those of some pairs that are not stored, or follow from a group alone."""
    cursor = await connection.execute(
        """
        SELECT u.left_uid, u.right_uid FROM unnest(%b::bigint[], %b::bigint[]) u(left_uid, right_uid)
        WHERE NOT EXISTS (
            SELECT 1 FROM entity_pairs p
            WHERE p.index_no = %s AND p.left_uid = u.left_uid AND p.right_uid = u.right_uid AND NOT p.closed)
        """,
        ([pair[0] for pair in pairs], [pair[1] for pair in pairs], index_no),
    )
    return [(left, right) for left, right in await cursor.fetchall()]


async def add_labelled_pairs(
    connection: Connection, index_no: int, left: Int64s, right: Int64s, bits: Sequence[bytes], similarity: float,
    *, model_version: int,
) -> None:  # fmt: skip
    """Store pairs for the sake of their labels; one that follows from a group becomes such a pair."""
    await connection.execute(
        """
        INSERT INTO entity_pairs (index_no, left_uid, right_uid, similarity, bits, duplicate, model_version, basis)
        SELECT %(index)s, u.left_uid, u.right_uid, %(similarity)s, u.bits, true, %(version)s, 'added'
        FROM unnest(%(left)b::bigint[], %(right)b::bigint[], %(bits)b::bytea[]) u(left_uid, right_uid, bits)
        ON CONFLICT (index_no, left_uid, right_uid) DO UPDATE
        SET similarity = excluded.similarity, bits = excluded.bits, duplicate = true, closed = false, basis = 'added'
        WHERE entity_pairs.closed
        """,
        {
            "index": index_no,
            "left": left.tolist(),
            "right": right.tolist(),
            "bits": list(bits),
            "similarity": similarity,
            "version": model_version,
        },
    )


async def drop_added(connection: Connection, index_no: int, left: Int64s, right: Int64s) -> None:
    """Delete pairs that were stored for the sake of labels that no longer hold."""
    await connection.execute(
        """
        DELETE FROM entity_pairs p USING unnest(%b::bigint[], %b::bigint[]) AS u(left_uid, right_uid)
        WHERE p.index_no = %s AND p.left_uid = u.left_uid AND p.right_uid = u.right_uid AND p.basis = 'added'
        """,
        (left.tolist(), right.tolist(), index_no),
    )


async def page_groups(
    connection: Connection, index_no: int, *, limit: int, offset: int, group_uid: int | None = None
) -> tuple[list[tuple[int, list[str]]], int]:
    """Return a page of groups, largest first, and how many there are: `(group uid, ids as JSON)`."""
    arguments = {"index": index_no, "group": group_uid, "limit": limit, "offset": offset}
    where = "index_no = %(index)s" + ("" if group_uid is None else " AND group_uid = %(group)s")
    counted = await connection.execute(f"SELECT count(*) FROM entity_groups WHERE {where}", arguments)
    cursor = await connection.execute(
        f"""
        SELECT group_uid FROM entity_groups WHERE {where}
        ORDER BY size DESC, group_uid LIMIT %(limit)s OFFSET %(offset)s
        """,
        arguments,
    )
    ids: dict[int, list[str]] = {row[0]: [] for row in await cursor.fetchall()}
    members = await connection.execute(
        "SELECT group_uid, id_json FROM entities WHERE index_no = %s AND group_uid = ANY(%b::bigint[]) ORDER BY uid",
        (index_no, list(ids)),
        binary=True,
    )
    for group, id_json in await members.fetchall():
        ids[group].append(id_json)
    return [(group, listed) for group, listed in ids.items() if listed], (await counted.fetchone() or (0,))[0]


async def find_group(connection: Connection, index_no: int, uid: int) -> int | None:
    """Return the group of an entity; None when it stands alone."""
    cursor = await connection.execute(
        "SELECT group_uid FROM entities WHERE index_no = %s AND uid = %s", (index_no, uid)
    )
    row = await cursor.fetchone()
    return row[0] if row else None


async def read_overlaps(connection: Connection, live_no: int, building_no: int) -> list[tuple[int, int, int]]:
    """Return how many entities two groups of two generations share: `(group, group of the other, entities)`."""
    cursor = await connection.execute(
        """
        SELECT l.group_uid, b.group_uid, count(*) FROM entities l
        JOIN entities b ON b.index_no = %s AND b.uid = l.uid
        WHERE l.index_no = %s AND l.group_uid IS NOT NULL AND b.group_uid IS NOT NULL GROUP BY 1, 2
        """,
        (building_no, live_no),
    )
    return [(old, new, shared) for old, new, shared in await cursor.fetchall()]


async def read_sizes(connection: Connection, index_no: int) -> dict[int, int]:
    """Return the size of every group of a generation."""
    cursor = await connection.execute(
        "SELECT group_uid, size FROM entity_groups WHERE index_no = %s", (index_no,), binary=True
    )
    return dict(await cursor.fetchall())


async def rename_groups(connection: Connection, index_no: int, names: Mapping[int, int]) -> None:
    """Give groups other names, all at once: one may get the name that another one has had."""
    if not names:
        return
    old, new = list(names), list(names.values())
    await connection.execute(
        """
        UPDATE entities e SET group_uid = u.new FROM unnest(%b::bigint[], %b::bigint[]) u(old, new)
        WHERE e.index_no = %s AND e.group_uid = u.old
        """,
        (old, new, index_no),
    )
    taken = await connection.execute(
        "DELETE FROM entity_groups WHERE index_no = %s AND group_uid = ANY(%b::bigint[]) RETURNING group_uid, size",
        (index_no, old),
    )
    sizes = {names[group]: size for group, size in await taken.fetchall()}
    await save_groups(connection, index_no, sizes, [])


async def inherit_ages(connection: Connection, live_no: int, building_no: int) -> None:
    """Let the groups of a generation be as old as those of another one that have the same names."""
    await connection.execute(
        """
        UPDATE entity_groups b SET created_at = l.created_at FROM entity_groups l
        WHERE b.index_no = %s AND l.index_no = %s AND l.group_uid = b.group_uid
        """,
        (building_no, live_no),
    )
