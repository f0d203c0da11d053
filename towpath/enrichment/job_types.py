"""What enrichments and the small jobs around them are, for everything that serves jobs of all kinds."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from towpath.core.queues import Queue
from towpath.enrichment.bodies import GenerateBody, MergeBody, PromptBody
from towpath.enrichment.types import (
    BATCH_ENRICHMENT,
    EXPERTISE_RETRY,
    FUSION_MERGE,
    SCHEMA_EDIT,
    SCHEMA_GENERATION,
    SINGLE_ENRICHMENT,
    STATUS_OF,
    Classification,
    Plan,
)
from towpath.jobs.job_type import JobType

STATUS_PATH = "/api/enrichment/jobs/{id}/status"


class TypeCheckParams(BaseModel):
    """What is known of the entities' type: it may change while the job runs, unlike the rest of the parameters."""

    classification: Classification | None = Field(default=None, description="The result of the check of the type.")
    answers: dict[str, dict[str, Any]] | None = Field(default=None, description="What a person has answered to it.")


class EnrichmentParams(TypeCheckParams):
    """What an enrichment of one or of many entities was asked for, and what a person has said meanwhile."""

    schema_: str = Field(alias="schema", description="The saved schema's id, or the name of one that is not saved.")
    schema_name: str = ""
    plan: Plan


class RetryParams(BaseModel):
    """Which record's failed domains are asked for again."""

    record_id: UUID
    entity: dict[str, Any]
    plan: Plan


class GenerationParams(BaseModel):
    """Of what a schema is made, and by which model."""

    model: str
    body: GenerateBody


class EditParams(BaseModel):
    """How a saved schema is changed, and by which model."""

    schema_id: UUID
    schema_name: str = ""
    version: int
    model: str
    body: PromptBody


class MergeParams(BaseModel):
    """Which records are fused."""

    schema_id: str | None = None
    schema_name: str = ""
    body: MergeBody


def _job_type(kind: str, title: str, params: type[BaseModel], subject: str, *activities: str) -> JobType:
    return JobType(
        kind=kind,
        title=title,
        params=params,
        subject=subject,
        shown_params=frozenset({"schema", "schema_id", "schema_name", "version", "model", "record_id"}),
        resource_path=STATUS_PATH,
        statuses=STATUS_OF,
        activities={Queue.LLM: activities},
        counts_in_events=True,
    )


CHUNKS = ("plan_enrichment", "enrich_page")
JOB_TYPES = (
    _job_type(SINGLE_ENRICHMENT, "Single enrichment", EnrichmentParams, "schema_name", *CHUNKS, "check_type"),
    _job_type(BATCH_ENRICHMENT, "Batch enrichment", EnrichmentParams, "schema_name", *CHUNKS),
    _job_type(EXPERTISE_RETRY, "Expertise retry", RetryParams, "record_id", "retry_domains"),
    _job_type(SCHEMA_GENERATION, "Schema generation", GenerationParams, "model", "generate_schema"),
    _job_type(SCHEMA_EDIT, "Schema edit", EditParams, "schema_name", "edit_schema"),
    _job_type(FUSION_MERGE, "Fusion merge", MergeParams, "schema_name", "merge_records"),
)
