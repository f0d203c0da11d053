"""Indexes: create, change, re-index beside running writes, labels and tuning, drop."""

from __future__ import annotations

import pytest

from tests.support.builders import FIELDS, Organization, organization, persons
from tests.unit.entities.test_siblings import people
from towpath.runtime.embedded import EmbeddedStack


def test_an_index_is_created_read_listed_updated_and_dropped(org: Organization) -> None:
    body = {"indexName": "lamps", "fields": [{"name": "name", "type": "text"}]}

    made = org.call("POST", "/v1/indexes", 201, json=body)

    assert (made["entityCount"], made["duplicateThreshold"], made["candidateThreshold"]) == (0, 0.85, 0.7)
    assert org.call("GET", "/v1/indexes/lamps")["indexName"] == "lamps"
    org.call("POST", "/v1/indexes", 200, json=body)
    org.call("POST", "/v1/indexes", 409, json={**body, "ifExists": "error"})
    changed = org.call("POST", "/v1/indexes", 200, json={**body, "duplicateThreshold": 0.9})
    assert changed["duplicateThreshold"] == 0.9
    assert org.call("GET", "/v1/indexes")["total"] == 1
    org.call("DELETE", "/v1/indexes/lamps", 204)
    org.call("GET", "/v1/indexes/lamps", 404)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "indexName is required"),
        ({"indexName": "a b", "fields": [{"name": "x", "type": "text"}]}, "indexName"),
        ({"indexName": "a", "fields": []}, "fields"),
        ({"indexName": "a", "fields": [{"name": "x", "type": "picture"}]}, "fields[0].type"),
        ({"indexName": "a", "fields": [{"name": "x", "type": "text", "identity": "yes"}]}, "fields[0].identity"),
        ({"indexName": "a", "fields": [{"name": "x", "type": "text"}] * 2}, "field named twice: x"),
        ({"indexName": "a", "fields": [{"name": "x", "type": "text"}], "cleanSources": True}, "sourceField"),
        ({"indexName": "a", "fields": [{"name": "x", "type": "text"}], "colour": 1}, "colour"),
        ({"indexName": "a", "fields": [{"name": "x", "type": "text"}], "duplicateThreshold": 2}, "duplicateThreshold"),
    ],
)
def test_a_wrong_index_is_a_400_that_names_the_field(org: Organization, body: dict[str, object], says: str) -> None:
    assert says in org.call("POST", "/v1/indexes", 400, json=body)["detail"]


def test_a_change_reindexes_beside_reads_and_writes(org: Organization, system: EmbeddedStack) -> None:
    org.index()
    people = persons(600)
    org.done(people)
    before = org.pairs()

    changed = org.call("POST", "/v1/indexes", json={"indexName": "people", "fields": FIELDS[:2]})
    job_id = changed["reindexJobId"]
    # Held, so that it is under way however fast it is, and what comes meanwhile comes before it trains.
    org.call("POST", f"/v1/jobs/{job_id}/pause")
    org.call("POST", "/v1/indexes", 409, json={"indexName": "people", "fields": FIELDS[:1]})
    late = {"id": "late", "name": people[0]["name"], "city": people[0]["city"]}
    org.call("POST", "/v1/entity", params={"indexName": "people"}, json=late)
    org.call("DELETE", "/v1/entity", 204, params={"indexName": "people", "entityId": "599"})
    org.call("POST", f"/v1/jobs/{job_id}/continue")

    assert before
    job = org.until(job_id)
    assert job["state"] == "COMPLETED", job
    index = org.call("GET", "/v1/indexes/people")
    assert [field["name"] for field in index["fields"]] == ["name", "city"]
    assert index["entityCount"] == 600
    found = org.call("GET", "/v1/duplicates", params={"indexName": "people", "entityId": "late"})["duplicates"]
    assert people[0]["id"] in [one["id"] for one in found]
    org.call("GET", "/v1/entity", 404, params={"indexName": "people", "entityId": "599"})
    fresh = organization(system.api_url)
    fresh.call("POST", "/v1/indexes", 201, json={"indexName": "people", "fields": FIELDS[:2]})
    fresh.done([*people[:599], late])
    assert {pair[:2] for pair in org.pairs() if pair[3]} == {pair[:2] for pair in fresh.pairs() if pair[3]}


