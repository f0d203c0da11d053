"""Two clean lists in one index, of which nothing says that they are two: no field, no word in the ids."""

from __future__ import annotations

import random
from typing import Any

from tests.support.builders import Organization
from tests.support.shops import FIELDS, numbered, shelved, two_shops

Row = dict[str, Any]


def make(org: Organization, **more: Any) -> str:
    """An index of what shops list."""
    org.call("POST", "/v1/indexes", 201, json={"indexName": "shops", "fields": FIELDS, **more})
    return "shops"


def called(org: Organization) -> set[tuple[str, str]]:
    """The pairs that are duplicates by verdict."""
    return {(min(left, right), max(left, right)) for left, right, _, duplicate in org.pairs("shops") if duplicate}


def inferred(org: Organization) -> Any:
    """What is inferred of the sources."""
    return org.call("GET", "/v1/indexes/shops").get("inferred")


def assert_right(org: Organization, pairs: set[tuple[str, str]]) -> None:
    """Nearly all pairs are found, and hardly any other."""
    found = called(org)
    assert len(found & pairs) >= 0.9 * len(pairs)
    assert len(found & pairs) >= 0.9 * len(found)


def test_two_lists_in_one_batch_are_told_apart_by_the_order_of_their_ids(org: Organization) -> None:
    first, second = shelved((shops := two_shops())[0])
    rows, pairs = numbered(first + second, shops[1])
    make(org)

    org.done(random.Random(1).sample(rows, len(rows)), "shops")

    found = inferred(org)
    assert found["by"] == "idOrder"
    assert found["cleanSources"] == [f"ids below {len(first)}", f"ids from {len(first)}"]
    assert_right(org, pairs)
    why = org.call("GET", "/v1/groups/why", params={"indexName": "shops", "entityId": 0, "otherId": 1})
    assert (why["reason"], f"ids below {len(first)}" in why["sentence"]) == ("same_source", True)


def test_two_lists_in_two_batches_are_told_apart_by_these_and_stay_so(org: Organization) -> None:
    shops, pairs = two_shops()
    order = random.Random(2).sample(shops, len(shops))
    rows, pairs = numbered(order, pairs)
    lists: dict[str, list[Row]] = {"one": [], "two": []}
    for row, named in zip(rows, order, strict=True):
        lists[named["id"][:3]].append(row)
    make(org)

    jobs = [org.done(lists["one"], "shops"), org.done(lists["two"], "shops")]

    names = sorted(f"batch {int(job[-8:], 16) & 0x7FFFFFFF:08x}" for job in jobs)
    assert (inferred(org)["by"], inferred(org)["cleanSources"]) == ("batch", names)
    assert_right(org, pairs)
    # Sent once more it is still what the first batch has brought; and a re-index keeps whence each came.
    org.done(lists["one"] + lists["two"], "shops")
    changed = org.call("POST", "/v1/indexes", json={"indexName": "shops", "fields": FIELDS, "candidateThreshold": 0.6})
    assert org.until(changed["reindexJobId"])["state"] == "COMPLETED"
    assert (inferred(org)["by"], inferred(org)["cleanSources"]) == ("batch", names)
    assert_right(org, pairs)
    changed = org.call("POST", "/v1/indexes", json={"indexName": "shops", "fields": FIELDS, "inferSources": False})
    assert org.until(changed["reindexJobId"])["state"] == "COMPLETED"
    assert inferred(org) is None


def test_a_single_record_finds_its_partner_where_batches_tell_sources_apart(org: Organization) -> None:
    shops, pairs = two_shops()
    order = random.Random(3).sample(shops, len(shops))
    rows, pairs = numbered(order, pairs)
    first, second = sorted(pairs)[5]
    alone = second if order[int(second)]["id"].startswith("two") else first
    partner = first if alone == second else second
    make(org)
    sent = [(row, named["id"][:3]) for row, named in zip(rows, order, strict=True) if str(row["id"]) != alone]
    for shop in ("one", "two"):
        org.done([row for row, named in sent if named == shop], "shops")

    answer = org.call("POST", "/v1/entity", params={"indexName": "shops"}, json=rows[int(alone)])

    assert inferred(org)["by"] == "batch"
    assert [str(one["id"]) for one in answer["duplicates"] if one["duplicate"]] == [partner]
