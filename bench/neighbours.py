"""How long one tenant's requests take while another makes all the noise it can, and how long alone.

    python -m bench.neighbours --rounds 30

One line of JSON a figure. Noise: 12 slow uploads, a pattern that a backtracking engine would not come back from, YAML
of 600 kB, bodies of 250 MB and 400 streams, without an end. The façade, its worker, the noise and who measures share
the machine's cores, so that the ratio tells of these as well.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from bench.figures import tell
from towpath.db.engine import Database
from towpath.db.migrate import migrate
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

MAX_RATIO = 2.0
BATCH = [{"id": number, "name": f"lamp {number}"} for number in range(3)]
QUESTION = {"search_query": "steam engines", "limit": 3}


async def medians(client: httpx.AsyncClient, rounds: int) -> dict[str, float]:
    """Seconds of each kind of request, the middle of so many."""
    calls: dict[str, Callable[[], Awaitable[httpx.Response]]] = {
        "health": lambda: client.get("/health"),
        "small batch": lambda: client.post("/v1/entities/batch", json=BATCH, headers={"Prefer": "wait=60"}),
        "search": lambda: client.post("/embeddings/similarity-search", json=QUESTION),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            answer = await call()
            times[name].append(time.perf_counter() - began)
            answer.raise_for_status()
    return {name: statistics.median(seconds) for name, seconds in times.items()}


async def prepare(client: httpx.AsyncClient) -> None:
    """Something to search in."""
    from tests.support.builders import papers

    task = (await client.post("/embeddings/upsertion-tasks/run", json={"items": papers(3)})).json()["task_id"]
    info: dict[str, Any] = {}
    while info.get("status") != "done":
        await asyncio.sleep(0.1)
        info = (await client.get("/embeddings/upsertion-tasks/info", params={"task_id": task})).json()


async def run(rounds: int) -> None:
    """Measure and print all figures."""
    from tests.support.builders import organization
    from tests.support.console.site import who
    from tests.support.noise import noise

    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", port=0, ui_port=0, workers=1)
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            await stack.workers_ready()
            loud, quiet = [await asyncio.to_thread(organization, stack.api_url) for _ in range(2)]
            name = await asyncio.to_thread(who, loud)
            database = Database(stack.database_url)
            headers = {"X-API-Key": quiet.key}
            async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, timeout=120) as client:
                await prepare(client)
                await medians(client, 3)
                alone = await medians(client, rounds)
                async with noise(stack.api_url, loud.key, database, name):
                    await asyncio.sleep(2)
                    beside = await medians(client, rounds)
            await database.close()
    for name, seconds in alone.items():
        ratio = beside[name] / seconds
        tell(
            f"{name} beside a noisy tenant", rounds=rounds, alone_ms=round(seconds * 1000, 1),
            beside_ms=round(beside[name] * 1000, 1), ratio=round(ratio, 2), within=ratio <= MAX_RATIO,
        )  # fmt: skip


def main() -> None:
    """Entry of `python -m bench.neighbours`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="requests of each kind (default: %(default)s)")
    asyncio.run(run(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
