"""What receivers are told of AI jobs."""

from __future__ import annotations

import json
import threading

from standardwebhooks import Webhook

from tests.support.ai import LATE, TELL, ask, script, until
from tests.support.builders import Organization
from tests.support.llm_server import Fault, LlmServer
from tests.support.receiver import Receiver, Script
from towpath.webhooks.domain.signing import standard_form

Ids = dict[str, str]
SECRET = "local-test-secret"


def test_the_end_is_told_in_the_words_of_this_api(
    org: Organization, lamps: Ids, provider: LlmServer, hook: Receiver, path: str
) -> None:
    script(provider, LATE, TELL)
    fields = {
        "webhookUrl": hook.url + path,
        "webhookSigningSecret": SECRET,
        "webhookMetadata": {"ticket": "OPS-311"},
    }

    job = ask(org, lamps, **fields)

    got = hook.wait(path, 1)[0]
    body = Webhook(standard_form(SECRET)).verify(got.body, got.headers)
    completed = body.pop("completed_at")
    assert completed == until(org, job["jobId"])["completedAt"][:10] + completed[10:]
    assert body == {
        "event_id": got.headers["webhook-id"],
        "event": "job.complete",
        "jobId": job["jobId"],
        "kind": "ai_job",
        "conversationId": job["conversationId"],
        "status": "COMPLETE",
        "result_summary": TELL["answer"],
        "metadata": {"ticket": "OPS-311"},
        "warnings": [],
    }


def test_a_failure_and_a_cancel_are_told(
    org: Organization, lamps: Ids, provider: LlmServer, hook: Receiver, path: str
) -> None:
    provider.faults = [Fault(status=400, message="no")]
    failed = ask(org, lamps, webhookUrl=hook.url + path)
    until(org, failed["jobId"])
    body = json.loads(hook.wait(path, 1)[0].body)
    assert (body["event"], body["status"], body["error"]["code"]) == ("job.failed", "FAILED", "MODEL_ERROR")

    gate = threading.Event()
    provider.faults = [Fault(gate=gate)]
    cancelled = ask(org, lamps, webhookUrl=hook.url + path)
    until(org, cancelled["jobId"], "EXECUTING")
    org.call("POST", f"/v1/ai/jobs/{cancelled['jobId']}/cancel")
    body = json.loads(hook.wait(path, 2)[1].body)
    assert (body["event"], body["status"], body["result_summary"]) == ("job.cancelled", "CANCELLED", None)
    gate.set()


def test_progress_is_told_once_for_each_iteration_and_never_again(
    org: Organization, lamps: Ids, provider: LlmServer, hook: Receiver, path: str
) -> None:
    script(provider, LATE, TELL)
    hook.scripts = [Script(status=500)]

    job = ask(org, lamps, webhookUrl=hook.url + path, progressWebhookEnabled=True)

    got = [json.loads(one.body) for one in hook.wait(path, 3)]
    assert until(org, job["jobId"])["state"] == "COMPLETE"
    assert {one["event"] for one in got} == {"job.progress", "job.complete"}
    progress = [one for one in got if one["event"] == "job.progress"]
    assert [one["progress"]["iteration"] for one in sorted(progress, key=lambda one: one["event_id"])] == [1, 2]
    log = {one["event"]: one["state"] for one in org.deliveries(jobId=job["jobId"]) if one["state"] == "FAILED"}
    assert set(log) <= {"job.progress"}


def test_a_target_without_a_secret_is_signed_by_the_standing_one(
    org: Organization, lamps: Ids, provider: LlmServer, hook: Receiver, path: str
) -> None:
    script(provider, TELL)
    assert org.call("GET", "/v1/webhooks/standing-secret") == {"set": False}
    secret = org.call("PUT", "/v1/webhooks/standing-secret")["secret"]

    ask(org, lamps, webhookUrl=hook.url + path)

    got = hook.wait(path, 1)[0]
    assert Webhook(secret).verify(got.body, got.headers)["event"] == "job.complete"
    org.call("DELETE", "/v1/webhooks/standing-secret", 204)
    ask(org, lamps, webhookUrl=hook.url + path)
    assert "webhook-signature" not in hook.wait(path, 2)[1].headers


def test_a_plain_secret_is_told_back_once_in_the_form_of_the_official_packages(
    org: Organization, lamps: Ids, provider: LlmServer, hook: Receiver, path: str
) -> None:
    script(provider, TELL)
    body = {
        "modelId": lamps["model"],
        "prompt": "Why?",
        "webhookUrl": hook.url + path,
        "webhookSigningSecret": SECRET,
    }

    answer = org.http.post("/v1/ai/jobs", json=body)

    assert answer.headers["Towpath-Webhook-Secret"] == standard_form(SECRET)
    hook.wait(path, 1)
