"""More copies of one record than any key may have holders: one group, and it stays one."""

from __future__ import annotations

from tests.support.builders import Organization, persons

COPIES = 1_050
TWIN = {"name": "Placeholder Person Do Not Use", "city": "nowhere", "born": "1900-01-01"}


def test_a_thousand_copies_are_one_group_and_a_later_one_joins(org: Organization) -> None:
    org.index()
    org.done([*({"id": f"copy{n}", **TWIN} for n in range(COPIES)), *persons(300)])
    first = largest(org)

    answer = org.call("POST", "/v1/entity", params={"indexName": "people"}, json={"id": "late", **TWIN})
    found = org.call("GET", "/v1/duplicates", params={"indexName": "people", "entityId": "late"})

    assert first == {f"copy{n}" for n in range(COPIES)}
    assert {one["duplicate"] for one in answer["duplicates"]} == {True}
    assert 4 <= len(answer["duplicates"]) == found["totalDuplicates"] <= 8
    assert largest(org) == first | {"late"}
    for number in range(8):
        org.call("DELETE", "/v1/entity", 204, params={"indexName": "people", "entityId": f"copy{number}"})
    assert largest(org) == (first | {"late"}) - {f"copy{n}" for n in range(8)}


def largest(org: Organization) -> set[str]:
    groups = org.call("GET", "/v1/groups", params={"indexName": "people", "limit": 1})["groups"]
    return set(groups[0]["entityIds"]) if groups else set()
