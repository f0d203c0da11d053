"""The events of an index: appended in the transaction of their change, read by page and by stream, swept by age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import orjson
from psycopg.rows import class_row

from towpath.db.engine import Connection
from towpath.jobs.store.jobs import EVENT_CHANNEL


@dataclass(frozen=True, slots=True)
class NewIndexEvent:
    """One change of one group, to be numbered."""

    type: str
    group_uid: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class IndexEventRow:
    """One change of one group, as stored."""

    seq: int
    at: datetime
    type: str
    group_uid: int
    cause: str
    job_id: UUID | None
    data: dict[str, Any]


_COLUMNS = "seq, at, type, group_uid, cause, job_id, data"


def event_key(organization: str, name: str) -> UUID:
    """Return the number under which streams wait for the events of an index."""
    return uuid5(NAMESPACE_OID, f"index/{organization}/{name}")


async def append_index_events(
    connection: Connection,
    organization: str,
    name: str,
    events: Sequence[NewIndexEvent],
    *,
    cause: str,
    job_id: UUID | None,
) -> None:
    """Append events under the row lock of their counter, so that their numbers rise in the order of commits."""
    if not events:
        return
    await connection.execute(
        """
        WITH numbered AS (
            INSERT INTO entity_event_logs AS l (organization, index_name, last_seq)
            VALUES (%(organization)s, %(name)s, %(count)s)
            ON CONFLICT (organization, index_name) DO UPDATE SET last_seq = l.last_seq + excluded.last_seq
            RETURNING last_seq
        ), appended AS (
            INSERT INTO entity_events (organization, index_name, seq, type, group_uid, cause, job_id, data)
            SELECT %(organization)s, %(name)s, numbered.last_seq - %(count)s + u.place, u.type, u.group_uid, %(cause)s,
                   %(job)s, u.data::jsonb
            FROM numbered, unnest(%(types)b::text[], %(groups)b::bigint[], %(data)b::text[])
                 WITH ORDINALITY u(type, group_uid, data, place)
        )
        SELECT pg_notify(%(channel)s, %(key)s) FROM numbered
        """,
        {
            "organization": organization,
            "name": name,
            "count": len(events),
            "cause": cause,
            "job": job_id,
            "types": [event.type for event in events],
            "groups": [event.group_uid for event in events],
            "data": [orjson.dumps(event.data).decode() for event in events],
            "channel": EVENT_CHANNEL,
            "key": str(event_key(organization, name)),
        },
    )


async def read_index_events(
    connection: Connection,
    organization: str,
    name: str,
    *,
    after: int,
    limit: int,
    group_uid: int | None = None,
    types: Sequence[str] | None = None,
) -> list[IndexEventRow]:
    """Read events with a number above `after`, rising; with `group_uid` of one group, with `types` of these."""
    async with connection.cursor(row_factory=class_row(IndexEventRow)) as cursor:
        await cursor.execute(
            f"""
            SELECT {_COLUMNS} FROM entity_events
            WHERE organization = %(organization)s AND index_name = %(name)s AND seq > %(after)s
            {"" if group_uid is None else "AND group_uid = %(group)s"}
            {"" if types is None else "AND type = ANY(%(types)s)"}
            ORDER BY seq LIMIT %(limit)s
            """,
            {
                "organization": organization,
                "name": name,
                "after": after,
                "limit": limit,
                "group": group_uid,
                "types": list(types or ()),
            },
        )
        return await cursor.fetchall()


async def find_last_number(connection: Connection, organization: str, name: str) -> int:
    """Return the number of the newest event of an index; 0: there was none."""
    cursor = await connection.execute(
        "SELECT last_seq FROM entity_event_logs WHERE organization = %s AND index_name = %s", (organization, name)
    )
    return int((await cursor.fetchone() or (0,))[0])


async def drop_events(connection: Connection, organization: str, name: str) -> None:
    """Delete the events of an index that is dropped; one of the same name goes on counting."""
    await connection.execute(
        "DELETE FROM entity_events WHERE organization = %s AND index_name = %s", (organization, name)
    )
    await connection.execute(
        "UPDATE entity_event_logs SET announced = last_seq WHERE organization = %s AND index_name = %s",
        (organization, name),
    )


async def sweep_events(connection: Connection, *, days: int, limit: int) -> int:
    """Delete events past their time, and return how many rows went."""
    swept = await connection.execute(
        """
        DELETE FROM entity_events WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM entity_events WHERE at < now() - make_interval(days => %s) LIMIT %s))
        """,
        (days, limit),
    )
    return swept.rowcount
