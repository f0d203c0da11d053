"""Batches of OpenAI's API, through the official client."""

from __future__ import annotations

import base64
import json
import re
import struct
import threading
from typing import Any

import httpx
import openai
import psycopg
import pytest
from openai import OpenAI

from tests.support.batches import CHAT, EMBEDDINGS, LLM, client_of, ended, jsonl, line, question, rows, start, upload
from tests.support.builders import Organization, organization
from tests.support.llm_server import TOKENS_IN, TOKENS_OUT, Fault, LlmServer
from tests.support.waiting import until
from towpath.runtime.embedded import EmbeddedStack

LOCAL_EMBEDDINGS = "local::all-minilm-l6-v2"


@pytest.fixture(autouse=True)
def _fresh(loopback: LlmServer) -> None:
    loopback.reset()


@pytest.fixture
def client(org: Organization) -> OpenAI:
    return client_of(org)


def says(provider: LlmServer, words: str) -> None:
    """Let the provider answer with a text instead of a value in a form."""
    provider.faults = [Fault(content=words) for _ in range(50)]


def test_every_request_is_answered_in_the_order_of_the_file(client: OpenAI, loopback: LlmServer) -> None:
    says(loopback, "Rome")
    sent = [question(number, temperature=0.5, seed=number) for number in range(45)]

    batch = start(client, *sent, metadata={"of": "a test"})

    assert batch.object == "batch" and batch.id.startswith("batch_") and batch.status == "validating"
    assert batch.metadata == {"of": "a test"} and batch.endpoint == CHAT and batch.completion_window == "24h"
    assert batch.expires_at is not None and batch.expires_at - batch.created_at in range(86_399, 86_402)
    done = ended(client, batch.id)
    assert done.status == "completed", done
    assert done.errors is None and done.error_file_id is None and done.model == LLM
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (45, 45, 0)
    assert done.in_progress_at and done.finalizing_at and done.completed_at
    assert done.created_at <= done.in_progress_at <= done.finalizing_at <= done.completed_at
    assert done.failed_at is done.expired_at is done.cancelled_at is done.cancelling_at is None
    assert done.usage is not None
    assert (done.usage.input_tokens, done.usage.output_tokens) == (45 * TOKENS_IN, 45 * TOKENS_OUT)
    answers = rows(client, done.output_file_id)
    assert [one["custom_id"] for one in answers] == [one["custom_id"] for one in sent]
    assert len({one["id"] for one in answers}) == 45
    first = answers[0]
    assert first["error"] is None and first["response"]["status_code"] == 200 and first["response"]["request_id"]
    assert openai.types.chat.ChatCompletion.model_validate(first["response"]["body"]).choices[0].message.content
    # The provider gets the body as it is, but for the model's own name.
    bodies = {one["messages"][0]["content"]: one for one in loopback.calls}
    assert bodies["Question 7"] == {**sent[7]["body"], "model": "gpt-4o"}
    assert max(loopback.paid.values()) == 1 and len(loopback.paid) == 45


def test_the_job_of_a_batch_is_seen_with_its_cost(org: Organization, client: OpenAI, loopback: LlmServer) -> None:
    batch = ended(client, start(client, question(1), question(2)).id)

    job = org.call("GET", "/v1/jobs", params={"kind": "request_batch"})["jobs"][0]
    assert job["id"].replace("-", "") == batch.id.removeprefix("batch_")
    assert job["state"] == "COMPLETED" and job["progress"]["succeeded"] == 2
    assert job["result"]["output_file_id"] == batch.output_file_id
    assert job["cost"]["usd"] > 0 and job["cost"]["inputTokens"] == 2 * TOKENS_IN
    stream = org.http.get(f"/v1/jobs/{job['id']}/events").text
    kinds = re.findall(r"^event: (.+)$", stream, re.MULTILINE)
    assert kinds[0] == "job.created" and kinds[-1] == "job.completed" and "job.progress" in kinds
    assert org.call("GET", job["links"]["system"])["id"] == batch.id


