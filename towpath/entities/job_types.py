"""What a batch, a re-index and a judge are, for everything that serves jobs of all kinds."""

from __future__ import annotations

from towpath.core.queues import Queue
from towpath.db.engine import Connection
from towpath.entities.judge_types import JudgeParams
from towpath.entities.params import BatchParams, ReindexParams
from towpath.entities.store.events import sweep_events
from towpath.entities.store.indexes import purge_dropped
from towpath.entities.types import BATCH_STATUS, ENTITY_BATCH, ENTITY_JUDGE, ENTITY_REINDEX, ENTITY_SETTLE
from towpath.jobs.job_type import JobType
from towpath.llm.batches.types import BATCH_ACTIVITIES

STATUS_PATH = "/v1/entities/batch/status?jobId={id}"
REBUILDING = {
    Queue.COMPUTE: (
        "plan_reindex", "copy_share", "train_building", "match_share", "resolve_building", "swap_index",
    )
}  # fmt: skip
POSTINGS_A_ROW = 10
"""Rows of a dropped index are small: so many of them go where one of another table would."""


async def _sweep(connection: Connection, days: int, limit: int) -> int:
    swept = await sweep_events(connection, days=days, limit=limit)
    return swept + await purge_dropped(connection, limit=limit * POSTINGS_A_ROW)


JOB_TYPES = (
    JobType(
        kind=ENTITY_BATCH,
        title="Entity batch",
        params=BatchParams,
        subject="index",
        shown_params=frozenset({"index"}),
        resource_path=STATUS_PATH,
        statuses=BATCH_STATUS,
        # The first is called by the housekeeping.
        activities={
            Queue.ENGINE: ("tend_groups",),
            Queue.COMPUTE: ("plan_batch", "index_page", "train_index", "match_page", "resolve_batch"),
        },
        sweep=_sweep,
    ),
    JobType(
        kind=ENTITY_REINDEX,
        title="Entity re-index",
        params=ReindexParams,
        subject="index",
        shown_params=frozenset({"index", "attempt", "settles"}),
        resource_path=STATUS_PATH,
        statuses=BATCH_STATUS,
        activities=REBUILDING,
    ),
    JobType(
        kind=ENTITY_SETTLE,
        title="Settling of an index",
        params=ReindexParams,
        subject="index",
        shown_params=frozenset({"index", "attempt"}),
        resource_path=STATUS_PATH,
        statuses=BATCH_STATUS,
        activities=REBUILDING,
        is_upkeep=True,
    ),
    JobType(
        kind=ENTITY_JUDGE,
        title="Entity judge",
        params=JudgeParams,
        subject="index",
        shown_params=frozenset({"index", "model", "limit"}),
        resource_path=STATUS_PATH,
        statuses=BATCH_STATUS,
        activities={Queue.COMPUTE: ("plan_judging", "settle_judging"), Queue.LLM: ("judge_page", *BATCH_ACTIVITIES)},
    ),
)
