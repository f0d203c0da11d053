"""Improve a model with a few labelled pairs: logistic regression that starts at the model and stays near it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from towpath.entities.domain.matching.comparison import Comparison, Values, compare_pool, pool
from towpath.entities.domain.matching.levels import MISSING, Floats
from towpath.entities.domain.matching.model import MatchModel
from towpath.entities.domain.matching.quality import BIN_EDGES, bin_of
from towpath.entities.domain.matching.score import MAX_BITS, match_weights, score_comparison
from towpath.entities.domain.matching.siblings import Bools, find_apart, learn_apart_from_labels
from towpath.entities.domain.matching.textspace import Int64s
from towpath.entities.types import IndexConfig

FOLDS = 5
MIN_LABELS = 8
PRIOR_PENALTY = 0.02
SCALE_PENALTY = 10.0
LEVEL_PENALTY = 6.0
"""How strongly each coefficient is held near the model as it was: ridge penalties.

Firmly, because labels are no random draw of the pairs: weaker ones fit the labels better and all other pairs worse.
"""
ROUNDS = 30
CLEAN_RECALL_WEIGHT = 6.0
CUT_STEP = 0.25
SHIFT_COST = 0.002
"""F1 that it must bring to move the line by a bit."""
MIN_PRIOR = -12.0
MIN_SCALE, MAX_SCALE = 0.05, 5.0
MAX_FIT_BITS = 60.0
_LN2 = float(np.log(2.0))


@dataclass(frozen=True)
class LabelledPair:
    """What a person said of two entities, given by their normalised values."""

    left: Values
    right: Values
    duplicate: bool


class Quality(BaseModel):
    """Precision, recall and F1 of the score at the index's threshold, 0..1."""

    precision: float
    recall: float
    f1: float


class TuneReport(BaseModel):
    """What tuning did, measured by cross-validation on the labels.

    Attributes:
        labels: How many labels there were.
        duplicates: How many of them say that the pair is a duplicate.
        before: Of the untuned model's scores.
        after: Of each pair's score by a model that had not seen its label.
        applied: Whether the tuned model is in use; not where it was worse.
        labelled_by_bin: If it is: labelled pairs with such a score at the threshold or above, see `quality.BIN_EDGES`.
        right_by_bin: Those of them that are duplicates.
    """

    labels: int
    duplicates: int
    before: Quality
    after: Quality
    applied: bool
    labelled_by_bin: list[int] = []
    right_by_bin: list[int] = []


def tune(model: MatchModel, labelled: Sequence[LabelledPair], config: IndexConfig) -> tuple[MatchModel, TuneReport]:
    """Fit the model to labels; keeps the old one when labels are too few or cross-validation finds a loss.

    Args:
        model: of the index.
        labelled: some 50 to 200 pairs; both answers must occur.
        config: its duplicate threshold is where the verdict is to change.
    """
    truth = np.array([pair.duplicate for pair in labelled], dtype=bool)
    records, left, right = pool([pair.left for pair in labelled], [pair.right for pair in labelled])
    comparison = compare_pool(model, records, left, right)
    apart = find_apart(model, records, left, right, comparison, np.arange(len(labelled)))
    similarity = score_comparison(model, comparison, apart).similarity
    before = measure_verdicts(similarity >= config.duplicate_threshold, truth)
    counts = {"labels": len(truth), "duplicates": int(truth.sum())}
    if len(truth) < MIN_LABELS or truth.all() or not truth.any():
        return model, TuneReport(**counts, before=before, after=before, applied=False)
    held_out = _cross_validate(model, comparison, apart, truth, config)
    after = measure_verdicts(held_out >= config.duplicate_threshold, truth)
    if _f_score(after, config) < _f_score(before, config):
        return model, TuneReport(**counts, before=before, after=after, applied=False)
    seen = _by_bin(held_out, truth, config.duplicate_threshold)
    fitted = _fit(model, comparison, apart, truth, config)
    return fitted, TuneReport(**counts, before=before, after=after, applied=True, **seen)


