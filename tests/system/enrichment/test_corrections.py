"""Right values of records, and the report on how right models are."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.builders import Organization, organization
from tests.support.llm_server import LlmServer
from towpath.runtime.embedded import EmbeddedStack

BOTH = ["openai::gpt-4o", "anthropic::claude-haiku-4-5"]


@pytest.fixture
def records(org: Organization, provider: LlmServer) -> dict[str, str]:
    """The records of one entity by model, and the fused one: the models differ on a year."""
    founded = {"gpt-4o": 1998, "claude-haiku-4-5": 2000}
    provider.answer = lambda model, _prompt, _form: {"founded": founded[model], "slogan": "Light for all"}
    messages = org.messages(org.enrich(entity_data={"name": "Orion"}, schema_id=org.schema(), models=BOTH))
    made = {one["model"]: one["record_id"] for one in messages if one["type"] == "model_completed"}
    fused = next(one["record_id"] for one in messages if one["type"] == "fusion_completed")
    return {**made, "fused": fused}


def path_of(record: str) -> str:
    return f"/api/records/{record}/corrections"


def test_right_values_judge_every_record_of_the_entity(org: Organization, records: dict[str, str]) -> None:
    gpt, haiku = (records[model] for model in BOTH)
    given = org.call("POST", path_of(haiku), json={"values": {"founded": 1998}, "others_right": True})
    told = {one["field"]: (one["value"], one["record_value"], one["judgement"]) for one in given["corrections"]}
    assert told == {
        "founded": (1998, 2000, "wrong"), "slogan": ("Light for all", "Light for all", "right"),
    }  # fmt: skip
    assert all(one["key_id"] and one["created_at"] for one in given["corrections"])
    assert org.call("GET", path_of(haiku)) == given
    again = org.call("POST", path_of(haiku), json={"values": {"founded": 1998}, "others_right": True})
    assert again == given, "a repeat changes nothing, not even the time"
    assert org.call("GET", path_of(gpt))["corrections"] == []
    assert org.call("GET", f"/api/records/{haiku}")["structured_output"]["founded"] == 2000

    report = org.call("GET", "/api/records/accuracy")
    rows = {(row["type"], row["model"]): row for row in report["models"]}
    counts = {key: (row["right"], row["wrong"], row["missing"]) for key, row in rows.items()}
    # Fused by the rules the year is the mean of both.
    assert counts == {
        ("enrichment", BOTH[0]): (2, 0, 0),
        ("enrichment", BOTH[1]): (1, 1, 0),
        ("fusion", None): (1, 1, 0),
    }
    assert (report["records"], report["fields"], report["right"]) == (3, 6, 4)
    record = org.call("GET", f"/api/records/{gpt}")
    row = rows["enrichment", BOTH[0]]
    assert row["prompt_version"] == record["prompt_version"] is not None
    # Of three fields two have a right value, and both are right.
    assert row["cost_per_right_field_usd"] == pytest.approx(record["cost_usd"] * 2 / 3 / 2)
    only = org.call("GET", "/api/records/accuracy", params={"model": BOTH[1], "schema_id": record["schema_id"]})
    assert [row["model"] for row in only["models"]] == [BOTH[1]]


def test_the_later_of_two_values_holds_and_a_value_is_taken_back(org: Organization, records: dict[str, str]) -> None:
    gpt, haiku = (records[model] for model in BOTH)
    org.call("POST", path_of(gpt), json={"values": {"founded": 1998}})
    org.call("POST", path_of(haiku), json={"values": {"founded": None}})
    report = org.call("GET", "/api/records/accuracy")
    assert (report["right"], report["wrong"]) == (0, 3), "the year is not known, whatever all three say"
    assert org.call("DELETE", path_of(haiku), params={"field": "founded"})["taken_back"] == 1
    assert org.call("GET", "/api/records/accuracy")["right"] == 1
    assert "founded" in org.call("DELETE", path_of(haiku), 404, params={"field": "founded"})["detail"]
    assert org.call("DELETE", path_of(gpt))["taken_back"] == 1
    assert org.call("GET", "/api/records/accuracy")["records"] == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"values": {"founded": "long ago"}}, "values.founded"),
        ({"values": {"colour": "red"}}, "no field colour"),
        ({"values": {}}, "values"),
        ({"value": {"founded": 1}}, "value"),
        ({"values": {"founded": 1998}, "others_right": "yes"}, "others_right"),
    ],
)
def test_a_bad_value_is_refused_by_name(
    org: Organization, records: dict[str, str], body: dict[str, Any], told: str
) -> None:
    assert told in org.call("POST", path_of(records[BOTH[0]]), 400, json=body)["detail"]
    assert org.call("GET", path_of(records[BOTH[0]]))["corrections"] == []


def test_right_values_are_of_their_organization_and_go_with_the_record(
    system: EmbeddedStack, org: Organization, records: dict[str, str]
) -> None:
    record = records[BOTH[0]]
    org.call("POST", path_of(record), json={"values": {"founded": 1998}})
    other = organization(system.api_url)
    other.call("POST", path_of(record), 404, json={"values": {"founded": 1}})
    other.call("GET", path_of(record), 404)
    other.call("DELETE", path_of(record), 404)
    assert other.call("GET", "/api/records/accuracy")["records"] == 0
    for method in ("GET", "POST", "DELETE"):
        assert httpx.request(method, f"{system.api_url}{path_of(record)}").status_code == 401
    assert httpx.get(f"{system.api_url}/api/records/accuracy").status_code == 401
    org.call("POST", "/api/records/batch-delete", json={"ids": list(records.values())})
    assert org.call("GET", "/api/records/accuracy")["records"] == 0
    org.call("POST", "/api/records/batch-restore", json={"ids": list(records.values())})
    assert org.call("GET", "/api/records/accuracy")["records"] == 3