def test_a_wrong_file_fails_with_what_is_wrong_by_line(org: Organization, client: OpenAI, loopback: LlmServer) -> None:
    sent: list[Any] = [
        question(1),
        "no json",
        "",
        question(1),
        {**question(3), "method": "GET"},
        {**question(4), "url": EMBEDDINGS},
        {"method": "POST", "url": CHAT, "body": {}},
        question(5, model="openai::no-such-model"),
        question(6, model="nobody-has-this"),
        question(7, stream=True),
        {**question(8), "body": []},
        {**question(9), "extra": 1},
        line("q-10", messages=[]),
        "[1]",
    ]
    batch = ended(client, start(client, *sent).id)

    assert batch.status == "failed" and batch.failed_at and batch.output_file_id is batch.error_file_id is None
    assert batch.errors is not None and batch.errors.data is not None and batch.errors.object == "list"
    told = [(one.line, one.code, one.param) for one in batch.errors.data]
    assert told == [
        (2, "invalid_json_line", None),
        (4, "duplicate_custom_id", "custom_id"),
        (5, "invalid_method", "method"),
        (6, "invalid_url", "url"),
        (7, "missing_required_parameter", "custom_id"),
        (8, "model_not_found", "body.model"),
        (9, "model_not_found", "body.model"),
        (10, "invalid_request", "body.stream"),
        (11, "invalid_request", "body"),
        (12, "unknown_parameter", "extra"),
        (13, "missing_required_parameter", "body.model"),
        (14, "invalid_json_line", None),
    ]
    assert not loopback.calls
    job = org.call("GET", "/v1/jobs", params={"kind": "request_batch"})["jobs"][0]
    assert job["state"] == "FAILED" and job["error"]["code"] == "INVALID_VALUE" and "line 2" in job["error"]["message"]


def test_a_failed_request_stands_in_the_error_file_and_its_neighbours_are_answered(
    org: Organization, client: OpenAI, loopback: LlmServer
) -> None:
    loopback.faults = [Fault(status=400, message="too odd", match="Question 2")]

    batch = ended(client, start(client, *[question(number) for number in range(4)]).id)

    assert batch.status == "completed" and batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (3, 1)
    assert [one["custom_id"] for one in rows(client, batch.output_file_id)] == ["q-0", "q-1", "q-3"]
    (failed,) = rows(client, batch.error_file_id)
    assert failed["custom_id"] == "q-2" and failed["error"] is None
    assert failed["response"]["status_code"] == 400
    assert failed["response"]["body"]["error"]["message"] == "too odd"
    job = batch.id.removeprefix("batch_")
    (item,) = org.call("GET", f"/v1/jobs/{job}/failures")["failures"]
    assert (item["index"], item["id"]) == (2, "q-2")


def test_a_provider_that_asks_to_slow_down_is_waited_for(client: OpenAI, loopback: LlmServer) -> None:
    loopback.faults = [Fault(status=429, headers={"Retry-After": "1"}, match="Question 1")]

    batch = ended(client, start(client, *[question(number) for number in range(3)]).id)

    assert batch.status == "completed" and batch.error_file_id is None
    assert len(loopback.paid) == 3 and max(loopback.paid.values()) == 1


def test_anthropic_is_asked_in_its_own_words_and_answers_in_those_of_openai(
    client: OpenAI, loopback: LlmServer
) -> None:
    loopback.answer, loopback.whole = lambda *_: {"city": "Rome"}, True
    tool = {"type": "function", "function": {"name": "tell", "parameters": {"type": "object", "properties": {}}}}
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where?"}]
    body = {"model": "anthropic::claude-haiku-4-5", "messages": messages, "max_tokens": 50, "stop": "END", "top_p": 0.9}
    sent = [
        line("tool", **body, tools=[tool], tool_choice="required"),
        line("odd", **{**body, "stop": None}, logit_bias={"1": 5}),
    ]
    batch = ended(client, start(client, *sent).id)

    (told,) = loopback.calls
    assert told["system"] == [{"type": "text", "text": "Be brief."}] and told["max_tokens"] == 50
    assert told["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Where?"}]}]
    assert told["stop_sequences"] == ["END"] and told["top_p"] == 0.9 and told["model"] == "claude-haiku-4-5"
    assert told["tools"][0]["name"] == "tell" and told["tool_choice"] == {"type": "any"}
    (answer,) = rows(client, batch.output_file_id)
    completion = openai.types.chat.ChatCompletion.model_validate(answer["response"]["body"])
    assert completion.choices[0].finish_reason == "tool_calls" and completion.usage is not None
    (call,) = completion.choices[0].message.tool_calls or []
    assert call.type == "function" and json.loads(call.function.arguments) == {"city": "Rome"}
    assert completion.usage.prompt_tokens == TOKENS_IN and completion.usage.completion_tokens == TOKENS_OUT
    (odd,) = rows(client, batch.error_file_id)
    assert odd["custom_id"] == "odd" and odd["response"]["status_code"] == 400
    assert odd["response"]["body"]["error"]["param"] == "logit_bias"


