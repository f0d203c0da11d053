"""Enrichment through batch endpoints beside the same live: what both cost, and whether a kill submits a call twice.

    python -m bench.batches --entities 10000

One line of JSON a figure. The provider is a loopback server in a process of its own that speaks OpenAI's protocol, and
whose batches end at once: what is measured is what Towpath does. In the middle of the fetch the worker is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.enrichment import FIRM, firms
from bench.figures import tell
from bench.provider import run_provider
from tests.support.batch_server import batch_server
from tests.support.llm_server import KEY
from towpath.db.migrate import migrate
from towpath.demo.client import Towpath
from towpath.features import register_features
from towpath.llm.types import ProviderConfig
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

MODEL = "openai::gpt-4o"
BATCH_CALLS = 2500
SECONDS = 3600.0


def _serve(pipe: Pipe) -> None:
    with batch_server() as served:
        hold = served.hold("results:half")
        pipe.send(served.url)
        while (command := pipe.recv()) != "stop":
            if command == "held":
                pipe.send(hold.reached.is_set())
            elif command == "release":
                hold.release.set()
            else:
                pipe.send((served.submitted.total(), len(served.submitted), len(served.calls), len(served.batches)))


def enrich(towpath: Towpath, entities: Sequence[dict[str, Any]], **options: Any) -> str:
    """Start a batch of entities; its job."""
    schema = towpath.call("POST", "/api/schema/saved", json={"name": f"firm {uuid4()}", "schema_content": FIRM})["id"]
    body = {"entities": entities, "schema_id": schema, "models": [MODEL], **options}
    return str(towpath.call("POST", "/api/enrichment/batch/start", json=body)["job_id"])


def finish(towpath: Towpath, job: str) -> dict[str, Any]:
    """Wait for a job; its view."""
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        view: dict[str, Any] = towpath.call("GET", f"/v1/jobs/{job}")
        if view["state"] in {"COMPLETED", "FAILED", "CANCELLED"}:
            return view
        time.sleep(0.2)
    raise RuntimeError(f"the job {job} has not ended")


def kill_in_the_fetch(stack: EmbeddedStack, pipe: Pipe) -> None:
    """Kill the worker when the provider has sent half of a batch's results."""
    while True:
        pipe.send("held")
        if pipe.recv():
            break
        time.sleep(0.05)
    stack.kill("worker-0")
    pipe.send("release")


async def run(entities: int) -> None:
    """Measure and print all figures."""
    with run_provider(_serve) as (url, pipe), tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        settings = Settings(
            home=Path(folder) / "home", port=0, ui_port=0, workers=1, llm_batch_calls=BATCH_CALLS,
            llm_batch_first_wait=0.5, llm_batch_longest_wait=2.0, llm_concurrency=20,
            llm_providers={"openai": ProviderConfig(url=f"{url}/v1", key=KEY)},
        )  # fmt: skip
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            towpath = Towpath(stack.api_url, stack.api_key)
            began = time.perf_counter()
            job = await asyncio.to_thread(enrich, towpath, firms(entities), execution="batch")
            await asyncio.to_thread(kill_in_the_fetch, stack, pipe)
            batched = await asyncio.to_thread(finish, towpath, job)
            seconds = time.perf_counter() - began
            pipe.send("count")
            submitted, distinct, live_calls, batches = pipe.recv()
            sample = firms(entities)[: max(entities // 10, 1)]
            live = await asyncio.to_thread(enrich, towpath, sample, bypass_cache=True)
            each = (await asyncio.to_thread(finish, towpath, live))["cost"]["usd"] / len(sample)
            tell(
                "batches with a kill", entities=entities, state=batched["state"], batches=batches, submitted=submitted,
                distinct=distinct, asked_live=live_calls, succeeded=batched["progress"]["succeeded"],
                seconds=round(seconds, 1), milliseconds_an_entity=round(seconds / entities * 1000, 2),
            )  # fmt: skip
            tell(
                "batch price", usd=round(batched["cost"]["usd"], 6), live_usd=round(each * entities, 6),
                ratio=round(batched["cost"]["usd"] / (each * entities), 3), baseline="the same calls live",
            )  # fmt: skip


def main() -> None:
    """Entry of `python -m bench.batches`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, default=10_000, help="entities of the batch (default: %(default)s)")
    arguments = parser.parse_args()
    register_features()
    asyncio.run(run(arguments.entities))


if __name__ == "__main__":
    main()
