"""What jobs have cost, as their users see it."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from towpath.core.usage import Usage
from towpath.core.wire import Wire
from towpath.db.engine import Database
from towpath.llm.store.ledger import sum_job


class Tokens(Wire):
    """Tokens and dollars; those of a cache are among the input tokens."""

    usd: float
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int


class CostLine(Tokens):
    """What was paid to one model for one purpose."""

    model: str = Field(description="Empty: several, before there was a ledger.")
    purpose: str
    requests: int = Field(description="How many questions were paid for, each with its repairs.")
    failed: int = Field(description="How many of them brought no usable answer.")


class JobCosts(Tokens):
    """What a job has cost."""

    job_id: UUID
    max_cost_usd: float | None = Field(description="What it may cost; null: no cap.")
    lines: list[CostLine]


async def load_costs(database: Database, job_id: UUID, *, cap: float | None) -> JobCosts:
    """Load what a job has cost, by model and purpose.

    Args:
        database: Where the ledger is.
        job_id: The job.
        cap: What it may cost.
    """
    sums = await sum_job(database, job_id)
    total = sum((line.usage for line in sums), Usage())
    lines = [
        CostLine(
            model=line.model,
            purpose=line.purpose,
            requests=line.requests,
            failed=line.failed,
            **line.usage.model_dump(),
        )
        for line in sums
    ]
    return JobCosts(job_id=job_id, max_cost_usd=cap, lines=lines, **total.model_dump())
