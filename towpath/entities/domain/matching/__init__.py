"""Finding entities that are the same: prepare, candidates, compare, score, resolve, and what models learn.

Pure functions over plain values. In Fellegi and Sunter's words: blocking keys lead to candidate pairs, each field of a
pair is compared and gets a comparison level, each level has a match weight, log2(m / u), and the sum of these weights
over a prior is the log-odds that the pair is a match. The data's way is the reading order: `normalise`,
`keys`, `preparation`, `candidates`, `comparison` (over `levels` and `textspace`), `model`, `score`, `training` (over
`estimation`, `neighbours`, `latent`, `calibration`, `structure`), `tuning`, `verdicts`, `constraints` (of labels),
`naming` (of groups).
"""

from towpath.entities.domain.matching.candidates import (
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
from towpath.entities.domain.matching.comparison import Comparison, Values, compare, compare_pool, distinct_pairs
from towpath.entities.domain.matching.constraints import (
    Constraints,
    PairLabel,
    find_chain,
    find_contradiction,
    find_label_chain,
)
from towpath.entities.domain.matching.keys import MAX_KEYS, copy_key
from towpath.entities.domain.matching.model import FieldModel, InferredStructure, MatchModel, default_model, fit_model
from towpath.entities.domain.matching.naming import Change, GroupChange, Naming, name_groups
from towpath.entities.domain.matching.preparation import (
    MissingFieldError,
    NoIndexedValueError,
    PreparedEntity,
    entity_uid,
    fit_values,
    prepare,
    read_value,
)
from towpath.entities.domain.matching.score import (
    GROUP_BITS,
    MAX_BITS,
    Scores,
    score_pairs,
    score_pool,
    similarity_of,
    similarity_of_packed,
)
from towpath.entities.domain.matching.training import MAX_COLD_ENTITIES, Sample, train, train_cold
from towpath.entities.domain.matching.tuning import LabelledPair, Quality, TuneReport, tune
from towpath.entities.domain.matching.verdicts import (
    DIFFERENT,
    SAME,
    Groups,
    Pairs,
    cluster,
    find_closing_pairs,
    is_clear_conflict,
    resolve,
    weigh_rivals,
)

__all__ = [
    "DF_CAP",
    "DIFFERENT",
    "GROUP_BITS",
    "MAX_BITS",
    "MAX_COLD_ENTITIES",
    "MAX_KEYS",
    "POSTING_BUDGET",
    "SAME",
    "TOP_K",
    "CandidateIndex",
    "CandidateIndexBuilder",
    "Change",
    "Comparison",
    "Constraints",
    "Csr",
    "FieldModel",
    "GroupChange",
    "Groups",
    "InferredStructure",
    "LabelledPair",
    "MatchModel",
    "MissingFieldError",
    "Naming",
    "NoIndexedValueError",
    "PairLabel",
    "Pairs",
    "PreparedEntity",
    "Quality",
    "Sample",
    "Scores",
    "TopCandidates",
    "TuneReport",
    "Values",
    "cluster",
    "compare",
    "compare_pool",
    "copy_key",
    "default_model",
    "distinct_pairs",
    "entity_uid",
    "find_chain",
    "find_closing_pairs",
    "find_contradiction",
    "find_label_chain",
    "fit_model",
    "fit_values",
    "is_clear_conflict",
    "key_weight",
    "key_weights",
    "name_groups",
    "prepare",
    "read_value",
    "resolve",
    "score_pairs",
    "score_pool",
    "similarity_of",
    "similarity_of_packed",
    "train",
    "train_cold",
    "tune",
    "weigh_rivals",
]
