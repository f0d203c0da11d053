"""What upsertion and deletion tasks are, for everything that serves jobs of all kinds."""

from __future__ import annotations

from towpath.core.queues import Queue
from towpath.jobs.job_type import JobType
from towpath.vectors.params import TaskParams
from towpath.vectors.store.tasks import prepare_restart
from towpath.vectors.types import STATUS_OF, VECTOR_DELETION, VECTOR_UPSERTION

SHOWN = frozenset({"collection", "model", "order"})


JOB_TYPES = (
    JobType(
        kind=VECTOR_UPSERTION,
        title="Vector upsertion",
        params=TaskParams,
        subject="collection",
        shown_params=SHOWN,
        resource_path="/embeddings/upsertion-tasks/info?task_id={external_id}",
        statuses=STATUS_OF,
        # The first is called by the housekeeping, for both kinds.
        activities={Queue.ENGINE: ("tend_index",), Queue.COMPUTE: ("plan_task", "upsert_page")},
        on_restart=prepare_restart,
    ),
    JobType(
        kind=VECTOR_DELETION,
        title="Vector deletion",
        params=TaskParams,
        subject="collection",
        shown_params=SHOWN,
        resource_path="/embeddings/deletion-tasks/info?task_id={external_id}",
        statuses=STATUS_OF,
        activities={Queue.COMPUTE: ("plan_task", "delete_page")},
        on_restart=prepare_restart,
    ),
)
