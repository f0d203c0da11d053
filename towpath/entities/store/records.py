"""Stored entities: written by the chunk, with their postings, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from towpath.db.engine import Connection
from towpath.entities.domain.matching import Csr, Values, copy_key, fit_values
from towpath.entities.domain.parsing import Draft
from towpath.entities.store.indexes import Index
from towpath.entities.store.sources import source_expression
from towpath.entities.types import IndexConfig

Int64s = npt.NDArray[np.int64]

KEY_BYTES = 8
FEW_DRAFTS = 50
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
    vacated: Mapping[int, int] = field(default_factory=dict)
    """Entities that are no longer among their copies, each with the key that it shared with them."""


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
        INSERT INTO entities (index_no, uid, id_json, sku, body, digest, values, source, keys, batch)
        SELECT %s, u.* FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::text[],
                                   %b::text[], %b::bytea[], %b::int[]) u
        ON CONFLICT DO NOTHING RETURNING uid
        """,
        (index_no, *_columns(drafts), [draft.batch for draft in drafts]),
        binary=True,
    )
    created = frozenset(row[0] for row in await inserted.fetchall())
    changed = frozenset[int]()
    partners = frozenset[int]()
    vacated: dict[int, int] = {}
    if len(created) < len(drafts):
        existing = [uid for uid in by_uid if uid not in created]
        old = await _lock_rows(connection, index_no, existing)
        replaced = [by_uid[uid] for uid, row in old.items() if row.digest != by_uid[uid].digest]
        changed = frozenset(draft.uid for draft in replaced)
        if replaced:
            partners = await _unlink(connection, index_no, {uid: old[uid].keys for uid in changed})
            for draft in replaced:
                if (key := copy_key(orjson.loads(old[draft.uid].values))) != copy_key(draft.values):
                    vacated[draft.uid] = key
            await _replace(connection, index_no, replaced)
    await _copy_postings(connection, index_no, [d for d in drafts if d.uid in created or d.uid in changed])
    return Written(created=created, changed=changed, partners=partners, vacated=vacated)


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


class _Locked(NamedTuple):
    uid: int
    digest: bytes
    keys: bytes
    values: str


