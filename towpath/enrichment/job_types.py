"""What enrichments and the small jobs around them are, for everything that serves jobs of all kinds."""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel

from towpath.core.queues import Queue
from towpath.enrichment.params import EditParams, EnrichmentParams, GenerationParams, MergeParams, RetryParams
from towpath.enrichment.service.results import load_batch_result, load_schema_result, load_single_result
from towpath.enrichment.types import (
    BATCH_ENRICHMENT,
    EXPERTISE_RETRY,
    FUSION_MERGE,
    SCHEMA_EDIT,
    SCHEMA_GENERATION,
    SINGLE_ENRICHMENT,
    STATUS_OF,
)
from towpath.jobs.job_type import EventVocabulary, JobType, LoadResult
from towpath.jobs.types import EventType
from towpath.llm.batches.types import BATCH_ACTIVITIES

STATUS_PATH = "/api/enrichment/jobs/{id}/status"


AWAY_MEMBERS = {
    "provider": "current_model",
    "attempt": "current_attempt",
    "message": "last_error_summary",
    "nextAttemptAt": "next_attempt_at",
    "givesUpAt": "gives_up_at",
}
"""A failed call in the members that every event of this stream has."""
EVENTS = EventVocabulary(
    hidden=frozenset({EventType.CREATED, EventType.STARTED, EventType.PHASE, EventType.PROGRESS}),
    prefix="job.",
    members={EventType.PROVIDER_AWAY: AWAY_MEMBERS},
)


def _describe(
    kind: str,
    title: str,
    params: type[BaseModel],
    subject: str,
    *activities: str,
    load_result: LoadResult | None = None,
    events: EventVocabulary = EVENTS,
) -> JobType:
    return JobType(
        kind=kind,
        title=title,
        params=params,
        subject=subject,
        shown_params=frozenset({"schema", "schema_id", "schema_name", "version", "model", "record_id"}),
        resource_path=STATUS_PATH,
        statuses=STATUS_OF,
        events=events,
        activities={Queue.LLM: activities},
        has_counts_in_events=True,
        load_result=load_result,
    )


CHUNKS = ("plan_enrichment", "enrich_page", *BATCH_ACTIVITIES)
JOB_TYPES = (
    _describe(
        SINGLE_ENRICHMENT,
        "Single enrichment",
        EnrichmentParams,
        "schema_name",
        *CHUNKS,
        "check_type",
        load_result=load_single_result,
    ),
    _describe(
        BATCH_ENRICHMENT,
        "Batch enrichment",
        EnrichmentParams,
        "schema_name",
        *CHUNKS,
        load_result=load_batch_result,
        events=replace(EVENTS, has_summary=True),
    ),
    _describe(EXPERTISE_RETRY, "Expertise retry", RetryParams, "record_id", "retry_domains"),
    _describe(
        SCHEMA_GENERATION,
        "Schema generation",
        GenerationParams,
        "model",
        "generate_schema",
        load_result=load_schema_result,
    ),
    _describe(SCHEMA_EDIT, "Schema edit", EditParams, "schema_name", "edit_schema", load_result=load_schema_result),
    _describe(FUSION_MERGE, "Fusion merge", MergeParams, "schema_name", "merge_records"),
)
