"""Enrichments, and the small jobs around them: a check before spending, then chunks over staged entities."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from towpath.activities.enrichment import EnrichmentActivities, LlmTaskActivities
from towpath.enrichment.types import (
    BATCH_ENRICHMENT,
    EXPERTISE_RETRY,
    FUSION_MERGE,
    HOLD_SECONDS,
    SCHEMA_EDIT,
    SCHEMA_GENERATION,
    SINGLE_ENRICHMENT,
    LlmEvent,
)
from towpath.jobs.types import JobInput, JobOutcome, NewEvent, PageTask
from towpath.llm.batches.types import BatchRunState
from towpath.workflows.batches import BatchingWorkflow
from towpath.workflows.options import LLM_CALL
from towpath.workflows.single import single_activity_job

PLAN, CHECK, ENRICH = "plan", "check", "enrich"


class EnrichmentWorkflow(BatchingWorkflow[BatchRunState]):
    """What enrichments of one and of many entities share."""

    def __init__(self) -> None:
        super().__init__(BatchRunState())

    async def _phases(self, job: JobInput) -> None:
        state = self.state
        if state.phase == PLAN:
            plan = await workflow.execute_activity_method(
                EnrichmentActivities.plan_enrichment, job.ref, **LLM_CALL, summary="plan"
            )
            state.pages, state.batch = plan.pages, plan.batch
            if not state.pages:
                return
            if job.ref.kind == SINGLE_ENRICHMENT:
                await self._check(job)
            await self.enter_phase(job, ENRICH, len(state.pages))

        async def run(task: PageTask) -> object:
            summary = f"entities of page {task.page}"
            return await workflow.execute_activity_method(
                EnrichmentActivities.enrich_page, task, **LLM_CALL, summary=summary
            )

        await self.run_pages(job, ENRICH, run)

    async def _check(self, job: JobInput) -> None:
        """Check whether the entity fits the schema; where it does not, a person decides before money is spent."""
        check = await workflow.execute_activity_method(
            EnrichmentActivities.check_type, job.ref, **LLM_CALL, summary="check of the type"
        )
        if not check.hold or check.classification is None:
            return
        data: dict[str, Any] = {
            "classification": check.classification.model_dump(mode="json"),
            "timeout_seconds": HOLD_SECONDS,
        }
        event = NewEvent(type=LlmEvent.CLASSIFICATION_MISMATCH_PAUSE, key="hold", data=data)
        await self.await_approval(job, event, seconds=HOLD_SECONDS)


@workflow.defn(name=SINGLE_ENRICHMENT)
class SingleEnrichmentWorkflow(EnrichmentWorkflow):
    """Enriches one entity."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.run_job(job, self._phases)


@workflow.defn(name=BATCH_ENRICHMENT)
class BatchEnrichmentWorkflow(EnrichmentWorkflow):
    """Enriches many entities."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.run_job(job, self._phases)


SchemaGenerationWorkflow = single_activity_job(
    SCHEMA_GENERATION, LlmTaskActivities.generate_schema, LLM_CALL, module=__name__, shows_phase=True
)
SchemaEditWorkflow = single_activity_job(
    SCHEMA_EDIT, LlmTaskActivities.edit_schema, LLM_CALL, module=__name__, shows_phase=True
)
ExpertiseRetryWorkflow = single_activity_job(
    EXPERTISE_RETRY, LlmTaskActivities.retry_domains, LLM_CALL, module=__name__, shows_phase=True
)
FusionMergeWorkflow = single_activity_job(
    FUSION_MERGE, LlmTaskActivities.merge_records, LLM_CALL, module=__name__, shows_phase=True
)

ENRICHMENT_WORKFLOWS: list[type] = [
    SingleEnrichmentWorkflow,
    BatchEnrichmentWorkflow,
    SchemaGenerationWorkflow,
    SchemaEditWorkflow,
    ExpertiseRetryWorkflow,
    FusionMergeWorkflow,
]
