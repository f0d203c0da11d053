"""Warnings of a job: what was done worse than asked, written in the transaction of the effect that it is about."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
from psycopg.types.json import Jsonb

from towpath.core.errors import ErrorCode, JobNotActiveError
from towpath.db.engine import Connection
from towpath.jobs.store.events import append_told
from towpath.jobs.types import EventType, JobRef, JobWarning

MAX_WARNINGS = 100
"""So many of a job's attempt are kept; of the rest the number is."""


async def add_warnings(connection: Connection, ref: JobRef, warnings: Sequence[JobWarning]) -> int:
    """Add warnings to a job and tell of them in its stream; one that it has already adds nothing.

    Beyond the first hundred they are only counted, so a caller whose effect may run again adds them where it
    writes the effect, once.

    Returns:
        How many were new.

    Raises:
        JobNotActiveError: The job has ended, or a newer attempt runs: the transaction must roll back.
    """
    if not warnings:
        return 0
    found = await connection.execute(
        "SELECT warnings FROM jobs WHERE id = %s AND attempt = %s AND state IN ('PENDING', 'RUNNING', 'PAUSED')"
        " FOR UPDATE",
        (ref.job_id, ref.attempt),
    )
    row = await found.fetchone()
    if row is None:
        raise JobNotActiveError(f"job {ref.job_id} attempt {ref.attempt} has ended")
    kept: list[dict[str, Any]] = [one for one in row[0] if one["code"] != ErrorCode.MORE_WARNINGS]
    more = next((int(one["more"]) for one in row[0] if one["code"] == ErrorCode.MORE_WARNINGS), 0)
    known = {_digest(one) for one in kept}
    fresh: list[dict[str, Any]] = []
    for warning in warnings:
        told = warning.model_dump(mode="json", exclude_none=True)
        if (digest := _digest(told)) not in known:
            known.add(digest)
            fresh.append(told)
    if not fresh:
        return 0
    room = fresh[: MAX_WARNINGS - len(kept)]
    left = len(fresh) - len(room)
    rest = [] if not more + left else [_rest(more + left)]
    await connection.execute("UPDATE jobs SET warnings = %s WHERE id = %s", (Jsonb([*kept, *room, *rest]), ref.job_id))
    for one in room:
        await append_told(connection, ref, EventType.WARNING, one, f"warning:{_digest(one)}")
    if rest:
        told = {name: rest[0][name] for name in ("code", "message")}
        await append_told(connection, ref, EventType.WARNING, told, "warning:more")
    return len(fresh)


def _digest(told: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps([told["code"], told.get("item"), told["message"]])).hexdigest()[:32]


def _rest(more: int) -> dict[str, Any]:
    words = "warning is" if more == 1 else "warnings are"
    return {"code": ErrorCode.MORE_WARNINGS.value, "message": f"{more:,} more {words} not shown", "more": more}
