"""How good an index's verdicts are, and which pairs a person had best look at: the wire types."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from towpath.core.wire import Wire
from towpath.entities.judge_types import JudgedCounts
from towpath.entities.types import Explanation, InferredView


class FieldEvidence(StrEnum):
    """How much a field can tell entities apart."""

    GOOD = "GOOD"
    FEW_VALUES = "FEW_VALUES"
    NEAR_CONSTANT = "NEAR_CONSTANT"
    CONSTANT = "CONSTANT"
    EMPTY = "EMPTY"


class AdviceCode(StrEnum):
    """What an advice is about."""

    NOT_TRAINED = "NOT_TRAINED"
    SETTLING_FAILED = "SETTLING_FAILED"
    DECLARE_CLEAN_SOURCES = "DECLARE_CLEAN_SOURCES"
    REVIEW_INFERRED_SOURCES = "REVIEW_INFERRED_SOURCES"
    LABEL_PAIRS = "LABEL_PAIRS"
    TUNE = "TUNE"
    LOW_PRECISION = "LOW_PRECISION"
    LARGE_GROUP = "LARGE_GROUP"
    FIELD_WITHOUT_EVIDENCE = "FIELD_WITHOUT_EVIDENCE"


class Advice(Wire):
    """What to do about the quality of an index."""

    code: AdviceCode
    message: str
    field: str | None = Field(default=None, description="The field that it is about, if it is about one.")


class LabelPrecision(Wire):
    """What labels say of the pairs that the model scores at the duplicate threshold or above."""

    labelled: int = Field(description="Labelled pairs that score as duplicates.")
    right: int = Field(description="How many of them people call duplicates.")
    precision: float | None = Field(default=None, description="None: no such pair has a label.")


class PrecisionView(Wire):
    """How many of the pairs called duplicates are likely to be right, as shares 0..1."""

    estimated: float | None = Field(
        default=None,
        description="From both below; labels correct the model where they lie. None: there is no duplicate.",
    )
    by_model: float | None = Field(default=None, description="The mean similarity of the pairs called duplicates.")
    by_labels: LabelPrecision


class GreyZone(Wire):
    """The pairs between candidate and duplicate threshold."""

    lower: float
    upper: float
    pairs: int
    near_threshold: int = Field(description="Pairs within .1 of the duplicate threshold, on both sides.")


class PairCounts(Wire):
    """The listed pairs of an index."""

    listed: int
    duplicates: int
    grey_zone: GreyZone
    sampled_share: float = Field(description="Below 1: measured on so large a random part of the pairs, and scaled up.")


class LargeGroup(Wire):
    """One of the largest groups, with its first members."""

    group_id: str
    size: int
    entity_ids: list[int | str]


class GroupSize(Wire):
    """How many groups have so many members."""

    lowest: int
    highest: int | None
    groups: int


class GroupSummary(Wire):
    """The groups of an index."""

    groups: int
    entities: int = Field(description="Entities that are in a group.")
    sizes: list[GroupSize]
    largest: list[LargeGroup]
    sampled_share: float = Field(description="Below 1: counted in so large a part of the groups, and scaled up.")


class FieldQuality(Wire):
    """What one field contributes, from a sample of entities and of pairs."""

    field: str
    evidence: FieldEvidence
    filled: float = Field(description="Share of the sampled entities with a value.")
    distinct_values: int
    top_share: float = Field(description="Share of the most frequent value among the values.")
    mean_bits: float | None = Field(default=None, description="Mean strength of its evidence in the listed pairs.")


class QualityView(Wire):
    """How good the verdicts of an index are, and what to do about it."""

    index_name: str
    measured_at: datetime
    entity_count: int
    model_version: int
    trained_on: int = Field(description="Entities of the sample that the model was trained on; 0: it is not trained.")
    labels: int
    judged: JudgedCounts = Field(
        default=JudgedCounts(), description="Pairs that a model has judged: see `POST /v1/indexes/{indexName}/judge`."
    )
    precision: PrecisionView
    pairs: PairCounts
    groups: GroupSummary
    fields: list[FieldQuality]
    inferred: InferredView | None = Field(
        default=None, description="Structure that the index has found out and goes by, though nobody has declared it."
    )
    advice: list[Advice]


class SuggestionReason(StrEnum):
    """Why a pair is worth a person's answer."""

    NEAR_THRESHOLD = "NEAR_THRESHOLD"
    CONFLICTING_EVIDENCE = "CONFLICTING_EVIDENCE"
    TYPICAL = "TYPICAL"


class SuggestedEntity(Wire):
    """An entity of a suggested pair, as it was sent."""

    id: int | str
    body: dict[str, Any]
    truncated: bool | None = Field(
        default=None, description="It is large: nested values and ends of texts are missing."
    )


class LabelSuggestion(Wire):
    """A pair that a label would teach much about."""

    entity_id: int | str
    duplicate_id: int | str
    similarity: float
    duplicate: bool = Field(description="The present verdict.")
    judged_by: str | None = Field(default=None, description="The model whose judgement the verdict follows.")
    judge_reason: str | None = Field(default=None, description="Why it judges so.")
    reason: SuggestionReason
    alike: int = Field(description="Pairs of the sample with evidence of this pattern, this one included.")
    explanation: Explanation
    entity: SuggestedEntity
    other: SuggestedEntity


class LabelSuggestions(Wire):
    """The pairs whose labels would teach an index most; the most telling first."""

    index_name: str
    labels: int
    suggestions: list[LabelSuggestion]


class DuplicateChanges(Wire):
    """How many pairs are called duplicates, and how many verdicts a re-index has turned."""

    before: int
    after: int
    turned_true: int
    turned_false: int


class EstimateChanges(Wire):
    """The estimated precision of an index; None: nothing is called a duplicate."""

    before: float | None
    after: float | None


class VerdictQuality(Wire):
    """Precision, recall and F1 of the verdicts on the labelled pairs, with all that decides a verdict."""

    precision: float
    recall: float
    f1: float


class LabelHolds(Wire):
    """A label, and whether the verdicts were and are as it says."""

    entity_id: str
    duplicate_id: str
    duplicate: bool
    held_before: bool
    holds: bool


class LabelChanges(Wire):
    """What became of the labels; those that do not hold come first."""

    labels: int
    held_before: int
    hold: int
    before: VerdictQuality
    after: VerdictQuality
    listed: list[LabelHolds]


class ChangesView(Wire):
    """What a re-index or a tuning has changed in the index itself."""

    duplicates: DuplicateChanges
    estimated_precision: EstimateChanges
    labels: LabelChanges | None = None
