"""Learning from labels where they contradict a model that is sure of itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from tests.support.siblings import FIELDS, households
from tests.unit.entities.builders import PERSONS, index, persons, prepared, sample
from towpath.entities.domain.matching import (
    LabelledPair,
    MatchModel,
    Values,
    default_model,
    score_pairs,
    train,
    tune,
)
from towpath.entities.domain.matching.quality import BIN_EDGES
from towpath.entities.domain.matching.suggestions import ListedPair, suggest
from towpath.entities.types import FieldType

CONFIG = index(**{str(field["name"]): str(field["type"]) for field in FIELDS})


class Households(NamedTuple):
    """Candidate pairs of invented households, and which are one person."""

    left: list[Values]
    right: list[Values]
    truth: np.ndarray

    def f1(self, model: MatchModel) -> float:
        """F1 of the score at the threshold."""
        says = score_pairs(model, self.left, self.right).similarity >= CONFIG.duplicate_threshold
        return float(2 * (says & self.truth).sum() / (says.sum() + self.truth.sum()))

    def labelled(self, places: list[int]) -> list[LabelledPair]:
        """The truth of some pairs."""
        return [LabelledPair(self.left[at], self.right[at], bool(self.truth[at])) for at in places]

    def suggested(self, model: MatchModel, known: list[int], limit: int = 20) -> list[int]:
        """Where the pairs are that a person is asked about."""
        scores = score_pairs(model, self.left, self.right)
        pairs = [
            ListedPair(
                at, at + len(self.truth), float(scores.similarity[at]), True, scores.contributions[at], frozenset()
            )
            for at in np.flatnonzero(scores.similarity >= CONFIG.candidate_threshold).tolist()
            if at not in known
        ]
        return [chosen.pair.left_uid for chosen in suggest(pairs, CONFIG.duplicate_threshold, limit)]


def make(seed: int) -> Households:
    """Households of three, some members listed twice."""
    people, same = households(200, seed=seed, copies=0.08)
    values = [entity.values for entity in prepared(people, CONFIG)]
    given = sample(people, CONFIG)
    place = {int(uid): at for at, uid in enumerate(given.uids.tolist())}
    ends = zip(given.left.tolist(), given.right.tolist(), strict=True)
    pairs = sorted({tuple(sorted((place[a], place[b]))) for a, b in ends})
    truth = [frozenset((people[a]["id"], people[b]["id"])) in same for a, b in pairs]
    return Households([values[a] for a, _ in pairs], [values[b] for _, b in pairs], np.array(truth))


def certain_model() -> MatchModel:
    """A model that takes every two members of a household for one person, and is sure of it."""
    strings = default_model(CONFIG)
    softened = [
        field.model_copy(update={"bits": [max(bits, -1.0) for bits in field.bits]})
        if field.type in {FieldType.DATE, FieldType.STRING}
        else field
        for field in strings.fields
    ]
    return MatchModel.model_validate(
        strings.model_dump() | {"prior_bits": 1.0, "fields": [field.model_dump() for field in softened]}
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_forty_answers_mend_a_model_that_merges_households(seed: int) -> None:
    made = make(seed)
    start = certain_model()
    assert made.f1(start) < 0.3

    known = made.suggested(start, [])
    model, _ = tune(start, made.labelled(known), CONFIG)
    known += made.suggested(model, known)
    model, report = tune(start, made.labelled(known), CONFIG)

    assert len(known) == 40
    assert report.applied
    assert made.f1(model) > 0.95
    # The report tells it, too, though on few labels.
    assert report.after.f1 > max(report.before.f1, 0.9)


def test_more_labels_do_not_make_it_worse() -> None:
    made = make(4)
    start = certain_model()
    model = start
    known: list[int] = []
    reached = []
    for _ in range(6):
        known += made.suggested(model, known)
        model, _ = tune(start, made.labelled(known), CONFIG)
        reached.append(made.f1(model))

    assert min(reached[1:]) > 0.95, reached


@pytest.mark.parametrize(("same", "different"), [(4, 4), (7, 1), (1, 7)])
def test_labels_that_say_what_the_model_says_leave_the_prior_where_it_is(same: int, different: int) -> None:
    config = index(**PERSONS)
    rows = persons(80, copies=0.4, seed=3)
    model = train(sample(rows, config), config)
    values: dict[int, list[Values]] = {}
    for row, entity in zip(rows, prepared(rows, config), strict=True):
        values.setdefault(row["person"], []).append(entity.values)
    twice = [LabelledPair(both[0], both[1], True) for both in values.values() if len(both) == 2]
    strangers = [LabelledPair(values[at][0], values[at + 1][0], False) for at in range(0, 20, 2)]

    tuned, report = tune(model, [*twice[:same], *strangers[:different]], config)

    assert report.before.f1 == 1.0
    assert tuned.prior_bits == pytest.approx(model.prior_bits, abs=0.25)


def test_fewer_labels_than_can_be_learnt_from_change_nothing() -> None:
    data = make(1)
    places = [*np.flatnonzero(data.truth)[:2].tolist(), *np.flatnonzero(~data.truth)[:3].tolist()]
    model = default_model(CONFIG)

    tuned, report = tune(model, data.labelled(places), CONFIG)

    assert (tuned, report.applied) == (model, False)


def test_the_prior_stays_where_scoring_heeds_it() -> None:
    made = make(5)
    start = certain_model().model_copy(update={"prior_bits": 15.0})
    known = made.suggested(start, [], limit=100)

    model, report = tune(start, made.labelled(known), CONFIG)

    assert report.applied
    assert -12.0 <= model.prior_bits <= 15.0
    assert made.f1(model) > 0.95


def test_the_report_counts_what_passes_unseen() -> None:
    made = make(6)
    start = certain_model()
    labelled = made.labelled(made.suggested(start, [], limit=60))

    _, report = tune(start, labelled, CONFIG)

    passing, right = sum(report.labelled_by_bin), sum(report.right_by_bin)
    assert len(report.labelled_by_bin) == len(report.right_by_bin) == len(BIN_EDGES)
    assert report.after.precision == pytest.approx(right / passing)
    assert report.after.recall == pytest.approx(right / report.duplicates)
    assert tune(start, labelled[::-1], CONFIG)[1] == report
