"""Builders: a system of real processes, organisations on it, persons to put in."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from tests.support.llm_server import KEY
from towpath.llm.types import ProviderConfig

T = TypeVar("T")

FIELDS = [
    {"name": "name", "type": "text"},
    {"name": "city", "type": "string"},
    {"name": "born", "type": "date"},
]
FIRST = ("anna", "bruno", "clara", "dmitri", "elena", "farid", "greta", "hugo", "irene", "jamal", "karin", "otto")
LAST = ("almeida", "berger", "castellanos", "dubois", "eriksen", "fontaine", "hoffmann", "ivanova", "kowalczyk")
CITIES = ("lisbon", "ghent", "oslo", "turin", "graz", "porto", "lyon", "basel", "malmo", "cork")


def persons(count: int, *, seed: int = 1, first_id: int = 0) -> list[dict[str, Any]]:
    """Persons of whom every third is the one before it again, with a typing error in the name."""
    chance = random.Random(seed)
    found: list[dict[str, Any]] = []
    for number in range(count):
        if number % 3 == 2:
            name = str(found[-1]["name"])
            at = chance.randrange(1, len(name) - 2)
            twin = {**found[-1], "name": name[:at] + name[at + 1] + name[at] + name[at + 2 :]}
            found.append({**twin, "id": first_id + number})
            continue
        word = "".join(chance.choice("bcdfgklmnprstvz") + chance.choice("aeiou") for _ in range(4))
        found.append(
            {
                "id": first_id + number,
                "name": f"{chance.choice(FIRST)} {word} {chance.choice(LAST)}",
                "city": chance.choice(CITIES),
                "born": f"{chance.randrange(1930, 2005)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}",
            }
        )
    return found


LAMPS: dict[str, Any] = {
    "root": {
        "name": "Lighting maker",
        "type": "object",
        "description": "A firm that makes lamps",
        "properties": {
            "name": {"type": "string", "identifying": True, "preserve": True},
            "founded": {"type": "integer", "nullable": True, "expertise": "history"},
            "slogan": {"type": "string", "nullable": True, "expertise": "brand"},
        },
    },
    "expertise_domains": {
        "history": {"name": "History", "description": "Origins of firms"},
        "brand": {"name": "Brand", "description": "How firms present themselves"},
    },
}

SEEDED: list[Path] = []
"""Folders of databases whose files every new organization is given in its own."""
SUBJECTS = ("graph routing", "bread baking", "coastal birds", "steam engines", "tax law", "chess openings")


def papers(count: int, *, seed: int = 1, words: int = 8) -> list[dict[str, Any]]:
    """Items with a text of their own and a payload to filter by."""
    chance = random.Random(seed)
    return [
        {
            "object_id": f"paper-{seed}-{number}",
            "payload": {
                "text": f"On {SUBJECTS[number % len(SUBJECTS)]}: "
                + " ".join("".join(chance.choices("abcdefghijklmnoprstuvw", k=5)) for _ in range(words)),
                "year": 2000 + number % 25,
                "subject": SUBJECTS[number % len(SUBJECTS)],
                "tags": ["even", "all"] if number % 2 == 0 else ["all"],
            },
        }
        for number in range(count)
    ]


@dataclass
class Organization:
    """One tenant with its key, and short ways to call."""

    http: httpx.Client
    key: str
    slug: str

    def call(self, method: str, path: str, expect: int = 200, **options: Any) -> Any:
        """One call with the key; the status must be the expected one."""
        answer = self.http.request(method, path, **options)
        assert answer.status_code == expect, f"{answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def index(self, name: str = "people", **more: Any) -> str:
        """Make an index of persons."""
        self.call("POST", "/v1/indexes", 201, json={"indexName": name, "fields": FIELDS, **more})
        return name

    def submit(self, entities: list[dict[str, Any]], index: str = "people", **options: Any) -> str:
        """Send a batch as a job; its id."""
        headers = {"Prefer": "respond-async", **options.pop("headers", {})}
        params = {"indexName": index}
        body = {"entities": entities}
        answer = self.call("POST", "/v1/entities/batch", 202, params=params, json=body, headers=headers, **options)
        return str(answer["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        """The common view of a job."""
        found: dict[str, Any] = self.call("GET", f"/v1/jobs/{job_id}")
        return found

    def until(self, job_id: str, *states: str, seconds: float = 90) -> dict[str, Any]:
        """Wait until a job is in one of some states (by default: has ended)."""
        wanted = states or ("COMPLETED", "FAILED", "CANCELLED")
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            job = self.job(job_id)
            if job["state"] in wanted:
                return job
            time.sleep(0.05)
        raise AssertionError(f"job {job_id} is {job['state']} after {seconds} s, not {wanted}")

    def settled(self, look: Callable[[], T]) -> T:
        """What `look` gives once it is the same before and after another whole job of the same workers."""
        ends = time.monotonic() + 90
        while True:
            before = look()
            other = organization(str(self.http.base_url))
            other.index()
            other.done(persons(3))
            if (after := look()) == before:
                return after
            assert time.monotonic() < ends, f"still going on: {before!r}, {after!r}"

    def done(self, entities: list[dict[str, Any]], index: str = "people", **options: Any) -> str:
        """Send a batch and wait until it has completed; its id."""
        job_id = self.submit(entities, index, **options)
        job = self.until(job_id)
        assert job["state"] == "COMPLETED", job
        return job_id

    def task(self, body: dict[str, Any], kind: str = "upsertion", expect: int = 200) -> dict[str, Any]:
        """Start an upsertion or deletion task."""
        answer: dict[str, Any] = self.call("POST", f"/embeddings/{kind}-tasks/run", expect, json=body)
        return answer

    def info(self, task_id: str, kind: str = "upsertion") -> dict[str, Any]:
        """One task."""
        answer: dict[str, Any] = self.call("GET", f"/embeddings/{kind}-tasks/info", params={"task_id": task_id})
        return answer

    def ended(self, task_id: str, kind: str = "upsertion", seconds: float = 90) -> dict[str, Any]:
        """Wait until a task has ended."""
        ends = time.monotonic() + seconds
        while (task := self.info(task_id, kind))["status"] in {"pending", "processing"}:
            assert time.monotonic() < ends, task
            time.sleep(0.05)
        return task

    def stored(self, items: list[dict[str, Any]], seconds: float = 90) -> dict[str, Any]:
        """Run an upsertion task to its end; it must be done."""
        task = self.ended(self.task({"items": items})["id"], seconds=seconds)
        assert task["status"] == "done", task
        return task

    def search(self, query: str | None, limit: int = 10, expect: int = 200, **more: Any) -> dict[str, Any]:
        """A similarity search."""
        body = {"search_query": query, "limit": limit, **more}
        answer: dict[str, Any] = self.call("POST", "/embeddings/similarity-search", expect, json=body)
        return answer

    def deliveries(self, **query: Any) -> list[dict[str, Any]]:
        """The log of notices, newest first."""
        found: list[dict[str, Any]] = self.call("GET", "/v1/webhooks/deliveries", params=query)["deliveries"]
        return found

    def schema(self, name: str = "Lighting maker", content: dict[str, Any] | None = None) -> str:
        """Save a schema; its id."""
        body = {"name": name, "schema_content": content or LAMPS}
        return str(self.call("POST", "/api/schema/saved", json=body)["id"])

    def enrich(self, path: str = "/api/single/enrich/stream", **body: Any) -> str:
        """Start an enrichment; its job."""
        return str(self.call("POST", path, json={"models": ["openai::gpt-4o"], **body})["job_id"])

    def messages(self, job_id: str, *, after: int | None = None, path: str = "/api/llm/stream") -> list[dict[str, Any]]:
        """Everything that a job's stream tells until it closes, each with its number as `_id`."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        found: list[dict[str, Any]] = []
        number = 0
        with self.http.stream("GET", f"{path}/{job_id}", headers=headers) as answer:
            # 204: who comes back has everything.
            assert answer.status_code == 200 or (after is not None and answer.status_code == 204), answer.read()
            for line in answer.iter_lines():
                assert not line.startswith("event:"), line
                if line.startswith("id: "):
                    number = int(line[4:])
                if line.startswith("data: "):
                    found.append({**json.loads(line[6:]), "_id": number})
        return found

    def records(self, **query: Any) -> list[dict[str, Any]]:
        """A page of records."""
        found: list[dict[str, Any]] = self.call("GET", "/api/records", params=query)["records"]
        return found

    def pairs(self, index: str = "people") -> list[tuple[str, str, float, bool]]:
        """Every pair of an index, in a fixed order."""
        found: list[tuple[str, str, float, bool]] = []
        while True:
            query = {"indexName": index, "limit": 1000, "offset": len(found)}
            page = self.call("GET", "/v1/duplicates", params=query)["duplicates"]
            found += [(*sorted((p["entityId"], p["duplicateId"])), p["similarity"], p["duplicate"]) for p in page]
            if len(page) < 1000:
                return sorted(found)

    def groups(self, index: str = "people") -> list[list[str]]:
        """Every group of an index, in a fixed order."""
        page = self.call("GET", "/v1/groups", params={"indexName": index, "limit": 1000})
        return sorted(sorted(str(one) for one in group["entityIds"]) for group in page["groups"])


