"""What a batch and a re-index are, for everything that serves jobs of all kinds."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from towpath.core.queues import Queue
from towpath.db.engine import Connection
from towpath.entities.store.indexes import purge_dropped
from towpath.entities.types import ENTITY_BATCH, ENTITY_REINDEX
from towpath.jobs.job_type import JobType
from towpath.jobs.types import JobState

STATUS_PATH = "/v1/entities/batch/status?jobId={id}"
STATUSES = {state: state.value for state in JobState}
POSTINGS_A_ROW = 10
"""Rows of a dropped index are small: so many of them go where one of another table would."""


class BatchParams(BaseModel):
    """What a batch was asked for."""

    index: str
    index_made: str | None = Field(
        default=None, alias="indexMade", description="When the index was made that its first attempt has written to."
    )


class ReindexParams(BaseModel):
    """What a re-index was asked for, and what it has found out."""

    index: str
    config: dict[str, Any]
    fields: list[str] | None = Field(default=None, description="The fields that the index had when it was asked for.")
    attempt: int | None = Field(default=None, description="The attempt that builds the next generation.")
    report: dict[str, Any] | None = Field(default=None, description="What training has measured.")


async def _sweep(connection: Connection, days: int, limit: int) -> int:
    return await purge_dropped(connection, limit=limit * POSTINGS_A_ROW)


JOB_TYPES = (
    JobType(
        kind=ENTITY_BATCH,
        title="Entity batch",
        params=BatchParams,
        subject="index",
        shown_params=frozenset({"index"}),
        resource_path=STATUS_PATH,
        statuses=STATUSES,
        activities={Queue.COMPUTE: ("plan_batch", "index_page", "train_index", "match_page", "resolve_batch")},
        sweep=_sweep,
    ),
    JobType(
        kind=ENTITY_REINDEX,
        title="Entity re-index",
        params=ReindexParams,
        subject="index",
        shown_params=frozenset({"index", "attempt"}),
        resource_path=STATUS_PATH,
        statuses=STATUSES,
        activities={
            Queue.COMPUTE: (
                "plan_reindex", "copy_share", "train_building", "match_share", "resolve_building", "swap_index",
            )
        },
    ),
)  # fmt: skip
