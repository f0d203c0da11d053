"""AI jobs as their users see them, over a real database and a provider whose moves the tests write."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.ai import LATE, LLM, TELL, answered, ask, person_of, script, state, until
from tests.support.builders import Organization, organization
from tests.support.llm_server import Fault, LlmServer
from tests.support.waiting import until as wait_for
from towpath.runtime.embedded import EmbeddedStack

JOBS = "/v1/ai/jobs"
Ids = dict[str, str]


def test_a_question_is_answered_by_rows_of_the_database(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, LATE, TELL)

    job = ask(org, lamps)
    found = until(org, job["jobId"])

    assert found["state"] == "COMPLETE", found
    assert found["resultSummary"] == TELL["answer"]
    assert found["topicName"] == "sales"
    assert found["cost"]["inputTokens"] == 200
    assert job["omniChatUrl"].endswith(f"/chat/{job['conversationId']}")
    result = org.call("GET", f"{JOBS}/{job['jobId']}/result")
    query, told = result["actions"]
    assert query["type"] == "generate_query"
    assert query["result"]["status"] == "success"
    assert query["result"]["csvResult"] == "Name,Number of sales\nDock 5,125\nEast,125\nNorth,125\n"
    assert query["result"]["totalRowCount"] == 3
    assert told["type"] == "summarize"


def test_the_topic_is_chosen_where_none_is_named(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, LATE, TELL)

    found = answered(org, lamps, topicName=None)

    result = org.call("GET", f"{JOBS}/{found['id']}/result")
    assert [one["type"] for one in result["actions"]] == ["pick_topic", "generate_query", "summarize"]
    assert result["topic"] == "sales"


def test_a_failed_query_is_told_to_the_model_which_asks_another(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    wrong = {**LATE, "query": {**LATE["query"], "filters": [{"field": "sales.late", "operator": "gt", "values": [3]}]}}
    script(provider, wrong, LATE, TELL)

    found = answered(org, lamps)

    actions = org.call("GET", f"{JOBS}/{found['id']}/result")["actions"]
    assert [one.get("result", {}).get("status") for one in actions] == ["error", "success", None]
    assert "boolean" in actions[0]["result"]["error"]
    assert "It failed: " in str(provider.calls[1]["messages"])


def test_a_job_whose_queries_all_fail_ends_with_the_last_error(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    wrong = {**LATE, "query": {**LATE["query"], "filters": [{"field": "sales.late", "operator": "gt", "values": [3]}]}}
    script(provider, wrong)

    found = until(org, ask(org, lamps)["jobId"])

    assert found["state"] == "FAILED"
    assert found["error"]["code"] == "QUERY_EXECUTION_ERROR"
    assert len(provider.calls) == 3
    thread = org.call("GET", f"/v1/ai/conversations/{found['conversationId']}")
    assert [one["role"] for one in thread["messages"]] == ["user", "assistant"]
    assert "queries failed" in thread["messages"][1]["content"]


def test_a_model_that_refuses_ends_the_job(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    provider.faults = [Fault(status=400, message="I will not")]

    found = until(org, ask(org, lamps)["jobId"])

    assert found["state"] == "FAILED"
    assert found["error"]["code"] == "MODEL_ERROR"
    assert "I will not" in found["error"]["message"]
    assert found["completedAt"]


def test_a_job_that_queries_on_and_on_is_made_to_answer(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    def last(prompt: str) -> dict[str, Any]:
        return LATE if prompt.count("\nQuery ") < 9 else TELL

    script(provider, last)

    found = answered(org, lamps)

    actions = org.call("GET", f"{JOBS}/{found['id']}/result")["actions"]
    assert len(actions) == 10
    form = provider.calls[-1]["tools"][0]["function"]["parameters"]
    assert form["properties"]["action"]["enum"] == ["answer"]


def test_a_thread_goes_on_with_what_was_said(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, LATE, TELL)
    first = answered(org, lamps)

    second = answered(org, lamps, prompt="And by city?", conversationId=first["conversationId"])

    assert second["conversationId"] == first["conversationId"]
    assert "Earlier question: Where are sales late?" in str(provider.calls[-1]["messages"])
    thread = org.call("GET", f"/v1/ai/conversations/{first['conversationId']}")
    assert [one["role"] for one in thread["messages"]] == ["user", "assistant"] * 2
    assert thread["messages"][3]["jobId"] == second["id"]
    listed = org.call("GET", "/v1/ai/conversations")
    assert [one["lastUserPrompt"] for one in listed["data"]] == ["And by city?"]
    assert listed["pageInfo"]["totalRecords"] == 1


def test_the_result_is_not_there_before_the_end(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    provider.seconds = 1.0
    script(provider, TELL)
    job = ask(org, lamps)["jobId"]

    assert "COMPLETE" in org.call("GET", f"{JOBS}/{job}/result", 404)["detail"]
    org.call("GET", f"{JOBS}/{job}/vis", 404)

    until(org, job)


def test_waiting_for_a_change_of_state_takes_one_call(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    provider.seconds = 0.5
    script(provider, TELL)
    job = ask(org, lamps)["jobId"]
    seen = []

    while (found := org.call("GET", f"{JOBS}/{job}", headers={"Prefer": "wait=30"}))["state"] != "COMPLETE":
        seen.append(found["state"])

    assert set(seen) <= {"QUEUED", "EXECUTING", "DELIVERING"}
    assert len(seen) <= 3
    assert org.http.get(f"{JOBS}/{job}", headers={"Prefer": "wait=61"}).status_code == 400


def test_progress_is_told_while_it_executes(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, LATE, TELL)
    gate = threading.Event()
    provider.faults = [Fault(), Fault(gate=gate)]
    job = ask(org, lamps)["jobId"]

    found = wait_for(lambda: (seen := state(org, job)).get("progress") and seen, "progress")

    assert found["state"] == "EXECUTING"
    assert found["progress"]["iteration"] == 1
    assert found["progress"]["message"] == "Counting sales by shop. 3 rows."
    gate.set()
    until(org, job)


def test_a_cancel_is_answered_at_once_and_what_comes_later_is_dropped(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    script(provider, LATE, TELL)
    gate = threading.Event()
    provider.faults = [Fault(gate=gate)]
    job = ask(org, lamps)["jobId"]
    until(org, job, "EXECUTING")

    answer = org.call("POST", f"{JOBS}/{job}/cancel")

    assert answer == {"jobId": job, "state": "CANCELLED"}
    assert org.call("POST", f"{JOBS}/{job}/cancel")["state"] == "CANCELLED"
    found = state(org, job)
    assert found["cancelledAt"]
    assert found["cancelledBy"]
    gate.set()
    again = answered(org, lamps, conversationId=found["conversationId"])
    assert again["state"] == "COMPLETE"
    assert state(org, job)["state"] == "CANCELLED"
    thread = org.call("GET", f"/v1/ai/conversations/{found['conversationId']}")
    assert "cancelled" in thread["messages"][1]["content"]


def test_a_cancel_of_a_finished_job_changes_nothing(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, TELL)
    found = answered(org, lamps)

    assert org.call("POST", f"{JOBS}/{found['id']}/cancel")["state"] == "COMPLETE"


def test_a_paused_job_still_reads_executing_and_goes_on(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, LATE, TELL)
    gate = threading.Event()
    provider.faults = [Fault(gate=gate)]
    job = ask(org, lamps)["jobId"]
    until(org, job, "EXECUTING")

    org.call("POST", f"/v1/jobs/{job}/pause")
    gate.set()
    wait_for(lambda: provider.paid.total() == 1, "answer of the call under way")

    assert org.settled(lambda: len(provider.calls)) == 1
    assert state(org, job)["state"] == "EXECUTING"
    org.call("POST", f"/v1/jobs/{job}/continue")
    assert until(org, job)["state"] == "COMPLETE"


def test_a_restart_takes_what_was_found_and_pays_for_the_rest_only(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    script(provider, LATE, TELL)
    provider.faults = [Fault(), Fault(status=400, message="no")]
    job = ask(org, lamps)["jobId"]
    assert until(org, job)["state"] == "FAILED"

    org.call("POST", f"/v1/jobs/{job}/restart")
    found = until(org, job)

    assert found["state"] == "COMPLETE"
    assert found["attempt"] == 2
    assert max(provider.paid.values()) == 1
    assert [one["type"] for one in org.call("GET", f"{JOBS}/{job}/result")["actions"]] == [
        "generate_query",
        "summarize",
    ]


def test_a_deadline_ends_the_job(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, TELL)
    provider.faults = [Fault(hang=4.0)]
    body = {"modelId": lamps["model"], "prompt": "Why?", "topicName": "sales", "llm": LLM}

    job = org.call("POST", JOBS, 201, json=body, headers={"Towpath-Deadline": "1"})["jobId"]

    assert until(org, job)["error"]["code"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"prompt": ""}, 400, "prompt"),
        ({"prompt": " \n "}, 400, "prompt"),
        ({"prompt": None}, 400, "prompt"),
        ({"modelId": "no-uuid"}, 400, "modelId"),
        ({"modelId": str(uuid4())}, 404, "model"),
        ({"branchId": str(uuid4())}, 404, "model"),
        ({"topicName": "nothing"}, 404, "topic"),
        ({"conversationId": str(uuid4())}, 404, "conversation"),
        ({"webhookUrl": "no url"}, 400, "webhookUrl"),
        ({"webhookUrl": "http://10.0.0.1/x"}, 400, "webhookUrl"),
        ({"progressWebhookEnabled": True}, 400, "progressWebhookEnabled"),
        ({"attachments": [{"data": "?", "mimeType": "text/plain", "name": "a"}]}, 400, "attachments[0].data"),
        ({"llm": "nobody::knows"}, 400, "llm"),
    ],
)  # fmt: skip
def test_bad_input_names_what_is_wrong_and_creates_nothing(
    org: Organization, lamps: Ids, change: dict[str, Any], status: int, told: str
) -> None:
    body = {"modelId": lamps["model"], "prompt": "Why?", **change}

    answer = org.call("POST", JOBS, status, json=body)

    assert told in answer["detail"]
    assert org.call("GET", JOBS)["pageInfo"]["totalRecords"] == 0
    assert org.call("GET", "/v1/ai/conversations")["data"] == []


def test_an_id_that_is_none_is_a_400(org: Organization) -> None:
    for path in (f"{JOBS}/nope", f"{JOBS}/nope/result", "/v1/ai/conversations/nope", "/v1/models/nope/topic"):
        assert org.call("GET", path, 400)["status"] == 400


def test_without_a_key_nothing_is_told(org: Organization, system: EmbeddedStack) -> None:
    with httpx.Client(base_url=system.api_url) as nobody:
        for method, path in (
            ("POST", JOBS), ("GET", JOBS), ("GET", f"{JOBS}/{uuid4()}"), ("POST", f"{JOBS}/{uuid4()}/cancel"),
            ("GET", f"{JOBS}/{uuid4()}/result"), ("GET", f"{JOBS}/{uuid4()}/vis"), ("GET", "/v1/ai/conversations"),
            ("POST", "/v1/ai/pick-topic"), ("POST", "/v1/ai/generate-query"), ("GET", "/v1/models"),
            ("POST", "/v1/models"), ("GET", "/v1/connections"),
        ):  # fmt: skip
            assert nobody.request(method, path).status_code == 401, path


def test_another_organizations_job_is_not_there(
    org: Organization, lamps: Ids, provider: LlmServer, system: EmbeddedStack
) -> None:
    script(provider, TELL)
    found = answered(org, lamps)
    other = organization(system.api_url)

    for path in (f"{JOBS}/{found['id']}", f"{JOBS}/{found['id']}/result", f"{JOBS}/{found['id']}/vis",
                 f"/v1/ai/conversations/{found['conversationId']}", f"/v1/models/{lamps['model']}/topic",
                 f"/v1/connections/{lamps['connection']}", f"/v1/models/{lamps['model']}/content"):  # fmt: skip
        other.call("GET", path, 404)
    other.call("POST", f"{JOBS}/{found['id']}/cancel", 404)
    other.call("POST", JOBS, 404, json={"modelId": lamps["model"], "prompt": "Why?"})
    assert other.call("GET", JOBS)["data"] == []


def test_the_same_request_again_gives_the_same_job(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, TELL)
    body = {"modelId": lamps["model"], "prompt": "Why?", "topicName": "sales", "llm": LLM}
    headers = {"Idempotency-Key": uuid4().hex}

    first = org.call("POST", JOBS, 201, json=body, headers=headers)
    second = org.call("POST", JOBS, 201, json=body, headers=headers)

    assert first == second
    org.call("POST", JOBS, 422, json={**body, "prompt": "What?"}, headers=headers)
    assert org.call("GET", JOBS)["pageInfo"]["totalRecords"] == 1
    until(org, first["jobId"])


def test_of_two_jobs_at_once_on_a_conversation_exactly_one_wins_fifty_times(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    script(provider, TELL)
    thread = answered(org, lamps)["conversationId"]
    body = {"modelId": lamps["model"], "prompt": "Why?", "topicName": "sales", "llm": LLM, "conversationId": thread}
    asked = 1

    for _ in range(50):
        answers: list[httpx.Response] = []
        gate = threading.Barrier(2)

        def post(gate: threading.Barrier = gate, answers: list[httpx.Response] = answers) -> None:
            gate.wait()
            answers.append(org.http.post(JOBS, json=body))

        both = [threading.Thread(target=post) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()
        assert sorted(one.status_code for one in answers) == [201, 409]
        won = next(one.json() for one in answers if one.status_code == 201)
        org.call("POST", f"{JOBS}/{won['jobId']}/cancel")
        asked += 1

    assert org.call("GET", JOBS)["pageInfo"]["totalRecords"] == asked


def test_a_restart_beside_an_active_job_of_the_thread_is_refused(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    script(provider, TELL)
    first = answered(org, lamps)
    gate = threading.Event()
    provider.faults = [Fault(gate=gate)]
    second = ask(org, lamps, conversationId=first["conversationId"], prompt="Else?")

    assert "active" in org.call("POST", f"/v1/jobs/{first['id']}/restart", 409)["detail"]

    gate.set()
    assert until(org, second["jobId"])["state"] == "COMPLETE"


def test_a_personal_token_acts_as_its_user_and_sees_only_its_own(
    org: Organization, lamps: Ids, provider: LlmServer, system: EmbeddedStack
) -> None:
    script(provider, TELL)
    person, user = person_of(org, system.api_url)
    theirs = answered(org, lamps)
    body = {"modelId": lamps["model"], "prompt": "Mine?", "topicName": "sales", "llm": LLM}

    mine = person.call("POST", JOBS, 201, json=body)
    assert until(person, mine["jobId"])["userId"] == user

    person.call("GET", f"{JOBS}/{theirs['id']}", 404)
    person.call("GET", f"/v1/jobs/{mine['jobId']}")
    person.call("GET", f"/v1/ai/conversations/{theirs['conversationId']}", 404)
    assert [one["id"] for one in person.call("GET", JOBS)["data"]] == [mine["jobId"]]
    person.call("POST", JOBS, 403, json=body, params={"userId": str(uuid4())})
    assert {one["id"] for one in org.call("GET", JOBS)["data"]} == {mine["jobId"], theirs["id"]}
    as_them = org.call("POST", JOBS, 201, json=body, params={"userId": user})
    assert until(person, as_them["jobId"])["userId"] == user
    org.call("POST", JOBS, 404, json=body, params={"userId": str(uuid4())})
    other, _ = person_of(org, system.api_url)
    other.call("GET", f"/v1/jobs/{mine['jobId']}", 404)
    other.call("POST", f"/v1/jobs/{mine['jobId']}/restart", 404)


def test_the_list_is_filtered_and_paged(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, TELL)
    jobs = [answered(org, lamps, prompt=f"Question {number}?")["id"] for number in range(3)]

    first = org.call("GET", JOBS, params={"pageSize": 2})
    rest = org.call("GET", JOBS, params={"pageSize": 2, "cursor": first["pageInfo"]["nextCursor"]})

    assert [one["id"] for one in [*first["data"], *rest["data"]]] == jobs[::-1]
    assert rest["pageInfo"] == {"hasNextPage": False, "nextCursor": None, "pageSize": 2, "totalRecords": 3}
    assert org.call("GET", JOBS, params={"state": "FAILED"})["data"] == []
    org.call("GET", JOBS, 400, params={"state": "DONE"})
