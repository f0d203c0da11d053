"""What the entity workflows and their activities say to each other: references and counts, never items."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field

from contracts.jobs import JobRef


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


class BatchPlan(BaseModel):
    """Which staged pages have work left."""

    pages: list[int]


class PageTask(BaseModel):
    """One chunk: a staged page of a job."""

    ref: JobRef
    page: int
    pages: int = Field(description="How many pages this run goes through, for the fraction done.")


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


class EntityJobState(BaseModel):
    """All that an entity workflow carries through continue-as-new."""

    phase: Phase = Phase.PLAN
    pages: list[int] = []
    shares: int = 0
    next: int = Field(default=0, description="The first unit of the phase that has not been started.")
    paused: bool = False
    window: int = 0
