"""Enrichments, and the small jobs around them: a check before spending, then chunks over staged entities."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from towpath.activities.enrichment import EnrichmentActivities
from towpath.activities.llm_tasks import LlmTaskActivities
from towpath.enrichment.types import HOLD_SECONDS, LlmEvent
from towpath.jobs.types import JobInput, JobKind, JobOutcome, NewEvent, PageTask, RunState
from towpath.workflows.job import JobWorkflow
from towpath.workflows.options import PAID

PLAN, CHECK, ENRICH = "plan", "check", "enrich"


class EnrichmentWorkflow(JobWorkflow[RunState]):
    """What enrichments of one and of many entities share."""

    def __init__(self) -> None:
        super().__init__(RunState())

    async def _phases(self, job: JobInput) -> None:
        state = self.state
        if state.phase == PLAN:
            plan = await workflow.execute_activity_method(
                EnrichmentActivities.plan_enrichment, job.ref, **PAID, summary="plan"
            )
            state.pages = plan.pages
            if not state.pages:
                return
            if job.ref.kind is JobKind.SINGLE_ENRICHMENT:
                await self._check(job)
            await self.go_to(job, ENRICH, len(state.pages))
        pages = state.pages

        async def chunk(unit: int) -> object:
            task = PageTask(ref=job.ref, page=pages[unit], pages=len(pages))
            summary = f"entities of page {pages[unit]}"
            return await workflow.execute_activity_method(
                EnrichmentActivities.enrich_page, task, **PAID, summary=summary
            )

        await self.through(job, chunk, len(pages))

    async def _check(self, job: JobInput) -> None:
        """Whether the entity is what the schema is for; where it is not, a person decides before money is spent."""
        check = await workflow.execute_activity_method(
            EnrichmentActivities.check_type, job.ref, **PAID, summary="check of the type"
        )
        if not check.hold or check.classification is None:
            return
        data: dict[str, Any] = {
            "classification": check.classification.model_dump(mode="json"),
            "timeout_seconds": HOLD_SECONDS,
        }
        event = NewEvent(type=LlmEvent.CLASSIFICATION_MISMATCH_PAUSE, key="hold", data=data)
        await self.hold(job, event, seconds=HOLD_SECONDS)


@workflow.defn(name=JobKind.SINGLE_ENRICHMENT)
class SingleEnrichmentWorkflow(EnrichmentWorkflow):
    """Enriches one entity."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.conduct(job, self._phases)


@workflow.defn(name=JobKind.BATCH_ENRICHMENT)
class BatchEnrichmentWorkflow(EnrichmentWorkflow):
    """Enriches many entities."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.conduct(job, self._phases)


class LlmTaskWorkflow(JobWorkflow[RunState]):
    """A job that is one activity and its result."""

    def __init__(self) -> None:
        super().__init__(RunState())

    async def _phases(self, job: JobInput) -> dict[str, Any]:
        await self.go_to(job, job.ref.kind.replace("_", " "))
        await workflow.wait_condition(lambda: not self.paused)
        methods = {
            JobKind.SCHEMA_GENERATION: LlmTaskActivities.generate_schema,
            JobKind.SCHEMA_EDIT: LlmTaskActivities.edit_schema,
            JobKind.EXPERTISE_RETRY: LlmTaskActivities.retry_domains,
            JobKind.FUSION_MERGE: LlmTaskActivities.merge_records,
        }
        return await workflow.execute_activity_method(methods[job.ref.kind], job.ref, **PAID)


@workflow.defn(name=JobKind.SCHEMA_GENERATION)
class SchemaGenerationWorkflow(LlmTaskWorkflow):
    """Makes a schema of samples."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.conduct(job, self._phases)


@workflow.defn(name=JobKind.SCHEMA_EDIT)
class SchemaEditWorkflow(LlmTaskWorkflow):
    """Changes a schema by an instruction."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.conduct(job, self._phases)


@workflow.defn(name=JobKind.EXPERTISE_RETRY)
class ExpertiseRetryWorkflow(LlmTaskWorkflow):
    """Asks once more for a record's failed domains."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.conduct(job, self._phases)


@workflow.defn(name=JobKind.FUSION_MERGE)
class FusionMergeWorkflow(LlmTaskWorkflow):
    """Fuses records."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.conduct(job, self._phases)


ENRICHMENT_WORKFLOWS = [
    SingleEnrichmentWorkflow,
    BatchEnrichmentWorkflow,
    SchemaGenerationWorkflow,
    SchemaEditWorkflow,
    ExpertiseRetryWorkflow,
    FusionMergeWorkflow,
]
