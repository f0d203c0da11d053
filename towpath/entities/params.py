"""The stored parameters of batches and re-indexes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class BatchParams(BaseModel):
    """What a batch was asked for."""

    index: str
    index_made: str | None = Field(
        default=None, alias="indexMade", description="When the index was made that its first attempt has written to."
    )


class ReindexParams(BaseModel):
    """What a re-index was asked for, and what it has found out."""

    index: str
    config: dict[str, Any]
    fields: list[str] | None = Field(default=None, description="The fields that the index had when it was asked for.")
    attempt: int | None = Field(default=None, description="The attempt that builds the next generation.")
    report: dict[str, Any] | None = Field(default=None, description="What training has measured.")
