"""One tenant makes all the noise that it can; another one's requests are answered."""

from __future__ import annotations

import httpx
import pytest

from tests.support.builders import organization, papers
from tests.support.console.site import who
from tests.support.noise import noise
from tests.support.waiting import eventually, until
from towpath.db.engine import Database
from towpath.runtime.embedded import EmbeddedStack

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATIENCE = 60.0
ROUNDS = 4
BATCH = [{"id": number, "name": f"lamp {number}"} for number in range(3)]
KINDS = {"stream", "runaway pattern", "yaml", "flood", "slow upload"}
QUESTION = {"search_query": "steam engines", "limit": 3}


async def test_a_noisy_tenant_keeps_no_other_from_its_work(system: EmbeddedStack) -> None:
    loud, quiet = organization(system.api_url), organization(system.api_url)
    task = quiet.call("POST", "/embeddings/upsertion-tasks/run", json={"items": papers(3)})["task_id"]
    info = "/embeddings/upsertion-tasks/info"
    until(lambda: quiet.call("GET", info, params={"task_id": task})["status"] == "done", "finished task")
    database = Database(system.database_url)
    try:
        async with (
            noise(system.api_url, loud.key, database, who(loud)) as made,
            httpx.AsyncClient(base_url=system.api_url, headers={"X-API-Key": quiet.key}, timeout=PATIENCE) as neighbour,
        ):
            for number in range(ROUNDS):
                answers = [
                    await neighbour.get("/health"),
                    await neighbour.post("/v1/entities/batch", json=BATCH, headers={"Prefer": "wait=60"}),
                    await neighbour.post("/embeddings/similarity-search", json=QUESTION),
                ]
                assert [one.status_code for one in answers] == [200] * 3, (number, [one.text for one in answers])
            # The refusals of each kind are in by now, or come.
            await eventually(lambda: set(made.answers) >= KINDS, "answer to each kind of noise")
            still = await neighbour.get("/health")
            assert still.status_code == 200
    finally:
        await database.close()

    assert made.streams > 0
    told = {what: {(status, body.get("code")) for status, body in found} for what, found in made.answers.items()}
    assert told["stream"] == {(429, "LIMIT_REACHED")}
    assert {body["limit"] for _, body in made.answers["stream"]} == {"open_streams"}
    assert told["runaway pattern"] <= {(400, "INVALID_VALUE")}
    assert told["yaml"] <= {(400, "INVALID_VALUE"), (400, "MODEL_ERROR"), (413, "TOO_LARGE")}, told["yaml"]
    assert told["flood"] == {(413, "TOO_LARGE")}
    assert told["slow upload"] <= {(408, "BODY_TOO_SLOW"), (429, "LIMIT_REACHED")}
