"""Whether a job's calls go through batches, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from towpath.core.errors import BadInputError
from towpath.db.engine import Connection
from towpath.jobs.store.events import append_run_event
from towpath.jobs.types import EventType, JobRef
from towpath.llm.batches.types import WINDOW, BatchPlan, Execution, ExecutionChoice
from towpath.llm.catalog import Catalog
from towpath.llm.types import LlmConfig


def plan_of(config: LlmConfig) -> BatchPlan:
    """Return how jobs wait for their batches."""
    return BatchPlan(
        first_wait=config.batch_first_wait,
        longest_wait=config.batch_longest_wait,
        live_seconds=config.batch_live_seconds,
    )


def choose_execution(
    catalog: Catalog, requested: Execution, models: Iterable[str], deadline: datetime | None, now: datetime
) -> ExecutionChoice:
    """Choose how the calls of a job are made.

    Args:
        catalog: Knows which models there are batches of.
        requested: What the start says.
        models: All that the job asks.
        deadline: Of the job.
        now: The time.

    Returns:
        Live or batch, and why.

    Raises:
        BadInputError: Batches are asked for, and a model has none.
    """
    if requested is Execution.LIVE:
        return ExecutionChoice()
    without = [model for model in dict.fromkeys(models) if not catalog.has_batches(model)]
    if requested is Execution.BATCH:
        if without:
            raise BadInputError(
                f"execution: batch, but the provider of {without[0]} has no batch endpoint here", field="execution"
            )
        return ExecutionChoice(requested=requested, execution=Execution.BATCH)
    chosen, reason = _choose(catalog, without, deadline, now)
    return ExecutionChoice(requested=requested, execution=chosen, reason=reason)


def _choose(
    catalog: Catalog, without: Sequence[str], deadline: datetime | None, now: datetime
) -> tuple[Execution, str]:
    if without:
        return Execution.LIVE, f"the provider of {without[0]} has no batch endpoint"
    if deadline is None:
        return Execution.LIVE, "no deadline says how long there is time"
    needed = WINDOW + timedelta(seconds=catalog.batch_live_seconds)
    if deadline - now < needed:
        return Execution.LIVE, f"the deadline is less than {needed.total_seconds() / 3600:g} hours away"
    return Execution.BATCH, f"the deadline is more than {needed.total_seconds() / 3600:g} hours away"


async def tell_execution(connection: Connection, ref: JobRef, choice: ExecutionChoice) -> None:
    """Append an event of how calls are made, where a start has asked for anything but live ones."""
    if choice.requested is not Execution.LIVE:
        data = choice.model_dump(mode="json")
        await append_run_event(connection, ref, EventType.EXECUTION_SELECTED, data, "execution")
