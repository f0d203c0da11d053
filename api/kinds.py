"""What the façade has to know of each kind of job; the one place to name a new one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from towpath.accounts.types import Principal
from towpath.ai.store.jobs import note_canceller
from towpath.ai.store.jobs import prepare_restart as prepare_answer
from towpath.ai.types import DELIVER
from towpath.db.engine import Connection
from towpath.db.tables import JobRow
from towpath.extraction.store.jobs import prepare_restart as prepare_reading
from towpath.extraction.store.reviews import withdraw
from towpath.jobs.types import JobInput, JobKind, JobOutcome
from towpath.vectors.store.tasks import prepare_restart
from towpath.workflows.ai import AiJobWorkflow, QueryGenerationWorkflow, SchemaReadingWorkflow, TopicChoiceWorkflow
from towpath.workflows.enrichment import (
    BatchEnrichmentWorkflow,
    ExpertiseRetryWorkflow,
    FusionMergeWorkflow,
    SchemaEditWorkflow,
    SchemaGenerationWorkflow,
    SingleEnrichmentWorkflow,
)
from towpath.workflows.entities import EntityBatchWorkflow
from towpath.workflows.entity_reindex import EntityReindexWorkflow
from towpath.workflows.extraction import ClassificationWorkflow, ExtractionWorkflow
from towpath.workflows.vectors import VectorDeletionWorkflow, VectorUpsertionWorkflow

Run = Callable[[Any, JobInput], Awaitable[JobOutcome]]
Prepare = Callable[[Connection, JobRow], Awaitable[None]]
OnCancel = Callable[[Principal, Connection, JobRow], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of job.

    Args:
        run: The workflow's run method.
        path: The job in its own API; `{id}` and `{external_id}` are filled in.
        prepare_restart: Called in the transaction that sends a job round again.
        on_cancel: Called in the transaction of a cancel, also of a job that has ended.
        ends_at_once: Whether a cancel ends the job at once, and drops what its worker still brings.
    """

    run: Run
    path: str
    prepare_restart: Prepare | None = None
    on_cancel: OnCancel | None = None
    ends_at_once: bool = False


async def _note_canceller(caller: Principal, connection: Connection, job: JobRow) -> None:
    if not job.state.final and job.phase != DELIVER:
        await note_canceller(connection, job.id, caller.user_id)


async def _withdraw_review(caller: Principal, connection: Connection, job: JobRow) -> None:
    """Also that of a finished job."""
    await withdraw(connection, job.id, by=caller.user_id or caller.key_id)


STATUS_PATH = "/api/enrichment/jobs/{id}/status"

KINDS: dict[JobKind, Kind] = {
    JobKind.ENTITY_BATCH: Kind(EntityBatchWorkflow.run, "/v1/entities/batch/status?jobId={id}"),
    JobKind.ENTITY_REINDEX: Kind(EntityReindexWorkflow.run, "/v1/entities/batch/status?jobId={id}"),
    JobKind.VECTOR_UPSERTION: Kind(
        VectorUpsertionWorkflow.run, "/embeddings/upsertion-tasks/info?task_id={external_id}",
        prepare_restart,
    ),
    JobKind.VECTOR_DELETION: Kind(
        VectorDeletionWorkflow.run, "/embeddings/deletion-tasks/info?task_id={external_id}",
        prepare_restart,
    ),
    JobKind.SINGLE_ENRICHMENT: Kind(SingleEnrichmentWorkflow.run, STATUS_PATH),
    JobKind.BATCH_ENRICHMENT: Kind(BatchEnrichmentWorkflow.run, STATUS_PATH),
    JobKind.EXPERTISE_RETRY: Kind(ExpertiseRetryWorkflow.run, STATUS_PATH),
    JobKind.SCHEMA_GENERATION: Kind(SchemaGenerationWorkflow.run, STATUS_PATH),
    JobKind.SCHEMA_EDIT: Kind(SchemaEditWorkflow.run, STATUS_PATH),
    JobKind.FUSION_MERGE: Kind(FusionMergeWorkflow.run, STATUS_PATH),
    JobKind.AI_JOB: Kind(AiJobWorkflow.run, "/v1/ai/jobs/{id}", prepare_answer, _note_canceller, ends_at_once=True),
    JobKind.TOPIC_CHOICE: Kind(TopicChoiceWorkflow.run, "/v1/jobs/{id}"),
    JobKind.QUERY_GENERATION: Kind(QueryGenerationWorkflow.run, "/v1/jobs/{id}"),
    JobKind.EXTRACTION: Kind(ExtractionWorkflow.run, "/extract?jobId={id}", prepare_reading, _withdraw_review),
    JobKind.CLASSIFICATION: Kind(ClassificationWorkflow.run, "/jobs/{id}", prepare_reading),
    JobKind.SCHEMA_READING: Kind(SchemaReadingWorkflow.run, "/v1/jobs/{id}"),
}  # fmt: skip


def system_path(job: JobRow) -> str:
    """Where a job is shown in its own API."""
    return KINDS[job.kind].path.format(id=job.id, external_id=job.external_id)
