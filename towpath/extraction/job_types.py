"""What an extraction and a classification are, for everything that serves jobs of all kinds."""

from __future__ import annotations

from typing import Any

from towpath.accounts.types import Principal
from towpath.core.queues import Queue
from towpath.db.engine import Connection
from towpath.documents.store.blobs import sweep_blobs
from towpath.extraction.store.jobs import prepare_restart, read_notice_fields
from towpath.extraction.store.pages import sweep_pages
from towpath.extraction.store.reviews import withdraw
from towpath.extraction.types import CLASSIFICATION, EXTRACTION, ExtractParams
from towpath.jobs.job_type import JobType
from towpath.jobs.registry import job_type
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import STATUS_OF
from towpath.llm.batches.types import BATCH_ACTIVITIES

SHOWN = frozenset({"llm"})


async def _withdraw_review(caller: Principal, connection: Connection, job: JobRow) -> None:
    """Withdraw the review, also that of a finished job."""
    await withdraw(connection, job.id, by=caller.user_id or caller.key_id)


async def _webhook_fields(connection: Connection, job: JobRow) -> dict[str, Any]:
    metadata, review = await read_notice_fields(connection, job.id)
    fields: dict[str, Any] = {"status": job_type(job.kind).status_of(job), "reviewStatus": review}
    return fields if metadata is None else {**fields, "metadata": metadata}


async def _sweep(connection: Connection, days: int, limit: int) -> int:
    files = await sweep_blobs(connection, days=days, limit=limit)
    return files + await sweep_pages(connection, days=days, limit=limit)


JOB_TYPES = (
    JobType(
        kind=EXTRACTION,
        title="Extraction",
        params=ExtractParams,
        subject="document.file_name",
        shown_params=SHOWN,
        resource_path="/extract?jobId={id}",
        statuses=STATUS_OF,
        activities={
            Queue.COMPUTE: ("open_document", "read_share", "show_review", "settle_review"),
            Queue.LLM: ("extract_fields", *BATCH_ACTIVITIES),
        },
        on_cancel=_withdraw_review,
        on_restart=prepare_restart,
        webhook_fields=_webhook_fields,
        sweep=_sweep,
    ),
    JobType(
        kind=CLASSIFICATION,
        title="Classification",
        params=ExtractParams,
        subject="document.file_name",
        shown_params=SHOWN,
        resource_path="/jobs/{id}",
        statuses=STATUS_OF,
        activities={Queue.COMPUTE: ("open_document", "read_share"), Queue.LLM: ("classify", *BATCH_ACTIVITIES)},
        on_restart=prepare_restart,
        webhook_fields=_webhook_fields,
    ),
)
