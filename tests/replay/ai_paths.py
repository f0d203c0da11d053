"""One path of each workflow of AI jobs, to be recorded."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.support.ai import LATE, TELL, ask, lamps_model, script, until
from tests.support.builders import Organization
from tests.support.llm_server import Fault, LlmServer
from tests.support.receiver import receiver


class AiPaths:
    """The paths, over a provider; each gives the id of its job."""

    def __init__(self, provider: LlmServer) -> None:
        self.provider = provider

    def _ready(self, org: Organization) -> dict[str, str]:
        self.provider.reset()
        script(self.provider, LATE, TELL)
        return lamps_model(org)

    def asked(self, org: Organization) -> str:
        with receiver() as hook:
            job = ask(org, self._ready(org), topicName=None, webhookUrl=hook.url, progressWebhookEnabled=True)["jobId"]
            until(org, str(job))
            hook.wait("/", 4)
        return str(job)

    def paused_and_cancelled(self, org: Organization) -> str:
        ids = self._ready(org)
        self.provider.faults = [Fault(hang=2.0)]
        job = str(ask(org, ids)["jobId"])
        until(org, job, "EXECUTING")
        org.call("POST", f"/v1/jobs/{job}/pause")
        time.sleep(3)
        org.call("POST", f"/v1/ai/jobs/{job}/cancel")
        time.sleep(1)
        return job

    def asked_once_more(self, org: Organization) -> str:
        ids = self._ready(org)
        self.provider.faults = [Fault(), Fault(status=400)]
        job = str(ask(org, ids)["jobId"])
        until(org, job)
        org.call("POST", f"/v1/jobs/{job}/restart")
        until(org, job)
        return job

    def _job_of(self, org: Organization, kind: str) -> str:
        return str(org.call("GET", "/v1/jobs", params={"kind": kind})["jobs"][0]["id"])

    def topic_picked(self, org: Organization) -> str:
        body = {"modelId": self._ready(org)["model"], "prompt": "late sales"}
        org.call("POST", "/v1/ai/pick-topic", json=body)
        return self._job_of(org, "topic_choice")

    def query_generated(self, org: Organization) -> str:
        body = {"modelId": self._ready(org)["model"], "prompt": "late sales", "currentTopicName": "sales"}
        script(self.provider, LATE["query"])
        org.call("POST", "/v1/ai/generate-query", json=body)
        return self._job_of(org, "query_generation")

    def database_read(self, org: Organization) -> str:
        self._ready(org)
        return self._job_of(org, "schema_reading")

    def all(self) -> list[Callable[[Organization], str]]:
        """Every path, in the order of their recording."""
        return [
            self.asked, self.paused_and_cancelled, self.asked_once_more, self.topic_picked, self.query_generated,
            self.database_read,
        ]  # fmt: skip
