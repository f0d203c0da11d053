"""Durable batches: speed, memory and history, each beside a baseline run in the same process on the same data.

    python -m bench.batch --size 10000 --size 100000

One line of JSON a figure. The baseline is the same pure functions and store functions, called in a plain loop
in one process, page after page, without Temporal, HTTP or staging.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psutil

from bench.figures import tell
from bench.splink import tell_beside
from bench.stages import CpuSeconds, read_phase_seconds
from towpath.db.engine import Database
from towpath.db.migrate import migrate
from towpath.demo.client import Towpath
from towpath.demo.persons import FIELDS
from towpath.entities.domain.parsing import Draft, make_draft, parse_entity
from towpath.entities.service import training
from towpath.entities.service.candidates import load_postings
from towpath.entities.service.deciding import decide_all
from towpath.entities.service.matching import score_candidates, store_scores
from towpath.entities.store.indexes import add_entities, create_index, find_index
from towpath.entities.store.records import read_stored, write_drafts
from towpath.entities.types import ENTITY_BATCH, IndexConfig
from towpath.jobs.types import JobRef
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

PAGE = 4000
TWINS = 0.3
CLIENTS, LIVE = 16, 2_000
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def synthetic_persons(count: int, seed: int = 11) -> list[dict[str, Any]]:
    """Persons like FEBRL's, any number of them; three in ten are an earlier one again, with typing errors."""
    chance = random.Random(seed)

    def word(syllables: int) -> str:
        return "".join(chance.choice("bcdfghjklmnprstvw") + chance.choice("aeiou") for _ in range(syllables))

    given_names = [word(chance.randrange(2, 4)) for _ in range(1500)]
    family = [word(chance.randrange(2, 5)) for _ in range(8000)]
    streets = [f"{word(3)} {kind}" for kind in ("street", "road", "place", "avenue") for _ in range(2500)]
    suburbs = [word(chance.randrange(3, 5)) for _ in range(3000)]
    people: list[dict[str, Any]] = []
    for number in range(count):
        if people and chance.random() < TWINS:
            person = dict(chance.choice(people[-5000:]))
            for name in chance.sample(list(person)[1:], 2):
                person[name] = _mistyped(str(person[name]), chance)
            people.append({**person, "id": f"p{number}"})
            continue
        postcode = chance.randrange(1000, 9999)
        people.append(
            {
                "id": f"p{number}",
                "given_name": given_names[min(int(chance.paretovariate(0.6)), len(given_names) - 1)],
                "surname": family[min(int(chance.paretovariate(0.4)), len(family) - 1)],
                "street_number": str(chance.randrange(1, 300)),
                "address_1": chance.choice(streets),
                "suburb": suburbs[postcode % len(suburbs)],
                "postcode": str(postcode),
                "state": chance.choice(("nsw", "vic", "qld", "wa", "sa", "tas")),
                "date_of_birth": f"{chance.randrange(1920, 2010)}{chance.randrange(1, 13):02}"
                f"{chance.randrange(1, 29):02}",
                "soc_sec_id": str(chance.randrange(1_000_000, 9_999_999)),
            }
        )
    return people


def _mistyped(text: str, chance: random.Random) -> str:
    if len(text) < 2:
        return text
    at = chance.randrange(len(text))
    kind = chance.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    letter = chance.choice(LETTERS if text[at].isalpha() else "0123456789")
    if kind == 1:
        return text[:at] + letter + text[at + 1 :]
    if kind == 2:
        return text[:at] + letter + text[at:]
    at = min(at, len(text) - 2)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


