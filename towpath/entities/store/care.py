"""What the housekeeping asks of indexes: marks that nobody works off, content that no model has seen, events untold."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from towpath.db.engine import Connection


@dataclass(frozen=True, slots=True)
class NamedIndex:
    """Whose index, and its name."""

    organization: str
    name: str


# A job that writes to an index or rebuilds it decides in the end, and may change all of it.
_IDLE = """
    NOT EXISTS (
        SELECT 1 FROM jobs j WHERE j.organization = i.organization AND j.state IN ('PENDING', 'RUNNING', 'PAUSED')
        AND j.params ->> 'index' = i.name AND j.kind = ANY(%(kinds)s)
    )
"""


async def find_marked(connection: Connection, kinds: list[str], *, limit: int) -> list[NamedIndex]:
    """Find live indexes in which entities wait for a decision and that no job works on."""
    cursor = await connection.execute(
        f"""
        SELECT i.organization, i.name FROM entity_indexes i
        WHERE i.state = 'live' AND EXISTS (SELECT 1 FROM entity_dirty d WHERE d.index_no = i.index_no) AND {_IDLE}
        ORDER BY i.index_no LIMIT %(limit)s
        """,
        {"kinds": kinds, "limit": limit},
    )
    return [NamedIndex(*row) for row in await cursor.fetchall()]


async def find_unsettled(
    connection: Connection,
    kinds: list[str],
    *,
    settling: str,
    quiet_seconds: int,
    long_seconds: int,
    share: float,
    smallest: int,
    small: int,
    limit: int,
) -> list[NamedIndex]:
    """Find live indexes that have changed since their models were trained and that have been left alone for a while.

    One whose last settling has failed waits the long time: the next one is likely to fail as well.

    Args:
        connection: A connection.
        kinds: The kinds of jobs that work on indexes.
        settling: The kind of the jobs that settle.
        quiet_seconds: After so long one that has changed much, or is small.
        long_seconds: After so long any.
        share: How much is much, as a share of its entities.
        smallest: Fewer entities cannot depend on their order.
        small: Entities up to which any change is much.
        limit: The most.
    """
    cursor = await connection.execute(
        f"""
        SELECT i.organization, i.name FROM entity_indexes i JOIN entity_index_counts c USING (index_no)
        WHERE i.state = 'live' AND c.changes > c.trained_changes AND c.entities >= %(smallest)s
        AND (
            c.changed_at < now() - make_interval(secs => %(long)s)
            OR (c.changed_at < now() - make_interval(secs => %(quiet)s)
                AND (c.entities <= %(small)s OR c.changes - c.trained_changes >= %(share)s * c.entities))
        ) AND {_IDLE} AND NOT EXISTS (
            SELECT 1 FROM jobs j WHERE j.organization = i.organization AND j.kind = %(settling)s
            AND j.params ->> 'index' = i.name AND j.state = 'FAILED'
            AND j.completed_at > now() - make_interval(secs => %(long)s)
        )
        ORDER BY c.changed_at LIMIT %(limit)s
        """,
        {
            "kinds": kinds,
            "settling": settling,
            "smallest": smallest,
            "long": long_seconds,
            "quiet": quiet_seconds,
            "small": small,
            "share": share,
            "limit": limit,
        },
    )
    return [NamedIndex(*row) for row in await cursor.fetchall()]


async def count_settling(connection: Connection, kinds: list[str]) -> int:
    """Count the jobs under way that nobody has asked for, of kinds that may be asked for too."""
    cursor = await connection.execute(
        """
        SELECT count(*) FROM jobs WHERE kind = ANY(%s) AND state IN ('PENDING', 'RUNNING', 'PAUSED')
        AND params @> '{"settles": true}'::jsonb
        """,
        (kinds,),
    )
    return int((await cursor.fetchone() or (0,))[0])


@dataclass(frozen=True, slots=True)
class FailedSettling:
    """The last job that was to settle an index, and how it has failed."""

    job_id: UUID
    message: str


async def find_failed_settling(
    connection: Connection, kind: str, organization: str, index_no: int
) -> FailedSettling | None:
    """Return the last job that was to settle a generation, if it has failed and there is still something to settle."""
    cursor = await connection.execute(
        """
        SELECT j.id, j.state, coalesce(j.error_message, '') FROM entity_indexes i
        JOIN entity_index_counts c USING (index_no)
        JOIN jobs j ON j.organization = i.organization AND j.kind = %s AND j.params ->> 'index' = i.name
        WHERE i.organization = %s AND i.index_no = %s AND c.changes > c.trained_changes AND j.completed_at IS NOT NULL
        ORDER BY j.created_at DESC, j.id LIMIT 1
        """,
        (kind, organization, index_no),
    )
    row = await cursor.fetchone()
    return FailedSettling(row[0], row[2]) if row is not None and row[1] == "FAILED" else None


async def read_changes(connection: Connection, index_no: int) -> int:
    """Return how often an entity of a generation was made, changed or removed."""
    cursor = await connection.execute("SELECT changes FROM entity_index_counts WHERE index_no = %s", (index_no,))
    return int((await cursor.fetchone() or (0,))[0])


async def note_trained(connection: Connection, index_no: int, changes: int) -> None:
    """Note which changes the model of a generation has seen."""
    await connection.execute(
        "UPDATE entity_index_counts SET trained_changes = %s WHERE index_no = %s", (changes, index_no)
    )


@dataclass(frozen=True, slots=True)
class UntoldEvents:
    """Events of an index that endpoints have not been told of: those behind `announced`, up to `last`."""

    organization: str
    name: str
    announced: int
    last: int


async def take_untold(connection: Connection) -> UntoldEvents | None:
    """Take an index's events that were not told yet as told, in the caller's transaction; None: all are.

    Writers of the same index wait for that transaction, so it must be short.
    """
    cursor = await connection.execute(
        """
        SELECT organization, index_name, announced, last_seq FROM entity_event_logs WHERE last_seq > announced
        ORDER BY organization, index_name LIMIT 1 FOR UPDATE SKIP LOCKED
        """
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    await connection.execute(
        "UPDATE entity_event_logs SET announced = last_seq WHERE organization = %s AND index_name = %s", row[:2]
    )
    return UntoldEvents(*row)


async def count_events(
    connection: Connection, organization: str, name: str, *, after: int, last: int
) -> dict[str, int]:
    """Count events by their types."""
    cursor = await connection.execute(
        """
        SELECT type, count(*) FROM entity_events
        WHERE organization = %s AND index_name = %s AND seq > %s AND seq <= %s GROUP BY type ORDER BY type
        """,
        (organization, name, after, last),
    )
    return dict(await cursor.fetchall())
