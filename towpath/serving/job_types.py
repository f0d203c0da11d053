"""What a batch is, for everything that serves jobs of all kinds."""

from __future__ import annotations

from typing import Any

from towpath.accounts.types import Principal
from towpath.core.queues import Queue
from towpath.db.engine import Connection
from towpath.jobs.job_type import JobType
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import STATUS_OF
from towpath.serving.service.files import id_of
from towpath.serving.store.batches import load_end, mark_cancelling, prepare_restart
from towpath.serving.store.files import sweep_files
from towpath.serving.types import REQUEST_BATCH, BatchParams, show_batch_id


async def _mark_cancelling(_: Principal, connection: Connection, job: JobRow) -> None:
    if not job.state.final:
        await mark_cancelling(connection, job.id)


async def _webhook_fields(connection: Connection, job: JobRow) -> dict[str, Any]:
    status, output, error = await load_end(connection, job.id)
    return {
        "batchId": show_batch_id(job.id),
        "batchStatus": status,
        "outputFileId": id_of(output),
        "errorFileId": id_of(error),
    }


async def _sweep(connection: Connection, _: int, limit: int) -> int:
    return await sweep_files(connection, limit=limit)


JOB_TYPES = (
    JobType(
        kind=REQUEST_BATCH,
        title="Batch of requests",
        params=BatchParams,
        subject="endpoint",
        shown_params=frozenset({"endpoint", "window"}),
        resource_path="/v1/batches/batch_{id.hex}",
        statuses=STATUS_OF,
        activities={Queue.COMPUTE: ("validate_batch", "write_batch_files"), Queue.LLM: ("ask_batch_page",)},
        on_cancel=_mark_cancelling,
        on_restart=prepare_restart,
        webhook_fields=_webhook_fields,
        sweep=_sweep,
    ),
)
