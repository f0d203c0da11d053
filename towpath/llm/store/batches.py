"""Calls that wait for a batch, and the batches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Json

from towpath.db.engine import Connection, Database
from towpath.jobs.types import JobRef
from towpath.llm.batches.types import Batch, BatchProgress, CallState, RemoteBatch, StoredCall

BATCH_COLUMNS = (
    "id, name, organization, job_id, attempt, model, state, calls, remote_id, file_id, sending_at, sent_at,"
    " cancelled_at, remote_state, answered, failed"
)


async def find_call(database: Database, job_id: UUID, digest: bytes) -> tuple[CallState, bytes | None] | None:
    """Return where a collected call stands, with an answer that could not be used; None: it was not collected."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT state, reply FROM llm_awaited_calls WHERE job_id = %s AND digest = %s", (job_id, digest)
        )
        row = await cursor.fetchone()
    return None if row is None else (CallState(row[0]), row[1])


async def add_call(
    database: Database,
    ref: JobRef,
    digest: bytes,
    model: str,
    prompt: dict[str, Any],
    body: bytes,
    *,
    plain_json: bool,
) -> None:
    """Collect a call; one that was collected already, and whose answer has gone since, is collected anew."""
    async with database.statement() as connection:
        await connection.execute(
            """
            INSERT INTO llm_awaited_calls (job_id, digest, organization, model, plain_json, prompt, body, state)
            VALUES (%s, %s, %s, %s, %s, %s, %s, 'awaited')
            ON CONFLICT (job_id, digest) DO UPDATE
            SET state = 'awaited', body = excluded.body, prompt = excluded.prompt, batch_id = NULL, number = NULL
            WHERE llm_awaited_calls.state = 'stored'
            """,
            (ref.job_id, digest, ref.organization, model, plain_json, Json(prompt), body),
        )


async def list_unsent(connection: Connection, job_id: UUID) -> list[tuple[str, bytes, int]]:
    """List the calls of a job that are in no batch, with the bytes of their bodies, by model; they stay locked."""
    cursor = await connection.execute(
        """
        SELECT model, digest, octet_length(body) FROM llm_awaited_calls WHERE job_id = %s AND state = 'awaited'
        ORDER BY model, digest FOR UPDATE
        """,
        (job_id,),
    )
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def add_batch(
    connection: Connection, ref: JobRef, batch_id: UUID, name: str, model: str, digests: Sequence[bytes]
) -> None:
    """Name a batch and fix its calls."""
    await connection.execute(
        """
        INSERT INTO llm_batches (id, name, organization, job_id, attempt, model, state, calls)
        VALUES (%s, %s, %s, %s, %s, %s, 'named', %s)
        """,
        (batch_id, name, ref.organization, ref.job_id, ref.attempt, model, len(digests)),
    )
    await connection.execute(
        """
        UPDATE llm_awaited_calls call SET state = 'submitted', batch_id = %s, number = named.number
        FROM unnest(%s::bytea[]) WITH ORDINALITY AS named(digest, number)
        WHERE call.job_id = %s AND call.digest = named.digest
        """,
        (batch_id, list(digests), ref.job_id),
    )


async def release_calls(connection: Connection, batch_id: UUID, state: CallState, problem: str | None) -> int:
    """Move the calls of a batch that have no answer on: into another batch, or to be asked live.

    Returns:
        How many they are.
    """
    released = await connection.execute(
        """
        UPDATE llm_awaited_calls SET state = %s, problem = %s, batch_id = NULL, number = NULL
        WHERE batch_id = %s AND state = 'submitted'
        """,
        (state, problem, batch_id),
    )
    return released.rowcount


async def settle_call(
    connection: Connection,
    batch_id: UUID,
    number: int,
    state: CallState,
    *,
    reply: bytes | None = None,
    problem: str | None = None,
) -> bool:
    """Say what became of a call of a batch.

    Returns:
        Whether it was open: another try may have settled it.
    """
    settled = await connection.execute(
        """
        UPDATE llm_awaited_calls
        SET state = %(state)s, reply = %(reply)s, problem = %(problem)s,
            body = CASE WHEN %(state)s = 'awaited' THEN body ELSE '' END
        WHERE batch_id = %(batch)s AND number = %(number)s AND state = 'submitted'
        """,
        {"state": state, "reply": reply, "problem": problem, "batch": batch_id, "number": number},
    )
    return settled.rowcount == 1


async def list_open_batches(database: Database, ref: JobRef) -> list[Batch]:
    """List the batches of a job up to an attempt that are not closed, as they were named."""
    async with database.statement() as connection, connection.cursor(row_factory=class_row(Batch)) as cursor:
        await cursor.execute(
            f"SELECT {BATCH_COLUMNS} FROM llm_batches WHERE job_id = %s AND attempt <= %s AND state <> 'closed'"
            " ORDER BY named_at, id",
            (ref.job_id, ref.attempt),
        )
        return await cursor.fetchall()


async def load_calls(database: Database, batch_id: UUID) -> list[StoredCall]:
    """Load the calls of a batch that are not settled, in their order."""
    async with database.statement() as connection, connection.cursor(row_factory=class_row(StoredCall)) as cursor:
        await cursor.execute(
            """
            SELECT digest, number, prompt, plain_json, body FROM llm_awaited_calls
            WHERE batch_id = %s AND state = 'submitted' ORDER BY number
            """,
            (batch_id,),
        )
        return await cursor.fetchall()