def sign_in(who: dict[str, str]) -> dict[str, str]:
    """What of a registration a sign-in takes."""
    return {name: who[name] for name in ("email", "password")}


def organization(url: str) -> Organization:
    """A fresh organisation on a façade with open registration, with an owner's key."""
    http = httpx.Client(base_url=url, timeout=60)
    who = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery", "organization": uuid4().hex}
    assert http.post("/api/auth/register", json=who).status_code == 201
    token = http.post("/api/auth/login", json=sign_in(who)).json()["access_token"]
    http.cookies.clear()
    made = http.post(
        "/api/auth/api-keys", json={"name": "test", "role": "owner"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    http.headers["Authorization"] = f"Bearer {key}"
    slug = str(http.get("/api/auth/me").json()["organization"])
    for folder in SEEDED:
        share(folder, slug)
    return Organization(http, key, slug)


def share(folder: Path, slug: str) -> None:
    """Give an organization the files of a folder that has one for each."""
    own = folder / slug
    own.mkdir(exist_ok=True)
    for file in folder.glob("*.duckdb"):
        os.link(file, own / file.name)


def small_provider(url: str) -> dict[str, ProviderConfig]:
    """A provider of a small model, `small::tiny`, in the place of the embedded one."""
    return {"small": ProviderConfig(url=f"{url}/v1", key=KEY, models=["tiny"], small=True)}


def providers(url: str) -> dict[str, ProviderConfig]:
    """Settings that send every remote provider's calls to the loopback one."""
    openai = {name: ProviderConfig(url=f"{url}/v1", key=KEY, prices=name) for name in ("openai", "google", "deepseek")}
    return {**openai, "anthropic": ProviderConfig(url=url, key=KEY)}