@contextmanager
def peak_memory(pids: Sequence[int]) -> Iterator[list[float]]:
    """Yield a list that gets the largest resident size of any of some processes, in MB."""
    peak = [0.0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            for pid in pids:
                try:
                    peak[0] = max(peak[0], psutil.Process(pid).memory_info().rss / 1e6)
                except psutil.NoSuchProcess:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


async def plain_loop(database: Database, people: list[dict[str, Any]]) -> float:
    """Run the same functions without durability; return the seconds from JSON lines to decided pairs."""
    config = IndexConfig.model_validate({"indexName": f"plain-{len(people)}", "fields": FIELDS})
    lines = [orjson.dumps(person) for person in people]
    began = time.perf_counter()
    async with database.transaction() as connection:
        await create_index(connection, "bench", config)
    for start in range(0, len(lines), PAGE):
        drafts: list[Draft] = [make_draft(parse_entity(raw), raw, config) for raw in lines[start : start + PAGE]]
        async with database.transaction() as connection:
            index = await find_index(connection, "bench", config.index_name, lock="share")
            changes = await write_drafts(connection, index.index_no, drafts)
            await add_entities(connection, index.index_no, len(changes.created))
    async with database.transaction() as connection:
        index = await find_index(connection, "bench", config.index_name)
    postings = await load_postings(database, index)
    model, _ = await training.train_model(database, index, postings)
    async with database.transaction() as connection:
        await training.save_trained_model(connection, index, model)
        index = await find_index(connection, "bench", config.index_name)
        cursor = await connection.execute("SELECT uid FROM entities WHERE index_no = %s", (index.index_no,))
        uids = [row[0] for row in await cursor.fetchall()]
    for start in range(0, len(uids), PAGE):
        async with database.transaction() as connection:
            stored = await read_stored(connection, index, uids[start : start + PAGE])
            pairs = await score_candidates(connection, index, model, stored, postings.find(stored))
            await store_scores(connection, index, pairs)
    async with database.transaction() as connection:
        await decide_all(connection, index, model)
    return time.perf_counter() - began


def durable_batch(towpath: Towpath, people: list[dict[str, Any]], index: str) -> tuple[float, str]:
    """Through the public API: seconds from the upload's first byte to COMPLETED, and the job."""
    towpath.call("POST", "/v1/indexes", json={"indexName": index, "fields": FIELDS})
    began = time.perf_counter()
    job_id = towpath.submit(people, index)
    for event in towpath.events(job_id):
        if event.type in {"job.failed", "job.cancelled"}:
            raise RuntimeError(str(event.data))
    return time.perf_counter() - began, job_id


async def history_events(stack: EmbeddedStack, job_id: str) -> int:
    """Events in the histories of a job's workflow."""
    from temporalio.client import Client

    client = await Client.connect(stack.temporal_address)
    count = 0
    ref = JobRef(organization="default", kind=ENTITY_BATCH, job_id=UUID(job_id))
    async for run in client.list_workflows(f'WorkflowId = "{ref.workflow_id}"'):
        handle = client.get_workflow_handle(run.id, run_id=run.run_id)
        count += len((await handle.fetch_history()).events)
    return count


def single_upserts(towpath: Towpath, index: str, people: list[dict[str, Any]]) -> list[float]:
    """Milliseconds of one upsert each."""
    times: list[float] = []
    for person in people:
        began = time.perf_counter()
        towpath.call("POST", "/v1/entity", params={"indexName": index}, json=person)
        times.append((time.perf_counter() - began) * 1000)
    return times


def live_upserts(stack: EmbeddedStack, index: str, people: list[dict[str, Any]]) -> float:
    """Upserts a second of several clients that write to one index at the same time, each one after the other."""

    def write(some: list[dict[str, Any]]) -> None:
        single_upserts(Towpath(stack.api_url, stack.api_key), index, some)

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(write, [people[client::CLIENTS] for client in range(CLIENTS)]))
    return len(people) / (time.perf_counter() - began)


async def start_latency(towpath: Towpath, stack: EmbeddedStack) -> tuple[float, float]:
    """Median milliseconds of accepting a batch of 200, and of a raw start of a workflow."""
    from temporalio.client import Client

    client = await Client.connect(stack.temporal_address)
    people = synthetic_persons(200, seed=5)
    towpath.call("POST", "/v1/indexes", json={"indexName": "latency", "fields": FIELDS})
    facade: list[float] = []
    raw: list[float] = []
    for number in range(20):
        began = time.perf_counter()
        job_id = await asyncio.to_thread(towpath.submit, people, "latency")
        facade.append((time.perf_counter() - began) * 1000)
        await asyncio.to_thread(_drain, towpath, job_id)
        began = time.perf_counter()
        handle = await client.start_workflow("reconcile", id=f"bench-{number}", task_queue="nobody")
        raw.append((time.perf_counter() - began) * 1000)
        await handle.terminate()
    return statistics.median(facade), statistics.median(raw)