def _cross_validate(
    model: MatchModel, comparison: Comparison, apart: Bools, truth: Bools, config: IndexConfig
) -> Floats:
    """Return the similarity of each labelled pair by a model that has not seen its label."""
    held_out = np.zeros(len(truth))
    folds = _folds(comparison, truth)
    for fold in range(FOLDS):
        inside = np.flatnonzero(folds != fold)
        outside = np.flatnonzero(folds == fold)
        fitted = _fit(model, comparison.take(inside), apart[inside], truth[inside], config)
        held_out[outside] = score_comparison(fitted, comparison.take(outside), apart[outside]).similarity
    return held_out


def _folds(comparison: Comparison, truth: npt.NDArray[np.bool_]) -> Int64s:
    """Folds by content, so that the order of the labels does not matter, each with its share of both answers."""
    order = np.lexsort((*comparison.frequency_adjustments.T, *comparison.levels.T, truth))
    folds = np.empty(len(truth), dtype=np.int64)
    folds[order] = np.arange(len(truth)) % FOLDS
    return folds


def _fit(model: MatchModel, comparison: Comparison, apart: Bools, truth: Bools, config: IndexConfig) -> MatchModel:
    model = learn_apart_from_labels(model, apart, truth)
    going_by = np.array([field.apart_bits > 0.0 for field in model.fields], dtype=np.bool_)
    # Siblings are set apart by other means: what they share, and they share nearly all, is no less worth for that.
    rest = np.flatnonzero(~(apart & going_by).any(axis=1))
    comparison, truth = comparison.take(rest), truth[rest]
    if truth.all() or not truth.any():
        return model
    features, offset, penalties, level_columns = _make_design_matrix(model, comparison)
    coefficients = _maximise_likelihood(features, offset, penalties, truth)
    fields = []
    count = len(model.fields)
    scales = np.clip(1.0 + coefficients[1 : 1 + count], MIN_SCALE, MAX_SCALE)
    for number, field in enumerate(model.fields):
        table = model.level_weights[number].copy()
        for column, (owner, level) in enumerate(level_columns, start=1 + count):
            if owner == number:
                table[level] += coefficients[column] / (scales[number] * field.scale)
        fields.append(
            field.model_copy(
                update={
                    "bits": [round(float(b), 4) for b in table],
                    "scale": round(float(field.scale * scales[number]), 4),
                }
            )
        )
    prior = model.prior_bits + float(coefficients[0])
    # Validated anew: a copy would keep the arrays that were made of the old fields.
    fitted = MatchModel.model_validate(model.model_dump() | {"fields": [field.model_dump() for field in fields]})
    evidence = match_weights(fitted, comparison).sum(axis=1)
    return _move_line(fitted, prior, _find_cut(prior + evidence, truth, config) - prior, config)


def _maximise_likelihood(features: Floats, offset: Floats, penalties: Floats, truth: npt.NDArray[np.bool_]) -> Floats:
    """Fit a logistic regression with ridge penalties, in bits (hence the factors of ln 2), by damped Newton steps."""
    target = truth.astype(np.float64)
    coefficients = np.zeros(features.shape[1])

    def loss(at: Floats) -> float:
        bits = np.clip(offset + features @ at, -MAX_FIT_BITS, MAX_FIT_BITS) * _LN2
        return float(np.logaddexp(0.0, np.where(truth, -bits, bits)).sum() + 0.5 * (penalties * at**2).sum())

    lowest = loss(coefficients)
    for _ in range(ROUNDS):
        bits = np.clip(offset + features @ coefficients, -MAX_FIT_BITS, MAX_FIT_BITS)
        chance = 1.0 / (1.0 + np.exp2(-bits))
        gradient = features.T @ (target - chance) * _LN2 - penalties * coefficients
        spread = np.maximum(chance * (1.0 - chance), 1e-4) * _LN2**2
        step = np.linalg.solve((features.T * spread) @ features + np.diag(penalties), gradient)
        length = 1.0
        while (reached := loss(coefficients + length * step)) > lowest and length > 1e-4:
            length /= 2.0
        if reached >= lowest - 1e-7:
            break
        coefficients, lowest = coefficients + length * step, reached
    return coefficients


