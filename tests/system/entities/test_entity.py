"""`POST /v1/entity` and what reads it back."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.builders import Organization, organization, persons
from towpath.runtime.embedded import EmbeddedStack

LAMP = {"id": 7001, "sku": "LMP-7001", "name": "Desk lamp Orion, 9 W, black", "brand": "Orion"}
TWIN = {"id": "6120", "sku": "LMP-6120", "name": "Orion desk lamp 9W black", "brand": "Orion"}


def test_an_entity_comes_back_with_its_duplicates(org: Organization) -> None:
    org.call("POST", "/v1/entity", json=LAMP)

    answer = org.call("POST", "/v1/entity", json=TWIN)

    assert {name: answer[name] for name in TWIN} == TWIN
    found = answer["duplicates"][0]
    assert found["id"] == 7001
    assert found["sku"] == "LMP-7001"
    assert 0.7 <= found["similarity"] <= 1


def test_ids_keep_the_json_type_they_came_in(org: Organization) -> None:
    org.call("POST", "/v1/entity", json=LAMP)
    org.call("POST", "/v1/entity", json=TWIN)

    assert org.call("GET", "/v1/entity", params={"entityId": "7001"})["id"] == 7001
    assert org.call("GET", "/v1/entity", params={"entityId": "6120"})["id"] == "6120"
    assert org.call("GET", "/v1/entity", params={"entityId": "LMP-6120"})["id"] == "6120"


def test_the_same_id_means_update(org: Organization) -> None:
    org.call("POST", "/v1/entity", json=LAMP)
    org.call("POST", "/v1/entity", json=TWIN)

    org.call("POST", "/v1/entity", json={"id": 7001, "name": "Garden hose, 20 m", "brand": "Aqua"})

    assert org.call("GET", "/v1/entity", params={"entityId": "7001"})["name"] == "Garden hose, 20 m"
    assert org.call("GET", "/v1/duplicates", params={"entityId": "6120"})["duplicates"] == []
    assert org.call("GET", "/v1/indexes/default")["entityCount"] == 2


def test_contributions_add_up_to_the_score(org: Organization) -> None:
    org.index()
    org.done(persons(300))
    entity = {**persons(300)[4], "id": "new"}

    answer = org.call("POST", "/v1/entity", params={"indexName": "people", "explain": True}, json=entity)

    assert answer["duplicates"]
    for found in answer["duplicates"]:
        why = found["explanation"]
        total = why["prior"] + sum(part["contribution"] for part in [*why["matched"], *why["conflicting"]])
        odds = math.log2(found["similarity"] / (1 - found["similarity"]))
        assert total == pytest.approx(odds, abs=1e-3)


def test_a_deleted_entity_is_gone_with_its_pairs_and_its_place_in_a_group(org: Organization) -> None:
    org.index()
    twins = [{"id": name, "name": "maria fontaine de la cruz", "city": "oslo", "born": "1980-02-03"} for name in "abc"]
    for twin in twins:
        org.call("POST", "/v1/entity", params={"indexName": "people"}, json=twin)
    assert org.groups() == [["a", "b", "c"]]

    org.call("DELETE", "/v1/entity", 204, params={"indexName": "people", "entityId": "b"})

    org.call("GET", "/v1/entity", 404, params={"indexName": "people", "entityId": "b"})
    assert org.groups() == [["a", "c"]]
    assert len(org.pairs()) == 1


BAD: list[tuple[bytes, str, str]] = [
    (b'{"id": 1, "name": ', "INVALID_JSON", "offset 18"),
    (b'{"id": 1, "price": NaN}', "INVALID_JSON", "offset"),
    (b"[1, 2]", "INVALID_VALUE", "object"),
    (b'{"name": "x"}', "MISSING_FIELD", "id is required"),
    (b'{"id": null, "name": "x"}', "MISSING_FIELD", "id is required"),
    (b'{"id": true, "name": "x"}', "INVALID_VALUE", "id must be"),
    (b'{"id": {"a": 1}, "name": "x"}', "INVALID_VALUE", "id must be"),
    (b'{"id": "", "name": "x"}', "INVALID_VALUE", "id must have"),
    (b'{"id": 1, "name": "x", "duplicates": []}', "RESERVED_FIELD", "duplicates"),
    (b'{"id": 1, "name": "a\\u0000b"}', "NULL_BYTE", "name contains a null byte"),
    (b'{"id": 1, "tags": [{"x": "a\\u0000b"}]}', "NULL_BYTE", "tags[0].x"),
    (b'{"id": 1, "other": "x"}', "NO_INDEXED_VALUE", "name"),
    (b'{"id": 1, "name": "\xff"}', "INVALID_JSON", "JSON"),
    (b"", "INVALID_JSON", "JSON"),
]


@pytest.mark.parametrize(("body", "code", "says"), BAD)
def test_bad_input_is_a_400_that_says_what_is_wrong(org: Organization, body: bytes, code: str, says: str) -> None:
    org.index()

    error = org.call("POST", "/v1/entity", 400, params={"indexName": "people"}, content=body)

    assert error["code"] == code
    assert says in error["detail"]
    assert org.call("GET", "/v1/indexes/people")["entityCount"] == 0


def test_a_required_field_that_is_missing_is_named(org: Organization) -> None:
    fields = [{"name": "name", "type": "text"}, {"name": "maker.vat", "type": "string", "required": True}]
    org.call("POST", "/v1/indexes", 201, json={"indexName": "strict", "fields": fields})

    error = org.call("POST", "/v1/entity", 400, params={"indexName": "strict"}, json={"id": 1, "name": "x"})

    assert error["detail"] == "maker.vat is required"
    entity = {"id": 1, "name": "x", "maker": {"vat": "DE1"}}
    org.call("POST", "/v1/entity", params={"indexName": "strict"}, json=entity)


@pytest.mark.parametrize(
    "name",
    [
        "x" * 10_000,
        "日本語の名前 ランプ",
        "עברית שלום",
        "👩‍👩‍👧 family lamp",
        "ﬁne\u202etrick",
        "e\u0301 combining",
        "\u200b\u200blamp",
    ],
)
def test_unicode_of_every_kind_is_kept_as_it_came(org: Organization, name: str) -> None:
    entity = {"id": "u", "name": name, "brand": "orion"}

    answer = org.call("POST", "/v1/entity", content=json.dumps(entity, ensure_ascii=False).encode())

    assert answer["name"] == name
    assert org.call("GET", "/v1/entity", params={"entityId": "u"}) == entity


def test_an_unknown_index_is_a_404(org: Organization) -> None:
    assert org.call("POST", "/v1/entity", 404, params={"indexName": "nope"}, json=LAMP)["code"] == "NOT_FOUND"
    org.call("GET", "/v1/duplicates", 404, params={"indexName": "nope"})


def test_without_a_key_and_with_another_organisations_key(org: Organization, system: EmbeddedStack) -> None:
    org.call("POST", "/v1/entity", json=LAMP)
    stranger = organization(system.api_url)

    stranger.call("GET", "/v1/entity", 404, params={"entityId": "7001"})
    stranger.call("GET", "/v1/duplicates", 404, params={"entityId": "7001"})
    del stranger.http.headers["Authorization"]
    for method, path in (
        ("POST", "/v1/entity"),
        ("GET", "/v1/entity"),
        ("GET", "/v1/duplicates"),
        ("GET", "/v1/groups"),
    ):
        assert stranger.http.request(method, path, json=LAMP).status_code == 401


def test_a_repeat_with_the_same_idempotency_key_gives_the_first_answer(org: Organization) -> None:
    headers = {"Idempotency-Key": "once"}
    first = org.call("POST", "/v1/entity", json=LAMP, headers=headers)
    org.call("POST", "/v1/entity", json=TWIN)

    again = org.http.post("/v1/entity", json=LAMP, headers=headers)

    assert again.json() == first
    assert again.headers["Idempotency-Replayed"] == "true"
    error = org.call("POST", "/v1/entity", 422, json=TWIN, headers=headers)
    assert error["code"] == "IDEMPOTENCY_MISMATCH"


def test_a_single_upsert_can_run_as_a_job(org: Organization) -> None:
    accepted = org.call("POST", "/v1/entity", 202, json=LAMP, headers={"Prefer": "respond-async"})

    org.until(accepted["jobId"])

    assert org.call("GET", accepted["statusUrl"])["results"][0]["id"] == 7001


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/duplicates", {"limit": 0}),
        ("/v1/duplicates", {"limit": 1001}),
        ("/v1/duplicates", {"offset": -1}),
        ("/v1/duplicates", {"minSimilarity": 2}),
        ("/v1/duplicates", {"limit": "many"}),
    ],
)
def test_a_query_out_of_range_is_one_sentence_with_its_name(
    org: Organization, path: str, query: dict[str, Any]
) -> None:
    error = org.call("GET", path, 400, params=query)

    assert error["detail"].startswith(next(iter(query)))
    assert error["status"] == 400


def test_entities_that_are_near_each_other_can_be_written_and_removed_at_once(org: Organization) -> None:
    """Each write decides its neighbours anew: of two that wait for each other's rows one begins again."""
    org.index()
    near = [{"id": number, "name": f"Anna Berger {number % 3}", "city": "graz"} for number in range(40)]

    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            written = list(
                pool.map(lambda one: org.http.post("/v1/entity", params={"indexName": "people"}, json=one), near)
            )
            query = [{"indexName": "people", "entityId": str(one["id"])} for one in near]
            removed = list(pool.map(lambda one: org.http.delete("/v1/entity", params=one), query))
            assert {answer.status_code for answer in written} == {200}
            assert {answer.status_code for answer in removed} == {204}