def test_what_the_user_says_of_a_field_sets_siblings_apart(org: Organization) -> None:
    fields: list[dict[str, object]] = [{"name": name, "type": "string"} for name in ("vn", "nn", "tel", "anschrift")]
    org.call("POST", "/v1/indexes", 201, json={"indexName": "leute", "fields": fields})
    listed = [
        {"id": at, "vn": row["first"], "nn": row["last"], "tel": row["phone"], "anschrift": row["street"]}
        for at, row in enumerate(people(200, 4))
    ]
    house = {"nn": "Dunwoody", "tel": "(212) 555-0777", "anschrift": "6 Kiln Lane"}
    twins = [{"id": "p", "vn": "Peter", **house}, {"id": "g", "vn": "Grace", **house}]
    org.done([*listed, *twins], "leute")

    def is_duplicate() -> bool:
        query = {"indexName": "leute", "entityId": "p", "minSimilarity": 0}
        pairs = org.call("GET", "/v1/duplicates", params=query)["duplicates"]
        return any(pair["id"] == "g" and pair["duplicate"] for pair in pairs)

    assert is_duplicate()
    fields[0]["identity"] = True
    changed = org.call("POST", "/v1/indexes", json={"indexName": "leute", "fields": fields})
    assert org.until(changed["reindexJobId"])["state"] == "COMPLETED"

    assert org.call("GET", "/v1/indexes/leute")["fields"][0]["identity"] is True
    assert not is_duplicate()


def test_labels_are_counted_and_tuning_reports_before_and_after(org: Organization) -> None:
    org.index()
    people = persons(600)
    org.done(people)
    org.call("POST", "/v1/indexes/people/tune", 400)
    same = [{"entityId": n, "duplicateId": n - 1, "duplicate": True} for n in range(2, 120, 3)]
    other = [{"entityId": n, "duplicateId": n - 1, "duplicate": False} for n in range(1, 120, 3)]

    counts = org.call("POST", "/v1/indexes/people/labels", json={"labels": [*same, *other]})
    again = org.call("POST", "/v1/indexes/people/labels", json={"labels": same[:3]})

    assert (counts["total"], counts["duplicates"], counts["distinct"]) == (80, 40, 40)
    assert again["total"] == 80
    started = org.call("POST", "/v1/indexes/people/tune", 202)
    job = org.until(started["jobId"])
    assert job["state"] == "COMPLETED", job
    report = job["result"]["tuning"]
    assert report["labels"] == 80
    assert report["after"]["f1"] >= report["before"]["f1"] > 0.5
    for wrong in (True, 2.5, None, ["1"]):
        body = {"labels": [{"entityId": 1, "duplicateId": wrong, "duplicate": True}]}
        error = org.call("POST", "/v1/indexes/people/labels", 400, json=body)
        assert error["detail"].startswith("labels[0].duplicateId: must be text or a whole number")
    unknown = {"labels": [{"entityId": 1, "duplicateId": "nobody", "duplicate": True}]}
    assert "labels[0].duplicateId" in org.call("POST", "/v1/indexes/people/labels", 404, json=unknown)["detail"]


def test_another_organisations_index_is_unknown(org: Organization, system: EmbeddedStack) -> None:
    org.index()
    stranger = organization(system.api_url)

    stranger.call("GET", "/v1/indexes/people", 404)
    stranger.call("DELETE", "/v1/indexes/people", 404)
    stranger.call("POST", "/v1/indexes/people/tune", 404)
    stranger.call("POST", "/v1/entity", 404, params={"indexName": "people"}, json={"id": 1, "name": "x"})


def test_a_batch_and_single_upserts_find_the_same_pairs(org: Organization) -> None:
    org.index("one-by-one")
    org.index("batch")
    people = persons(40)

    for person in people:
        org.call("POST", "/v1/entity", params={"indexName": "one-by-one"}, json=person)
    org.done(people, "batch")

    assert org.pairs("batch")
    # What each is like depends on who was there when it came, until enough entities are there to train the index.
    assert {pair[:2] for pair in org.pairs("one-by-one")} == {pair[:2] for pair in org.pairs("batch")}


def test_with_clean_sources_nobody_matches_within_a_source(org: Organization) -> None:
    org.index("linked", sourceField="shop", cleanSources=True)
    people = persons(300)
    rows = [{**person, "shop": "a" if n % 3 < 2 else "b"} for n, person in enumerate(people)]

    org.done(rows, "linked")

    shop = {str(row["id"]): row["shop"] for row in rows}
    assert org.pairs("linked")
    assert all(shop[left] != shop[right] for left, right, _, _ in org.pairs("linked"))
    partners = [one for left, right, _, duplicate in org.pairs("linked") if duplicate for one in (left, right)]
    assert len(partners) == len(set(partners)) > 100