def test_the_embedded_model_embeds(client: OpenAI) -> None:
    sent = [
        line("plain", url=EMBEDDINGS, model="all-minilm-l6-v2", input=["a lamp", "a tax law"]),
        line("packed", url=EMBEDDINGS, model=LOCAL_EMBEDDINGS, input="a lamp", encoding_format="base64"),
        line("small", url=EMBEDDINGS, model=LOCAL_EMBEDDINGS, input="a lamp", dimensions=64),
        line("long", url=EMBEDDINGS, model=LOCAL_EMBEDDINGS, input="lamp " * 400),
    ]
    batch = ended(client, start(client, *sent, endpoint=EMBEDDINGS).id)

    assert batch.status == "completed", batch
    plain, packed = rows(client, batch.output_file_id)
    made = openai.types.CreateEmbeddingResponse.model_validate(plain["response"]["body"])
    assert [one.index for one in made.data] == [0, 1] and len(made.data[0].embedding) == 384
    assert made.usage.prompt_tokens > 4
    raw = base64.b64decode(packed["response"]["body"]["data"][0]["embedding"])
    assert struct.unpack("<384f", raw) == pytest.approx(made.data[0].embedding, abs=1e-5)
    small, long = rows(client, batch.error_file_id)
    assert small["response"]["body"]["error"]["param"] == "dimensions"
    assert "256" in long["response"]["body"]["error"]["message"]


def test_a_cancel_keeps_and_writes_what_was_answered(client: OpenAI, loopback: LlmServer) -> None:
    gate = threading.Event()
    # The first that leave wait; each later one takes so long that the cancel is seen before it is answered.
    loopback.faults = [Fault(gate=gate) for _ in range(8)] + [Fault(hang=0.3) for _ in range(52)]
    batch = start(client, *[question(number) for number in range(60)])
    try:
        until(lambda: loopback.at_once == 8, "all slots wait")
        stopped = client.batches.cancel(batch.id)
        assert stopped.status == "cancelling" and stopped.cancelling_at
    finally:
        gate.set()
    done = ended(client, batch.id)

    assert done.status == "cancelled" and done.cancelled_at and done.completed_at is None
    answers = rows(client, done.output_file_id)
    # Whatever left is paid, and what is paid is kept.
    assert len(answers) == len(loopback.paid) < 60
    rest = rows(client, done.error_file_id)
    assert len(rest) == 60 - len(answers)
    assert {one["error"]["code"] for one in rest} == {"batch_cancelled"} and rest[0]["response"] is None
    assert done.request_counts is not None and done.request_counts.completed == len(answers)
    again = client.batches.cancel(batch.id)
    assert again.status == "cancelled" and again.output_file_id == done.output_file_id


def test_what_is_not_answered_in_time_expires(system: EmbeddedStack, client: OpenAI, loopback: LlmServer) -> None:
    gate = threading.Event()
    # Six pages are asked at once; those behind them begin after the expiry.
    loopback.faults = [Fault(gate=gate) for _ in range(8)]
    batch = start(client, *[question(number) for number in range(150)])
    try:
        until(lambda: loopback.at_once == 8, "all slots wait")
        with psycopg.connect(system.database_url) as database:
            database.execute(
                "UPDATE served_batches SET expires_at = now() WHERE job_id = %s", (batch.id.removeprefix("batch_"),)
            )
    finally:
        gate.set()
    done = ended(client, batch.id)

    assert done.status == "expired" and done.expired_at and done.completed_at is None
    rest = rows(client, done.error_file_id)
    assert {one["error"]["code"] for one in rest} == {"batch_expired"}
    answered = 0 if done.output_file_id is None else len(rows(client, done.output_file_id))
    assert answered + len(rest) == 150 and answered == len(loopback.paid)


