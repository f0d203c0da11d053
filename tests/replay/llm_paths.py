"""One path of each workflow that asks language models, to be recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.builders import Organization, persons
from tests.support.judge import judge_by
from tests.support.llm_server import Fault, LlmServer

MODELS = ["openai::gpt-4o", "google::gemini-2.5-pro"]
ORION = {"name": "Orion"}
BATCH = "/api/enrichment/batch/start"


class LlmPaths:
    """The paths, over a provider; each gives the id of its job."""

    def __init__(self, provider: LlmServer) -> None:
        self.provider = provider

    @staticmethod
    def _mismatch(_model: str, _prompt: str, form: dict[str, Any]) -> dict[str, Any]:
        return {"status": "mismatch", "confidence": 0.9} if "confidence" in form["properties"] else {}

    def _held(self, org: Organization) -> str:
        self.provider.reset()
        self.provider.answer = self._mismatch
        body = {"entity_data": ORION, "schema_id": org.schema(), "classification_model": MODELS[0]}
        job = org.enrich(**body)
        org.until(job, "PAUSED")
        return job

    def enriched(self, org: Organization) -> str:
        self.provider.reset()
        job = org.enrich(entity_data=ORION, schema_id=org.schema(), models=MODELS)
        org.until(job)
        return job

    def let_go_on(self, org: Organization) -> str:
        job = self._held(org)
        org.call("POST", f"/api/llm/continue/{job}")
        org.until(job)
        return job

    def cancelled_while_held(self, org: Organization) -> str:
        job = self._held(org)
        org.call("POST", f"/api/llm/cancel/{job}")
        org.until(job)
        return job

    def batch(self, org: Organization) -> str:
        self.provider.reset()
        self.provider.faults = [Fault(status=400, match="firm 7"), Fault(status=429, match="firm 9")]
        job = org.enrich(BATCH, entities=[{"name": f"firm {n}"} for n in range(25)], schema_id=org.schema())
        org.until(job)
        org.call("POST", f"/v1/jobs/{job}/restart")
        org.until(job)
        return job

    def generated(self, org: Organization) -> str:
        self.provider.reset()
        body = {"entity_samples": [ORION], "model": MODELS[0]}
        job = str(org.call("POST", "/api/schema/generate/stream", json=body)["job_id"])
        org.until(job)
        return job

    def edited(self, org: Organization) -> str:
        body = {"prompt": "add a city", "model": MODELS[0]}
        job = str(org.call("POST", f"/api/schema/saved/{org.schema()}/prompt/stream", json=body)["job_id"])
        org.until(job)
        return job

    def asked_again(self, org: Organization) -> str:
        self.provider.reset()
        self.provider.faults = [Fault(status=400, match="Brand")]
        job = org.enrich(entity_data=ORION, schema_id=org.schema(), strategy="multi_expertise")
        body = {"record_id": org.messages(job)[-1]["result"]["record_id"], "entity_data": ORION}
        again = str(org.call("POST", "/api/single/retry-expertises/stream", json=body)["job_id"])
        org.until(again)
        return again

    def merged(self, org: Organization) -> str:
        job = self.enriched(org)
        ids = [record["id"] for record in org.records(job_id=job, type="enrichment")]
        merge = str(org.call("POST", "/api/fusion/merge/stream", json={"result_ids": ids})["job_id"])
        org.until(merge)
        return merge

    def judged(self, org: Organization) -> str:
        self.provider.reset()
        judge_by(self.provider, lambda left, right: "same" if left["name"] == right["name"] else "different")
        org.done(persons(150))
        body = {"model": MODELS[0], "maxCostUsd": 100, "limit": 100, "zone": {"from": 0, "to": 1}}
        job = str(org.call("POST", "/v1/indexes/people/judge", 202, json=body)["jobId"])
        org.until(job)
        self.provider.reset()
        return job

    def all(self) -> list[Callable[[Organization], str]]:
        """Every path, in the order of their recording."""
        return [
            self.enriched, self.let_go_on, self.cancelled_while_held, self.batch, self.generated, self.edited,
            self.asked_again, self.merged, self.judged,
        ]  # fmt: skip
