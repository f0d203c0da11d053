"""The judge of an index: a language model that looks at doubtful pairs. Bodies, views, stored parameters."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints, model_validator

from towpath.core.bodies import Strict
from towpath.core.values import NUMBER
from towpath.core.wire import Wire
from towpath.entities.params import IndexParams
from towpath.entities.types import EntityRunState
from towpath.llm.batches.types import EXECUTION_HELP, BatchPlan, BatchRunState, Execution, ExecutionChoice
from towpath.llm.types import MODEL_KEY_FORM

MAX_JUDGED_PAIRS = 100_000
"""Pairs that one job takes at most."""


class JudgeAnswer(StrEnum):
    """What a model says of a pair; stored words."""

    SAME = "same"
    DIFFERENT = "different"
    UNSURE = "unsure"


class StopReason(StrEnum):
    """Why a judge has come to its end."""

    DONE = "done"
    """All doubtful pairs were asked."""
    LIMIT = "limit"
    """As many pairs as were to be asked; there are more."""
    BUDGET = "budget"
    """The next request could have cost more than is left."""


class Standing(StrEnum):
    """Whether a judgement counts."""

    HOLDS = "holds"
    UNSURE = "unsure"
    OUTDATED = "outdated"
    CONFLICTING = "conflicting"


class Zone(Wire, Strict):
    """Pairs by their similarity."""

    from_: Annotated[float, Field(alias="from", ge=0, le=1), NUMBER]
    to: Annotated[float, Field(ge=0, le=1, description="Not included."), NUMBER]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.from_ >= self.to:
            raise ValueError("from must be below to")
        return self


class JudgeBody(Wire, Strict):
    """The body of `POST /v1/indexes/{indexName}/judge`."""

    model: Annotated[str, StringConstraints(pattern=MODEL_KEY_FORM)] = Field(description="`provider::model`.")
    max_cost_usd: Annotated[float, Field(gt=0), NUMBER] = Field(
        description="No request is made that could cost more than is left of this."
    )
    limit: Annotated[int, Field(ge=1, le=MAX_JUDGED_PAIRS), NUMBER] = Field(
        default=MAX_JUDGED_PAIRS, description="The most pairs."
    )
    zone: Zone | None = Field(
        default=None, description="Which pairs; by default those between candidate and duplicate threshold."
    )
    execution: Execution = Field(default=Execution.LIVE, description=EXECUTION_HELP)


class JudgeParams(IndexParams):
    """What a judge was asked for, and what it has done so far."""

    index_made: str = Field(description="When the index was made: one of the same name that comes later is another.")
    model: str
    max_cost_usd: float
    limit: int
    zone: tuple[float, float] | None = None
    execution: ExecutionChoice = ExecutionChoice()
    attempt: int | None = Field(default=None, description="The attempt that has planned.")
    has_more: bool = Field(default=False, description="Whether the limit has left pairs out.")
    is_spent: bool = Field(default=False, description="Whether the next request could have cost too much.")
    answers: dict[str, int] = Field(default={}, description="How often each answer was given.")


class JudgePlan(BaseModel):
    """The pages of pairs that are to be asked, and how the job waits where its calls go through batches."""

    pages: list[int]
    batch: BatchPlan | None = None


class JudgeRunState(EntityRunState, BatchRunState):
    """What the workflow of a judge carries through continue-as-new."""


class JudgeResult(Wire):
    """The result of a judge."""

    pairs_asked: int = Field(description="Pairs that the model was asked about.")
    same: int
    different: int
    unsure: int
    unanswered: int = Field(description="Pairs without a usable answer.")
    conflicting: int = Field(description="Judgements that labels, or judgements that hold, are against.")
    cost_usd: float
    input_tokens: int
    output_tokens: int
    stopped_because: StopReason


class JudgementView(Wire):
    """What a model has said of two entities."""

    entity_id: str
    duplicate_id: str
    answer: JudgeAnswer
    reason: str
    judged_by: str = Field(description="The model.")
    standing: Standing = Field(
        description="`outdated`: an entity has changed or is gone. `conflicting`: labels or judgements are against it."
    )
    job_id: UUID
    created_at: datetime
    cost_usd: float = Field(description="Its part of what the request has cost.")


class JudgementPage(Wire):
    """A page of judgements, newest first."""

    judgements: list[JudgementView]
    limit: int
    offset: int
    total: int


class JudgementsRemoved(Wire):
    """How many judgements were taken back."""

    removed: int


class JudgedCounts(Wire):
    """How many pairs of an index a model has judged, by its answer."""

    same: int = 0
    different: int = 0
    unsure: int = 0


class Judge(BaseModel):
    """Who has judged a pair, and why so."""

    model: str
    reason: str

    def shown(self) -> dict[str, Any]:
        """Return the members of a view."""
        return {"judged_by": self.model, "judge_reason": self.reason}
