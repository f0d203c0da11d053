"""Finding entities that are the same: prepare, candidates, compare, score, resolve, and what models learn.

Pure functions over plain values; may import `contracts` only. The data's way is the reading order: `normalise`,
`keys`, `preparation`, `candidates`, `comparison` (over `levels` and `textspace`), `model`, `score`, `training` (with
`calibration`), `tuning`, `verdicts`.
"""

from domain.matching.candidates import (
    DF_CAP,
    POSTING_BUDGET,
    TOP_K,
    CandidateIndex,
    CandidateIndexBuilder,
    Csr,
    TopCandidates,
    key_weight,
    key_weights,
)
from domain.matching.comparison import Comparison, Values, compare, compare_pool
from domain.matching.keys import MAX_KEYS
from domain.matching.model import FieldModel, MatchModel, default_model, fit_model
from domain.matching.preparation import (
    MissingField,
    NoIndexedValue,
    PreparedEntity,
    entity_uid,
    fit_values,
    prepare,
)
from domain.matching.score import Scores, score_pairs, score_pool
from domain.matching.training import Sample, train
from domain.matching.tuning import LabelledPair, Quality, TuneReport, tune
from domain.matching.verdicts import Groups, Pairs, closing_pairs, groups, resolve

__all__ = [
    "DF_CAP",
    "MAX_KEYS",
    "POSTING_BUDGET",
    "TOP_K",
    "CandidateIndex",
    "CandidateIndexBuilder",
    "Comparison",
    "Csr",
    "FieldModel",
    "Groups",
    "LabelledPair",
    "MatchModel",
    "MissingField",
    "NoIndexedValue",
    "Pairs",
    "PreparedEntity",
    "Quality",
    "Sample",
    "Scores",
    "TopCandidates",
    "TuneReport",
    "Values",
    "closing_pairs",
    "compare",
    "compare_pool",
    "default_model",
    "entity_uid",
    "fit_model",
    "fit_values",
    "groups",
    "key_weight",
    "key_weights",
    "prepare",
    "resolve",
    "score_pairs",
    "score_pool",
    "train",
    "tune",
]
