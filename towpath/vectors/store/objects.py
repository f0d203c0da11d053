"""Objects and their vectors in Postgres: what is live, and in which order tasks were accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection
from towpath.vectors.store.collections import count_objects
from towpath.vectors.store.entries import store_entries

Vectors = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float32]
# A chunk's try lasts ten minutes at most; a version that no chunk made live by then never will be.
INTENT_MINUTES = 30


@dataclass(slots=True)
class Draft:
    """One object as a task wants it.

    `vectors` are the rows of its parts, `entries` what they are in the index; None: the version that is live
    stays as it is.
    """

    uid: int
    object_id: str
    version: int
    digest: bytes
    payload: str | None
    item_info: str | None
    vectors: Vectors | None = None
    entries: list[int] = field(default_factory=list)
    parts: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How an object stands now; `version` None: it was deleted."""

    accepted: int
    version: int | None
    parts: int
    digest: bytes | None


@dataclass(slots=True)
class Written:
    """What a write has changed."""

    applied: set[int] = field(default_factory=set)
    """Objects that are now as the task wants them; the others were written by a task accepted later."""
    missing: set[int] = field(default_factory=set)
    """Deletions: objects that were not there."""
    garbage: list[tuple[int, int, int]] = field(default_factory=list)
    """`uid`, `version` and number of parts that are not live any more."""


async def read_standings(connection: Connection, collection_no: int, uids: Sequence[int]) -> dict[int, Standing]:
    """Return how objects stand; those that were never written are left out."""
    return await _load_standings(connection, collection_no, uids, "")


async def lock_objects(
    connection: Connection, collection_no: int, objects: Sequence[tuple[int, str]]
) -> dict[int, Standing]:
    """Return how objects stand, held until the transaction ends; one that was never written gets an empty row.

    In the order of their uids throughout, so that two tasks over the same objects wait for each other
    and never both.

    Args:
        connection: In a transaction.
        collection_no: The collection.
        objects: `uid` and object id of each.
    """
    ordered = sorted(objects)
    uids = [uid for uid, _ in ordered]
    await connection.execute(
        """
        INSERT INTO vector_objects (collection_no, uid, object_id, accepted)
        SELECT %s, uid, object_id, 0 FROM unnest(%s::bigint[], %s::text[]) AS new (uid, object_id)
        ON CONFLICT DO NOTHING
        """,
        (collection_no, uids, [object_id for _, object_id in ordered]),
    )
    return await _load_standings(connection, collection_no, uids, "FOR UPDATE")


async def _load_standings(
    connection: Connection, collection_no: int, uids: Sequence[int], lock: str
) -> dict[int, Standing]:
    cursor = await connection.execute(
        f"""
        SELECT uid, accepted, version, parts, digest FROM vector_objects
        WHERE collection_no = %s AND uid = ANY(%s::bigint[]) ORDER BY uid {lock}
        """,
        (collection_no, list(uids)),
        binary=True,
    )
    return {row[0]: Standing(*row[1:]) for row in await cursor.fetchall()}


async def store_vectors(connection: Connection, collection_no: int, drafts: Sequence[Draft]) -> None:
    """Store the vectors of versions that are about to go into the index, before they do.

    From here on they are never computed (or paid for) again, and if the task ends before they are made
    live, the collector finds them.
    """
    with_vectors = sorted((d for d in drafts if d.vectors is not None), key=lambda draft: (draft.uid, draft.version))
    if not with_vectors:
        return
    await connection.execute(
        """
        INSERT INTO vector_garbage (collection_no, uid, version, parts, due_at)
        SELECT %s, kept.*, now() + make_interval(mins => %s)
        FROM unnest(%s::bigint[], %s::bigint[], %s::int[]) AS kept
        ON CONFLICT (collection_no, uid, version) DO UPDATE SET due_at = excluded.due_at
        """,
        (
            collection_no, INTENT_MINUTES, [d.uid for d in with_vectors], [d.version for d in with_vectors],
            [d.parts for d in with_vectors],
        ),
    )  # fmt: skip
    await store_entries(connection, collection_no, entries_of(with_vectors))
    rows = [(d.uid, d.version, part, entry) for d in with_vectors for part, entry in enumerate(d.entries)]
    await connection.execute(
        """
        INSERT INTO vector_parts (collection_no, uid, version, part, entry)
        SELECT %s, new.* FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::bigint[]) AS new
        ON CONFLICT DO NOTHING
        """,
        (collection_no, *([row[place] for row in rows] for place in range(4))),
    )


def entries_of(drafts: Sequence[Draft]) -> dict[int, Vector]:
    """Return what drafts need in the index: each entry once, with its vector."""
    return {
        entry: vector
        for draft in drafts
        if draft.vectors is not None
        for entry, vector in zip(draft.entries, draft.vectors, strict=True)
    }


