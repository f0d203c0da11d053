"""Suggested labels: which pairs they are, and that answering them teaches the index."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.builders import Organization, organization, persons
from tests.support.siblings import FIELDS, households
from towpath.runtime.embedded import EmbeddedStack

HERE = "/v1/indexes/people/label-suggestions"


def f1_of(org: Organization, same: set[frozenset[str]]) -> float:
    """F1 of the verdicts of an index."""
    said = {frozenset(pair[:2]) for pair in org.pairs() if pair[3]}
    return 2 * len(said & same) / (len(said) + len(same))


def answer(org: Organization, same: set[frozenset[str]], limit: int = 20) -> int:
    """Label what is suggested as a person would who knows; how many that were."""
    suggested = org.call("GET", HERE, params={"limit": limit})["suggestions"]
    labels = [
        {
            "entityId": pair["entityId"],
            "duplicateId": pair["duplicateId"],
            "duplicate": frozenset((pair["entityId"], pair["duplicateId"])) in same,
        }
        for pair in suggested
    ]
    org.call("POST", "/v1/indexes/people/labels", json={"labels": labels})
    return len(labels)


def test_answers_to_suggestions_teach_the_index(org: Organization) -> None:
    org.call("POST", "/v1/indexes", 201, json={"indexName": "people", "fields": FIELDS})
    people, same = households(250, copies=0.1)
    org.done(people)
    before = f1_of(org, same)

    for _ in range(2):
        assert answer(org, same) == 20
        job = org.until(org.call("POST", "/v1/indexes/people/tune", 202)["jobId"])
        assert job["state"] == "COMPLETED", job

    after = f1_of(org, same)
    assert after > 0.95
    assert after > before or before > 0.99


def test_each_suggestion_shows_what_a_person_needs(org: Organization) -> None:
    org.index()
    people = persons(300)
    org.done(people)

    found = org.call("GET", HERE, params={"limit": 8})

    assert (found["indexName"], found["labels"], len(found["suggestions"])) == ("people", 0, 8)
    by_id = {person["id"]: person for person in people}
    pairs = {frozenset(pair[:2]): pair for pair in org.pairs()}
    seen: list[int] = []
    for suggestion in found["suggestions"]:
        left, right = suggestion["entityId"], suggestion["duplicateId"]
        seen += [left, right]
        assert suggestion["entity"] == {"id": left, "body": by_id[left]}
        assert suggestion["other"] == {"id": right, "body": by_id[right]}
        stored = pairs[frozenset((str(left), str(right)))]
        assert (suggestion["similarity"], suggestion["duplicate"]) == (pytest.approx(stored[2], abs=1e-6), stored[3])
        explanation = suggestion["explanation"]
        parts = explanation["matched"] + explanation["conflicting"]
        bits = explanation["prior"] + sum(part["contribution"] for part in parts)
        assert 1 / (1 + 2**-bits) == pytest.approx(suggestion["similarity"], abs=1e-6)
    assert len(seen) == len(set(seen))
    assert found == org.call("GET", HERE, params={"limit": 8})
    assert len(org.call("GET", HERE)["suggestions"]) == 20


def test_what_has_a_label_is_not_suggested_again(org: Organization) -> None:
    org.index()
    org.done(persons(150))
    first: list[dict[str, Any]] = org.call("GET", HERE, params={"limit": 5})["suggestions"]
    labels = [{"entityId": pair["duplicateId"], "duplicateId": pair["entityId"], "duplicate": True} for pair in first]

    org.call("POST", "/v1/indexes/people/labels", json={"labels": labels})

    second = org.call("GET", HERE, params={"limit": 100})
    answered = {frozenset((pair["entityId"], pair["duplicateId"])) for pair in first}
    assert second["labels"] == 5
    assert second["suggestions"]
    assert not answered & {frozenset((pair["entityId"], pair["duplicateId"])) for pair in second["suggestions"]}


def test_large_bodies_are_shortened(org: Organization) -> None:
    org.index()
    note = "a long note " * 1_500
    org.done([{**person, "note": note, "deep": {"note": note}} for person in persons(9)])

    suggestion = org.call("GET", HERE, params={"limit": 1})["suggestions"][0]

    assert suggestion["entity"]["truncated"] is True
    assert suggestion["entity"]["body"]["note"] == note[:1_000]
    assert "deep" not in suggestion["entity"]["body"]
    assert suggestion["entity"]["body"]["name"]


def test_an_empty_index_has_no_suggestions(org: Organization) -> None:
    org.index()

    assert org.call("GET", HERE) == {"indexName": "people", "labels": 0, "suggestions": []}


def test_who_may_not_see_an_index_gets_no_suggestions(org: Organization, system: EmbeddedStack) -> None:
    org.index()

    organization(system.api_url).call("GET", HERE, 404)
    org.call("GET", "/v1/indexes/nobody/label-suggestions", 404)
    for wrong in ({"limit": 0}, {"limit": 101}, {"limit": "many"}, {"colour": 1}):
        org.call("GET", HERE, 400, params=wrong)
    assert httpx.get(f"{system.api_url}{HERE}").status_code == 401


def test_a_tuning_tells_what_it_changed_in_the_index(org: Organization) -> None:
    org.call("POST", "/v1/indexes", 201, json={"indexName": "people", "fields": FIELDS})
    people, same = households(150, copies=0.1, seed=2)
    org.done(people)
    assert answer(org, same, 30) == 30
    # Of siblings the index is sure by itself, so none is suggested.
    siblings = [{"entityId": f"{home}-0", "duplicateId": f"{home}-1", "duplicate": False} for home in range(10)]
    org.call("POST", "/v1/indexes/people/labels", json={"labels": siblings})
    before = {frozenset(pair[:2]) for pair in org.pairs() if pair[3]}

    job = org.until(org.call("POST", "/v1/indexes/people/tune", 202)["jobId"])

    assert job["state"] == "COMPLETED", job
    after = {frozenset(pair[:2]) for pair in org.pairs() if pair[3]}
    changes, tuning = job["result"]["changes"], job["result"]["tuning"]
    assert changes["duplicates"] == {
        "before": len(before),
        "after": len(after),
        "turnedTrue": len(after - before),
        "turnedFalse": len(before - after),
    }
    labels = changes["labels"]
    assert labels["labels"] == len(labels["listed"]) == tuning["labels"] == 40
    assert labels["hold"] >= labels["heldBefore"]
    for label in labels["listed"]:
        pair = frozenset((label["entityId"], label["duplicateId"]))
        assert label["duplicate"] == (pair in same)
        assert label["heldBefore"] == ((pair in before) == label["duplicate"])
        assert label["holds"] == ((pair in after) == label["duplicate"])
    assert [label["holds"] for label in labels["listed"]] == sorted(label["holds"] for label in labels["listed"])
    said = [label for label in labels["listed"] if label["holds"] == label["duplicate"]]
    right = [label for label in said if label["duplicate"]]
    assert labels["after"]["precision"] == pytest.approx(len(right) / len(said), abs=1e-3)
    assert labels["after"]["recall"] == pytest.approx(len(right) / tuning["duplicates"], abs=1e-3)
    estimated = changes["estimatedPrecision"]
    truth = [len(said & same) / len(said) for said in (before, after)]
    assert abs(estimated["after"] - truth[1]) < 0.1
    assert abs(estimated["before"] - truth[0]) < 0.25
    assert not any(name.endswith("_by_bin") for name in tuning)
