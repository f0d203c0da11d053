"""Many receivers of one job's end, half of which hang: how soon the others have it.

    python -m bench.webhooks --receivers 200

One line of JSON a figure. Time is from the commit of the job's end to the arrival of the first attempt. The baseline
is the same number of receivers in the same process of which none hangs.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from datetime import datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from bench.figures import tell
from bench.provider import run_provider
from towpath.db.migrate import migrate
from towpath.demo.client import Towpath
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

HANG = 60.0


async def _serve(pipe: Pipe) -> None:
    arrived: dict[str, float] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readline():
                path = request.split()[1].decode()
                length = 0
                while (line := await reader.readline()).strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line[15:])
                await reader.readexactly(length)
                arrived.setdefault(path, time.time())
                if path.startswith("/hang"):
                    await asyncio.sleep(HANG)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=512)
    pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    while (message := await asyncio.to_thread(pipe.recv)) == "arrived":
        pipe.send(dict(arrived))
        arrived.clear()
    assert message == "stop"


def _run(pipe: Pipe) -> None:
    asyncio.run(_serve(pipe))


def _end_of(towpath: Towpath, body: list[dict[str, Any]]) -> float:
    job = towpath.call("POST", "/v1/entities/batch", json={"entities": body}, headers={"Prefer": "respond-async"})
    for event in towpath.events(job["jobId"]):
        last = event
    assert last.type == "job.completed"
    ended = towpath.call("GET", f"/v1/jobs/{job['jobId']}")["completedAt"]
    return datetime.fromisoformat(ended).timestamp()


def first_deliveries(towpath: Towpath, url: str, pipe: Pipe, *, hanging: int, count: int) -> list[float]:
    """Milliseconds from a job's end to its arrival at the receivers that answer."""
    paths = [f"/hang/{number}" if number < hanging else f"/well/{number}" for number in range(count)]
    endpoint_ids = [towpath.call("POST", "/webhooks", json={"url": url + path})["webhookId"] for path in paths]
    ended = _end_of(towpath, [{"id": count + hanging, "name": "one"}])
    expected = {path for path in paths if path.startswith("/well")}
    arrived: dict[str, float] = {}
    deadline = time.monotonic() + HANG
    while not expected <= arrived.keys() and time.monotonic() < deadline:
        time.sleep(0.1)
        pipe.send("arrived")
        for path, at in pipe.recv().items():
            arrived.setdefault(path, at)
    for webhook in endpoint_ids:
        towpath.call("DELETE", f"/webhooks/{webhook}")
    return sorted((arrived[path] - ended) * 1000 for path in expected)


async def run(count: int) -> None:
    """Measure and print all figures."""
    with run_provider(_run) as (url, pipe), tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", port=0, ui_port=0, workers=2, webhook_allowed_hosts="127.0.0.1")
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            towpath = Towpath(stack.api_url, stack.api_key)

            def measure() -> None:
                first_deliveries(towpath, url, pipe, hanging=0, count=20)
                well = first_deliveries(towpath, url, pipe, hanging=0, count=count)
                half = first_deliveries(towpath, url, pipe, hanging=count // 2, count=count)
                cuts = [statistics.quantiles(times, n=100) for times in (well, half)]
                tell(
                    "first delivery, half of the receivers hang", receivers=count, reached=len(half),
                    p50_ms=round(cuts[1][49]), p99_ms=round(cuts[1][98]), none_hangs_p99_ms=round(cuts[0][98]),
                    ratio=round(cuts[1][98] / cuts[0][98], 3),
                )  # fmt: skip

            await asyncio.to_thread(measure)


def main() -> None:
    """Entry of `python -m bench.webhooks`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--receivers", type=int, default=200, help="receivers of the job (default: %(default)s)")
    asyncio.run(run(parser.parse_args().receivers))


if __name__ == "__main__":
    main()
