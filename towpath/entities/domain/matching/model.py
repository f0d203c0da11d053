"""What an index has learnt: the match weights of each field's levels, how common values are, and the prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from pydantic import BaseModel, ConfigDict

from towpath.entities.domain.matching.keys import hash_text
from towpath.entities.domain.matching.levels import WORD_STATES, Floats, default_weights
from towpath.entities.domain.matching.roles import Role, find_roles
from towpath.entities.domain.matching.splits import name_batch, name_id_form, name_id_range
from towpath.entities.domain.matching.styles import Style, name_styles
from towpath.entities.domain.matching.textspace import Rarity
from towpath.entities.types import FieldType, IndexConfig, SplitBy

DEFAULT_PRIOR_BITS = -2.0
"""Log-odds that a candidate is a match, before any training: one in five."""
DEFAULT_LINE_BITS = 2.5025
"""Log-odds of the default threshold of 0.85: where a calibrated model puts the line."""
RARE_COUNT = 3
"""A value that fewer sampled entities hold is not listed in the table of common values."""
MAX_COMMON_VALUES = 3_000
TELLING_SHARE = 0.3
"""A field with at least so many different values an entity tells entities apart."""
MAX_HOLDERS = 2.0
"""Where a value is held by fewer entities on average, nearly every entity has one of its own."""


class FieldModel(BaseModel):
    """What is known of one field.

    Attributes:
        weight: the user's, multiplies the match weights.
        scale: learnt, multiplies the match weights: below 1 for a field that repeats what others say.
        bits: match weight of each level, log2(m / u): its probability among matches over that among other candidates.
        word_bits: match weight of what the words say that near values do not share.
        sampled: entities with a value that the frequencies come from; 0 turns the adjustment off.
        distinct: how many different values these entities have.
        agreement: chance that two entities hold the same value by accident.
        common: how many sampled entities hold a value, by hash of the value; rare values are left out.
        spread: typical distance between two numbers of the field; 0 when not known.
        role: what the field is for.
        apart_bits: how much it says against a match that two values plainly name two things, whatever the two share
            elsewhere; 0: nothing beyond the level's own weight.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    type: FieldType
    weight: float = 1.0
    scale: float = 1.0
    bits: list[float]
    word_bits: list[float] = [0.0] * WORD_STATES
    sampled: int = 0
    distinct: int = 0
    agreement: float = 0.0
    common: dict[int, int] = {}
    spread: float = 0.0
    role: Role = Role.OTHER
    apart_bits: float = 0.0

    @property
    def is_telling(self) -> bool:
        """Return whether the field's values tell entities apart: many of them are met once."""
        return self.sampled > 0 and self.distinct >= TELLING_SHARE * self.sampled

    @property
    def is_nearly_unique(self) -> bool:
        """Return whether nearly every entity has a value of its own: less than that is enough to be telling.

        A conflict here is against a match whatever a group says. Going by `is_telling` instead tears groups of copies
        apart, in which titles and dates are misspelt.
        """
        return 0 < self.agreement * self.sampled < MAX_HOLDERS

    def frequency_adjustment(self, value: str) -> float:
        """Return how much more (or less) an agreement on this very value says than one on an average value, in bits."""
        if not self.sampled:
            return 0.0
        count = self.common.get(value_hash(value), 1.5)
        ratio = self.agreement * self.sampled / count
        return min(max(math.log2(ratio), -4.0), 3.0) if ratio > 0.0 else -4.0


