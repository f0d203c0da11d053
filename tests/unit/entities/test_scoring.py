"""Scores: symmetric, explained, the same in any company."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.entities.builders import PERSONS, index, persons, prepared, sample
from towpath.entities.domain.matching import MatchModel, Sample, default_model, prepare, score_pairs, train

CONFIG = index(**PERSONS)
ROWS = persons(300)
MODEL = train(sample(ROWS, CONFIG), CONFIG)
VALUES = [entity.values for entity in prepared(ROWS, CONFIG)]

texts = (
    st.none()
    | st.sampled_from(["sony dsc-w55 camera", "sony dscw55", "8 gb card", "16 gb card", "a", "é"])
    | st.text(max_size=30)
)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), st.sampled_from(["text", "string", "number", "date"]))
@settings(max_examples=150)
def test_any_two_values_score_the_same_both_ways_and_explain_themselves(
    pairs: list[tuple[str | None, str | None]], kind: str
) -> None:
    config = index(name=kind, always="string")
    model = default_model(config)
    left = [prepare({"name": a, "always": "x"}, config).values for a, _ in pairs]
    right = [prepare({"name": b, "always": "x"}, config).values for _, b in pairs]

    there, back = score_pairs(model, left, right), score_pairs(model, right, left)

    assert np.array_equal(there.similarity, back.similarity)
    assert np.array_equal(there.contributions, back.contributions)
    bits = there.prior_bits + there.contributions.sum(axis=1)
    odds = np.log2(there.similarity / (1.0 - there.similarity))
    assert np.allclose(bits, odds, rtol=0, atol=1e-8)


@given(st.lists(st.integers(0, len(VALUES) - 1), min_size=2, max_size=30), st.integers(1, 5))
@settings(max_examples=60)
def test_a_score_does_not_depend_on_the_other_pairs_of_the_call(chosen: list[int], size: int) -> None:
    left = [VALUES[i] for i in chosen]
    right = [VALUES[i] for i in chosen[::-1]]

    whole = score_pairs(MODEL, left, right).similarity
    parts = [score_pairs(MODEL, left[at : at + size], right[at : at + size]) for at in range(0, len(left), size)]

    assert np.array_equal(whole, np.concatenate([part.similarity for part in parts]))


def test_explanations_add_up_even_beyond_the_bounds() -> None:
    scores = score_pairs(MODEL, VALUES[:50], VALUES[:50])

    bits = scores.prior_bits + scores.contributions.sum(axis=1)
    assert np.allclose(bits, np.log2(scores.similarity / (1.0 - scores.similarity)), atol=1e-8)
    assert scores.similarity.max() < 1.0


def test_a_missing_value_says_nothing() -> None:
    config = index(name="text", price="number")
    model = default_model(config)

    scores = score_pairs(model, [("desk lamp", "9")], [("desk lamp", None)])

    assert scores.contributions[0, 1] == 0.0


def test_the_weight_of_a_field_multiplies_its_evidence() -> None:
    config = index(name="text", brand="string")
    heavy = config.model_copy(
        update={"fields": [config.fields[0].model_copy(update={"weight": 0.5}), config.fields[1]]}
    )
    pair = [("desk lamp orion", "orion")], [("desk lamp orion black", "orion")]

    plain, half = (score_pairs(default_model(c), *pair).contributions[0] for c in (config, heavy))

    assert half[0] == pytest.approx(plain[0] / 2)
    assert half[1] == plain[1]


def test_two_spellings_of_one_bolt_are_duplicates_in_an_untrained_index() -> None:
    config = index(name="text")
    names = ["Hex bolt M8 x 40", "Bolt, hex, M8x40 mm", "Hex bolt M8 x 50", "Desk lamp Orion"]
    bolt, other, longer, lamp = (prepare({"name": name}, config).values for name in names)

    scores = score_pairs(default_model(config), [bolt] * 4, [bolt, other, longer, lamp]).similarity

    assert scores[0] > 0.95
    assert 0.85 <= scores[1] <= 0.95
    assert scores[2] < 0.7
    assert scores[3] < 0.05


def test_a_common_value_counts_less_than_a_rare_one() -> None:
    rows = [{"id": str(n), "name": "smith" if n % 3 else f"rare{n}", "city": f"c{n % 7}"} for n in range(300)]
    config = index(name="string", city="string")
    model = train(sample(rows, config), config)

    scores = score_pairs(model, [("smith", None), ("rare3", None)], [("smith", None), ("rare3", None)])

    assert scores.contributions[0, 0] < scores.contributions[1, 0]


def test_training_does_not_depend_on_the_order_of_the_sample() -> None:
    given_sample = sample(ROWS, CONFIG)
    order = np.random.default_rng(3).permutation(len(ROWS))
    pairs = np.random.default_rng(4).permutation(len(given_sample.left))
    assert given_sample.sources is not None
    shuffled = Sample(
        given_sample.uids[order],
        [given_sample.values[i] for i in order.tolist()],
        given_sample.right[pairs],
        given_sample.left[pairs],
        given_sample.sources[order],
        given_sample.source_names,
    )

    assert train(shuffled, CONFIG) == MODEL


def test_a_model_survives_json_and_is_small() -> None:
    written = MODEL.model_dump_json()

    assert len(written) < 2_000_000
    again = MatchModel.model_validate(json.loads(written))
    assert np.array_equal(score_pairs(again, VALUES, VALUES[::-1])[0], score_pairs(MODEL, VALUES, VALUES[::-1])[0])


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("case", ["empty", "one", "two", "all equal", "all distinct", "one value"])
def test_degenerate_samples_train_to_sane_models(case: str, clean: bool) -> None:
    config = index(clean, name="text", price="number", day="date", code="string")
    same = {"name": "desk lamp", "price": 9, "day": "2020-01-01", "code": "x1"}
    cases: dict[str, list[dict[str, object]]] = {
        "empty": [],
        "one": [same],
        "two": [same, same],
        "all equal": [same] * 150,
        "all distinct": [{"name": f"n{n}", "price": n, "day": f"{1900 + n}", "code": f"c{n}"} for n in range(150)],
        "one value": [{"name": f"lamp {n % 5}"} for n in range(150)],
    }
    numbered = [{**row, "id": str(n), "source": "ab"[n % 2]} for n, row in enumerate(cases[case])]

    model = train(sample(numbered, config), config)

    twins = ("desk lamp", "9", "20200101", "x1")
    others = ("garden chair", "400", "19990509", "q7")
    similar = score_pairs(model, [twins, twins], [twins, others]).similarity
    assert np.isfinite(similar).all()
    assert similar[0] > 0.85
    assert similar[1] < 0.1


def test_words_that_stand_in_another_field_speak_for_a_match() -> None:
    config = index(name="text", title="text", price="number")
    model = default_model(config)
    here, there = ("desk lamp orion black", None, None), (None, "orion desk lamp black", None)
    other = (None, "garden chair", None)

    scores = score_pairs(model, [here, here], [there, other])

    assert scores.similarity[0] > 0.85
    assert scores.contributions[0, 0] == scores.contributions[0, 1] > 0
    assert scores.contributions[1].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("one", "like", "unlike"),
    [
        ("sony cybershot dsc-w55 camera", "sony dsc w55 digital camera", "sony cybershot dsc-t100 camera"),
        ("memory card 8GB", "8 gb memory card", "memory card 16GB"),
    ],
)
def test_codes_and_sizes_part_what_shares_its_words(one: str, like: str, unlike: str) -> None:
    config = index(name="text")
    values = [prepare({"name": name}, config).values for name in (one, like, unlike)]

    scores = score_pairs(default_model(config), [values[0]] * 2, values[1:]).similarity

    assert scores[0] > scores[1] + 0.25
