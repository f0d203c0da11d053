"""Quality reports: of an index and in the report of its jobs."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.builders import FIELDS, Organization, organization, persons
from tests.support.siblings import FIELDS as HOUSEHOLD_FIELDS
from tests.support.siblings import households
from towpath.runtime.embedded import EmbeddedStack


def quality(org: Organization, index: str = "people") -> dict[str, Any]:
    """The report of an index."""
    found: dict[str, Any] = org.call("GET", f"/v1/indexes/{index}/quality")
    return found


def without_time(report: dict[str, Any]) -> dict[str, Any]:
    """A report but for when it was measured."""
    return {name: value for name, value in report.items() if name != "measuredAt"}


def codes(report: dict[str, Any]) -> list[tuple[str, str | None]]:
    """What is advised, with the field that it is about."""
    return [(one["code"], one.get("field")) for one in report["advice"]]


def test_a_report_counts_what_the_index_holds(org: Organization) -> None:
    fields = [*FIELDS, {"name": "country", "type": "string"}, {"name": "status", "type": "string"}]
    org.call("POST", "/v1/indexes", 201, json={"indexName": "people", "fields": fields})
    rows = [
        {**person, "country": "PT", "status": "new" if n // 3 % 2 else "old"} for n, person in enumerate(persons(300))
    ]
    job_id = org.done(rows)

    report = quality(org)

    pairs = org.pairs()
    grey = [similarity for _, _, similarity, _ in pairs if 0.7 <= similarity < 0.85]
    near = [similarity for _, _, similarity, _ in pairs if abs(similarity - 0.85) <= 0.1]
    said = [similarity for _, _, similarity, duplicate in pairs if duplicate]
    assert (report["entityCount"], report["modelVersion"], report["trainedOn"], report["labels"]) == (300, 1, 300, 0)
    assert (report["pairs"]["listed"], report["pairs"]["duplicates"]) == (len(pairs), len(said))
    assert report["pairs"]["greyZone"] == {
        "lower": 0.7, "upper": 0.85, "pairs": len(grey), "nearThreshold": len(near),
    }  # fmt: skip
    assert report["pairs"]["sampledShare"] == report["groups"]["sampledShare"] == 1.0
    assert abs(report["precision"]["byModel"] - sum(said) / len(said)) < 1e-3
    assert report["precision"]["estimated"] == report["precision"]["byModel"]
    groups = org.groups()
    assert report["groups"]["groups"] == len(groups)
    assert report["groups"]["entities"] == sum(len(group) for group in groups)
    assert sum(one["groups"] for one in report["groups"]["sizes"]) == len(groups)
    largest = report["groups"]["largest"]
    assert [one["size"] for one in largest] == sorted((len(group) for group in groups), reverse=True)[:5]
    assert all(sorted(str(one) for one in group["entityIds"]) in groups for group in largest)
    by_field = {one["field"]: one for one in report["fields"]}
    assert [by_field[name]["evidence"] for name in ("name", "country", "status")] == ["GOOD", "CONSTANT", "FEW_VALUES"]
    assert by_field["name"]["meanBits"] > by_field["country"]["meanBits"]
    assert {("FIELD_WITHOUT_EVIDENCE", "country"), ("FIELD_WITHOUT_EVIDENCE", "status")} <= set(codes(report))
    status = org.call("GET", "/v1/entities/batch/status", params={"jobId": job_id, "resultsLimit": 0})
    assert without_time(status["report"]["quality"]) == without_time(report)
    assert without_time(org.job(job_id)["result"]["quality"]) == without_time(report)


def test_a_reindex_reports_what_it_has_built(org: Organization) -> None:
    org.index()
    org.done(persons(120))

    changed = org.call("POST", "/v1/indexes", json={"indexName": "people", "fields": FIELDS[:2]})

    job = org.until(changed["reindexJobId"])
    assert job["state"] == "COMPLETED", job
    assert without_time(job["result"]["quality"]) == without_time(quality(org))
    assert [one["field"] for one in quality(org)["fields"]] == ["name", "city"]


def test_labels_correct_the_estimate(org: Organization) -> None:
    org.call("POST", "/v1/indexes", 201, json={"indexName": "people", "fields": HOUSEHOLD_FIELDS})
    people, same = households(60, copies=0.3)
    org.done(people)
    listed = [pair for pair in org.pairs() if pair[2] >= 0.85]
    before = quality(org)["precision"]
    labels = [
        {"entityId": left, "duplicateId": right, "duplicate": frozenset((left, right)) in same}
        for left, right, _, _ in listed[:200]
    ]

    org.call("POST", "/v1/indexes/people/labels", json={"labels": labels})

    after = quality(org)
    right = sum(label["duplicate"] for label in labels)
    assert before["byLabels"] == {"labelled": 0, "right": 0}
    assert after["labels"] == len(labels)
    assert after["precision"]["byLabels"]["labelled"] == len(labels)
    assert after["precision"]["byLabels"]["right"] == right
    truth = sum(frozenset(pair[:2]) in same for pair in listed) / len(listed)
    assert abs(after["precision"]["estimated"] - truth) < abs(before["estimated"] - truth) or truth > 0.97


def test_sources_without_duplicates_of_their_own_are_to_be_declared(org: Organization) -> None:
    org.index("linked", sourceField="shop")
    rows = [{**person, "shop": "a" if n % 3 < 2 else "b"} for n, person in enumerate(persons(300))]
    org.done(rows, "linked")
    declare = {("DECLARE_CLEAN_SOURCES", "shop"), ("REVIEW_INFERRED_SOURCES", "shop")}

    assert declare & set(codes(quality(org, "linked")))
    body = {"indexName": "linked", "fields": FIELDS, "sourceField": "shop", "cleanSources": True}
    org.until(org.call("POST", "/v1/indexes", json=body)["reindexJobId"])
    assert not declare & set(codes(quality(org, "linked")))


def test_an_empty_index_has_a_report(org: Organization) -> None:
    org.index()

    report = quality(org)

    assert (report["entityCount"], report["pairs"]["listed"], report["groups"]["groups"]) == (0, 0, 0)
    assert "estimated" not in report["precision"]
    assert report["advice"] == report["fields"] == []


def test_who_may_not_see_an_index_sees_no_report_of_it(org: Organization, system: EmbeddedStack) -> None:
    org.index()

    organization(system.api_url).call("GET", "/v1/indexes/people/quality", 404)
    org.call("GET", "/v1/indexes/nobody/quality", 404)
    org.call("GET", "/v1/indexes/people/quality", 400, params={"colour": 1})
    assert httpx.get(f"{system.api_url}/v1/indexes/people/quality").status_code == 401