class InferredStructure(BaseModel):
    """What the data say of how they are made up, where nobody has declared it.

    Attributes:
        clean_sources: sources that hold no duplicates within themselves.
        confidence: 0..1.
        by: what tells the sources apart.
        id_bound: where the order of the ids does, the first one of the second source.
        style: where the way of writing does, what tells two of them apart.
    """

    model_config = ConfigDict(frozen=True)

    clean_sources: list[str]
    confidence: float
    by: SplitBy = SplitBy.SOURCE
    id_bound: int | None = None
    style: Style | None = None

    def name_source(
        self, named: str | None, external_id: str, batch: int | None, values: Sequence[str | None]
    ) -> str | None:
        """Return the source that an entity belongs to; None: to none.

        Args:
            named: The one that a field or a word in its id names.
            external_id: Its id.
            batch: The batch that brought it.
            values: Its normalised values.
        """
        if self.by is SplitBy.BATCH:
            return None if batch is None else name_batch(batch)
        if self.by is SplitBy.ID_FORM:
            return name_id_form(external_id)
        if self.by is SplitBy.ID_ORDER and self.id_bound is not None:
            return name_id_range(external_id, self.id_bound)
        if self.by is SplitBy.STYLE and self.style is not None:
            return name_styles([values], self.style)[0]
        return named


class MatchModel(BaseModel):
    """Everything that scoring needs, as plain JSON.

    Attributes:
        prior_bits: log-odds that a candidate is a match before its fields are looked at.
        fields: one model for each field of the configuration, in its order.
        word_rarity: packed table, see `Rarity`; empty when untrained.
        gram_rarity: packed table, see `Rarity`; empty when untrained.
        trained_on: entities of the training sample.
        texts: values that rarity was counted over.
        frequency_scale: how much of a value's rarity counts; less where candidates are alike because they share it.
        equal_are_copies: whether records that are equal in every field are the same; not so in a list that holds equal
            records, as the columns of a journal, and shows no other sign of copies.
        inferred: what the data say of their structure; None: nothing, or it has been declared.
        margin_bits: how far below the best candidate of either side a pair may score and still be a duplicate.
    """

    model_config = ConfigDict(frozen=True)

    prior_bits: float
    fields: list[FieldModel]
    word_rarity: str = ""
    gram_rarity: str = ""
    trained_on: int = 0
    texts: int = 0
    frequency_scale: float = 1.0
    margin_bits: float = 5.0
    inferred: InferredStructure | None = None
    equal_are_copies: bool = True

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        # By content: the arrays that are kept below do not compare.
        return isinstance(other, MatchModel) and self.model_dump() == other.model_dump()

    def with_fields(self, fields: Sequence[FieldModel]) -> MatchModel:
        """Return the model with other fields. A plain copy would keep the arrays that were made of the old ones."""
        copy = self.model_copy(update={"fields": list(fields)})
        copy.__dict__.pop("level_weights", None)
        return copy

    @cached_property
    def rarity(self) -> Rarity:
        """Return the unpacked tables of rarity."""
        return Rarity.unpack(self.word_rarity, self.gram_rarity) if self.word_rarity else Rarity.untrained()

    @cached_property
    def level_weights(self) -> list[Floats]:
        """Return the match weights of each field's levels as arrays."""
        return [np.array(field.bits, dtype=np.float64) for field in self.fields]


def value_hash(value: str) -> int:
    """Return a hash of a value that survives JSON numbers."""
    return hash_text(value) >> 12


def fit_model(model: MatchModel, config: IndexConfig) -> MatchModel:
    """Return a model in the shape of a configuration: one field model for each of its fields, in its order.

    A field that came after the training has the default match weights of its type.
    """
    trained = {(field.name, field.type): field for field in model.fields}
    fields = [trained.get((field.name, field.type), field) for field in default_model(config).fields]
    if fields == model.fields:
        return model
    # Validated anew: a copy would keep the arrays that were made of the old fields.
    return MatchModel.model_validate(model.model_dump() | {"fields": [field.model_dump() for field in fields]})


def default_model(config: IndexConfig) -> MatchModel:
    """Return the model of an index that has seen nothing: match weights by field type alone."""
    return MatchModel(
        prior_bits=DEFAULT_PRIOR_BITS,
        fields=[
            FieldModel(
                name=field.name,
                type=field.type,
                weight=field.weight,
                bits=default_weights(field.type).tolist(),
                role=role,
            )
            for field, role in zip(config.fields, find_roles(config.fields), strict=True)
        ],
    )
