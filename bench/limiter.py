"""Four workers beside a provider that refuses what is beyond its rate, and a small tenant beside a large one.

    python -m bench.limiter --calls 1000 --rate 1200

One line of JSON a figure. The provider is a loopback server in a process of its own that takes 200 ms a call, and keeps
a token bucket of a second's worth: what is beyond gets 429 with `Retry-After`. The workers know its rate in the first
figures; in the last they learn it from what is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.figures import tell
from bench.provider import run_provider
from tests.support.builders import organization
from tests.support.llm_server import KEY, Fault, LlmServer, llm_server
from towpath.db.migrate import migrate
from towpath.demo.client import Towpath
from towpath.features import register_features
from towpath.llm.types import ProviderConfig
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

LATENCY = 0.2
WORKERS = 4
SMALL = 10
LISTED, LEARNED = "listed", "learned"
"""Two names of the provider: the workers know the rate of the first."""
FIRM = {
    "root": {
        "name": "Firm",
        "type": "object",
        "description": "A firm",
        "properties": {
            "name": {"type": "string", "identifying": True, "preserve": True},
            "founded": {"type": "integer", "nullable": True},
        },
    }
}


@dataclass
class Bucket:
    """What the provider takes: so many a second, of which a second's worth may come at once."""

    rate: float
    left: float = 0.0
    at: float = 0.0
    requests: int = 0
    answered: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        """Count a request; false: it is one too many."""
        with self.lock:
            now = time.monotonic()
            self.left = min(self.left + (now - self.at) * self.rate, self.rate)
            self.at = now
            self.requests += 1
            if self.left < 1:
                return False
            self.left -= 1
            self.answered.append(now)
            return True


@dataclass
class LimitedServer(LlmServer):
    """The loopback provider behind a bucket."""

    bucket: Bucket | None = None

    def fault(self, model: str, prompt: str) -> Fault:
        """Refuse what is beyond the rate."""
        if self.bucket is not None and not self.bucket.take():
            return Fault(status=429, headers={"Retry-After": "1"}, message="too many")
        return super().fault(model, prompt)


def _serve(pipe: Pipe, rate: float) -> None:
    bucket = Bucket(rate / 60)
    with llm_server() as served:
        served.__class__ = LimitedServer
        served.bucket, served.seconds = bucket, LATENCY  # type: ignore[attr-defined]
        pipe.send(served.url)
        while pipe.recv() == "count":
            with bucket.lock:
                pipe.send((bucket.requests, bucket.answered))
                bucket.requests, bucket.answered = 0, []


def counted(pipe: Pipe) -> tuple[int, list[float]]:
    """Return the requests that came, and when each of those that were answered did, since this was called last."""
    pipe.send("count")
    requests, answered = pipe.recv()
    return int(requests), list(answered)


def enrich(towpath: Towpath, word: str, count: int, model: str) -> tuple[float, dict[str, Any]]:
    """Return the seconds of a batch from its sending to its end, and the job."""
    schema = towpath.call("POST", "/api/schema/saved", json={"name": f"firm {uuid4()}", "schema_content": FIRM})["id"]
    entities = [{"name": f"{word} {number}"} for number in range(count)]
    body = {"entities": entities, "schema_id": schema, "models": [model]}
    began = time.perf_counter()
    job = towpath.call("POST", "/api/enrichment/batch/start", json=body)["job_id"]
    for _event in towpath.events(job):
        pass
    return time.perf_counter() - began, towpath.call("GET", f"/v1/jobs/{job}")


def measure_rate(towpath: Towpath, pipe: Pipe, name: str, calls: int, rate: int) -> None:
    """Measure a batch against the rate: requests beyond those that are needed, and throughput."""
    counted(pipe)
    seconds, job = enrich(towpath, name, calls, f"{name}::m")
    requests, answered = counted(pipe)
    # From the first answer to the last: what a second's worth of burst adds is not the limiter's.
    span = max(answered) - min(answered)
    throughput = (len(answered) - 1) / span
    figures = {"workers": WORKERS, "calls": calls, "rate_a_minute": rate, "seconds": round(seconds, 1)}
    tell(
        f"requests, rate {name}", **figures, requests=requests, ratio=round(requests / calls, 3), baseline="one a call"
    )
    tell(
        f"throughput, rate {name}", **figures, a_minute=round(throughput * 60), ratio=round(throughput * 60 / rate, 3),
        baseline="the allowed rate",
    )  # fmt: skip
    progress = job["progress"]
    tell(f"failures, rate {name}", state=job["state"], failed=progress["failed"], succeeded=progress["succeeded"])


async def measure_fairness(small: Towpath, large: Towpath, calls: int) -> None:
    """Measure a tenant with ten calls, alone and beside one with many."""
    alone, _ = await asyncio.to_thread(enrich, small, "alone", SMALL, f"{LISTED}::m")
    crowd = asyncio.create_task(asyncio.to_thread(enrich, large, "crowd", calls, f"{LISTED}::m"))
    await asyncio.sleep(5)
    beside, _ = await asyncio.to_thread(enrich, small, "beside", SMALL, f"{LISTED}::m")
    is_crowded = not crowd.done()
    tell(
        "a tenant with ten calls beside a large one", calls_of_other=calls, alone_seconds=round(alone, 2),
        beside_seconds=round(beside, 2), other_still_running=is_crowded, ratio=round(beside / alone, 3),
        baseline="its time alone",
    )  # fmt: skip
    await crowd


async def run(calls: int, rate: int) -> None:
    """Measure and print all figures."""
    with run_provider(_serve, rate) as (url, pipe), tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        known = ProviderConfig(url=f"{url}/v1", key=KEY, requests_per_minute=rate)
        unknown = ProviderConfig(url=f"{url}/v1", key=KEY)
        settings = Settings(
            home=Path(folder) / "home", port=0, ui_port=0, workers=WORKERS, open_registration=True,
            llm_providers={LISTED: known, LEARNED: unknown},
        )  # fmt: skip
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            towpath = Towpath(stack.api_url, stack.api_key)
            await asyncio.to_thread(enrich, towpath, "warm", 100, f"{LISTED}::m")
            await asyncio.to_thread(measure_rate, towpath, pipe, LISTED, calls, rate)
            # In a thread: it registers by HTTP.
            tenant = await asyncio.to_thread(organization, stack.api_url)
            await measure_fairness(Towpath(stack.api_url, tenant.key), towpath, calls)
            await asyncio.to_thread(measure_rate, towpath, pipe, LEARNED, calls, rate)


def main() -> None:
    """Entry of `python -m bench.limiter`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000, help="calls of a batch (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=1200, help="requests a minute (default: %(default)s)")
    arguments = parser.parse_args()
    register_features()
    asyncio.run(run(arguments.calls, arguments.rate))


if __name__ == "__main__":
    main()
