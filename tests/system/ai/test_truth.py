"""No AI answer says more than is true: what is cut, left out, undecided or drawn otherwise is told everywhere."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.ai import LATE, LLM, TELL, answered, ask, script, shop_model, until
from tests.support.builders import Organization
from tests.support.llm_server import Fault, LlmServer
from towpath.llm.types import LOCAL_LLM
from towpath.runtime.embedded import EmbeddedStack

JOBS = "/v1/ai/jobs"
Ids = dict[str, str]
ALL_SALES = {**LATE, "message": "Asking.", "query": {"title": "All sales", "fields": ["sales.id", "sales.count"]}}


def result(org: Organization, job: str) -> dict[str, Any]:
    found: dict[str, Any] = org.call("GET", f"{JOBS}/{job}/result")
    return found


def first_query(org: Organization, job: str) -> dict[str, Any]:
    """The first query of a job, the action with its result."""
    return next(one for one in result(org, job)["actions"] if one["type"] == "generate_query")


def page(org: Organization, found: dict[str, Any]) -> str:
    """The page of the job's thread, by a signed link."""
    url = org.call("POST", f"/v1/ai/conversations/{found['conversationId']}/link")["url"]
    answer = org.http.get(url, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_a_result_that_the_default_limit_has_cut_says_so_everywhere(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    script(provider, ALL_SALES, TELL)

    found = answered(org, lamps)

    action = first_query(org, found["id"])
    assert action["message"] == "Asking. The first 500 of 1,500 rows."
    query = action["result"]
    assert query["totalRowCount"] == 1500
    assert query["totalRowCountIsExact"] is True
    assert query["csvResultWasTruncated"] is True
    assert query["csvResult"].count("\n") == 501
    assert query["notes"] == ["The query's limit is 500: these are the first 500 of 1,500 rows."]
    asked = str(provider.calls[-1]["messages"])
    assert "It brought the first 500 of 1,500 rows (only the first 50 of them are shown)" in asked
    shown = page(org, found)
    assert "1,500 rows; the first 500 are kept here" in shown
    assert "of 1,500" in org.http.get(f"{JOBS}/{found['id']}/vis", params={"format": "svg"}).text
    rows = org.call("GET", f"{JOBS}/{found['id']}/result", params={"format": "rows"})
    assert (len(rows["rows"]), rows["totalRowCount"], rows["truncated"]) == (500, 1500, True)
    csv = org.http.get(f"{JOBS}/{found['id']}/result", params={"format": "csv"})
    assert csv.headers["Towpath-Total-Rows"] == "1500"
    assert csv.headers["Towpath-Truncated"] == "true"
    events = org.http.get(f"/v1/jobs/{found['id']}/events").text
    assert "The first 500 of 1,500 rows." in events
    console = org.http.get(f"/console/jobs/{found['id']}", follow_redirects=True)
    assert console.status_code == 200


def test_rows_of_postgres_behind_a_limit_are_counted_too(
    org: Organization, provider: LlmServer, system: EmbeddedStack
) -> None:
    shop, _ = shop_model(org, system.database_url)
    filters = [{"field": "orders.city", "operator": "contains", "values": ["city"]},
               {"field": "orders.count", "operator": "gte", "values": [1]}]  # fmt: skip
    few = {"title": "Few", "fields": ["orders.id", "orders.count"], "filters": filters, "limit": 5}
    script(provider, {**LATE, "query": few}, TELL, topic="orders")

    action = first_query(org, answered(org, shop, topicName="orders")["id"])

    assert action["result"]["status"] == "success", action
    assert (action["result"]["totalRowCount"], action["result"]["csvResult"].count("\n")) == (30, 6)
    assert "The first 5 of 30 rows." in action["message"]


@pytest.mark.parametrize(
    ("limit", "total", "brought", "kept"),
    [(1499, 1500, "The first 1,499 of 1,500 rows.", 1000), (1500, 1500, "1,500 rows.", 1000), (3, 1500, "of 1,500", 3)],
)
def test_the_count_is_true_at_the_edge_of_a_limit(
    org: Organization, lamps: Ids, provider: LlmServer, limit: int, total: int, brought: str, kept: int
) -> None:
    script(provider, {**ALL_SALES, "query": {**ALL_SALES["query"], "limit": limit}}, TELL)

    action = first_query(org, answered(org, lamps)["id"])

    assert brought in action["message"]
    assert action["result"]["totalRowCount"] == total
    assert action["result"]["csvResult"].count("\n") == kept + 1
    assert action["result"]["csvResultWasTruncated"] is True
    assert any("CSV is cut" in note for note in action["result"]["notes"]) is (kept == 1000)


def test_what_fits_is_not_called_cut(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    one = {**ALL_SALES, "query": {"title": "How many", "fields": ["sales.count"], "limit": 1}}
    script(provider, one, TELL)

    action = first_query(org, answered(org, lamps)["id"])

    assert action["message"] == "Asking. 1 row."
    assert action["result"]["totalRowCount"] == 1
    assert action["result"]["csvResultWasTruncated"] is False
    assert action["result"]["notes"] == []


def test_a_generated_query_tells_what_its_limit_has_cut(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, ALL_SALES["query"])
    body = {"modelId": lamps["model"], "prompt": "all sales", "currentTopicName": "sales", "llm": LLM}

    found = org.call("POST", "/v1/ai/generate-query", json=body)["result"]

    assert (found["totalRowCount"], found["csvResultWasTruncated"]) == (1500, True)
    assert "the first 500 of 1,500 rows" in found["notes"][0]


def test_the_embedded_models_answer_tells_how_many_rows_there_are(org: Organization, lamps: Ids) -> None:
    note = base64.b64encode(b"The shops were moved.").decode()
    files = [{"data": note, "mimeType": "text/plain"}]
    content = {"views": {"sales": {"dimensions": {"id": {"label": "Receipt"}}}}}
    org.call("PUT", f"/v1/models/{lamps['model']}/content", json={"content": content})

    job = ask(org, lamps, prompt="Number of sales by receipt", llm=LOCAL_LLM, attachments=files)
    found = until(org, job["jobId"], seconds=120)

    assert found["state"] == "COMPLETE", found
    query = first_query(org, found["id"])["result"]
    assert query["queryName"]
    assert query["query"]["limit"] < query["totalRowCount"] == 1500
    assert query["csvResultWasTruncated"] is True
    assert found["resultSummary"].startswith(f"### {query['queryName']}\n")
    assert "The first 12 of 1,500 rows." in found["resultSummary"]
    assert "1 attached file was not read by the embedded model." in found["resultSummary"]


def test_the_embedded_model_does_not_guess_which_end_is_the_worst(org: Organization, lamps: Ids) -> None:
    job = ask(org, lamps, prompt="Which city has the worst number of shops?", topicName="shops", llm=LOCAL_LLM)

    found = until(org, job["jobId"], seconds=120)

    assert found["state"] == "COMPLETE", found
    assert "It is not decided what “worst” means for “Number of shops”" in found["resultSummary"]


def test_a_chart_that_the_rows_do_not_make_is_not_claimed(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    many = {**ALL_SALES, "query": {"title": "By watts", "fields": ["sales.watts", "sales.count"]}}
    script(provider, many, TELL)
    first = answered(org, lamps)
    script(provider, {"action": "chart", "message": "As a pie.", "chart": "pie"}, TELL)
    thread = {"conversationId": first["conversationId"]}

    strong = answered(org, lamps, prompt="Make it a pie", **thread)
    small = until(org, ask(org, lamps, prompt="Make it a pie chart", llm=LOCAL_LLM, **thread)["jobId"])

    reason = "These rows cannot be drawn as a pie: a pie needs one to 12 rows."
    assert reason in result(org, strong["id"])["actions"][0]["message"]
    assert reason in str(provider.calls[-1]["messages"])
    assert reason in small["resultSummary"]
    assert "drawn as pie" not in str(result(org, small["id"]))


def test_a_model_that_never_answers_leaves_the_rows_that_it_found(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    script(provider, LATE)

    found = answered(org, lamps)

    actions = result(org, found["id"])["actions"]
    assert [one["type"] for one in actions] == ["generate_query"] * 9 + ["summarize"]
    assert found["resultSummary"].startswith("The model came to no answer within 10 steps.")
    assert "| Dock 5 | 125 |" in found["resultSummary"]


def test_a_model_that_finds_nothing_and_never_answers_fails(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    nothing = {**LATE, "query": {"title": "None", "fields": ["sales.lamp", "sales.count"],
               "filters": [{"field": "sales.lamp", "operator": "is", "values": ["no lamp"]}]}}  # fmt: skip
    script(provider, nothing)

    found = until(org, ask(org, lamps)["jobId"])

    assert found["state"] == "FAILED"
    assert found["error"]["code"] == "MODEL_ERROR"


def test_a_failed_querys_long_error_is_cut_between_words_and_its_result_keeps_its_form(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    word = "flickering "
    filters = [{"field": "sales.late", "operator": "is", "values": [word * 100]}]
    script(provider, {**LATE, "query": {**LATE["query"], "title": "", "filters": filters}}, TELL)

    action = first_query(org, answered(org, lamps)["id"])

    assert action["result"]["status"] == "error"
    assert action["result"]["csvResult"] == ""
    assert action["result"]["queryName"]
    assert action["message"].endswith((" …", ".")) or len(action["message"]) < 500


def test_a_provider_that_refuses_at_the_last_step_is_not_taken_for_one_that_gives_no_answer(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    script(provider, LATE)
    provider.faults = [*(Fault() for _ in range(9)), Fault(status=400, message="I will not")]

    found = until(org, ask(org, lamps)["jobId"])

    assert found["state"] == "FAILED"
    assert "I will not" in found["error"]["message"]
