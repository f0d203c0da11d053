"""The stored parameters of batches and re-indexes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class IndexParams(BaseModel):
    """What all jobs over an index have in common: activities that serve several kinds read this."""

    index: str


class BatchParams(IndexParams):
    """What a batch was asked for."""

    index_made: str | None = Field(
        default=None, alias="indexMade", description="When the index was made that its first attempt has written to."
    )


class ReindexParams(IndexParams):
    """What a re-index was asked for, and what it has found out."""

    config: dict[str, Any]
    fields: list[str] | None = Field(default=None, description="The fields that the index had when it was asked for.")
    attempt: int | None = Field(default=None, description="The attempt that builds the next generation.")
    settles: bool = Field(default=False, description="Nobody has asked for it: the index is to settle.")
    report: dict[str, Any] | None = Field(default=None, description="What training has measured.")
    changes: dict[str, Any] | None = Field(default=None, description="What is other than in the generation before.")
