"""What an AI job costs beside an empty workflow with as many activities.

    python -m bench.ai --jobs 40

One line of JSON a figure. Both run on the same server in the same run, one after the other in turn; a duration is from
the workflow's start to its end, as Temporal tells it. Of the job's, the time of the language model and of the queried
database is taken off, as the job has measured it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio.client import Client

from bench.ai_empty import ITERATIONS, LOCAL, QUEUE, EmptyWorkflow, empty_worker
from bench.ai_provider import agent
from bench.figures import tell
from towpath.accounts.types import DEFAULT_ORGANIZATION
from towpath.db.migrate import migrate
from towpath.demo.client import Towpath
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.plugin import towpath_plugin
from towpath.runtime.settings import Settings


async def _seconds(client: Client, workflow_id: str) -> float:
    description = await client.get_workflow_handle(workflow_id).describe()
    assert description.start_time is not None
    assert description.close_time is not None
    return (description.close_time - description.start_time).total_seconds()


async def empty(client: Client) -> float:
    """Seconds of one empty workflow."""
    handle = await client.start_workflow(EmptyWorkflow.run, "x", id=f"bench/{uuid4()}", task_queue=QUEUE)
    await handle.result()
    return await _seconds(client, handle.id)


async def ask(towpath: Towpath, client: Client, organization: str, body: dict[str, Any]) -> tuple[float, float]:
    """Seconds of one job's workflow without model and database, and with them."""
    job = await asyncio.to_thread(towpath.call, "POST", "/v1/ai/jobs", json=body)
    handle = client.get_workflow_handle(f"{organization}/ai_job/{job['jobId']}.1")
    while True:
        answer = await asyncio.to_thread(
            towpath.call, "GET", f"/v1/ai/jobs/{job['jobId']}", headers={"Prefer": "wait=30"}
        )
        if answer["state"] in {"COMPLETE", "FAILED", "CANCELLED"}:
            break
    if answer["state"] != "COMPLETE":
        raise RuntimeError(f"the job ended as {answer}")
    await handle.result()
    whole = await _seconds(client, handle.id)
    actions = (await asyncio.to_thread(towpath.call, "GET", f"/v1/ai/jobs/{job['jobId']}/result"))["actions"]
    apart = sum(action["modelSeconds"] + action["databaseSeconds"] for action in actions)
    return whole - apart, whole


async def run(count: int) -> None:
    """Measure and print all figures."""
    from tests.support.ai import make_lamps
    from tests.support.builders import providers

    with agent() as url, tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        databases = Path(folder) / "databases"
        (databases / DEFAULT_ORGANIZATION).mkdir(parents=True)
        make_lamps(databases / DEFAULT_ORGANIZATION / "lamps.duckdb")
        settings = Settings(
            home=Path(folder) / "home", port=0, ui_port=0, workers=1, llm_providers=providers(url),
            databases_root=databases, ai_rate=1_000_000,
        )  # fmt: skip
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            towpath = Towpath(stack.api_url, stack.api_key)
            plugin = towpath_plugin(Settings(encryption_keys=",".join(stack.encryption_keys)))
            client = await Client.connect(stack.temporal_address, plugins=[plugin])
            connection = {"name": "lamps", "kind": "duckdb", "path": "lamps.duckdb"}

            def prepare() -> dict[str, Any]:
                connection_id = towpath.call("POST", "/v1/connections", json=connection)["id"]
                schema = towpath.call("POST", "/v1/models", json={"connectionId": connection_id})["model"]["id"]
                shared = {"connectionId": connection_id, "modelKind": "SHARED", "baseModelId": schema}
                model = towpath.call("POST", "/v1/models", json=shared)["model"]["id"]
                return {"modelId": model, "topicName": "sales", "llm": "openai::gpt-4o"}

            body = await asyncio.to_thread(prepare)
            with empty_worker(stack.temporal_address, stack.encryption_keys):
                ours: list[tuple[float, float]] = []
                bare: list[float] = []
                for number in range(count + 3):
                    times = await ask(towpath, client, "default", {**body, "prompt": f"question {number}"})
                    other = await empty(client)
                    # The first ones load what the later ones find loaded.
                    if number >= 3:
                        ours.append(times)
                        bare.append(other)
            overhead, whole, base = (
                statistics.median(times[0] for times in ours),
                statistics.median(times[1] for times in ours),
                statistics.median(bare),
            )
            tell(
                "overhead of an AI job", jobs=count, activities=ITERATIONS, local_activities=LOCAL,
                overhead_ms=round(overhead * 1000, 1), whole_ms=round(whole * 1000, 1),
                empty_ms=round(base * 1000, 1), ratio=round(overhead / base, 3),
            )  # fmt: skip


def main() -> None:
    """Entry of `python -m bench.ai`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=40, help="jobs to measure (default: %(default)s)")
    asyncio.run(run(parser.parse_args().jobs))


if __name__ == "__main__":
    main()