async def write_objects(
    connection: Connection,
    collection_no: int,
    drafts: Sequence[Draft],
    *,
    accepted: int,
    standings: dict[int, Standing],
) -> Written:
    """Make drafts live, unless a task that was accepted later has written the object.

    Args:
        connection: In the transaction that records the chunk.
        collection_no: The collection.
        drafts: One for each object.
        accepted: The task's place in the order of acceptance.
        standings: Of all these objects, from `lock_objects` in this transaction.
    """
    written = Written()
    created = 0
    for draft in drafts:
        old = standings[draft.uid]
        if old.accepted <= accepted:
            written.applied.add(draft.uid)
            created += old.version is None
            if old.version is not None and old.version != draft.version:
                written.garbage.append((draft.uid, old.version, old.parts))
        elif draft.vectors is not None and old.version != draft.version:
            written.garbage.append((draft.uid, draft.version, draft.parts))
    applied = [draft for draft in drafts if draft.uid in written.applied]
    await connection.execute(
        """
        UPDATE vector_objects AS old
        SET accepted = %s, version = new.version, parts = new.parts, digest = new.digest,
            payload = new.payload::jsonb, item_info = new.item_info::jsonb,
            created_at = CASE WHEN old.version IS NULL THEN now() ELSE old.created_at END,
            updated_at = CASE WHEN old.version = new.version AND old.digest = new.digest
                         THEN old.updated_at ELSE now() END
        FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::bytea[], %s::text[], %s::text[])
          AS new (uid, version, parts, digest, payload, item_info)
        WHERE old.collection_no = %s AND old.uid = new.uid
        """,
        (
            accepted, [d.uid for d in applied], [d.version for d in applied], [d.parts for d in applied],
            [d.digest for d in applied], [d.payload for d in applied], [d.item_info for d in applied],
            collection_no,
        ),
    )  # fmt: skip
    await _settle(connection, collection_no, [(d.uid, d.version) for d in drafts if d.vectors is not None], written)
    await count_objects(connection, collection_no, created)
    return written


async def confirm_objects(connection: Connection, collection_no: int, uids: Sequence[int], *, accepted: int) -> None:
    """Note that a task wants objects just as they are, so that none accepted before it changes them."""
    await connection.execute(
        """
        UPDATE vector_objects SET accepted = %s
        WHERE collection_no = %s AND uid = ANY(%s::bigint[]) AND accepted < %s
        """,
        (accepted, collection_no, list(uids), accepted),
    )


async def delete_objects(
    connection: Connection, collection_no: int, objects: Sequence[tuple[int, str]], *, accepted: int
) -> Written:
    """Mark objects as deleted, unless a task that was accepted later has written them.

    The mark stays, so that a task that was accepted earlier and runs later does not bring the object back.

    Args:
        connection: In the transaction that records the chunk.
        collection_no: The collection.
        objects: `uid` and object id of each.
        accepted: The task's place in the order of acceptance.
    """
    written = Written()
    standings = await lock_objects(connection, collection_no, objects)
    for uid, old in standings.items():
        if old.version is None:
            written.missing.add(uid)
        elif old.accepted <= accepted:
            written.garbage.append((uid, old.version, old.parts))
        if old.accepted <= accepted:
            written.applied.add(uid)
    await connection.execute(
        """
        UPDATE vector_objects
        SET accepted = %s, version = NULL, parts = 0, digest = NULL, payload = NULL, item_info = NULL,
            updated_at = now()
        WHERE collection_no = %s AND uid = ANY(%s::bigint[])
        """,
        (accepted, collection_no, sorted(written.applied)),
    )
    await _settle(connection, collection_no, [], written)
    await count_objects(connection, collection_no, -len(written.garbage))
    return written


async def _settle(
    connection: Connection, collection_no: int, live: Sequence[tuple[int, int]], written: Written
) -> None:
    dead = {(uid, version) for uid, version, _ in written.garbage}
    still_live = [key for key in live if key not in dead]
    # A version that was replaced is live no more, and one that is live again is garbage no more.
    await connection.execute(
        """
        DELETE FROM vector_garbage g USING unnest(%s::bigint[], %s::bigint[]) AS live (uid, version)
        WHERE g.collection_no = %s AND g.uid = live.uid AND g.version = live.version
        """,
        ([uid for uid, _ in still_live], [version for _, version in still_live], collection_no),
    )
    if not written.garbage:
        return
    written.garbage.sort()
    await connection.execute(
        """
        INSERT INTO vector_garbage (collection_no, uid, version, parts, due_at)
        SELECT %s, dead.*, now() FROM unnest(%s::bigint[], %s::bigint[], %s::int[]) AS dead
        ON CONFLICT (collection_no, uid, version) DO UPDATE SET due_at = now()
        """,
        (collection_no, *([row[place] for row in written.garbage] for place in range(3))),
    )