def test_a_restart_asks_only_what_has_failed(org: Organization, client: OpenAI, loopback: LlmServer) -> None:
    loopback.faults = [Fault(status=400, match="Question 1")]
    batch = ended(client, start(client, question(0), question(1)).id)
    assert batch.request_counts is not None and batch.request_counts.failed == 1

    org.call("POST", f"/v1/jobs/{batch.id.removeprefix('batch_')}/restart")
    org.until(batch.id.removeprefix("batch_"))
    done = ended(client, batch.id)

    assert done.status == "completed" and done.error_file_id is None
    assert [one["custom_id"] for one in rows(client, done.output_file_id)] == ["q-0", "q-1"]
    assert loopback.paid["gpt-4o", "Question 0"] == 1 and loopback.paid["gpt-4o", "Question 1"] == 1


def test_bad_input_names_the_field(org: Organization, client: OpenAI) -> None:
    file = upload(client, question(1))
    right = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"endpoint": "/v1/completions"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "9d"}, "completion_window"),
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "output_expires_after"),
        ({"surprise": 1}, "surprise"),
    ]
    for change, field in wrong:
        answer = org.http.post("/v1/batches", json={**right, **change})
        error = answer.json()["error"]
        assert answer.status_code == 400 and error["type"] == "invalid_request_error", answer.text
        assert field in error["param"] and field in error["message"], error
        assert answer.json()["detail"] == error["message"]
    with pytest.raises(openai.BadRequestError, match="completion_window"):
        client.batches.create(input_file_id=file, endpoint=CHAT, completion_window="soon")  # type: ignore[arg-type]


def test_only_the_own_organization_sees_a_batch(system: EmbeddedStack, client: OpenAI) -> None:
    file = upload(client, question(1))
    batch = client.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h")
    other = client_of(organization(system.api_url))

    for call in (other.batches.retrieve, other.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            call(batch.id)
    with pytest.raises(openai.BadRequestError, match="input_file_id"):
        other.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h")
    assert not other.batches.list().data
    nobody = OpenAI(base_url=f"{system.api_url}/v1", api_key="tp_none", max_retries=0)
    for refused in (nobody.batches.list, lambda: nobody.batches.retrieve(batch.id), nobody.files.list):
        with pytest.raises(openai.AuthenticationError) as error:
            refused()
        assert error.value.code == "invalid_api_key"
    assert httpx.post(f"{system.api_url}/v1/batches", json={}).status_code == 401
    ended(client, batch.id)


def test_a_repeat_of_a_request_makes_no_second_batch(org: Organization, client: OpenAI) -> None:
    body = {"input_file_id": upload(client, question(1)), "endpoint": CHAT, "completion_window": "2h"}
    headers = {"Idempotency-Key": "once"}

    first = org.call("POST", "/v1/batches", json=body, headers=headers)
    again = org.call("POST", "/v1/batches", json=body, headers=headers)

    assert first["id"] == again["id"] and len(client.batches.list().data) == 1
    other = org.http.post("/v1/batches", json={**body, "completion_window": "3h"}, headers=headers)
    assert other.status_code == 422 and other.json()["error"]["code"] == "idempotency_mismatch"
    ended(client, first["id"])


def test_batches_are_listed_newest_first_page_by_page(client: OpenAI) -> None:
    file = upload(client, question(1))
    ids = [client.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h").id for _ in range(5)]

    page = client.batches.list(limit=2)
    assert [one.id for one in page.data] == ids[:2:-1] and page.has_more
    assert [one.id for one in client.batches.list(limit=2)] == ids[::-1]
    with pytest.raises(openai.NotFoundError):
        client.batches.list(after="batch_none")
    for batch in ids:
        ended(client, batch)


def test_a_file_without_requests_and_a_file_that_is_gone_fail(client: OpenAI) -> None:
    empty = ended(client, start(client, "", "  ").id)
    assert empty.status == "failed" and empty.errors is not None and empty.errors.data is not None
    assert [one.code for one in empty.errors.data] == ["empty_file"]
    assert jsonl(question(1)).endswith(b"\n")
