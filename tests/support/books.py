"""What a loopback provider says that it was paid, beside what the books of jobs say."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from tests.support.llm_server import LlmServer
from towpath.core.usage import Usage
from towpath.db.engine import Database
from towpath.llm import Catalog
from towpath.llm.meter import read_usage_object

PROVIDERS = {"gpt": "openai", "claude": "anthropic"}


def bill_of(server: LlmServer, catalog: Catalog) -> Usage:
    """Add up what the provider says that it was paid, each answer at its model's price."""
    total = Usage()
    with server.lock:
        bill = list(server.bill)
    for model, usage in bill:
        key = f"{PROVIDERS[model.partition('-')[0]]}::{model}"
        total += catalog.priced(key, read_usage_object(usage) or Usage())
    return total


@dataclass(frozen=True, slots=True)
class Books:
    """What is booked of a job.

    Attributes:
        job: In its row.
        ledger: In its lines.
        records: In its records, with what checks of types were paid, which have none.
        lines: How many lines there are.
        reserved: How many reservations are left.
    """

    job: tuple[float, int, int]
    ledger: tuple[float, int, int]
    records: tuple[float, int, int]
    lines: int
    reserved: int


async def books_of(database: Database, job_id: UUID) -> Books:
    """Read the books of a job."""

    async with database.transaction() as connection:

        async def read(query: str) -> tuple[float, int, int]:
            cursor = await connection.execute(query, {"job": job_id})
            usd, inputs, outputs = await cursor.fetchone() or (0, 0, 0)
            return round(float(usd or 0), 9), int(inputs or 0), int(outputs or 0)

        of_job = await read("SELECT cost_usd, input_tokens, output_tokens FROM jobs WHERE id = %(job)s")
        of_lines = await read(
            "SELECT sum(usd), sum(input_tokens), sum(output_tokens) FROM llm_ledger WHERE job_id = %(job)s"
        )
        of_records = await read(
            """
            SELECT sum(usd), sum(inputs), sum(outputs) FROM (
                SELECT cost_usd, input_tokens, output_tokens FROM records WHERE job_id = %(job)s UNION ALL
                SELECT (data ->> 'cost_usd')::float, (data ->> 'input_tokens')::int, (data ->> 'output_tokens')::int
                FROM job_events WHERE job_id = %(job)s AND type = 'classification_completed'
            ) paid(usd, inputs, outputs)
            """
        )
        cursor = await connection.execute(
            """
            SELECT (SELECT count(*) FROM llm_ledger WHERE job_id = %(job)s),
                   (SELECT count(*) FROM llm_reservations WHERE job_id = %(job)s)
            """,
            {"job": job_id},
        )
        lines, reserved = await cursor.fetchone() or (0, 0)
    return Books(of_job, of_lines, of_records, lines, reserved)


def as_sums(usage: Usage) -> tuple[float, int, int]:
    """Return a usage as the books have it."""
    return round(usage.usd, 9), usage.input_tokens, usage.output_tokens
