"""Search over collections that approximate indexes are known to lose objects of, and its pages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.builders import Organization, organization
from towpath.runtime.embedded import EmbeddedStack

TOPICS = [
    "how glaciers carve valleys", "the migration of arctic terns", "chess opening theory", "baking sourdough bread",
    "quarterly tax returns", "repairing a bicycle chain", "volcanoes of Iceland", "learning to play the cello",
    "growing tomatoes on a balcony", "the history of lighthouses", "prime numbers and ciphers", "training a puppy",
    "solar panels on a roof", "mediaeval castle building", "diving with manta rays", "the rules of cricket",
    "painting with watercolours", "hiking across the Alps", "brewing green tea", "sailing around Cape Horn",
]  # fmt: skip
COPY = "This product is currently out of stock."
LONG = (
    "The annual report covers revenue and staff. " * 3_000
    + "The secret ingredient is cardamom from Guatemala. "
    + "The annual report covers revenue and staff. " * 3_000
)


def copies(count: int) -> list[dict[str, Any]]:
    return [{"object_id": f"same{n:03}", "payload": {"text": COPY, "n": n}} for n in range(count)]


def topics() -> list[dict[str, Any]]:
    return [{"object_id": f"top{n:02}", "payload": {"text": text, "topic": True}} for n, text in enumerate(TOPICS)]


def store(org: Organization, *tasks: list[dict[str, Any]]) -> None:
    for items in tasks:
        org.stored(items)


ORDERS = {
    "copies around": lambda: (copies(600)[:300], [*topics(), *copies(600)[300:]]),
    "topics first": lambda: (topics(), copies(600)[:300], copies(600)[300:]),
    "copies first": lambda: (copies(600)[:300], copies(600)[300:], topics()),
}


@pytest.mark.parametrize("order", ORDERS)
def test_six_hundred_equal_texts_hide_no_other(org: Organization, order: str) -> None:
    store(org, *ORDERS[order]())

    for limit in (1, 5):
        for n, text in enumerate(TOPICS):
            first = org.search(text, limit=limit)["search_results"][0]
            assert (first["object_id"], first["distance"]) == (f"top{n:02}", pytest.approx(0, abs=1e-5))
            first = org.search(text, limit=limit, filter={"topic": True})["search_results"][0]
            assert first["object_id"] == f"top{n:02}"
    equal = org.search(COPY, limit=1000)["search_results"]
    assert [one["object_id"] for one in equal[:600]] == [one["object_id"] for one in copies(600)]
    assert len({one["distance"] for one in equal[:600]}) == 1


def test_equal_texts_go_one_by_one(org: Organization) -> None:
    store(org, copies(3), topics())
    changed = {"object_id": "same000", "payload": {"text": "something else altogether"}}

    org.ended(org.task({"object_ids": ["same001"]}, "deletion")["id"], "deletion")
    store(org, [changed])

    found = org.search(COPY, limit=2)["search_results"]
    assert [one["object_id"] for one in found] == ["same002", found[1]["object_id"]]
    assert found[0]["distance"] < 1e-5 < found[1]["distance"]
    org.ended(org.task({"object_ids": ["same002"]}, "deletion")["id"], "deletion")
    assert org.search(COPY, limit=1)["search_results"][0]["distance"] > 0.1
    store(org, copies(1))
    assert org.search(COPY, limit=1)["search_results"][0]["object_id"] == "same000"


@pytest.fixture(scope="module")
def library(system: EmbeddedStack) -> Organization:
    """Thirty objects, of which one is a long document that repeats itself."""
    org = organization(system.api_url)
    notes = [f"ledger entry {n} of the harbour office" for n in range(9)]
    texts = [{"object_id": f"n{n}", "payload": {"text": text}} for n, text in enumerate(notes)]
    store(org, [*topics(), *texts, {"object_id": "long", "payload": {"text": LONG}}])
    return org


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_sentence_in_a_long_repetitive_document_is_found(library: Organization, limit: int) -> None:
    found = library.search("cardamom spice from Guatemala", limit=limit)["search_results"]

    assert found[0]["object_id"] == "long"


def pages(org: Organization, query: str | None, limit: int, **more: Any) -> Iterator[list[str]]:
    """The pages of a search, as its answers lead to them."""
    offset = 0
    for _ in itertools.count():
        answer = org.search(query, limit=limit, offset=offset, **more)
        yield [one["object_id"] for one in answer["search_results"]]
        if "next_page_offset" not in answer:
            return
        assert answer["next_page_offset"] == offset + limit
        offset = answer["next_page_offset"]


@pytest.mark.parametrize("limit", [1, 4, 5, 30])
def test_the_pages_of_a_search_show_every_object_once(library: Organization, limit: int) -> None:
    shown = [*itertools.chain(*pages(library, "ledger entry", limit))]

    assert len(shown) == len(set(shown)) == 30
    assert shown == [one["object_id"] for one in library.search("ledger entry", limit=1000)["search_results"]]


@pytest.mark.parametrize("query", ["ledger entry", None])
def test_pages_neither_repeat_nor_drop_while_objects_change(org: Organization, query: str | None) -> None:
    def text(n: int) -> dict[str, Any]:
        return {"text": f"ledger entry {n} of the {TOPICS[n % 20]}", "state": "new"}

    store(org, [{"object_id": f"o{n:02}", "payload": text(n)} for n in range(40)])
    whole = [one["object_id"] for one in org.search(query, limit=40, filter={"state": "new"})["search_results"]]
    gone = {whole[2], whole[14], whole[15]}
    read = pages(org, query, 8, filter={"state": "new"})

    shown = next(read)
    # One that was shown goes, two that were not go, one matches no more, and others come to the top.
    org.ended(org.task({"object_ids": sorted(gone)}, "deletion")["id"], "deletion")
    done = {"object_id": whole[20], "payload": {"text": "ledger entry", "state": "done"}}
    early = [{"object_id": f"a{n}", "payload": {"text": "ledger entry", "state": "new"}} for n in range(12)]
    moved = {"object_id": whole[30], "payload": {"text": "ledger entry", "state": "new"}}
    store(org, [done, moved, *early])
    shown += next(read)
    assert len(shown) == 16
    shown += itertools.chain(*read)

    assert len(shown) == len(set(shown))
    there = [name for name in whole if name not in gone - {whole[2]} and name != whole[20]]
    assert shown[: len(there)] == there
    assert {one["object_id"] for one in org.search(query, filter={"state": "new"})["search_results"]} & {
        f"a{n}" for n in range(12)
    }


def test_two_readers_of_one_search_do_not_disturb_each_other(org: Organization) -> None:
    store(org, [{"object_id": f"o{n:02}", "payload": {"text": f"ledger entry {n}"}} for n in range(30)])
    session = org.search("ledger", limit=10, create_session=True)
    first, second = pages(org, "ledger", 10, session_id=session["session_id"]), pages(org, "ledger", 10)
    one = next(first)
    store(org, [{"object_id": f"a{n}", "payload": {"text": "ledger"}} for n in range(10)])
    other = next(second)
    store(org, [{"object_id": f"b{n}", "payload": {"text": "ledger"}} for n in range(10)])

    one += itertools.chain(*first)
    other += itertools.chain(*second)

    assert (len(one), len(set(one)), len(other), len(set(other))) == (30, 30, 40, 40)


def test_a_text_that_is_a_number_or_a_list_is_embedded_and_anything_else_fails_with_words(org: Organization) -> None:
    items = [
        {"object_id": "number", "payload": {"text": 1984}},
        {"object_id": "lines", "payload": {"text": ["how glaciers", "carve valleys"]}},
        {"object_id": "object", "payload": {"text": {"en": "x"}, "title": "a title"}},
    ]

    task = org.ended(org.task({"items": items})["id"])

    assert [(one["object_id"], one["failure_stage"]) for one in task["failed_items"]] == [("object", "on_downloading")]
    assert task["failed_items"][0]["detail"].startswith("payload.text is an object; it can be a string, a number")
    assert org.search("1984", limit=1)["search_results"][0]["object_id"] == "number"
    assert org.search("how glaciers\ncarve valleys", limit=1)["search_results"][0]["distance"] < 1e-5
