"""Improve a model with a few labelled pairs: logistic regression that starts at the model and stays near it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from towpath.entities.domain.matching.comparison import Comparison, Values, compare
from towpath.entities.domain.matching.levels import MISSING, Floats
from towpath.entities.domain.matching.model import MatchModel
from towpath.entities.domain.matching.score import MAX_BITS, match_weights, score_comparison
from towpath.entities.domain.matching.textspace import Int64s
from towpath.entities.types import IndexConfig

FOLDS = 5
MIN_LABELS = 8
PRIOR_PENALTY = 0.02
SCALE_PENALTY = 4.0
LEVEL_PENALTY = 0.6
"""How strongly each coefficient is held near the model as it was: ridge penalties."""
ROUNDS = 30
CLEAN_RECALL_WEIGHT = 6.0
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
    """What tuning did, measured by cross-validation on the labels."""

    labels: int
    duplicates: int
    before: Quality
    after: Quality
    applied: bool


def tune(model: MatchModel, labelled: Sequence[LabelledPair], config: IndexConfig) -> tuple[MatchModel, TuneReport]:
    """Fit the model to labels; keeps the old one when labels are too few or cross-validation finds a loss.

    Args:
        model: of the index.
        labelled: some 50 to 200 pairs; both answers must occur.
        config: its duplicate threshold is where the verdict is to change.
    """
    truth = np.array([pair.duplicate for pair in labelled], dtype=bool)
    comparison = compare(model, [p.left for p in labelled], [p.right for p in labelled])
    before = _measure_quality(score_comparison(model, comparison).similarity, truth, config.duplicate_threshold)
    counts = {"labels": len(truth), "duplicates": int(truth.sum())}
    if len(truth) < MIN_LABELS or truth.all() or not truth.any():
        return model, TuneReport(**counts, before=before, after=before, applied=False)
    held_out = np.zeros(len(truth))
    folds = _folds(comparison, truth)
    for fold in range(FOLDS):
        inside = np.flatnonzero(folds != fold)
        outside = np.flatnonzero(folds == fold)
        fitted = _fit(model, _rows(comparison, inside), truth[inside], config)
        held_out[outside] = score_comparison(fitted, _rows(comparison, outside)).similarity
    after = _measure_quality(held_out, truth, config.duplicate_threshold)
    if _f_score(after, config) < _f_score(before, config):
        return model, TuneReport(**counts, before=before, after=after, applied=False)
    return _fit(model, comparison, truth, config), TuneReport(**counts, before=before, after=after, applied=True)


def _rows(comparison: Comparison, at: Int64s) -> Comparison:
    return comparison.take(at)


def _folds(comparison: Comparison, truth: npt.NDArray[np.bool_]) -> Int64s:
    """Folds by content, so that the order of the labels does not matter, each with its share of both answers."""
    order = np.lexsort((*comparison.frequency_adjustments.T, *comparison.levels.T, truth))
    folds = np.empty(len(truth), dtype=np.int64)
    folds[order] = np.arange(len(truth)) % FOLDS
    return folds


def _fit(model: MatchModel, comparison: Comparison, truth: npt.NDArray[np.bool_], config: IndexConfig) -> MatchModel:
    features, offset, penalties, level_columns = _make_design_matrix(model, comparison)
    target = truth.astype(np.float64)
    coefficients = np.zeros(features.shape[1])
    # Newton's method for a logistic regression with ridge penalties, in bits: hence the factors of ln 2.
    for _ in range(ROUNDS):
        bits = np.clip(offset + features @ coefficients, -40.0, 40.0)
        chance = 1.0 / (1.0 + np.exp2(-bits))
        gradient = features.T @ (target - chance) * _LN2 - penalties * coefficients
        spread = np.maximum(chance * (1.0 - chance), 1e-4) * _LN2**2
        step = np.linalg.solve((features.T * spread) @ features + np.diag(penalties), gradient)
        coefficients += np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-5:
            break
    bits = offset + features @ coefficients
    prior = model.prior_bits + float(coefficients[0]) + _threshold_shift(bits, truth, config)
    fields = []
    count = len(model.fields)
    scales = np.maximum(1.0 + coefficients[1 : 1 + count], 0.05)
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
    return model.model_copy(update={"prior_bits": round(prior, 4), "fields": fields})


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


def _threshold_shift(bits: Floats, truth: npt.NDArray[np.bool_], config: IndexConfig) -> float:
    """Move the prior so that the cut with the best F1 on the labels falls on the index's threshold.

    With clean sources recall counts more: what passes wrongly still has to win the assignment.
    """
    threshold = config.duplicate_threshold
    threshold_bits = float(np.clip(np.log2(max(threshold, 1e-6) / max(1.0 - threshold, 1e-6)), -MAX_BITS, MAX_BITS))
    cuts = np.linspace(-6.0, 5.0, 45)
    # Smoothed counts: a pair near the cut counts in part, so that one label cannot drag it along.
    passing = 1.0 / (1.0 + np.exp2(-(bits[None, :] - cuts[:, None]) * 1.5))
    hits = (passing * truth).sum(axis=1)
    recall_weight = CLEAN_RECALL_WEIGHT if config.clean_sources else 1.0
    f_score = (1.0 + recall_weight) * hits / (passing.sum(axis=1) + recall_weight * truth.sum())
    return threshold_bits - float(cuts[int(np.argmax(f_score))])


def _f_score(quality: Quality, config: IndexConfig) -> float:
    """F1, or with clean sources F with recall in front: one number to tell the better model by."""
    weight = CLEAN_RECALL_WEIGHT if config.clean_sources else 1.0
    bottom = weight * quality.precision + quality.recall
    return (1.0 + weight) * quality.precision * quality.recall / bottom if bottom else 0.0


def _measure_quality(similarity: Floats, truth: npt.NDArray[np.bool_], threshold: float) -> Quality:
    is_duplicate = similarity >= threshold
    hits = int((is_duplicate & truth).sum())
    precision = hits / int(is_duplicate.sum()) if is_duplicate.any() else 1.0
    recall = hits / int(truth.sum()) if truth.any() else 1.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Quality(precision=precision, recall=recall, f1=f1)
