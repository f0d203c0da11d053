"""Groups as the wire knows them: events, evidence, golden records, corrections."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, model_validator

from towpath.core.bodies import Strict
from towpath.core.wire import Wire
from towpath.entities.domain.golden import MAX_FIELDS, SurvivalRule
from towpath.entities.domain.matching.naming import GroupChange
from towpath.entities.types import EntityRef, Explanation, GroupView, PairView

MAX_PARTS = 100
MAX_SOURCES = 1_000
MAX_MEMBERS = 10_000

EntityIds = Annotated[list[EntityRef], Field(min_length=1, max_length=MAX_MEMBERS)]
GroupName = Annotated[str, Field(min_length=1, max_length=64)]


class Cause(StrEnum):
    """What has led to a change of groups."""

    UPSERT = "upsert"
    BATCH = "batch"
    DELETE = "delete"
    LABEL = "label"
    SPLIT = "split"
    MERGE = "merge"
    UNDO = "undo"
    REINDEX = "reindex"
    SETTLE = "settle"
    JUDGEMENT = "judgement"


class GroupMembers(Wire):
    """Members on one side of a change: how many, and the first 100."""

    count: int
    entity_ids: list[int | str]


class IndexEvent(Wire):
    """One change of one group. Numbers rise by one within an index."""

    seq: int
    at: datetime
    type: GroupChange
    index_name: str
    group_id: str
    cause: Cause
    job_id: UUID | None = None
    before: GroupMembers
    after: GroupMembers
    joined: GroupMembers
    left: GroupMembers
    sources: list[str] = Field(default=[], description="Merged: the groups that it has taken in. Created: whence.")
    parts: list[str] = Field(default=[], description="Split: the groups that its members are in now.")


class IndexEventPage(Wire):
    """Events in the order in which they happened; pass `nextAfter` back as `after`."""

    events: list[IndexEvent]
    next_after: int
    last: int = Field(description="The number of the newest event.")


class GoldenValue(Wire):
    """The value of a field that survives, and where it comes from."""

    value: Any
    entity_id: int | str
    rule: SurvivalRule
    agreeing: int = Field(description="Members that have this value.")
    filled: int = Field(description="Members that have any.")


FieldName = Annotated[str, Field(min_length=1, max_length=256)]


class GoldenRules(Wire, Strict):
    """By what the values of golden records survive in an index."""

    rule: SurvivalRule = Field(default=SurvivalRule.MOST_FREQUENT, description="Of all fields.")
    fields: Annotated[
        dict[FieldName, SurvivalRule],
        Field(default_factory=dict, max_length=MAX_FIELDS, description="Of single fields, by their dotted paths."),
    ]
    sources: Annotated[
        list[FieldName],
        Field(default_factory=list, max_length=MAX_SOURCES, description="For `source_rank`: sources, the best first."),
    ]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.sources)) < len(self.sources):
            raise ValueError("sources names one twice")
        return self


class GroupDetail(GroupView):
    """A group: who is in it, what holds it together, and the record that its members make."""

    created_at: datetime
    evidence: list[PairView] = Field(description="The strongest pairs that connect the members: one less than those.")
    golden: dict[str, GoldenValue]
    truncated: bool = Field(description="Whether there are more members than are listed and looked at.")


class WhyReason(StrEnum):
    """Why two entities are in one group, or not."""

    PAIR = "pair"
    GROUP = "group"
    CHAIN = "chain"
    LABEL = "label"
    JUDGEMENT = "judgement"
    SAME_SOURCE = "same_source"
    NO_SHARED_KEY = "no_shared_key"
    COMMON_KEYS = "common_keys"
    CROWDED_OUT = "crowded_out"
    BELOW_THRESHOLD = "below_threshold"
    BETTER_CANDIDATE = "better_candidate"
    ONE_TO_ONE = "one_to_one"
    OUTWEIGHED = "outweighed"


class WhyView(Wire):
    """Why two entities are in one group, or why they are not."""

    entity_id: int | str
    other_id: int | str
    same_group: bool
    reason: WhyReason
    sentence: str
    group_id: str | None = None
    other_group_id: str | None = None
    similarity: float | None = None
    judged_by: str | None = Field(default=None, description="The model whose judgement decides.")
    judge_reason: str | None = Field(default=None, description="Why it judges so.")
    explanation: Explanation | None = None
    chain: list[PairView] = Field(default=[], description="The pairs, or the labels, that lead from one to the other.")
    lost_to: list[PairView] = Field(default=[], description="The pairs that were preferred.")


class SplitBody(Wire, Strict):
    """Who leaves a group; or the parts that it falls into, of which one may be left out: those who are not named."""

    leave: EntityIds | None = None
    parts: Annotated[list[EntityIds], Field(min_length=1, max_length=MAX_PARTS)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.leave is None) == (self.parts is None):
            raise ValueError("one of leave and parts is needed")
        return self


class MergeBody(Wire, Strict):
    """What a group takes in: other groups, or entities."""

    group_ids: Annotated[list[GroupName], Field(default_factory=list, max_length=MAX_PARTS)]
    entity_ids: Annotated[list[EntityRef], Field(default_factory=list, max_length=MAX_MEMBERS)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.group_ids and not self.entity_ids:
            raise ValueError("groupIds or entityIds is needed")
        return self


class UndoBody(Wire, Strict):
    """Which correction to undo; none: the newest of the group."""

    correction_id: UUID | None = None


class CorrectionView(Wire):
    """What came of a split, a merge or an undo."""

    correction_id: UUID
    groups: list[GroupView] = Field(description="The groups that the entities are in now.")
    alone: list[int | str] = Field(description="Those that are in none.")


class LabelView(Wire):
    """What somebody says of two entities."""

    entity_id: str
    duplicate_id: str
    duplicate: bool
    correction_id: UUID | None = Field(default=None, description="The split or merge that it belongs to.")


class LabelPage(Wire):
    """A page of labels, newest first."""

    labels: list[LabelView]
    limit: int
    offset: int
    total: int
