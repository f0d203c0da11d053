"""Binds the steps of extraction jobs to Temporal."""

from __future__ import annotations

from typing import Any

from temporalio import activity

from towpath.extraction.service.pipeline import ExtractionPipeline
from towpath.extraction.types import ExtractionOutcome, PageShare, ReadPlan
from towpath.jobs.types import CollectingRef, DeliveryRef, JobRef


class ExtractionActivities:
    """Serves what extraction and classification jobs do.

    Args:
        pipeline: Carries it out.
    """

    def __init__(self, pipeline: ExtractionPipeline) -> None:
        self._pipeline = pipeline

    @activity.defn(name="open_document")
    async def open_document(self, ref: JobRef) -> ReadPlan:
        """Fetch the document if need be, and plan which of its pages are left to read."""
        return await self._pipeline.open_document(ref)

    @activity.defn(name="read_share")
    async def read_share(self, share: PageShare) -> int:
        """Read pages that are not kept yet."""
        return await self._pipeline.read_share(share)

    @activity.defn(name="extract_fields")
    async def extract_fields(self, ref: CollectingRef) -> ExtractionOutcome:
        """Take the fields out, and decide whether a person is to look at them."""
        return await self._pipeline.extract_fields(ref)

    @activity.defn(name="show_review")
    async def show_review(self, ref: JobRef) -> list[DeliveryRef]:
        """Prepare a review, and say that it waits."""
        return await self._pipeline.request_review(ref)

    @activity.defn(name="settle_review")
    async def settle_review(self, ref: JobRef) -> None:
        """End a held job by what was decided."""
        await self._pipeline.settle_review(ref)

    @activity.defn(name="classify")
    async def classify(self, ref: CollectingRef) -> dict[str, Any] | None:
        """Choose the class of the document."""
        return await self._pipeline.classify(ref)