async def _lock_rows(connection: Connection, index_no: int, uids: list[int]) -> dict[int, _Locked]:
    cursor = await connection.execute(
        "SELECT uid, digest, keys, values FROM entities WHERE index_no = %s AND uid = ANY(%s) ORDER BY uid FOR UPDATE",
        (index_no, uids),
        binary=True,
    )
    return {row[0]: _Locked(*row) for row in await cursor.fetchall()}


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
        WITH listed AS MATERIALIZED (
            -- Each by itself, see `store.pairs`.
            SELECT pair.* FROM unnest(%(uids)s::bigint[]) asked(uid) CROSS JOIN LATERAL (
                SELECT left_uid, right_uid FROM entity_pairs WHERE index_no = %(index)s AND left_uid = asked.uid
                UNION ALL
                SELECT left_uid, right_uid FROM entity_pairs WHERE index_no = %(index)s AND right_uid = asked.uid
                OFFSET 0
            ) pair
        ), gone AS (
            DELETE FROM entity_pairs p USING listed l
            WHERE p.index_no = %(index)s AND p.left_uid = l.left_uid AND p.right_uid = l.right_uid
            RETURNING p.left_uid, p.right_uid
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
    if len(drafts) <= FEW_DRAFTS:
        # One message to Postgres instead of three.
        await connection.execute(
            "INSERT INTO entity_postings (index_no, key, uid) SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[])",
            (index_no, keys[order], uids[order]),
        )
        return
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
    old = await _lock_rows(connection, index_no, [uid])
    if not old:
        return None
    partners = await _unlink(connection, index_no, {uid: old[uid].keys})
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
    values: Values
    source: str | None
    keys: Int64s


@dataclass(frozen=True, slots=True)
class StoredEntities:
    """What matching needs of some stored entities, each named once, column by column.

    Attributes:
        uids: Rising.
        values: Of each entity, one for each field of the index that they were read for.
        sources: Of each.
        keys: Of each; empty where they were not asked for.
    """

    uids: Int64s
    values: list[Values]
    sources: list[str | None]
    keys: Csr

    @classmethod
    def of(cls, entities: Iterable[Stored]) -> StoredEntities:
        """Make columns of rows."""
        rows = sorted(entities, key=lambda stored: stored.uid)
        return cls(
            np.array([row.uid for row in rows], dtype=np.int64),
            [row.values for row in rows],
            [row.source for row in rows],
            Csr.of([row.keys for row in rows]),
        )

    def __len__(self) -> int:
        return len(self.uids)

    def __iter__(self) -> Iterator[Stored]:
        """Give row after row."""
        starts = self.keys.starts.tolist()
        for place, uid in enumerate(self.uids.tolist()):
            keys = self.keys.keys[starts[place] : starts[place + 1]]
            yield Stored(uid, self.values[place], self.sources[place], keys)

    def __getitem__(self, rows: slice) -> StoredEntities:
        """Return a run of them."""
        rows = slice(*rows.indices(len(self)))
        return StoredEntities(self.uids[rows], self.values[rows], self.sources[rows], self.keys.rows(rows))

    def with_others(self, others: StoredEntities) -> StoredEntities:
        """Return these and others that are none of them, without their keys."""
        uids = np.concatenate([self.uids, others.uids])
        order = np.argsort(uids)
        places = order.tolist()
        values, sources = self.values + others.values, self.sources + others.sources
        return StoredEntities(
            uids[order], [values[place] for place in places], [sources[place] for place in places], Csr.empty(len(uids))
        )


# Postgres packs the rows of an answer into one: a row that is built for each entity, and read from it, is most of the
# cost of a read. `values` are JSON already, and a row's place in the answer is that of its uid.
_PACKED = """
    SELECT coalesce(string_agg(int8send(uid), ''::bytea), ''::bytea),
           coalesce(string_agg(values, ','), ''),
           coalesce(string_agg(coalesce(to_json(source)::text, 'null'), ','), ''),
           coalesce(string_agg(int4send(octet_length(keys)), ''::bytea), ''::bytea),
           coalesce(string_agg(keys, ''::bytea), ''::bytea)
    FROM (
        SELECT uid, values, {source} AS source, {keys} AS keys FROM entities WHERE index_no = %(index)s {which}
    ) entity
"""


async def read_stored(
    connection: Connection, index: Index, uids: Sequence[int] | Int64s, *, with_keys: bool = True
) -> StoredEntities:
    """Read entities by uid; those that are gone are left out.

    Args:
        connection: A connection.
        index: The generation.
        uids: Of which entities, no uid twice.
        with_keys: Whether their keys are needed.
    """
    query = _PACKED.format(
        keys="keys" if with_keys else "''::bytea",
        source=source_expression(index),
        which="AND uid = ANY(%(uids)s::bigint[]) ORDER BY uid",
    )
    uid_array = np.asarray(uids, dtype=np.int64)
    if not len(uid_array):
        return StoredEntities.of([])
    cursor = await connection.execute(query, {"index": index.index_no, "uids": uid_array}, binary=True)
    return _unpack(await cursor.fetchone(), index.config)


async def sample_stored(connection: Connection, index: Index, *, limit: int) -> StoredEntities:
    """Return a sample that depends on the entities alone: uids are hashes, so the lowest ones are a random draw."""
    query = _PACKED.format(keys="keys", source=source_expression(index), which="ORDER BY uid LIMIT %(limit)s")
    cursor = await connection.execute(query, {"index": index.index_no, "limit": limit}, binary=True)
    return _unpack(await cursor.fetchone(), index.config)


async def read_origins(connection: Connection, index: Index, uids: Int64s) -> tuple[list[str], Int64s]:
    """Read the ids of entities as they were sent, and the batch that brought each, -1 for none.

    Args:
        connection: A connection.
        index: The generation.
        uids: Of which entities, rising; all of them are stored.
    """
    cursor = await connection.execute(
        """
        SELECT coalesce(string_agg(id_json, ','), ''),
               coalesce(string_agg(int4send(coalesce(batch, -1)), ''::bytea), ''::bytea)
        FROM (
            SELECT id_json, batch FROM entities WHERE index_no = %s AND uid = ANY(%s::bigint[]) ORDER BY uid
        ) entity
        """,
        (index.index_no, uids),
        binary=True,
    )
    row = await cursor.fetchone()
    assert row is not None
    ids = [str(external_id) for external_id in orjson.loads(f"[{row[0]}]")]
    return ids, np.frombuffer(row[1], dtype=">i4").astype(np.int64)


def _unpack(row: tuple[Any, ...] | None, config: IndexConfig) -> StoredEntities:
    assert row is not None
    uids, values, sources, key_bytes, keys = row
    width = len(config.fields)
    rows: list[Values] = orjson.loads(f"[{values}]")
    # The only place where values are read: nobody meets a row of another shape than the index that is asked for.
    fitted = [row if len(row) == width else fit_values(row, config) for row in rows]
    starts = np.zeros(len(fitted) + 1, dtype=np.int64)
    np.cumsum(np.frombuffer(key_bytes, dtype=">i4") // KEY_BYTES, out=starts[1:])
    return StoredEntities(
        np.frombuffer(uids, dtype=">i8").astype(np.int64),
        fitted,
        orjson.loads(f"[{sources}]"),
        Csr(np.frombuffer(keys, dtype="<i8").astype(np.int64), starts),
    )
