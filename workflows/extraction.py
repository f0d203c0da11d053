"""Extraction of one document: opened, its pages read in shares, its fields taken out, a person waited for."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from towpath.activities.extraction import ExtractionActivities
from towpath.extraction.types import (
    CLASSIFICATION,
    EXTRACTION,
    HOLD_SECONDS,
    REVIEW_REQUESTED,
    ExtractionOutcome,
    ExtractionState,
    PageShare,
)
from towpath.jobs.types import CollectingRef, JobInput, JobOutcome, NewEvent
from towpath.workflows.batches import BatchingWorkflow
from towpath.workflows.options import CHUNK, LLM_CALL
from towpath.workflows.webhooks import start_first_attempts

PLAN, READ, EXTRACT, CLASSIFY, REVIEW = "plan", "read", "extract", "classify", "review"
REVIEW_STEP = 1_000_000
"""Numbers the notice of a review; the others of a job are numbered by iterations."""


class DocumentWorkflow(BatchingWorkflow[ExtractionState]):
    """What extractions and classifications share: the document is opened and read."""

    def __init__(self) -> None:
        super().__init__(ExtractionState())

    async def read(self, job: JobInput, *, then: str) -> None:
        """Read the pages that are left, in shares, as many at once as the job's window.

        Args:
            job: The workflow's input.
            then: The phase that follows, once the job is not paused.
        """
        state = self.state
        if state.phase == PLAN:
            plan = await workflow.execute_activity_method(
                ExtractionActivities.open_document, job.ref, **CHUNK, summary="open the document"
            )
            state.shares, state.total, state.batch = plan.shares, plan.total, plan.batch
            await self.enter_phase(job, READ, len(plan.shares))
        if state.phase == READ:
            shares = state.shares

            async def read(unit: int) -> object:
                share = PageShare(ref=job.ref, pages=shares[unit], total=state.total)
                summary = f"pages {shares[unit][0]} to {shares[unit][-1]}"
                return await workflow.execute_activity_method(
                    ExtractionActivities.read_share, share, **CHUNK, summary=summary
                )

            await self.run_chunks(job, read, len(shares))
        if state.phase not in {PLAN, READ}:
            return
        await workflow.wait_condition(lambda: not self.paused)
        await self.enter_phase(job, then)


@workflow.defn(name=EXTRACTION)
class ExtractionWorkflow(DocumentWorkflow):
    """Reads a document and takes its fields out."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.run_job(job, self._phases)

    async def _phases(self, job: JobInput) -> dict[str, Any]:
        await self.read(job, then=EXTRACT)

        async def extract(ref: CollectingRef) -> ExtractionOutcome:
            return await workflow.execute_activity_method(
                ExtractionActivities.extract_fields, ref, **LLM_CALL, summary="fields"
            )

        outcome = await self.run_step(job, EXTRACT, extract, lambda result: result.awaits)
        if outcome.review:
            await self._review(job, hold=outcome.hold)
        return {"pages": self.state.total}

    async def _review(self, job: JobInput, *, hold: bool) -> None:
        await self.enter_phase(job, REVIEW)
        deliveries = await workflow.execute_activity_method(
            ExtractionActivities.show_review, job.ref, **CHUNK, summary="pictures for the review"
        )
        await start_first_attempts(job.ref, deliveries, step=REVIEW_STEP)
        if hold:
            await self.await_approval(job, NewEvent(type=REVIEW_REQUESTED, key="review"), seconds=HOLD_SECONDS)
            await workflow.execute_activity_method(
                ExtractionActivities.settle_review, job.ref, **CHUNK, summary="what was decided"
            )


@workflow.defn(name=CLASSIFICATION)
class ClassificationWorkflow(DocumentWorkflow):
    """Reads the beginning of a document and chooses its class."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.run_job(job, self._phases)

    async def _phases(self, job: JobInput) -> dict[str, Any]:
        await self.read(job, then=CLASSIFY)

        async def classify(ref: CollectingRef) -> dict[str, Any] | None:
            return await workflow.execute_activity_method(
                ExtractionActivities.classify, ref, **LLM_CALL, summary="choose the class"
            )

        return await self.run_step(job, CLASSIFY, classify, lambda result: result is None) or {}


EXTRACTION_WORKFLOWS = [ExtractionWorkflow, ClassificationWorkflow]
