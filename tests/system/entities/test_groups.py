"""Groups as clients see them: one group, why, corrections, events as a stream, by page and by webhook."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.support.builders import FIELDS, Organization, organization
from tests.support.receiver import Receiver
from tests.support.reconciling import until_reconciled
from tests.support.waiting import until
from towpath.runtime.embedded import EmbeddedStack
from towpath.webhooks.domain.signing import standard_form

OF = {"indexName": "people"}
MARIA = {"name": "Maria Fontaine de la Cruz", "city": "Oslo", "born": "1980-02-03"}


@pytest.fixture
def group(org: Organization) -> str:
    """The name of a group of `a`, `b`, `c` and `d`."""
    org.index()
    org.done(strangers())
    for one in "abcd":
        org.call("POST", "/v1/entity", params=OF, json={"id": one, **MARIA})
    (found,) = org.call("GET", "/v1/groups", params={**OF, "entityId": "a"})["groups"]
    assert found["size"] == 4
    return str(found["groupId"])


def strangers() -> list[dict[str, Any]]:
    """People who resemble nobody, so that equal values tell something."""
    rng = random.Random(5)

    def word() -> str:
        return "".join(rng.choice("bcdfghjklmnpqrstvwxz") + rng.choice("aeiou") for _ in range(4))

    return [
        {
            "id": f"x{number}",
            "name": f"{word()} {word()}",
            "city": word(),
            "born": f"19{10 + number}-03-0{number % 9 + 1}",
        }
        for number in range(40)
    ]


def test_a_group_is_shown_with_what_holds_it_and_its_golden_record(org: Organization, group: str) -> None:
    org.call("POST", "/v1/entity", params=OF, json={"id": "e", **MARIA, "city": "oslo", "phone": "555 1"})

    shown = org.call("GET", f"/v1/groups/{group}", params=OF)

    assert shown["size"] == len(shown["entityIds"]) == 5
    assert len(shown["evidence"]) == 4
    assert {pair["duplicate"] for pair in shown["evidence"]} == {True}
    assert all("prior" in pair["explanation"] for pair in shown["evidence"])
    assert shown["golden"]["phone"] == {
        "value": "555 1", "entityId": "e", "rule": "most_frequent", "agreeing": 1, "filled": 1,
    }  # fmt: skip
    assert (shown["golden"]["city"]["value"], shown["golden"]["city"]["agreeing"]) == ("Oslo", 5)
    newest = org.call("GET", f"/v1/groups/{group}", params={**OF, "rules": "city:newest"})["golden"]["city"]
    assert (newest["value"], newest["entityId"], newest["rule"]) == ("oslo", "e", "newest")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"rules": "city"}, "field:rule"),
        ({"rules": "city:loudest"}, "loudest"),
        ({"rule": "loudest"}, "rule"),
        ({"rules": ":newest"}, "field:rule"),
    ],
)
def test_a_rule_that_is_none_is_named(org: Organization, group: str, query: dict[str, str], says: str) -> None:
    assert says in org.call("GET", f"/v1/groups/{group}", 400, params={**OF, **query})["detail"]


def test_a_golden_value_is_that_of_the_best_source(org: Organization) -> None:
    org.index(sourceField="shop")
    org.done(strangers())
    for shop, spelling in (("crm", "Oslo"), ("web", "OSLO")):
        org.call("POST", "/v1/entity", params=OF, json={"id": shop, "shop": shop, **MARIA, "city": spelling})
    (found,) = org.call("GET", "/v1/groups", params={**OF, "entityId": "crm"})["groups"]

    for sources, city in (("crm,web", "Oslo"), ("web,crm", "OSLO")):
        query = {**OF, "rule": "source_rank", "sources": sources}
        assert org.call("GET", f"/v1/groups/{found['groupId']}", params=query)["golden"]["city"]["value"] == city


RULES = "/v1/indexes/people/golden-rules"
USUAL = {"rule": "most_frequent", "fields": {}, "sources": []}


def test_an_index_keeps_the_rules_of_its_golden_records(org: Organization, group: str) -> None:
    org.call("POST", "/v1/entity", params=OF, json={"id": "e", **MARIA, "city": "oslo"})

    def city(**query: str) -> tuple[str, str]:
        golden = org.call("GET", f"/v1/groups/{group}", params={**OF, **query})["golden"]["city"]
        return golden["value"], golden["rule"]

    assert org.call("GET", RULES) == USUAL
    kept = {"rule": "longest", "fields": {"city": "newest"}, "sources": ["crm", "web"]}
    for _ in range(2):
        assert org.call("PUT", RULES, json=kept) == kept
    assert org.call("GET", RULES) == kept
    assert city() == ("oslo", "newest")
    assert org.call("GET", f"/v1/groups/{group}", params=OF)["golden"]["name"]["rule"] == "longest"
    assert city(rule="most_frequent") == ("Oslo", "most_frequent")
    assert city(rules="city:most_frequent") == ("Oslo", "most_frequent")
    assert city(rules="name:newest") == ("oslo", "newest")
    # They belong to the index, not to one of its generations; and nothing was rebuilt for them.
    changed = org.call("POST", "/v1/indexes", json={"indexName": "people", "fields": FIELDS[:2]})
    org.until(changed["reindexJobId"])
    assert org.call("GET", RULES) == kept
    assert org.call("PUT", RULES, json={}) == USUAL
    assert city() == ("Oslo", "most_frequent")
    org.call("PUT", RULES, json=kept)
    org.call("DELETE", "/v1/indexes/people", 204)
    org.call("GET", RULES, 404)
    org.index()
    assert org.call("GET", RULES) == USUAL


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"rule": "loudest"}, "rule"),
        ({"fields": {"city": "loudest"}}, "fields.city"),
        ({"fields": {"": "newest"}}, "fields"),
        ({"fields": {f"f{n}": "newest" for n in range(501)}}, "fields"),
        ({"fields": [["city", "newest"]]}, "fields"),
        ({"sources": ["crm", "crm"]}, "sources"),
        ({"sources": "crm"}, "sources"),
        ({"sources": ["a\x00b"]}, "null byte"),
        ({"fields": {"a\x00b": "newest"}}, "null byte"),
        ({"colour": 1}, "colour"),
        ([], "object"),
    ],
)
def test_wrong_golden_rules_are_a_400_that_says_what_is_wrong(org: Organization, body: Any, says: str) -> None:
    org.index()

    assert says in org.call("PUT", RULES, 400, json=body)["detail"]
    assert org.call("GET", RULES) == USUAL


def test_golden_rules_are_for_who_may_see_the_index(org: Organization, system: EmbeddedStack) -> None:
    org.index()
    org.call("PUT", RULES, json={"rule": "newest"})
    stranger = organization(system.api_url)

    stranger.call("GET", RULES, 404)
    stranger.call("PUT", RULES, 404, json={})
    org.call("PUT", "/v1/indexes/nobody/golden-rules", 404, json={})
    assert httpx.get(f"{system.api_url}{RULES}").status_code == 401
    assert httpx.put(f"{system.api_url}{RULES}", json={}).status_code == 401
    made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "operator", "role": "operator"})
    operator = httpx.Client(base_url=system.api_url, headers={"Authorization": f"Bearer {made['key']}"})
    assert operator.get(RULES).json()["rule"] == "newest"
    assert operator.put(RULES, json={}).status_code == 403


def test_a_split_is_made_once_holds_and_is_undone(org: Organization, group: str) -> None:
    headers = {"Idempotency-Key": "split"}

    first = org.call("POST", f"/v1/groups/{group}/split", params=OF, json={"leave": ["a", "b"]}, headers=headers)
    again = org.call("POST", f"/v1/groups/{group}/split", params=OF, json={"leave": ["a", "b"]}, headers=headers)
    org.call("POST", f"/v1/groups/{group}/split", 422, params=OF, json={"leave": ["a"]}, headers=headers)

    assert first == again
    assert org.groups() == [["a", "b"], ["c", "d"]]
    labels = org.call("GET", "/v1/indexes/people/labels")
    assert {label["correctionId"] for label in labels["labels"]} == {first["correctionId"]}
    assert labels["total"] == 4
    why = org.call("GET", "/v1/groups/why", params={**OF, "entityId": "a", "otherId": "c"})
    assert (why["reason"], why["sameGroup"]) == ("label", False)
    org.call("POST", f"/v1/groups/{group}/undo", params=OF, json={})
    assert org.groups() == [["a", "b", "c", "d"]]
    assert org.call("GET", "/v1/groups", params=OF)["groups"][0]["groupId"] == group
    org.call("POST", f"/v1/groups/{group}/undo", 404, params=OF, json={})


def test_what_was_merged_is_one_group(org: Organization, group: str) -> None:
    org.call("POST", "/v1/entity", params=OF, json={"id": "olaf", "name": "Olaf Brekke", "city": "Rome"})

    merged = org.call("POST", f"/v1/groups/{group}/merge", params=OF, json={"entityIds": ["olaf"]})

    assert merged["groups"][0]["groupId"] == group
    assert org.groups() == [["a", "b", "c", "d", "olaf"]]
    labels = org.call("GET", "/v1/indexes/people/labels")["labels"]
    linked = {frozenset((label["entityId"], label["duplicateId"])) for label in labels}
    other = next(one for one in "abcd" if frozenset((one, "olaf")) not in linked)
    contrary = {"labels": [{"entityId": other, "duplicateId": "olaf", "duplicate": False}]}
    error = org.call("POST", "/v1/indexes/people/labels", 409, json=contrary)
    assert "labels contradict each other" in error["detail"]
    assert {"olaf", other} <= set(error["detail"].replace(",", "").split())


def test_a_label_is_taken_back(org: Organization, group: str) -> None:
    pair = {"entityId": "a", "duplicateId": "b"}
    org.call("POST", "/v1/indexes/people/labels", json={"labels": [{**pair, "duplicate": False}]})
    assert org.groups() != [["a", "b", "c", "d"]]

    counts = org.call("DELETE", "/v1/indexes/people/labels", params=pair)

    assert counts == {"added": 0, "total": 0, "duplicates": 0, "distinct": 0}
    assert org.groups() == [["a", "b", "c", "d"]]
    org.call("DELETE", "/v1/indexes/people/labels", 404, params=pair)


BAD: list[tuple[str, Any, str]] = [
    ("split", {}, "leave"),
    ("split", {"leave": ["a"], "parts": [["b"]]}, "leave"),
    ("split", {"leave": []}, "leave"),
    ("split", {"leave": ["a", "a"]}, "twice"),
    ("split", {"leave": ["a", "b", "c", "d"]}, "nobody would be left"),
    ("merge", {}, "groupIds"),
    ("undo", {"correctionId": "x"}, "correctionId"),
    ("split", {"leave": [True]}, "leave[0]: must be text or a whole number"),
    ("split", {"parts": [["a"], [1.5]]}, "parts[1][0]: must be text or a whole number"),
    ("merge", {"entityIds": [None]}, "entityIds[0]: must be text or a whole number"),
]


@pytest.mark.parametrize(("act", "body", "says"), BAD)
def test_a_wrong_correction_is_a_400_that_says_what_is_wrong(
    org: Organization, group: str, act: str, body: Any, says: str
) -> None:
    assert says in org.call("POST", f"/v1/groups/{group}/{act}", 400, params=OF, json=body)["detail"]
    assert org.groups() == [["a", "b", "c", "d"]]


def test_without_a_key_and_with_another_organisations_key(org: Organization, group: str, system: EmbeddedStack) -> None:
    stranger = organization(system.api_url)
    nobody = httpx.Client(base_url=system.api_url)
    stranger.index()
    paths = [
        ("GET", f"/v1/groups/{group}", None),
        ("GET", "/v1/groups/why?entityId=a&otherId=b", None),
        ("GET", "/v1/indexes/people/events?after=0", None),
        ("GET", "/v1/indexes/people/labels", None),
        ("DELETE", "/v1/indexes/people/labels?entityId=a&duplicateId=b", None),
        ("POST", f"/v1/groups/{group}/split", {"leave": ["a"]}),
        ("POST", f"/v1/groups/{group}/merge", {"entityIds": ["a"]}),
        ("POST", f"/v1/groups/{group}/undo", {}),
    ]
    for method, path, body in paths:
        assert nobody.request(method, path, params=OF if "?" not in path else None, json=body).status_code == 401
        if "events" in path:
            assert stranger.call(method, path)["events"] == []
        elif method == "GET" and path.endswith("labels"):
            assert stranger.call(method, path)["labels"] == []
        else:
            query = {} if path.startswith("/v1/indexes") else OF
            stranger.call(method, httpx.URL(path).copy_merge_params(query).raw_path.decode(), 404, json=body)
    assert org.groups() == [["a", "b", "c", "d"]]


def read_stream(org: Organization, last: int | None, count: int) -> list[dict[str, Any]]:
    """The first so many events of the stream behind one."""
    headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": str(last)})
    events: list[dict[str, Any]] = []
    with org.http.stream("GET", "/v1/indexes/people/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data:"):
                events.append(json.loads(line[5:]))
            if len(events) == count:
                break
    return events


def test_events_are_read_as_a_stream_and_by_page(org: Organization, group: str) -> None:
    org.call("DELETE", "/v1/entity", 204, params={**OF, "entityId": "d"})

    all_of_them = read_stream(org, None, 4)
    rest = read_stream(org, 2, 2)

    assert [event["seq"] for event in all_of_them] == [1, 2, 3, 4]
    assert [event["type"] for event in all_of_them] == [
        "group.created", "group.extended", "group.extended", "group.shrunk",
    ]  # fmt: skip
    assert rest == all_of_them[2:]
    assert {event["groupId"] for event in all_of_them} == {group}
    page = org.call("GET", "/v1/indexes/people/events", params={"after": 1, "limit": 2})
    assert page == {"events": all_of_them[1:3], "nextAfter": 3, "last": 4}
    assert org.call("GET", "/v1/indexes/people/events", params={"groupId": group})["events"] == all_of_them
    org.call("GET", "/v1/indexes/people/events", 404, params={"groupId": "g_" + "0" * 16})
    org.call("GET", "/v1/indexes/nope/events", 404, params={"after": 0})
    org.call("GET", "/v1/indexes/people/events", 400, params={"after": -1})
    assert org.http.get("/v1/indexes/nope/events", headers={"Accept": "text/event-stream"}).status_code == 404


def test_endpoints_are_told_of_many_changes_at_once(
    org: Organization, hook: Receiver, path: str, system: EmbeddedStack
) -> None:
    body = {"url": f"{hook.url}{path}", "events": ["group.*"]}
    secret = org.call("POST", "/webhooks", 201, json=body)["secret"]
    org.index()
    people = [
        {
            "id": f"{copy}{number}",
            "name": f"na{number}ril ver{number}ton",
            "city": f"town {number}",
            "born": "1980-02-03",
        }
        for number in range(150)
        for copy in "ab"
    ]
    org.done(people)
    events = org.call("GET", "/v1/indexes/people/events", params={"after": 0, "limit": 1000})

    (got,) = until_reconciled(system, lambda: hook.of(path), "delivery")

    told = Webhook(standard_form(secret)).verify(got.body, got.headers)
    assert (told["event"], told["indexName"], told["last"]) == ("group.changed", "people", events["last"])
    assert told["counts"] == {"group.created": len(events["events"])}
    assert len(told["events"]) == 100
    assert told["truncated"]
    assert told["events"] == events["events"][:100]
    delivery = until(lambda: [one for one in org.deliveries() if one["state"] == "DELIVERED"], "the log")[0]
    assert "jobId" not in delivery
    assert org.call("GET", f"/v1/webhooks/deliveries/{delivery['id']}")["body"]["counts"] == told["counts"]
