"""Enrichment beside its ideal and a bare script, and how soon a stream's reader sees what was committed.

    python -m bench.enrichment --entities 1000 --streams 500

One line of JSON a figure. The provider is a loopback server in a process of its own that takes 200 ms a call. The
bare script calls it through the same SDK, 20 at a time; it keeps nothing, and starts from nothing when it dies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from bench.figures import tell
from bench.provider import run_provider
from tests.support.llm_server import KEY, llm_server
from towpath.accounts.types import DEFAULT_ORGANIZATION
from towpath.db.engine import Database
from towpath.db.migrate import migrate
from towpath.demo.client import Towpath
from towpath.enrichment.types import BATCH_ENRICHMENT
from towpath.features import register_features
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.events import append_events
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobRef, NewEvent
from towpath.llm.types import ProviderConfig
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

LATENCY = 0.2
AT_ONCE = 20
WORKERS = 2
MODELS = ["openai::gpt-4o", "openai::gpt-4o-mini"]
FIRM = {
    "root": {
        "name": "Firm",
        "type": "object",
        "description": "A firm",
        "properties": {
            "name": {"type": "string", "identifying": True, "preserve": True},
            "founded": {"type": "integer", "nullable": True},
            "slogan": {"type": "string", "nullable": True},
        },
    }
}


def _serve(pipe: Pipe) -> None:
    with llm_server() as served:
        served.seconds = LATENCY
        pipe.send(served.url)
        while pipe.recv() == "count":
            pipe.send(sum(served.paid.values()))


def answered(pipe: Pipe) -> int:
    """Calls that the provider has answered so far."""
    pipe.send("count")
    return int(pipe.recv())


def firms(count: int) -> list[dict[str, Any]]:
    """Entities that differ in their name."""
    return [{"name": f"firm {number}"} for number in range(count)]


def enrich(towpath: Towpath, entities: Sequence[dict[str, Any]]) -> float:
    """Seconds of a batch from its sending to its end."""
    schema = towpath.call("POST", "/api/schema/saved", json={"name": f"firm {uuid4()}", "schema_content": FIRM})["id"]
    body = {"entities": entities, "schema_id": schema, "models": MODELS}
    began = time.perf_counter()
    job = towpath.call("POST", "/api/enrichment/batch/start", json=body)["job_id"]
    for event in towpath.events(job):
        last = event
    if last.type != "job.completed":
        raise RuntimeError(f"the batch ended as {last}")
    return time.perf_counter() - began


async def bare_script(url: str, entities: Sequence[dict[str, Any]]) -> float:
    """Seconds of the same calls without anything around them."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    slots = asyncio.Semaphore(AT_ONCE)
    tool: Any = {"type": "function", "function": {"name": "Firm", "parameters": FIRM["root"]}}

    async def ask(model: str, entity: dict[str, Any]) -> None:
        async with slots:
            await client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": json.dumps(entity)}],
                tools=[tool],
                tool_choice={"type": "function", "function": {"name": "Firm"}},
            )

    began = time.perf_counter()
    await asyncio.gather(*(ask(model.partition("::")[2], entity) for entity in entities for model in MODELS))
    return time.perf_counter() - began


