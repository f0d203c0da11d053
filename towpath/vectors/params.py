"""The stored parameters of upsertion and deletion tasks."""

from __future__ import annotations

from pydantic import BaseModel, Field

from towpath.vectors.types import Collection


class TaskParams(BaseModel):
    """What a task was asked for."""

    collection: Collection
    model: str = Field(description="The embedding model.")
    order: int = Field(description="Its place among all tasks: of two that write an object, the later one holds.")
