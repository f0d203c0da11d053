"""Every AI answer as a client with types reads it: ids are UUIDs, nothing required is missing, no key is a user."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support.ai import LATE, LLM, TELL, answered, ask, person_of, script, until
from tests.support.builders import Organization
from tests.support.llm_server import Fault, LlmServer
from tests.support.receiver import Receiver
from towpath.runtime.embedded import EmbeddedStack

JOBS = "/v1/ai/jobs"
Ids = dict[str, str]
JOB = {"id", "state", "prompt", "conversationId", "organizationId", "userId", "omniChatUrl", "createdAt", "updatedAt"}
QUERY = {"queryName": str, "query": dict, "status": str, "csvResult": str, "csvResultWasTruncated": bool,
         "hasResults": bool, "totalRowCount": int}  # fmt: skip
UUIDS = {"id", "jobId", "conversationId", "organizationId", "userId", "modelId", "cancelledBy", "connectionId"}
NULL_ALLOWED = {"branchId", "baseModelId"}


def check(found: Any, keys: set[str], at: str = "answer") -> None:
    """Check a whole answer, however deep."""
    if isinstance(found, list):
        for place, one in enumerate(found):
            check(one, keys, f"{at}[{place}]")
    if not isinstance(found, dict):
        return
    for name, value in found.items():
        here = f"{at}.{name}"
        # A view's dimension may be called `id`, too.
        if not isinstance(value, dict) and (name in UUIDS or (name in NULL_ALLOWED and value is not None)):
            assert isinstance(value, str), (here, value)
            assert str(UUID(value)) == value, (here, value)
            assert value not in keys, f"{here} is the id of an API key"
        if name == "result" and isinstance(value, dict):
            assert {key: type(value[key]) for key in QUERY} == QUERY, (here, value)
        check(value, keys, here)


@pytest.fixture
def keys(org: Organization) -> set[str]:
    """The ids of the organization's keys."""
    found = {one["id"] for one in org.call("GET", "/api/auth/api-keys")["apiKeys"]}
    assert found
    return found


def test_ids_are_uuids_in_every_answer_and_the_organizations_is_the_same_in_all(
    org: Organization, lamps: Ids, provider: LlmServer, keys: set[str], hook: Receiver, path: str
) -> None:
    script(provider, LATE, TELL)
    answers = [ask(org, lamps, webhookUrl=hook.url + path, progressWebhookEnabled=True)]
    answers.append(until(org, answers[0]["jobId"]))
    thread = answers[-1]["conversationId"]
    provider.faults = [Fault(status=400, message="no")]
    answers.append(until(org, ask(org, lamps, prompt="Refused?")["jobId"]))
    provider.faults = [Fault(hang=2.0)]
    held = ask(org, lamps, prompt="Cancelled?")["jobId"]
    answers.append(until(org, held, "EXECUTING"))
    answers.append(org.call("POST", f"{JOBS}/{held}/cancel"))
    answers.append(until(org, held))
    wrong = {**LATE, "query": {"title": "", "fields": ["sales.count"], "filters": [
        {"field": "sales.late", "operator": "gt", "values": [3]}]}}  # fmt: skip
    script(provider, wrong, LATE, TELL)
    mended = answered(org, lamps, prompt="Mended?")
    assert [one["state"] for one in answers if "state" in one] == [
        "COMPLETE", "FAILED", "EXECUTING", "CANCELLED", "CANCELLED",
    ]  # fmt: skip
    question = {"modelId": lamps["model"], "prompt": "late by shop", "currentTopicName": "sales", "llm": LLM}
    script(provider, LATE["query"])
    answers += [
        mended,
        *(org.call("GET", f"{JOBS}/{one}/result") for one in (answers[0]["jobId"], mended["id"])),
        org.call("GET", JOBS),
        org.call("GET", "/v1/ai/conversations"),
        org.call("GET", f"/v1/ai/conversations/{thread}"),
        org.call("POST", "/v1/ai/pick-topic", json={**question, "potentialTopicNames": ["sales"]}),
        org.call("POST", "/v1/ai/generate-query", json=question),
        org.call("GET", "/v1/models"),
        org.call("GET", f"/v1/models/{lamps['model']}"),
        org.call("GET", "/v1/connections"),
        org.call("GET", f"/v1/models/{lamps['model']}/topic/sales"),
        *(json.loads(one.body) for one in hook.wait(path, 3)),
    ]

    for answer in answers:
        check(answer, keys)
    jobs = [one for one in answers if "prompt" in one] + org.call("GET", JOBS)["data"]
    assert all(one.keys() >= JOB for one in jobs)
    assert len({one["organizationId"] for one in jobs}) == 1
    names = {one["queryName"] for answer in answers if isinstance(answer, dict) for one in _results(answer)}
    assert names == {"Late sales by shop", "Query 1"}


def _results(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [one["result"] for one in answer.get("actions", []) if "result" in one]


def test_an_answers_user_can_be_passed_back(
    org: Organization, lamps: Ids, provider: LlmServer, system: EmbeddedStack
) -> None:
    script(provider, TELL)
    found = answered(org, lamps)

    body = {"modelId": lamps["model"], "prompt": "Why?", "topicName": "sales", "llm": LLM}
    again = org.call("POST", JOBS, 201, json=body, params={"userId": found["userId"]})

    assert until(org, again["jobId"])["userId"] == found["userId"] == found["organizationId"]
    threads = org.call("GET", "/v1/ai/conversations", params={"userId": found["userId"]})
    assert {one["id"] for one in threads["data"]} == {found["conversationId"], again["conversationId"]}
    assert threads["pageInfo"]["totalRecords"] == 2
    bootstrap = httpx.get(f"{system.api_url}/api/auth/me", headers={"X-API-Key": system.api_key}).json()
    assert bootstrap["user_id"] is None


def test_threads_are_filtered_by_users_that_there_are(
    org: Organization, lamps: Ids, provider: LlmServer, system: EmbeddedStack
) -> None:
    script(provider, TELL)
    answered(org, lamps)
    person, user = person_of(org, system.api_url)

    assert "userId" in org.call("GET", "/v1/ai/conversations", 404, params={"userId": str(uuid4())})["detail"]
    assert org.call("GET", "/v1/ai/conversations", params={"userId": user})["data"] == []
    assert person.call("GET", "/v1/ai/conversations", params={"userId": user})["data"] == []
    assert "userId" in person.call("GET", "/v1/ai/conversations", 403, params={"userId": str(uuid4())})["detail"]


def test_an_attachment_needs_no_name(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, TELL)
    note = base64.b64encode(b"Lamp sales were counted twice in May.").decode()

    answered(org, lamps, attachments=[{"data": note, "mimeType": "text/plain"}])

    asked = str(provider.calls[-1]["messages"])
    assert "attachment-1.txt" in asked
    assert "counted twice" in asked


def test_a_topic_that_is_not_there_is_a_404_of_both_calls(org: Organization, lamps: Ids) -> None:
    body = {"modelId": lamps["model"], "prompt": "late by shop", "currentTopicName": "nothing", "llm": LLM}

    assert "nothing" in org.call("POST", "/v1/ai/pick-topic", 404, json=body)["detail"]
    assert "nothing" in org.call("POST", "/v1/ai/generate-query", 404, json=body)["detail"]


def test_no_workbook_is_no_address(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, LATE["query"])
    body = {"modelId": lamps["model"], "prompt": "late by shop", "currentTopicName": "sales", "llm": LLM}

    found = org.call("POST", "/v1/ai/generate-query", json={**body, "workbookUrl": True})

    assert "workbookUrl" not in found
    assert "workbook" in found["notes"][0]
