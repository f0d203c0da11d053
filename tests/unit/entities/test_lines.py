"""The line between duplicates and others, and the structure of data: found without labels, on invented data."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from tests.support.shops import two_shops
from tests.unit.entities.builders import PERSONS, index, persons, prepared, sample
from towpath.entities.domain.matching import MatchModel, Sample, entity_uid, score_pairs, train, train_cold
from towpath.entities.domain.matching.model import DEFAULT_LINE_BITS
from towpath.entities.domain.matching.training import COLD_LINE
from towpath.entities.types import IndexConfig

HOUSEHOLD = {
    "first": "string",
    "last": "string",
    "born": "date",
    "street": "text",
    "city": "string",
    "phone": "string",
}
PRODUCT = {"title": "text", "maker": "string", "code": "string"}
Row = dict[str, Any]


def word(chance: random.Random, syllables: int) -> str:
    """An invented word."""
    return "".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(syllables))


def mistyped(chance: random.Random, text: str) -> str:
    """A text with one letter more."""
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice("bdfgklmn") + text[at:]


def families(count: int, copies: int, seed: int = 5) -> tuple[list[Row], set[tuple[str, str]]]:
    """Families of three at one address, and how many of their members come twice."""
    chance = random.Random(seed)
    rows: list[Row] = []
    for family in range(count):
        shared = {
            "last": word(chance, 3).title(),
            "street": f"{chance.randrange(1, 300)} {word(chance, 3)} street",
            "city": word(chance, 4),
            "phone": str(chance.randrange(1_000_000, 9_999_999)),
        }
        rows.extend(
            {
                "id": f"{family}/{member}",
                "first": word(chance, 3).title(),
                "born": f"{chance.randrange(1940, 2015)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}",
                **shared,
            }
            for member in range(3)
        )
    pairs: set[tuple[str, str]] = set()
    for row in chance.sample(rows, copies):
        rows.append({**row, "id": f"{row['id']}/copy", "first": mistyped(chance, row["first"])})
        pairs.add((row["id"], f"{row['id']}/copy"))
    return rows, pairs


def variants(count: int, copies: int, seed: int = 7) -> tuple[list[Row], set[tuple[str, str]]]:
    """Products in four colours, each with a code of its own; some are listed once more in other words."""
    chance = random.Random(seed)
    rows: list[Row] = []
    for number in range(count):
        maker, kind = f"{word(chance, 2)}co", chance.choice(["lamp", "kettle", "backpack", "sneaker"])
        rows.extend(
            {
                "id": f"{number}/{colour}",
                "title": f"{maker} {kind} {number} {colour}",
                "maker": maker,
                "code": f"{maker[:2]}{chance.randrange(1000, 9999)}",
            }
            for colour in ("red", "navy", "white", "black")
        )
    pairs: set[tuple[str, str]] = set()
    for row in chance.sample(rows, copies):
        title = " ".join(reversed(row["title"].split()))
        rows.append({**row, "id": f"{row['id']}/copy", "title": title, "code": None})
        pairs.add((row["id"], f"{row['id']}/copy"))
    return rows, pairs


def places(count: int, seed: int = 3) -> list[Row]:
    """Different towns of a few countries, many of them with a name that another town has as a part of its own."""
    chance = random.Random(seed)
    stems = [word(chance, 2) for _ in range(count // 3)]
    endings, countries = ("field", "ville", "bay", "hill", "old town"), ("DE", "FR", "IT", "ES")
    towns = sorted({(f"{stem} {ending}", country) for stem in stems for ending in endings for country in countries})
    return [
        {"id": str(number), "name": name, "country": country}
        for number, (name, country) in enumerate(chance.sample(towns, count))
    ]


def verdicts(rows: list[Row], config: IndexConfig) -> tuple[MatchModel, set[tuple[str, str]]]:
    """Learn a model of some rows; return it, and the pairs that reach the threshold, ids in the order of the rows."""
    learnt = sample(rows, config)
    model = train(learnt, config)
    return model, pairs_over_threshold(rows, learnt, model)


def pairs_over_threshold(rows: list[Row], candidates: Sample, model: MatchModel) -> set[tuple[str, str]]:
    """Return the candidate pairs that a model scores above the threshold."""
    values = dict(zip(candidates.uids.tolist(), candidates.values, strict=True))
    ids = {entity_uid(row["id"]): (place, str(row["id"])) for place, row in enumerate(rows)}
    pairs = np.unique(np.sort(np.stack([candidates.left, candidates.right], axis=1), axis=1), axis=0).tolist()
    scores = score_pairs(model, [values[a] for a, _ in pairs], [values[b] for _, b in pairs])
    over = [pair for pair, score in zip(pairs, scores.similarity.tolist(), strict=True) if score >= 0.85]
    named = [sorted((ids[a], ids[b])) for a, b in over]
    return {(first[1], second[1]) for first, second in named}


def test_members_of_a_family_are_not_one_person() -> None:
    rows, pairs = families(250, 40)

    _, called = verdicts(rows, index(**HOUSEHOLD))

    assert len(called & pairs) >= 0.9 * len(pairs)
    assert len(called & pairs) >= 0.9 * len(called)


def test_colours_of_a_product_are_not_one_product() -> None:
    rows, pairs = variants(120, 30)

    _, called = verdicts(rows, index(**PRODUCT))

    assert len(called & pairs) >= 0.8 * len(called)


@pytest.mark.parametrize("count", [400, 1500])
def test_a_list_without_duplicates_has_hardly_any(count: int) -> None:
    _, called = verdicts(places(count), index(name="text", country="string"))

    assert len(called) <= 5 * count / 1000


@pytest.mark.parametrize("count", [60, 80, 120])
def test_a_small_index_without_labels_raises_no_prior(count: int) -> None:
    config = index(**PERSONS)
    for seed in range(12):
        for copies in (0.2, 0.4):
            rows = persons(count, copies=copies, seed=seed)[:count]

            model = train(sample(rows, config), config)

            # Copies stand far above all others here: nothing says that the line is anywhere below the usual one.
            assert model.prior_bits <= DEFAULT_LINE_BITS - COLD_LINE, (seed, copies)


def test_clean_sources_are_inferred_from_the_form_of_the_ids() -> None:
    rows, _ = two_shops()

    model, _ = verdicts(rows, index(**PRODUCT))

    assert model.inferred is not None
    assert model.inferred.clean_sources == ["one", "two"]
    assert 0.5 <= model.inferred.confidence <= 1.0


def test_a_split_that_means_nothing_is_no_structure() -> None:
    rows, _ = families(250, 60)
    chance = random.Random(4)
    split = [{**row, "id": f"{chance.choice(['one', 'two'])}-{place}"} for place, row in enumerate(rows)]

    assert verdicts(split, index(**HOUSEHOLD))[0].inferred is None


def test_who_overrules_the_inference_is_heard() -> None:
    rows, _ = two_shops()
    config = index(**PRODUCT).model_copy(update={"infer_sources": False})

    assert verdicts(rows, config)[0].inferred is None


def test_what_only_some_entities_have_looked_for_gives_the_same_verdicts() -> None:
    rows, pairs = families(400, 120)
    config = index(**HOUSEHOLD)
    whole = sample(rows, config)
    queried = np.random.default_rng(1).random(len(whole.uids)) < 0.5
    asking = set(whole.uids[queried].tolist())
    seen = np.array(
        [a in asking or b in asking for a, b in zip(whole.left.tolist(), whole.right.tolist(), strict=True)]
    )
    part = Sample(whole.uids, whole.values, whole.left[seen], whole.right[seen], queried=queried)

    called = pairs_over_threshold(rows, whole, train(part, config))

    assert len(called & pairs) >= 0.9 * max(len(pairs), len(called))


COLUMNS = {"name": "text", "city": "text", "country": "text", "status": "text", "currency": "text"}
CONSTANT = {"city": "Dublin", "country": "IE", "status": "active", "currency": "EUR"}


def test_constant_columns_are_no_evidence_in_an_index_of_eight() -> None:
    names = [
        "Aoife Byrne",
        "Sean Murphy",
        "Niamh Kelly",
        "Conor Walsh",
        "Ciara Doyle",
        "Eoin Ryan",
        "Maeve Nolan",
        "P Quinn",
    ]
    config = index(**COLUMNS)
    values = [entity.values for entity in prepared([{"id": name, "name": name, **CONSTANT} for name in names], config)]

    model = train_cold(values, config)

    left, right = zip(*[(a, b) for a in values for b in values if a is not b], strict=True)
    assert score_pairs(model, left, right).similarity.max() < 0.5


def test_a_copy_is_found_in_an_index_of_five() -> None:
    config = index(**COLUMNS)
    names = ["Aoife Byrne", "Aoife Byrne", "Sean Murphy", "Niamh Kelly", "Conor Walsh"]
    rows = [{"id": place, "name": name, **CONSTANT} for place, name in enumerate(names)]
    values = [entity.values for entity in prepared(rows, config)]

    similarity = score_pairs(train_cold(values, config), values[:1] * 4, values[1:]).similarity

    assert similarity[0] >= 0.85
    assert similarity[1:].max() < 0.5


def test_any_number_of_equal_records_are_copies() -> None:
    config = index(name="text", brand="string")
    rows = [{"id": place, "name": "Orion desk lamp 9W black", "brand": "Orion"} for place in range(300)]
    values = [entity.values for entity in prepared(rows, config)]

    model = train(sample(rows, config), config)

    assert score_pairs(model, values[:1], values[1:2]).similarity[0] >= 0.85


def test_contributions_and_prior_add_up_for_copies_too() -> None:
    config = index(name="text", brand="string")
    rows = [{"id": place, "name": "Orion desk lamp 9W black", "brand": "Orion"} for place in range(300)]
    values = [entity.values for entity in prepared(rows, config)]

    scores = score_pairs(train(sample(rows, config), config), values[:1], values[1:2])

    total = scores.prior_bits + scores.contributions.sum(axis=1)
    assert scores.similarity == pytest.approx(1.0 / (1.0 + np.exp2(-total)))
