"""The stored parameters of enrichments and of the jobs around them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from towpath.enrichment.bodies import GenerateBody, MergeBody, PromptBody
from towpath.enrichment.types import Classification, Plan


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
