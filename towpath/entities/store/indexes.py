"""Indexes: a name that users know, and the generations of rows behind it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from towpath.core.errors import ConflictError, NotFoundError
from towpath.db.engine import Connection
from towpath.entities.domain.matching import InferredStructure
from towpath.entities.store.events import drop_events
from towpath.entities.store.golden import drop_golden_rules
from towpath.entities.store.labels import drop_labels
from towpath.entities.types import IndexConfig
from towpath.jobs.store.jobs import is_open

_COLUMNS = """
    i.index_no, i.organization, i.name, i.state, i.config, i.dynamic, i.model_version, i.model_entities,
    i.inferred, i.reindex_job, i.created_at, i.updated_at, coalesce(c.entities, 0)
"""
# Writers hold the share while they append fields, so that lock must not wait for other writers' shares: FOR UPDATE
# would, and two of them would wait for each other.
_LOCKS = {
    "": "",
    "share": "FOR KEY SHARE OF i",
    "extend": "FOR NO KEY UPDATE OF i",
    "exclusive": "FOR UPDATE OF i",
}
_FROM = "FROM entity_indexes i LEFT JOIN entity_index_counts c USING (index_no)"


@dataclass(frozen=True, slots=True)
class Index:
    """One generation of an index, as of one read.

    Attributes:
        config: What the user has said.
        inferred: What training has found out of its structure; None: nothing.
    """

    index_no: int
    organization: str
    name: str
    state: Literal["live", "building", "dropping"]
    config: IndexConfig
    dynamic: bool
    model_version: int
    model_entities: int
    inferred: InferredStructure | None
    reindex_job: UUID | None
    created_at: datetime
    updated_at: datetime
    entities: int

    @property
    def has_clean_sources(self) -> bool:
        """Return whether each source is free of duplicates, declared or inferred."""
        return self.config.clean_sources or (self.inferred is not None and self.config.infer_sources)

    @property
    def split(self) -> InferredStructure | None:
        """Return what tells the sources apart, where that has been inferred; None: they are named, if at all."""
        return self.inferred if self.config.infer_sources and not self.config.clean_sources else None

    @property
    def matching_config(self) -> IndexConfig:
        """Return the configuration that matching goes by: the user's, with what has been inferred."""
        return self.config.model_copy(update={"clean_sources": self.has_clean_sources})


def _index(row: tuple[Any, ...]) -> Index:
    number, organization, name, state, config, dynamic, version, entities, inferred, *rest = row
    return Index(
        number,
        organization,
        name,
        state,
        IndexConfig.model_validate(config),
        dynamic,
        version,
        entities,
        None if inferred is None else InferredStructure.model_validate(inferred),
        *rest,
    )


async def find_index(
    connection: Connection, organization: str, name: str, *, lock: Literal["", "share", "extend", "exclusive"] = ""
) -> Index:
    """Return the live generation of an index.

    Args:
        connection: In the caller's transaction.
        organization: Whose index.
        name: Its name.
        lock: `share` keeps a re-index from swapping the generation before the transaction ends (writers
            of entities take it); `extend` is for who appends fields: one at a time, beside those writers;
            `exclusive` keeps all writers out (the swap and the drop take it).

    Raises:
        NotFoundError: No such index.
    """
    clause = _LOCKS[lock]
    row = None
    # A statement that has waited for a swap finds the generation of before gone, and does not see the next: look again.
    for _ in range(2 if lock else 1):
        cursor = await connection.execute(
            f"SELECT {_COLUMNS} {_FROM} WHERE i.organization = %s AND i.name = %s AND i.state = 'live' {clause}",
            (organization, name),
        )
        if (row := await cursor.fetchone()) is not None:
            break
    if row is None:
        raise NotFoundError(f"no index named {name}")
    # What was waited for may have changed the count, which the statement had read before it waited.
    return await generation(connection, row[0]) if lock == "exclusive" else _index(row)


