"""Stored entities: written by the chunk, with their postings, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from towpath.db.engine import Connection
from towpath.entities.domain.matching import fit_values
from towpath.entities.domain.parsing import Draft
from towpath.entities.store.indexes import Index
from towpath.entities.types import IndexConfig

Int64s = npt.NDArray[np.int64]

# COPY's binary framing: signature, flags, extension length; and the trailer.
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
_POSTING = np.dtype(
    [
        ("fields", ">i2"),
        ("l0", ">i4"),
        ("index_no", ">i4"),
        ("l1", ">i4"),
        ("key", ">i8"),
        ("l2", ">i4"),
        ("uid", ">i8"),
    ]
)


@dataclass(frozen=True, slots=True)
class Written:
    """What a write changed. Uids that are in neither set were unchanged."""

    created: frozenset[int]
    changed: frozenset[int]
    partners: frozenset[int]
    """Entities that lost a pair to a change; they and those that changed are marked dirty."""


async def write_drafts(connection: Connection, index_no: int, drafts: Sequence[Draft]) -> Written:
    """Insert or replace entities with their postings; unchanged ones are left alone.

    Pairs of a changed entity are deleted, and who it was paired with is marked dirty.

    Args:
        connection: In the chunk's transaction.
        index_no: The generation, held by `find_index(lock="share")`.
        drafts: No uid twice.
    """
    # One order for every writer, so that two chunks that share entities wait instead of deadlocking.
    drafts = sorted(drafts, key=lambda draft: draft.uid)
    by_uid = {draft.uid: draft for draft in drafts}
    inserted = await connection.execute(
        """
        INSERT INTO entities (index_no, uid, id_json, sku, body, digest, values, source, keys)
        SELECT %s, u.* FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::text[],
                                   %b::text[], %b::bytea[]) u
        ON CONFLICT DO NOTHING RETURNING uid
        """,
        (index_no, *_columns(drafts)),
        binary=True,
    )
    created = frozenset(row[0] for row in await inserted.fetchall())
    changed = frozenset[int]()
    partners = frozenset[int]()
    if len(created) < len(drafts):
        existing = [uid for uid in by_uid if uid not in created]
        old = await _lock_digests(connection, index_no, existing)
        replaced = [by_uid[uid] for uid, (digest, _) in old.items() if digest != by_uid[uid].digest]
        changed = frozenset(draft.uid for draft in replaced)
        if replaced:
            partners = await _unlink(connection, index_no, {uid: old[uid][1] for uid in changed})
            await _replace(connection, index_no, replaced)
    await _copy_postings(connection, index_no, [d for d in drafts if d.uid in created or d.uid in changed])
    return Written(created=created, changed=changed, partners=partners)


def _columns(drafts: Sequence[Draft]) -> tuple[list[Any], ...]:
    return (
        [d.uid for d in drafts],
        [d.id_json for d in drafts],
        [d.sku for d in drafts],
        [d.body for d in drafts],
        [d.digest for d in drafts],
        [orjson.dumps(d.values).decode() for d in drafts],
        [d.source for d in drafts],
        [d.keys.astype("<i8").tobytes() for d in drafts],
    )


async def _lock_digests(connection: Connection, index_no: int, uids: list[int]) -> dict[int, tuple[bytes, bytes]]:
    cursor = await connection.execute(
        "SELECT uid, digest, keys FROM entities WHERE index_no = %s AND uid = ANY(%s) ORDER BY uid FOR UPDATE",
        (index_no, uids),
        binary=True,
    )
    return {uid: (digest, keys) for uid, digest, keys in await cursor.fetchall()}


async def _replace(connection: Connection, index_no: int, drafts: Sequence[Draft]) -> None:
    await connection.execute(
        """
        UPDATE entities e SET id_json = u.id_json, sku = u.sku, body = u.body, digest = u.digest, values = u.values,
               source = u.source, keys = u.keys, revision = nextval('entity_revisions')
        FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::text[], %b::text[], %b::bytea[])
             AS u(uid, id_json, sku, body, digest, values, source, keys)
        WHERE e.index_no = %s AND e.uid = u.uid
        """,
        (*_columns(drafts), index_no),
    )


async def _unlink(connection: Connection, index_no: int, keys_by_uid: dict[int, bytes]) -> frozenset[int]:
    """Delete the postings and the pairs of entities that are about to change or go, and mark both sides.

    Returns:
        Their partners.
    """
    flat_keys: list[int] = []
    flat_uids: list[int] = []
    for uid, packed in keys_by_uid.items():
        keys = np.frombuffer(packed, dtype="<i8").tolist()
        flat_keys += keys
        flat_uids += [uid] * len(keys)
    await connection.execute(
        """
        DELETE FROM entity_postings p USING unnest(%b::bigint[], %b::bigint[]) AS k(key, uid)
        WHERE p.index_no = %s AND p.key = k.key AND p.uid = k.uid
        """,
        (flat_keys, flat_uids, index_no),
    )
    unlinked = await connection.execute(
        """
        WITH gone AS (
            DELETE FROM entity_pairs WHERE index_no = %(index)s
            AND (left_uid = ANY(%(uids)s) OR right_uid = ANY(%(uids)s)) RETURNING left_uid, right_uid
        ), partner AS (
            SELECT uid FROM (SELECT left_uid FROM gone UNION SELECT right_uid FROM gone) g(uid)
            WHERE uid <> ALL(%(uids)s)
        ), marked AS (
            INSERT INTO entity_dirty (index_no, uid)
            SELECT %(index)s::int, uid FROM (SELECT uid FROM partner UNION SELECT unnest(%(uids)s)) m ORDER BY uid
            ON CONFLICT DO NOTHING
        )
        SELECT uid FROM partner
        """,
        {"index": index_no, "uids": list(keys_by_uid)},
    )
    return frozenset(row[0] for row in await unlinked.fetchall())


async def _copy_postings(connection: Connection, index_no: int, drafts: Sequence[Draft]) -> None:
    if not drafts:
        return
    keys = np.concatenate([draft.keys for draft in drafts])
    uids = np.repeat([draft.uid for draft in drafts], [len(draft.keys) for draft in drafts])
    # In key order the b-tree's pages are visited once each, not once a posting.
    order = np.argsort(keys, kind="stable")
    rows = np.empty(len(keys), dtype=_POSTING)
    rows["fields"], rows["l0"], rows["l1"], rows["l2"] = 3, 4, 8, 8
    rows["index_no"], rows["key"], rows["uid"] = index_no, keys[order], uids[order]
    async with connection.cursor().copy("COPY entity_postings (index_no, key, uid) FROM STDIN (FORMAT binary)") as copy:
        await copy.write(_COPY_HEADER + rows.tobytes() + _COPY_TRAILER)


async def delete_entity(connection: Connection, index_no: int, uid: int) -> frozenset[int] | None:
    """Remove one entity with its postings and pairs; partners are marked dirty, and what its group loses is noted.

    Returns:
        Who it was paired with; None when it was not there.
    """
    old = await _lock_digests(connection, index_no, [uid])
    if not old:
        return None
    partners = await _unlink(connection, index_no, {uid: old[uid][1]})
    await connection.execute(
        """
        WITH gone AS (
            DELETE FROM entities WHERE index_no = %(index)s AND uid = %(uid)s RETURNING id_json, group_uid
        )
        UPDATE entity_dirty d SET gone_id = g.id_json, gone_group = g.group_uid
        FROM gone g WHERE d.index_no = %(index)s AND d.uid = %(uid)s
        """,
        {"index": index_no, "uid": uid},
    )
    return partners


async def find_entity(connection: Connection, index_no: int, entity_id: str, uid: int) -> tuple[int, str] | None:
    """Look an entity up by its id, and if there is none by its sku.

    Args:
        connection: A connection.
        index_no: The generation.
        entity_id: As a client writes it.
        uid: Its uid, taken as an id.

    Returns:
        The uid and the stored JSON text.
    """
    cursor = await connection.execute(
        """
        SELECT uid, body FROM entities WHERE index_no = %(index)s AND uid = %(uid)s
        UNION ALL
        (SELECT uid, body FROM entities WHERE index_no = %(index)s AND sku = %(sku)s ORDER BY uid LIMIT 1)
        LIMIT 1
        """,
        {"index": index_no, "uid": uid, "sku": entity_id},
    )
    return await cursor.fetchone()


@dataclass(frozen=True, slots=True)
class Stored:
    """What matching needs of a stored entity; `values` has one for each field of the index that it was read for."""

    uid: int
    values: tuple[str | None, ...]
    source: str | None
    keys: Int64s


async def read_stored(connection: Connection, index: Index, uids: Sequence[int]) -> list[Stored]:
    """Read entities by uid, in the order of their uids; those that are gone are left out."""
    cursor = await connection.execute(
        """
        SELECT uid, values, source, keys FROM entities WHERE index_no = %s AND uid = ANY(%b::bigint[]) ORDER BY uid
        """,
        (index.index_no, list(uids)),
        binary=True,
    )
    return [_read_row(row, index.config) for row in await cursor.fetchall()]


def _read_row(row: tuple[Any, ...], config: IndexConfig) -> Stored:
    uid, values, source, keys = row
    # The only place where values are read: nobody meets a row of another shape than the index that is asked for.
    fitted = fit_values(orjson.loads(values), config)
    return Stored(uid, fitted, source, np.frombuffer(keys, dtype="<i8").astype(np.int64))


async def sample_stored(connection: Connection, index: Index, *, limit: int) -> list[Stored]:
    """Return a sample that depends on the entities alone: uids are hashes, so the lowest ones are a random draw."""
    cursor = await connection.execute(
        "SELECT uid, values, source, keys FROM entities WHERE index_no = %s ORDER BY uid LIMIT %s",
        (index.index_no, limit),
        binary=True,
    )
    return [_read_row(row, index.config) for row in await cursor.fetchall()]
