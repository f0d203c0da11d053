"""The ledger: one line for each question that a provider was paid for, also where its answer was of no use.

A line, the answer and the job's cost are written by one statement, so that none is there without the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Json

from towpath.core.usage import Usage
from towpath.db.engine import Connection, Database
from towpath.jobs.types import JobRef
from towpath.llm.types import Answer, Site

ANSWERED = "answered"
_SUMS = """
    coalesce(sum(input_tokens), 0)::bigint, coalesce(sum(cache_read_tokens), 0)::bigint,
    coalesce(sum(cache_write_tokens), 0)::bigint, coalesce(sum(output_tokens), 0)::bigint, coalesce(sum(usd), 0)
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the ledger.

    Attributes:
        ref: The run that has asked.
        model: Who was asked.
        digest: Of the question.
        site: Where in the job it was asked.
        usage: What was paid.
        outcome: `answered`, or the code of the failure.
        id: Made before it is written, so that writing it again changes nothing.
    """

    ref: JobRef
    model: str
    digest: bytes
    site: Site
    usage: Usage
    outcome: str = ANSWERED
    id: UUID = field(default_factory=uuid4)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a question before it is asked.

    Attributes:
        answer: What was paid for already; its usage is what this site has paid for it.
        spent: What this site of the job has paid for the question so far, in all tries.
        cap: What the job may cost; None: no cap.
    """

    answer: Answer | None
    spent: Usage
    cap: float | None


async def find_known(database: Database, ref: JobRef, digest: bytes, site: Site) -> Known:
    """Look a question up: its answer, whoever has bought it, and what this site of this job has paid for it."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            f"""
            SELECT (SELECT answer FROM llm_answers WHERE organization = %(organization)s AND digest = %(digest)s),
                   (SELECT max_cost_usd FROM jobs WHERE id = %(job)s),
                   count(*) FILTER (WHERE outcome = '{ANSWERED}'), {_SUMS}
            FROM llm_ledger WHERE job_id = %(job)s AND digest = %(digest)s
            AND purpose = %(purpose)s AND item IS NOT DISTINCT FROM %(item)s
            """,
            {
                "organization": ref.organization,
                "digest": digest,
                "job": ref.job_id,
                "purpose": site.purpose.value,
                "item": site.item,
            },
        )
        stored, cap, answered, *sums = await cursor.fetchone() or (None, None, 0, 0, 0, 0, 0, 0.0)
    spent = _usage(sums)
    answer = None
    if stored is not None:
        changes: dict[str, Any] = {"usage": spent, "cached": not answered}
        answer = Answer.model_validate(stored).model_copy(update=changes)
    return Known(answer, spent, cap)


async def book(connection: Connection, line: Line, answer: Answer | None, *, reservation: UUID | None = None) -> None:
    """Write a line with the answer that was bought, add it to the job's cost, and free what was set aside for it.

    The job's state is not asked for: what was paid is booked, also when the job has ended meanwhile.
    """
    await connection.execute(
        """
        WITH line AS (
            INSERT INTO llm_ledger (id, organization, job_id, kind, attempt, model, digest, purpose, item, input_tokens,
                                    cache_read_tokens, cache_write_tokens, output_tokens, usd, outcome)
            VALUES (%(id)s, %(organization)s, %(job)s, %(kind)s, %(attempt)s, %(model)s, %(digest)s, %(purpose)s,
                    %(item)s, %(input_tokens)s, %(cache_read_tokens)s, %(cache_write_tokens)s, %(output_tokens)s,
                    %(usd)s, %(outcome)s)
            ON CONFLICT (id) DO NOTHING RETURNING 1
        ), kept AS (
            INSERT INTO llm_answers (organization, digest, job_id, attempt, answer)
            SELECT %(organization)s, %(digest)s, %(job)s, %(attempt)s, %(answer)s::json
            WHERE %(answer)s::json IS NOT NULL
            ON CONFLICT DO NOTHING
        ), freed AS (
            DELETE FROM llm_reservations WHERE id = %(reservation)s
        )
        UPDATE jobs SET cost_usd = cost_usd + %(usd)s, input_tokens = input_tokens + %(input_tokens)s,
               output_tokens = output_tokens + %(output_tokens)s
        WHERE id = %(job)s AND EXISTS (SELECT 1 FROM line)
        """,
        {
            "id": line.id,
            "organization": line.ref.organization,
            "job": line.ref.job_id,
            "kind": line.ref.kind,
            "attempt": line.ref.attempt,
            "model": line.model,
            "digest": line.digest,
            "purpose": line.site.purpose.value,
            "item": line.site.item,
            "outcome": line.outcome,
            "answer": None if answer is None else Json(answer.model_dump(mode="json")),
            "reservation": reservation,
            **line.usage.model_dump(),
        },
    )


@dataclass(frozen=True, slots=True)
class LedgerSum:
    """What was paid to one model for one purpose.

    Attributes:
        model: Who was paid; empty: several, before there was a ledger.
        purpose: What for.
        requests: How many lines.
        failed: How many of them brought no answer.
        usage: What they have cost.
    """

    model: str
    purpose: str
    requests: int
    failed: int
    usage: Usage


async def sum_job(database: Database, job_id: UUID) -> list[LedgerSum]:
    """Sum up a job by model and purpose, all attempts together."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            f"""
            SELECT model, purpose, count(*), count(*) FILTER (WHERE outcome <> '{ANSWERED}'), {_SUMS}
            FROM llm_ledger WHERE job_id = %s GROUP BY model, purpose ORDER BY model, purpose
            """,
            (job_id,),
        )
        return [
            LedgerSum(model, purpose, requests, failed, _usage(sums))
            for model, purpose, requests, failed, *sums in await cursor.fetchall()
        ]


async def sum_kinds(connection: Connection, organization: str, kinds: Sequence[str]) -> Usage:
    """Sum up an organization's jobs of some kinds."""
    cursor = await connection.execute(
        f"SELECT {_SUMS} FROM llm_ledger WHERE organization = %s AND kind = ANY(%s)", (organization, list(kinds))
    )
    return _usage(await cursor.fetchone() or (0, 0, 0, 0, 0.0))


def _usage(sums: Sequence[Any]) -> Usage:
    inputs, read, written, outputs, usd = sums
    return Usage(
        input_tokens=inputs,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=outputs,
        usd=round(usd, 12),
    )