async def find_readers(
    connection: Connection, batch_id: UUID, numbers: Sequence[int]
) -> dict[int, tuple[bytes, dict[str, Any], bool]]:
    """Load by what the answers of calls of a batch are read, of those that are not settled: key, prompt, plain JSON."""
    cursor = await connection.execute(
        """
        SELECT number, digest, prompt, plain_json FROM llm_awaited_calls
        WHERE batch_id = %s AND number = ANY(%s) AND state = 'submitted'
        """,
        (batch_id, list(numbers)),
    )
    return {row[0]: (row[1], row[2], row[3]) for row in await cursor.fetchall()}


async def begin_sending(database: Database, batch: Batch, now: datetime) -> bool:
    """Note that the request which creates a batch is about to be sent.

    Returns:
        False: somebody else has begun since this batch was read, and goes on with it.
    """
    async with database.statement() as connection:
        begun = await connection.execute(
            """
            UPDATE llm_batches SET state = 'sending', sending_at = %s, file_id = %s
            WHERE id = %s AND state IN ('named', 'sending') AND sending_at IS NOT DISTINCT FROM %s
            """,
            (now, batch.file_id, batch.id, batch.sending_at),
        )
    return begun.rowcount == 1


async def note_remote(connection: Connection, batch_id: UUID, remote: RemoteBatch, now: datetime) -> bool:
    """Note how a provider describes a batch.

    Returns:
        Whether that has changed.
    """
    noted = await connection.execute(
        """
        UPDATE llm_batches
        SET state = CASE WHEN state = 'closed' THEN state ELSE 'sent' END, sent_at = coalesce(sent_at, %(now)s),
            remote_id = %(id)s, remote_state = %(state)s, answered = %(answered)s, failed = %(failed)s,
            problem = nullif(%(problem)s, '')
        WHERE id = %(batch)s
          AND (remote_id, remote_state, answered, failed)
              IS DISTINCT FROM (%(id)s, %(state)s, %(answered)s::int, %(failed)s::int)
        """,
        {
            "now": now,
            "id": remote.id,
            "state": remote.state,
            "answered": remote.answered,
            "failed": remote.failed,
            "problem": remote.problem,
            "batch": batch_id,
        },
    )
    return noted.rowcount == 1


async def note_cancel(database: Database, batch_id: UUID, now: datetime) -> None:
    """Note that a provider was asked to cancel a batch."""
    async with database.statement() as connection:
        await connection.execute(
            "UPDATE llm_batches SET cancelled_at = coalesce(cancelled_at, %s) WHERE id = %s", (now, batch_id)
        )


async def close_batch(connection: Connection, batch_id: UUID, now: datetime, problem: str | None) -> None:
    """Note that nothing more comes of a batch."""
    await connection.execute(
        """
        UPDATE llm_batches SET state = 'closed', closed_at = %s, problem = coalesce(%s, problem)
        WHERE id = %s AND state <> 'closed'
        """,
        (now, problem, batch_id),
    )


async def list_remote_ids(database: Database, since: datetime) -> frozenset[str]:
    """List the ids at providers of all batches that were sent since a time."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT remote_id FROM llm_batches WHERE remote_id IS NOT NULL AND sent_at >= %s", (since,)
        )
        return frozenset(row[0] for row in await cursor.fetchall())


async def count_progress(connection: Connection, job_id: UUID) -> BatchProgress:
    """Count how far the batches of a job are."""
    cursor = await connection.execute(
        """
        SELECT coalesce(sum(calls), 0), coalesce(sum(answered), 0), coalesce(sum(failed), 0),
               count(*) FILTER (WHERE state <> 'closed'),
               (SELECT count(*) FROM llm_awaited_calls WHERE job_id = %(job)s AND state = 'awaited')
        FROM llm_batches WHERE job_id = %(job)s
        """,
        {"job": job_id},
    )
    row = await cursor.fetchone() or (0, 0, 0, 0, 0)
    return BatchProgress(submitted=row[0], answered=row[1], failed=row[2], open=row[3], unsent=row[4])


async def has_other_open(connection: Connection, batch: Batch) -> bool:
    """Return whether another batch of an organization's is with the provider, for the same model."""
    cursor = await connection.execute(
        "SELECT 1 FROM llm_batches WHERE organization = %s AND model = %s AND id <> %s AND state = 'sent' LIMIT 1",
        (batch.organization, batch.model, batch.id),
    )
    return await cursor.fetchone() is not None


async def sweep_batches(connection: Connection, *, days: int, limit: int) -> int:
    """Delete calls and batches that are older than so many days, unless they are still open.

    Returns:
        How many calls went.
    """
    gone = await connection.execute(
        """
        DELETE FROM llm_awaited_calls WHERE (job_id, digest) IN (
            SELECT job_id, digest FROM llm_awaited_calls
            WHERE created_at < now() - make_interval(days => %s) AND state <> 'submitted' LIMIT %s
        )
        """,
        (days, limit),
    )
    await connection.execute(
        "DELETE FROM llm_batches WHERE state = 'closed' AND closed_at < now() - make_interval(days => %s)", (days,)
    )
    return gone.rowcount


async def list_orphans(database: Database, limit: int) -> list[JobRef]:
    """List the last runs of jobs that have ended and whose batches are open."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            """
            SELECT DISTINCT jobs.organization, jobs.kind, jobs.id, jobs.attempt
            FROM llm_batches batch JOIN jobs ON jobs.id = batch.job_id
            WHERE batch.state <> 'closed' AND jobs.state IN ('COMPLETED', 'FAILED', 'CANCELLED') LIMIT %s
            """,
            (limit,),
        )
        return [
            JobRef(organization=row[0], kind=row[1], job_id=row[2], attempt=row[3]) for row in await cursor.fetchall()
        ]
