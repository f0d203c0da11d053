"""Questions that are answered in one call, which topic and which query; and branches, asked beside their model."""

from __future__ import annotations

from tests.support.ai import LATE, LLM, TELL, answered, lamps_model, script
from tests.support.builders import Organization
from tests.support.llm_server import Fault, LlmServer

JOBS = "/v1/ai/jobs"
Ids = dict[str, str]


def test_a_topic_is_picked_for_a_question(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, topic="shops")
    body = {"modelId": lamps["model"], "prompt": "cities of the shops", "llm": LLM}

    assert org.call("POST", "/v1/ai/pick-topic", json=body) == {"topicId": "shops"}
    assert org.call("POST", "/v1/ai/pick-topic", json={**body, "potentialTopicNames": ["sales"]}) == {
        "topicId": "sales"
    }
    org.call("POST", "/v1/ai/pick-topic", 404, json={**body, "potentialTopicNames": ["nothing"]})
    org.call("POST", "/v1/ai/pick-topic", 400, json={**body, "prompt": ""})


def test_a_query_is_generated_and_run(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, LATE["query"])
    body = {"modelId": lamps["model"], "prompt": "late by shop", "currentTopicName": "sales", "llm": LLM}

    found = org.call("POST", "/v1/ai/generate-query", json=body)
    dry = org.call("POST", "/v1/ai/generate-query", json={**body, "runQuery": False, "workbookUrl": True})

    assert found["topic"] == "sales"
    assert found["query"]["table"] == "sales"
    assert found["query"]["sorts"] == [{"column_name": "sales.count", "sort_descending": True}]
    assert found["error"] is None
    assert found["result"]["totalRowCount"] == 3
    assert "result" not in dry
    assert dry["query"] == found["query"]


def test_a_query_that_cannot_be_made_is_told_in_a_200(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, {**LATE["query"], "filters": [{"field": "sales.late", "operator": "gt", "values": [3]}]})
    body = {"modelId": lamps["model"], "prompt": "late by shop", "currentTopicName": "sales", "llm": LLM}

    found = org.call("POST", "/v1/ai/generate-query", json=body)

    assert "boolean" in found["error"]["detail"]
    assert "result" not in found


def test_an_ai_fault_is_a_500(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    provider.faults = [Fault(status=400, message="no")]
    body = {"modelId": lamps["model"], "prompt": "late by shop", "currentTopicName": "sales", "llm": LLM}

    assert org.call("POST", "/v1/ai/generate-query", 500, json=body)["code"] == "MODEL_ERROR"


def test_branches_are_asked_beside_their_model(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    body = {
        "connectionId": lamps["connection"],
        "modelKind": "BRANCH",
        "modelName": "draft",
        "baseModelId": lamps["model"],
        "content": {"views": {"sales": {"measures": {"watts_sold": {"aggregate": "sum", "sql": "watts"}}}}},
    }
    branch = org.call("POST", "/v1/models", json=body)["model"]["id"]
    move = {**LATE, "query": {"title": "Watts", "fields": ["sales.watts_sold"]}}
    script(provider, move, TELL)

    found = answered(org, lamps, branchId=branch)

    result = org.call("GET", f"{JOBS}/{found['id']}/result")["actions"][0]["result"]
    assert result["status"] == "success", result
    other = lamps_model(org, name="other")
    org.call(
        "POST", JOBS, 404, json={"modelId": other["model"], "prompt": "Why?", "branchId": branch, "topicName": "sales"}
    )