def _move_line(model: MatchModel, prior: float, evidence_at_cut: float, config: IndexConfig) -> MatchModel:
    """Return the model with a prior that puts the cut on the index's threshold.

    Where the prior alone would have to go further than scoring heeds it, all fields count less instead.
    """
    target = _bits_of(config.duplicate_threshold)
    moved = target - evidence_at_cut
    if moved >= MIN_PRIOR:
        return model.model_copy(update={"prior_bits": round(moved, 4)})
    shrunk = (target - MIN_PRIOR) / evidence_at_cut
    fields = [field.model_copy(update={"scale": round(field.scale * shrunk, 6)}) for field in model.fields]
    content = model.model_dump() | {"prior_bits": MIN_PRIOR, "fields": [field.model_dump() for field in fields]}
    return MatchModel.model_validate(content)


def _bits_of(threshold: float) -> float:
    return float(np.clip(np.log2(max(threshold, 1e-6) / max(1.0 - threshold, 1e-6)), -MAX_BITS, MAX_BITS))


def _make_design_matrix(
    model: MatchModel, comparison: Comparison
) -> tuple[Floats, Floats, Floats, list[tuple[int, int]]]:
    """Columns: prior, a scale for each field, a shift for each level that occurs often enough."""
    base = match_weights(model, comparison)
    offset = model.prior_bits + base.sum(axis=1)
    columns: list[Floats] = [np.ones(len(base)), *base.T]
    penalties: list[float] = [PRIOR_PENALTY, *[SCALE_PENALTY] * base.shape[1]]
    level_columns: list[tuple[int, int]] = []
    for number, field in enumerate(model.fields):
        levels, counts = np.unique(comparison.levels[:, number], return_counts=True)
        for level, count in zip(levels.tolist(), counts.tolist(), strict=True):
            if level != MISSING and count >= 3:
                columns.append((comparison.levels[:, number] == level) * field.weight)
                penalties.append(LEVEL_PENALTY)
                level_columns.append((number, level))
    return np.stack(columns, axis=1), offset, np.array(penalties), level_columns


def _find_cut(bits: Floats, truth: npt.NDArray[np.bool_], config: IndexConfig) -> float:
    """Return the cut, in bits, with the best F1 on the labels.

    With clean sources recall counts more: what passes wrongly still has to win the assignment.
    """
    threshold_bits = _bits_of(config.duplicate_threshold)
    # Wherever the labels lie: of siblings that share all but a name, the model may be sure by many bits.
    cuts = np.arange(min(bits.min(), threshold_bits) - 1.0, max(bits.max(), threshold_bits) + 1.0, CUT_STEP)
    # Smoothed counts: a pair near the cut counts in part, so that one label cannot drag it along.
    passing = 1.0 / (1.0 + np.exp2(-np.clip((bits[None, :] - cuts[:, None]) * 1.5, -60.0, 60.0)))
    hits = (passing * truth).sum(axis=1)
    recall_weight = CLEAN_RECALL_WEIGHT if config.clean_sources else 1.0
    f_score = (1.0 + recall_weight) * hits / (passing.sum(axis=1) + recall_weight * truth.sum())
    # Where labels leave a wide gap, the line moves no further than they ask for.
    cost = SHIFT_COST * np.abs(cuts - threshold_bits)
    return float(cuts[int(np.argmax(f_score - cost))])


def _f_score(quality: Quality, config: IndexConfig) -> float:
    """F1, or with clean sources F with recall in front: one number to tell the better model by."""
    weight = CLEAN_RECALL_WEIGHT if config.clean_sources else 1.0
    bottom = weight * quality.precision + quality.recall
    return (1.0 + weight) * quality.precision * quality.recall / bottom if bottom else 0.0


def measure_verdicts(is_duplicate: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Quality:
    """Measure verdicts on labelled pairs; where nothing is to be found or nothing was, the share of it is 1."""
    hits = int((is_duplicate & truth).sum())
    precision = hits / int(is_duplicate.sum()) if is_duplicate.any() else 1.0
    recall = hits / int(truth.sum()) if truth.any() else 1.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Quality(precision=precision, recall=recall, f1=f1)


def _by_bin(held_out: Floats, truth: npt.NDArray[np.bool_], threshold: float) -> dict[str, list[int]]:
    """Count the pairs that score as duplicates by bin, and those of them that are."""
    bins = np.array([bin_of(similarity) for similarity in held_out.tolist()], dtype=np.int64)
    passes = held_out >= threshold
    count = len(BIN_EDGES)
    return {
        "labelled_by_bin": np.bincount(bins[passes], minlength=count).tolist(),
        "right_by_bin": np.bincount(bins[passes & truth], minlength=count).tolist(),
    }
