"""What jobs have cost, as `GET /v1/jobs/{jobId}/costs` tells it: the same as the provider says, in every system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.ai import LATE, TELL, ask, lamps_model, script
from tests.support.ai import until as until_told
from tests.support.books import as_sums, bill_of
from tests.support.builders import Organization, organization
from tests.support.extraction import SCHEMA, note_pdf, poll, send
from tests.support.judge import MODEL, judge_by
from tests.support.llm_server import TOKENS_IN, TOKENS_OUT, Fault, LlmServer
from towpath.core.usage import Usage
from towpath.llm import Catalog
from towpath.llm.types import LlmConfig, ProviderConfig
from towpath.runtime.embedded import EmbeddedStack

WRONG = Fault(content="no json")
LIMIT = Fault(status=429, headers={"Retry-After": "1"})


def run_enrichment(org: Organization, provider: LlmServer) -> str:
    provider.cached = 50
    body = {"entities": [{"name": "Orion"}], "schema_id": org.schema()}
    job = org.enrich("/api/enrichment/batch/start", **body)
    org.until(job)
    return job


def run_question(org: Organization, provider: LlmServer) -> str:
    script(provider, LATE, TELL)
    job = str(ask(org, lamps_model(org))["jobId"])
    until_told(org, job)
    return job


def run_extraction(org: Organization, _provider: LlmServer) -> str:
    job = str(send(org, note_pdf(), schema=SCHEMA, llm=MODEL)["jobId"])
    poll(org, job)
    return job


def run_judge(org: Organization, provider: LlmServer) -> str:
    judge_by(provider, lambda _left, _right: "same")
    fields = [{"name": "name", "type": "text"}, {"name": "city", "type": "string"}]
    org.call("POST", "/v1/indexes", 201, json={"indexName": "firms", "fields": fields, "candidateThreshold": 0})
    firms = [{"id": n, "name": f"Nordlys Elektro {n}", "city": "Oslo"} for n in range(3)]
    org.call("POST", "/v1/entities/batch", params={"indexName": "firms"}, json=firms)
    body = {"model": MODEL, "maxCostUsd": 1.0, "zone": {"from": 0.0, "to": 1.0}}
    job = str(org.call("POST", "/v1/indexes/firms/judge", 202, json=body)["jobId"])
    org.until(job)
    return job


def run_generation(org: Organization, _provider: LlmServer) -> str:
    body = {"entity_samples": [{"name": "Orion", "founded": 1998}], "model": MODEL}
    job = str(org.call("POST", "/api/schema/generate/stream", json=body)["job_id"])
    org.until(job)
    return job


@pytest.mark.parametrize(
    ("run", "purposes"),
    [
        (run_enrichment, {"enrichment"}),
        (run_question, {"question"}),
        (run_extraction, {"extraction"}),
        (run_judge, {"judgement"}),
        (run_generation, {"schema"}),
    ],
)
def test_the_books_of_every_system_say_what_the_provider_was_paid(
    org: Organization, provider: LlmServer, run: Callable[[Organization, LlmServer], str], purposes: set[str]
) -> None:
    # Paid for nothing, and then told to wait: where a system sends no answer back, the first is all of its tries.
    provider.faults = [WRONG, LIMIT]

    job = run(org, provider)

    catalog = Catalog(LlmConfig(providers={"openai": ProviderConfig(key="x", prices="openai")}))
    bill = bill_of(provider, catalog)
    assert bill.input_tokens >= 2 * TOKENS_IN
    costs = org.call("GET", f"/v1/jobs/{job}/costs")
    assert (round(costs["usd"], 9), costs["inputTokens"], costs["outputTokens"]) == as_sums(bill)
    assert costs["cacheReadTokens"] == bill.cache_read_tokens
    assert {line["purpose"] for line in costs["lines"]} == purposes
    assert {line["model"] for line in costs["lines"]} == {MODEL}
    assert sum(line["failed"] for line in costs["lines"]) == 1
    cost = org.job(job)["cost"]
    assert as_sums(Usage(usd=cost["usd"], input_tokens=cost["inputTokens"], output_tokens=cost["outputTokens"])) == (
        as_sums(bill)
    )
    assert costs["maxCostUsd"] == (1.0 if run is run_judge else None)


def test_the_costs_of_a_job_are_of_its_organization_alone(
    system: EmbeddedStack, org: Organization, provider: LlmServer
) -> None:
    job = org.enrich(entity_data={"name": "Orion"}, schema_id=org.schema(), max_cost_usd=2.5)
    org.until(job)
    costs = org.call("GET", f"/v1/jobs/{job}/costs")
    assert costs == org.call("GET", f"/v1/jobs/{job}/costs")
    assert (costs["jobId"], costs["maxCostUsd"]) == (job, 2.5)
    [line] = costs["lines"]
    expected: dict[str, Any] = {
        "model": MODEL, "purpose": "enrichment", "requests": 1, "failed": 0, "inputTokens": TOKENS_IN,
        "outputTokens": TOKENS_OUT, "cacheReadTokens": 0, "cacheWriteTokens": 0,
    }  # fmt: skip
    assert line == {**expected, "usd": costs["usd"]}
    organization(system.api_url).call("GET", f"/v1/jobs/{job}/costs", 404)
    org.call("GET", f"/v1/jobs/{uuid4()}/costs", 404)
    assert "jobId" in org.call("GET", "/v1/jobs/none/costs", 400)["detail"]
    assert httpx.get(f"{system.api_url}/v1/jobs/{job}/costs").status_code == 401
