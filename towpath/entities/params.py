"""What the entity workflows and their activities say to each other: references and counts, never items."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field

from towpath.jobs.types import JobRef, RunState


class Phase(StrEnum):
    """What an entity job does now."""

    PLAN = "plan"
    COPY = "copy"
    INDEX = "index"
    TRAIN = "train"
    REMATCH = "rematch"
    MATCH = "match"
    RESOLVE = "resolve"
    SWAP = "swap"


class ShareTask(BaseModel):
    """One chunk: the entities of a generation whose uid falls into share `share` of `shares` equal ones."""

    ref: JobRef
    share: int
    shares: int


class TrainReport(BaseModel):
    """What training decided."""

    trained: bool
    shares: int = Field(description="Shares of the whole index to match anew; 0: only what the job wrote.")


class ReindexPlan(BaseModel):
    """How a re-index cuts the index."""

    shares: int


class EntityRunState(RunState):
    """What an entity workflow carries besides."""

    phase: str = Phase.PLAN
    shares: int = 0