def _drain(towpath: Towpath, job_id: str) -> None:
    for _ in towpath.events(job_id):
        pass


async def run(sizes: Sequence[int], workers: int, *, baseline: bool, vs_splink: bool) -> None:
    """Measure and print all figures for some sizes."""
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", port=0, ui_port=0, workers=workers)
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            towpath = Towpath(stack.api_url, stack.api_key)
            database = Database(stack.database_url)
            pids = [stack.child(f"worker-{n}").pid or 0 for n in range(workers)]
            cpu = CpuSeconds(stack, workers)
            costs: dict[int, float] = {}
            for size in sizes:
                people = synthetic_persons(size)
                with peak_memory(pids) as peak, cpu.measure(per=size / 1000) as used:
                    seconds, job_id = await asyncio.to_thread(durable_batch, towpath, people, f"persons-{size}")
                costs[size] = seconds / size
                tell(
                    "durable batch", entities=size, seconds=round(seconds, 2), entities_a_second=round(size / seconds),
                    times_the_original=round(size / seconds / 139, 1), peak_worker_mb=round(peak[0]),
                    events_a_thousand=round(await history_events(stack, job_id) / size * 1000, 2),
                )  # fmt: skip
                tell(
                    "stages", entities=size, cpu_seconds_a_thousand=used,
                    seconds_by_phase=await read_phase_seconds(database, job_id),
                )  # fmt: skip
                if baseline:
                    plain = await plain_loop(database, people)
                    tell(
                        "durable against plain loop", entities=size, plain_seconds=round(plain, 2),
                        plain_entities_a_second=round(size / plain), ratio=round(plain / seconds, 3),
                    )  # fmt: skip
                if vs_splink:
                    await asyncio.to_thread(tell_beside, towpath, f"persons-{size}", people, seconds)
                probes = synthetic_persons(300, seed=99)
                probes = [{**person, "id": f"probe{n}"} for n, person in enumerate(probes)]
                times = await asyncio.to_thread(single_upserts, towpath, f"persons-{size}", probes)
                quantiles = statistics.quantiles(times, n=100)
                tell("single upsert", stored=size, p50_ms=round(quantiles[49], 1), p99_ms=round(quantiles[98], 1))
                live = [{**person, "id": f"live{n}"} for n, person in enumerate(synthetic_persons(LIVE, seed=98))]
                with cpu.measure(per=LIVE / 1000) as used:
                    a_second = await asyncio.to_thread(live_upserts, stack, f"persons-{size}", live)
                tell(
                    "live upserts", stored=size, clients=CLIENTS, a_second=round(a_second),
                    cpu_milliseconds_each=used,
                )  # fmt: skip
            if len(costs) > 1:
                low, high = min(costs), max(costs)
                tell("cost of growth", small=low, large=high, ratio=round(costs[high] / costs[low], 2))
            facade, raw = await start_latency(towpath, stack)
            tell("start latency", facade_ms=round(facade, 1), raw_ms=round(raw, 1), ratio=round(facade / raw, 2))
            await database.close()


def main() -> None:
    """Entry of `python -m bench.batch`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, action="append", help="entities; may be given several times")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default: %(default)s)")
    parser.add_argument("--no-baseline", action="store_true", help="leave the plain loop out")
    parser.add_argument("--vs-splink", action="store_true", help="also match the same people with Splink")
    arguments = parser.parse_args()
    sizes = arguments.size or [10_000, 100_000]
    asyncio.run(run(sizes, arguments.workers, baseline=not arguments.no_baseline, vs_splink=arguments.vs_splink))


if __name__ == "__main__":
    main()