async def generation(connection: Connection, index_no: int) -> Index:
    """Return a generation by its number.

    Raises:
        NotFoundError: It has been dropped.
    """
    cursor = await connection.execute(f"SELECT {_COLUMNS} {_FROM} WHERE i.index_no = %s", (index_no,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"no generation {index_no}")
    return _index(row)


async def list_indexes(
    connection: Connection, organization: str, *, limit: int, offset: int
) -> tuple[list[Index], int]:
    """Return a page of an organisation's live indexes by name, and how many there are."""
    cursor = await connection.execute(
        f"""
        SELECT {_COLUMNS} {_FROM} WHERE i.organization = %s AND i.state = 'live'
        ORDER BY i.name LIMIT %s OFFSET %s
        """,
        (organization, limit, offset),
    )
    rows = await cursor.fetchall()
    cursor = await connection.execute(
        "SELECT count(*) FROM entity_indexes WHERE organization = %s AND state = 'live'", (organization,)
    )
    return [_index(row) for row in rows], (await cursor.fetchone() or (0,))[0]


async def create_index(
    connection: Connection,
    organization: str,
    config: IndexConfig,
    *,
    dynamic: bool = False,
    state: Literal["live", "building"] = "live",
    job_id: UUID | None = None,
) -> Index | None:
    """Insert a generation; None where a live (or building) one of that name is there already."""
    cursor = await connection.execute(
        """
        INSERT INTO entity_indexes (organization, name, config, dynamic, state, reindex_job)
        VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING index_no
        """,
        (organization, config.index_name, Jsonb(_dump(config)), dynamic, state, job_id),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    await connection.execute("INSERT INTO entity_index_counts (index_no) VALUES (%s)", row)
    return await generation(connection, row[0])


def _dump(config: IndexConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", by_alias=True)


async def save_config(connection: Connection, index_no: int, config: IndexConfig) -> None:
    """Append fields to the configuration of a generation: rows stay as they are, and are read in its shape."""
    await connection.execute(
        "UPDATE entity_indexes SET config = %s, updated_at = now() WHERE index_no = %s",
        (Jsonb(_dump(config)), index_no),
    )


async def replace_config(connection: Connection, index_no: int, config: IndexConfig) -> None:
    """Give an empty generation any other configuration. What it had learnt was of the old one's fields and goes.

    The version rises with it, so that no process goes on with a model that it holds.
    """
    await connection.execute(
        """
        UPDATE entity_indexes SET config = %s, updated_at = now(), model = NULL, inferred = NULL, model_entities = 0,
               model_version = model_version + (model IS NOT NULL)::int
        WHERE index_no = %s
        """,
        (Jsonb(_dump(config)), index_no),
    )


async def save_model(connection: Connection, index_no: int, model: dict[str, Any], *, entities: int) -> int:
    """Store a trained model as the generation's next version, and what it infers of the structure beside it.

    Returns:
        The version.
    """
    inferred = model.get("inferred")
    saved = await connection.execute(
        """
        UPDATE entity_indexes SET model = %s, inferred = %s, model_version = model_version + 1, model_entities = %s
        WHERE index_no = %s RETURNING model_version
        """,
        (Jsonb(model), inferred and Jsonb(inferred), entities, index_no),
    )
    row = await saved.fetchone()
    if row is None:
        raise NotFoundError(f"no generation {index_no}")
    return int(row[0])


async def load_model(connection: Connection, index_no: int) -> tuple[int, dict[str, Any] | None]:
    """Return the trained model of a generation as it was saved, after its version; None: it has none (any more)."""
    cursor = await connection.execute(
        "SELECT model_version, model FROM entity_indexes WHERE index_no = %s", (index_no,)
    )
    return await cursor.fetchone() or (0, None)


async def add_entities(connection: Connection, index_no: int, change: int, *, changes: int = 0) -> None:
    """Add to a generation's counts; the last statement of a chunk, because the row is contended.

    Args:
        connection: In the chunk's transaction.
        index_no: The generation.
        change: How many entities more there are.
        changes: How many were made, changed or removed.
    """
    if change or changes:
        await connection.execute(
            """
            UPDATE entity_index_counts SET entities = entities + %s, changes = changes + %s, changed_at = now()
            WHERE index_no = %s
            """,
            (change, changes, index_no),
        )


async def mark_reindexing(connection: Connection, index: Index, job_id: UUID) -> None:
    """Note which job rebuilds the index.

    Raises:
        ConflictError: Another one does already.
    """
    marked = await connection.execute(
        """
        UPDATE entity_indexes SET reindex_job = %(job)s
        WHERE index_no = %(index)s AND (reindex_job IS NULL OR NOT EXISTS (
            SELECT 1 FROM jobs WHERE id = reindex_job AND state IN ('PENDING', 'RUNNING', 'PAUSED')))
        """,
        {"job": job_id, "index": index.index_no},
    )
    if marked.rowcount == 0:
        raise ConflictError(f"a re-index of {index.name} is running: job {index.reindex_job}")


async def is_rebuilding(connection: Connection, index: Index) -> bool:
    """Say whether a job that rebuilds the index is in flight."""
    return index.reindex_job is not None and await is_open(connection, index.reindex_job)


async def drop_index(connection: Connection, index: Index) -> None:
    """Make an index vanish at once; `purge_dropped` removes its rows later, in pieces."""
    await connection.execute(
        "UPDATE entity_indexes SET state = 'dropping' WHERE organization = %s AND name = %s AND state <> 'dropping'",
        (index.organization, index.name),
    )
    await drop_labels(connection, index.organization, index.name)
    await drop_golden_rules(connection, index.organization, index.name)
    await drop_events(connection, index.organization, index.name)


async def swap_generation(connection: Connection, live: Index, built: Index) -> None:
    """Put a finished generation in the live one's place; the caller holds the live one exclusively."""
    await connection.execute("UPDATE entity_indexes SET state = 'dropping' WHERE index_no = %s", (live.index_no,))
    await connection.execute(
        """
        UPDATE entity_indexes SET state = 'live', reindex_job = NULL, updated_at = now(), created_at = %s
        WHERE index_no = %s
        """,
        (live.created_at, built.index_no),
    )


async def purge_dropped(connection: Connection, *, limit: int) -> int:
    """Delete up to `limit` rows of a dropped generation, and the generation when nothing is left.

    Returns:
        How many rows went; 0 means that no dropped generation is left.
    """
    cursor = await connection.execute("SELECT index_no FROM entity_indexes WHERE state = 'dropping' LIMIT 1")
    row = await cursor.fetchone()
    if row is None:
        return 0
    for table in ("entity_postings", "entity_pairs", "entity_dirty", "entity_groups", "entities"):
        deleted = await connection.execute(
            f"""
            DELETE FROM {table} WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM {table} WHERE index_no = %s LIMIT %s))
            """,
            (row[0], limit),
        )
        if deleted.rowcount:
            return deleted.rowcount
    await connection.execute("DELETE FROM entity_indexes WHERE index_no = %s", row)
    return 1
