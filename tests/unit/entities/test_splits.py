"""Sources that nobody has named, found by what tells them apart: batches, the form of ids, the order of ids."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.shops import numbered, shelved, two_shops
from tests.unit.entities.builders import index, persons, sample
from towpath.entities.domain.matching import InferredStructure, entity_uid, prepare, train
from towpath.entities.types import IndexConfig, SplitBy

PRODUCT = {"title": "text", "maker": "string", "code": "string"}
PERSON = {"name": "string", "surname": "string", "street": "text", "born": "date"}
Row = dict[str, Any]


def structure(rows: list[Row], config: IndexConfig, batches: dict[Any, int] | None = None) -> InferredStructure | None:
    """What is inferred of rows, and of the number of the batch that brought each id, where there are batches."""
    learnt = sample(rows, config)
    ids = {entity_uid(row["id"]): str(row["id"]) for row in rows}
    assert learnt.uids.tolist() == list(ids)
    numbers = None if batches is None else np.array([batches[row["id"]] for row in rows], dtype=np.int64)
    return train(replace(learnt, ids=list(ids.values()), batches=numbers), config).inferred


def scattered(rows: list[Row]) -> list[Row]:
    """The rows in a random order."""
    return random.Random(6).sample(rows, len(rows))


def test_two_lists_that_are_numbered_one_after_the_other_are_told_apart() -> None:
    rows, pairs = two_shops()
    first, second = shelved(rows)
    plain, _ = numbered(first + second, pairs)

    found = structure(scattered(plain), index(**PRODUCT))

    assert found is not None
    assert (found.by, found.id_bound) == (SplitBy.ID_ORDER, len(first))
    assert found.clean_sources == [f"ids below {len(first)}", f"ids from {len(first)}"]
    assert 0.5 <= found.confidence <= 1.0
    assert found.name_source(None, str(len(first)), None, ()) == f"ids from {len(first)}"
    assert found.name_source(None, "x7", None, ()) is None


def test_two_batches_are_told_apart_whatever_the_ids() -> None:
    rows, pairs = two_shops()
    order = scattered(rows)
    shops = [row["id"][:3] for row in order]
    plain, _ = numbered(order, pairs)
    batches = {row["id"]: 7 if shop == "one" else 255 for row, shop in zip(plain, shops, strict=True)}

    found = structure(plain, index(**PRODUCT), batches)

    assert found is not None
    assert (found.by, found.clean_sources) == (SplitBy.BATCH, ["batch 00000007", "batch 000000ff"])
    assert found.name_source("elsewhere", "7", 255, ()) == "batch 000000ff"
    assert found.name_source("elsewhere", "7", None, ()) is None


def test_ids_of_another_form_tell_two_lists_apart() -> None:
    rows, pairs = two_shops()
    plain, _ = numbered(scattered(rows), pairs)
    letters = str.maketrans("0123456789", "abcdefghij")
    has_letters = [row["id"].startswith("one") for row in scattered(rows)]
    formed = [
        {**row, "id": str(row["id"]).translate(letters) if lettered else row["id"]}
        for row, lettered in zip(plain, has_letters, strict=True)
    ]

    found = structure(formed, index(**PRODUCT))

    assert found is not None
    assert (found.by, found.clean_sources) == (SplitBy.ID_FORM, ["ids of digits", "ids of letters"])


def written(rows: list[Row], pairs: set[tuple[str, str]]) -> tuple[list[Row], set[tuple[str, str]]]:
    """The rows of two shops that write in two ways, hardly a title alike, under plain numbers in a random order."""
    chance = random.Random(8)
    told = [
        {**row, "note": "as good as new" if chance.random() < 0.9 else None}
        if row["id"].startswith("one")
        else {
            **row,
            "title": " ".join([*row["title"].split()[: chance.choice((1, 2))], chance.choice(("set", "pack", "unit"))]),
            "maker": row["maker"] if chance.random() < 0.2 else None,
            "note": None,
        }
        for row in rows
    ]
    return numbered(scattered(told), pairs)


def test_two_lists_without_a_trace_are_told_apart_by_how_they_are_written() -> None:
    plain, numbers = written(*two_shops(500))
    config = index(**PRODUCT, note="text")

    found = structure(plain, config)

    assert found is not None
    assert (found.by, len(found.clean_sources)) == (SplitBy.STYLE, 2)
    entities = {str(row["id"]): prepare(row, config) for row in plain}
    names = {one: found.name_source(None, one, None, entity.values) for one, entity in entities.items()}
    assert sum(names[left] != names[right] for left, right in numbers) >= 0.9 * len(numbers)


@pytest.mark.parametrize("parts", [2, 4, 10])
def test_batches_that_cut_one_list_anywhere_mean_nothing(parts: int) -> None:
    # Nearly all copies of a list lie across ten batches: that says nothing, for they do wherever the cuts are.
    rows = [{**row, "id": place, "source": None} for place, row in enumerate(persons(700, copies=1.0))]
    chance = random.Random(parts)

    found = structure(rows, index(**PERSON), {row["id"]: chance.randrange(parts) for row in rows})

    assert found is None


def test_copies_that_stand_behind_what_they_are_copies_of_are_no_second_clean_list() -> None:
    # Each thing comes up to four times; the first of each, and some of the rest, stand in front.
    chance = random.Random(9)
    front: list[Row] = []
    behind: list[Row] = []
    for row in persons(500, copies=0.0):
        front.append(row)
        for copy in range(chance.choice((0, 0, 1, 2, 3))):
            (behind if copy == 0 else front).append({**row, "income": None, "surname": f"{row['surname']}x"[copy:]})
    rows = [{**row, "id": place, "source": None} for place, row in enumerate(front + behind)]
    batches = {row["id"]: int(place >= len(front)) for place, row in enumerate(rows)}

    assert structure(rows, index(**PERSON), batches) is None


def test_who_names_a_field_or_overrules_the_inference_is_heard() -> None:
    rows, pairs = two_shops()
    first, second = shelved(rows)
    plain, _ = numbered(first + second, pairs)
    config = index(**PRODUCT)

    assert structure(plain, config.model_copy(update={"infer_sources": False})) is None
    assert structure(plain, config.model_copy(update={"source_field": "shop"})) is None
