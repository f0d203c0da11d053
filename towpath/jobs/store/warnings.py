"""Warnings of a job: what was done worse than asked, written in the transaction of the effect that it is about."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
from psycopg.types.json import Jsonb

from towpath.core.errors import ErrorCode, JobNotActiveError
from towpath.db.engine import Connection
from towpath.jobs.store.events import append_run_event
from towpath.jobs.types import EventType, JobRef, JobWarning

MAX_WARNINGS = 100
"""So many of a job's attempt are stored; the others are counted."""


async def add_warnings(connection: Connection, ref: JobRef, warnings: Sequence[JobWarning]) -> int:
    """Add warnings to a job and to its stream; one that it has already adds nothing.

    Beyond the first hundred they are only counted, so a caller whose effect may run again adds them where it
    writes the effect, once.

    Returns:
        How many were new.

    Raises:
        JobNotActiveError: The job has ended, or a newer attempt runs: the transaction must roll back.
    """
    if not warnings:
        return 0
    cursor = await connection.execute(
        "SELECT warnings FROM jobs WHERE id = %s AND attempt = %s AND state IN ('PENDING', 'RUNNING', 'PAUSED')"
        " FOR UPDATE",
        (ref.job_id, ref.attempt),
    )
    row = await cursor.fetchone()
    if row is None:
        raise JobNotActiveError(f"job {ref.job_id} attempt {ref.attempt} has ended")
    stored: list[dict[str, Any]] = [warning for warning in row[0] if warning["code"] != ErrorCode.MORE_WARNINGS]
    left_out = next((int(last["more"]) for last in row[0] if last["code"] == ErrorCode.MORE_WARNINGS), 0)
    known = {_digest(warning) for warning in stored}
    fresh: list[dict[str, Any]] = []
    for warning in warnings:
        data = warning.model_dump(mode="json", exclude_none=True)
        if (digest := _digest(data)) not in known:
            known.add(digest)
            fresh.append(data)
    if not fresh:
        return 0
    room = fresh[: MAX_WARNINGS - len(stored)]
    left = len(fresh) - len(room)
    rest = [] if not left_out + left else [_rest(left_out + left)]
    await connection.execute(
        "UPDATE jobs SET warnings = %s WHERE id = %s", (Jsonb([*stored, *room, *rest]), ref.job_id)
    )
    for data in room:
        await append_run_event(connection, ref, EventType.WARNING, data, f"warning:{_digest(data)}")
    if rest:
        summary = {name: rest[0][name] for name in ("code", "message")}
        await append_run_event(connection, ref, EventType.WARNING, summary, "warning:more")
    return len(fresh)


def _digest(warning: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps([warning["code"], warning.get("item"), warning["message"]])).hexdigest()[:32]


def _rest(count: int) -> dict[str, Any]:
    words = "warning is" if count == 1 else "warnings are"
    return {"code": ErrorCode.MORE_WARNINGS.value, "message": f"{count:,} more {words} not shown", "more": count}
