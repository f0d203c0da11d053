"""A small client of the façade, as a user would write one: used by the demo and the benchmarks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's stream."""

    seq: int
    type: str
    data: dict[str, Any]


class Towpath:
    """Calls the façade.

    Args:
        url: Where it is.
        key: An API key.
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request; raise an error answer with its sentence.

        Raises:
            RuntimeError: The façade refused.
        """
        answer = self._http.request(method, path, **options)
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def submit(self, entities: list[dict[str, Any]], index: str) -> str:
        """Send a batch as gzipped NDJSON.

        Returns:
            The job's id.
        """
        body = gzip.compress("\n".join(json.dumps(entity) for entity in entities).encode(), 1)
        headers = {
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
            "Prefer": "respond-async",
        }
        answer = self.call("POST", "/v1/entities/batch", params={"indexName": index}, content=body, headers=headers)
        return str(answer["jobId"])

    def events(self, job_id: str) -> Iterator[Event]:
        """Follow a job to its end; a broken stream is taken up where it broke."""
        last = 0
        while True:
            try:
                headers = {"Last-Event-ID": str(last), "Accept": "text/event-stream"}
                path = f"/v1/jobs/{job_id}/events"
                with self._http.stream("GET", path, headers=headers, timeout=60) as stream:
                    stream.raise_for_status()
                    for event in _parse(stream.iter_lines()):
                        last = event.seq
                        yield event
                        if event.type in {"job.completed", "job.failed", "job.cancelled"}:
                            return
            except httpx.TransportError:
                continue

    def pairs(self, index: str, *, explain: bool = False, most: int | None = None) -> Iterator[dict[str, Any]]:
        """Every pair that is judged a duplicate, most similar first."""
        offset = 0
        while most is None or offset < most:
            limit = PAGE if most is None else min(PAGE, most - offset)
            query = {"indexName": index, "duplicatesOnly": True, "explain": explain, "limit": limit, "offset": offset}
            page = self.call("GET", "/v1/duplicates", params=query)["duplicates"]
            yield from page
            offset += len(page)
            if len(page) < limit:
                return


def _parse(lines: Iterator[str]) -> Iterator[Event]:
    seq, kind, data = 0, "", ""
    for line in lines:
        if line.startswith("id:"):
            seq = int(line[3:])
        elif line.startswith("event:"):
            kind = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line and data:
            yield Event(seq, kind, json.loads(data)["data"])
            kind, data = "", ""