@dataclass(slots=True)
class Readers:
    """Many readers of streams in one process; notes when each event arrived."""

    towpath: Towpath
    arrived: dict[tuple[UUID, int], list[float]] = field(default_factory=dict)
    open: int = 0

    async def read(self, job: UUID) -> None:
        """Follow one job until cancelled."""
        address = urlsplit(self.towpath.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        request = f"GET /api/llm/stream/{job} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.towpath.key}\r\n\r\n"
        writer.write(request.encode())
        if b" 200 " not in (status := await reader.readline()):
            raise RuntimeError(f"a stream was refused: {status!r}")
        self.open += 1
        try:
            while line := await reader.readline():
                if line.startswith(b"id:"):
                    self.arrived.setdefault((job, int(line[3:])), []).append(time.perf_counter())
        finally:
            writer.close()


async def _running_jobs(database: Database, count: int) -> list[JobRef]:
    refs = []
    for _ in range(count):
        job = JobRow(id=uuid4(), organization=DEFAULT_ORGANIZATION, kind=BATCH_ENRICHMENT, total=1000, params={})
        async with database.transaction() as connection:
            await job_store.create_job(connection, job)
        ref = JobRef(organization=job.organization, job_id=job.id, kind=job.kind, attempt=1)
        await job_store.begin_job(database, ref)
        refs.append(ref)
    return refs


async def event_latency(towpath: Towpath, database: Database, *, streams: int, jobs: int, events: int) -> None:
    """From the commit of an event to its arrival at a reader."""
    refs = await _running_jobs(database, jobs)
    readers = Readers(towpath)
    tasks = [asyncio.create_task(readers.read(refs[number % jobs].job_id)) for number in range(streams)]
    while readers.open < streams:
        await asyncio.sleep(0.05)
        for task in tasks:
            if task.done():
                task.result()
    await asyncio.sleep(1)
    readers.arrived.clear()
    delays: dict[UUID, list[float]] = {}
    pause = 1 / 50 if jobs > 1 else 1 / 4
    for number in range(events):
        ref = refs[number % jobs]
        event = NewEvent(type="model_completed", key=f"e{number}", data={"model": MODELS[0], "success": True})
        async with database.transaction() as connection:
            await append_events(connection, ref, [event])
        delays.setdefault(ref.job_id, []).append(time.perf_counter())
        await asyncio.sleep(pause)
    await asyncio.sleep(1)
    late: list[float] = []
    for ref in refs:
        numbers = sorted(number for job, number in readers.arrived if job == ref.job_id)
        for number, at in zip(numbers, delays.get(ref.job_id, []), strict=False):
            late += [arrival - at for arrival in readers.arrived[ref.job_id, number]]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    expected = events * streams // jobs
    cuts = statistics.quantiles(late, n=100)
    tell(
        "event latency", streams=streams, jobs=jobs, events=events, seen=len(late), expected=expected,
        p50_ms=round(cuts[49] * 1000, 1), p99_ms=round(cuts[98] * 1000, 1), ratio=round(cuts[98] / 0.1, 3),
        baseline="a p99 of 100 ms",
    )  # fmt: skip


async def run(entities: int, streams: int) -> None:
    """Measure and print all figures."""
    with run_provider(_serve) as (url, pipe), tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        settings = Settings(
            home=Path(folder) / "home", port=0, ui_port=0, workers=WORKERS, llm_concurrency=AT_ONCE,
            llm_providers={"openai": ProviderConfig(url=f"{url}/v1", key=KEY)},
        )  # fmt: skip
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            towpath = Towpath(stack.api_url, stack.api_key)
            database = Database(stack.database_url, pool_size=4)
            try:
                calls = entities * len(MODELS)
                ideal = calls * LATENCY / AT_ONCE
                await asyncio.to_thread(enrich, towpath, [{"name": f"warm {number}"} for number in range(400)])
                before = answered(pipe)
                seconds = await asyncio.to_thread(enrich, towpath, firms(entities))
                paid = answered(pipe) - before
                bare = await bare_script(url, firms(entities))
                tell(
                    "enrichment against its ideal", entities=entities, models=len(MODELS), at_once=AT_ONCE, paid=paid,
                    seconds=round(seconds, 2), ideal_seconds=round(ideal, 2), ratio=round(seconds / ideal, 3),
                )  # fmt: skip
                tell("enrichment against a bare script", bare_seconds=round(bare, 2), ratio=round(bare / seconds, 3))
                await event_latency(towpath, database, streams=streams, jobs=streams, events=1000)
                await event_latency(towpath, database, streams=streams, jobs=1, events=40)
            finally:
                await database.close()


def main() -> None:
    """Entry of `python -m bench.enrichment`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, default=1000, help="entities of the batch (default: %(default)s)")
    parser.add_argument("--streams", type=int, default=500, help="streams at once (default: %(default)s)")
    arguments = parser.parse_args()
    register_features()
    asyncio.run(run(arguments.entities, arguments.streams))


if __name__ == "__main__":
    main()
