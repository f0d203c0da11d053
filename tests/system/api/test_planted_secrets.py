"""Secrets are planted wherever one can be given, jobs of every kind run over them, and then they are looked for.

In logs, tables, Temporal's histories and what a read-only key sees, a mark is found only where `ALLOWED` says so: what
that table says, the threat model says.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import httpx
import psycopg
import pytest
from google.protobuf.message import Message
from psycopg import sql
from temporalio.api.common.v1 import Payload
from temporalio.client import Client

from tests.replay.llm_paths import LlmPaths
from tests.support.ai import LATE, TELL, ask, lamps_model, person_of, script, until
from tests.support.batches import client_of, ended, start
from tests.support.batches import question as sent
from tests.support.builders import FIELDS, Organization, organization, persons
from tests.support.extraction import SCHEMA, note_pdf, poll, send
from tests.support.judge import MODEL, judge_by
from tests.support.llm_server import KEY, Fault, LlmServer
from tests.support.loopback import LoopbackHandler, serving
from tests.support.receiver import Receiver, Script
from tests.system.extraction.test_extract import ANSWER, LLM, says
from towpath.jobs import registry
from towpath.runtime.codec import EncryptionCodec
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.embedded.temporal_server import SEARCH_ATTRIBUTES

LOGS, RAW, DECODED, READER = "logs", "Temporal as it stores it", "Temporal, decrypted", "API, by a read-only key"

ALLOWED: dict[tuple[str, str], str] = {
    ("question", "jobs.params"): "what the job works on",
    ("question", "conversations.name"): "a thread is named by its first question",
    ("question", "conversations.last_prompt"): "lists of threads show it",
    ("question", READER): "a key of the organization reads all its jobs",
    ("document path", "jobs.params"): "the shown form of a document's URL names the document",
    ("document path", "extractions.document_url"): "the same",
    ("document path", "extractions.file_name"): "the same",
    ("document path", "extractions.request"): "the same",
    ("document path", READER): "the same",
    ("file name", "jobs.params"): "documents are found by their names",
    ("file name", "extractions.file_name"): "the same",
    ("file name", "extractions.request"): "the same",
    ("file name", READER): "the same",
    ("item's signature", "job_pages.body"): "an item is the tenant's data, and a restart fetches it again",
    ("item's signature", "job_failures.item"): "a failed item is shown as it was sent",
    ("item's signature", "vector_objects.item_info"): "an object is given back as it was sent",
    ("item's signature", READER): "the same",
    ("request", "blob_chunks.data"): "a file of requests is given back as it was sent",
    ("request", "served_lines.body"): "a request is the tenant's data, and a restart sends it again",
}


@dataclass
class Planted:
    """The scenario as it was left behind."""

    stack: EmbeddedStack
    org: Organization
    slug: str
    reader: httpx.Client
    marks: dict[str, str]
    jobs: list[str] = field(default_factory=list)


def mark(name: str) -> str:
    return f"zq{name.replace(' ', '')}{uuid4().hex[:10]}"


class Site(LoopbackHandler):
    """Has every text but those at `/gone`."""

    def do_GET(self) -> None:
        gone = self.path.startswith("/gone")
        body = b"no such page" if gone else b"Pallets: 4. Customer: Vega Ltd."
        self.send_response(404 if gone else 200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def people(found: Planted) -> None:
    """Passwords, invitations, tokens, keys."""
    org, http = found.org, httpx.Client(base_url=found.stack.api_url, timeout=60)
    email, password = f"{uuid4().hex}@example.com", mark("password")
    invited = org.call("POST", "/api/auth/invitations", 201, json={"email": email, "role": "editor"})["invitation"]
    who = {"email": email, "password": password}
    assert http.post("/api/auth/register", json={**who, "organization": "x", "invitation": invited}).status_code == 201
    signed = http.post("/api/auth/login", json=who)
    assert http.post("/api/auth/login", json={**who, "password": mark("wrong")}).status_code == 401
    found.marks |= {
        "password": password,
        "invitation": invited,
        "sign-in token": signed.json()["access_token"],
        "API key": org.key,
        "API key of a reader": str(found.reader.headers["X-API-Key"]),
        "first API key": found.stack.api_key,
        "provider's key": KEY,
        "codec token": found.stack.codec_token,
        "encryption key": found.stack.encryption_keys[0],
    }


def receivers(found: Planted, hook: Receiver) -> dict[str, Any]:
    """A receiver for all jobs, a standing secret, and what a start says of its own. Two notices fail at first."""
    marks = found.marks
    marks |= {name: mark(name) for name in ("receiver path", "receiver query", "receiver secret", "standing secret")}
    marks |= {name: mark(name) for name in ("target path", "target query", "target secret")}
    path, target = (f"/{marks[f'{one} path']}?t={marks[f'{one} query']}" for one in ("receiver", "target"))
    hook.scripts = [Script(status=503), Script(status=400)]
    body = {"url": hook.url + path, "secret": marks["receiver secret"], "events": ["job.complete", "job.failed"]}
    headers = {"Idempotency-Key": uuid4().hex}
    made = found.org.call("POST", "/webhooks", 201, json=body, headers=headers)
    found.org.call("POST", "/webhooks", 201, json=body, headers=headers)
    found.marks["made secret"] = found.org.call("POST", f"/webhooks/{made['webhookId']}/rotate")["secret"]
    found.org.call("PUT", "/v1/webhooks/standing-secret", json={"secret": marks["standing secret"]})
    return {"webhookUrl": hook.url + target, "webhookSigningSecret": marks["target secret"]}


def documents(found: Planted, provider: LlmServer, site: str, told: dict[str, Any]) -> None:
    """Extractions that succeed, fail, wait for a review, and a classification."""
    marks, org = found.marks, found.org
    marks |= {name: mark(name) for name in ("signature", "document path", "file name")}
    says(provider, ANSWER)
    for path in (f"/{marks['document path']}.txt", "/gone"):
        body = {"url": f"{site}{path}?X-Sig={marks['signature']}", "schema": SCHEMA, "llm": LLM, **told}
        job = str(org.call("POST", "/extract", json=body)["jobId"])
        poll(org, job)
        found.jobs.append(job)
    name = f"{marks['file name']}.pdf"
    held = str(send(org, note_pdf(), name=name, schema=SCHEMA, llm=LLM, holdForReview=True, **told)["jobId"])
    poll(org, held, "PAUSED")
    org.call("POST", f"/jobs/{held}/review", json={"decision": "APPROVED"})
    poll(org, held)
    classes = {"name": "papers", "options": [{"name": "note"}, {"name": "invoice"}]}
    made = org.call("POST", "/classification", 201, json=classes)["id"]
    body = {"url": f"{site}/text?X-Sig={marks['signature']}", "llm": LLM}
    chosen = str(org.call("POST", f"/classification/{made}/run", json=body)["jobId"])
    org.until(chosen)
    provider.faults = [Fault(status=400)]
    broken = str(send(org, note_pdf(2), name=name, schema=SCHEMA, llm=LLM, **told)["jobId"])
    poll(org, broken)
    found.jobs += [held, chosen, broken]


def vectors(found: Planted, site: str, told: dict[str, Any]) -> None:
    """Items whose texts are at signed links: one is there, one is not."""
    found.marks["item's signature"] = signature = mark("item")
    items = [{"object_id": path, "item_info": {"url": f"{site}/{path}?sig={signature}"}} for path in ("text", "gone")]
    task = found.org.ended(found.org.task({"items": items, **told})["id"])
    assert task["failed_items"], task
    found.org.ended(found.org.task({"object_ids": ["gone"]}, "deletion")["id"], "deletion")


def questions(found: Planted, provider: LlmServer, told: dict[str, Any]) -> None:
    """A private question that is answered, one that fails, and the small jobs; a database that cannot be reached."""
    marks, org = found.marks, found.org
    marks |= {name: mark(name) for name in ("question", "database password")}
    provider.reset()
    script(provider, LATE, TELL)
    ids = lamps_model(org)
    person, _ = person_of(org, found.stack.api_url)
    prompt = f"Where are sales late? {marks['question']}"
    for faults in ([], [Fault(), Fault(status=400)]):
        provider.faults = faults
        job = str(ask(person, ids, prompt=prompt, topicName=None, progressWebhookEnabled=True, **told)["jobId"])
        until(person, job)
        found.jobs.append(job)
    provider.faults = []
    script(provider, LATE["query"])
    asked = {"modelId": ids["model"], "prompt": prompt}
    person.call("POST", "/v1/ai/pick-topic", json=asked)
    person.call("POST", "/v1/ai/generate-query", json={**asked, "currentTopicName": "sales"})
    url = f"postgresql://shop:{marks['database password']}@127.0.0.1:1/shop"
    made = org.http.post("/v1/connections", json={"name": "shop", "kind": "postgres", "url": url})
    assert made.status_code == 201, made.text
    assert not org.http.post("/v1/models", json={"connectionId": made.json()["id"]}).is_success


def entities(found: Planted, provider: LlmServer, told: dict[str, Any]) -> None:
    """A batch, its index anew, and a judge of its pairs."""
    org = found.org
    org.index()
    headers = {
        "Towpath-Webhook-Url": told["webhookUrl"],
        "Towpath-Webhook-Secret": told["webhookSigningSecret"],
    }
    org.done(persons(20), headers=headers)
    changed = org.call("POST", "/v1/indexes", json={"indexName": "people", "fields": FIELDS[:2]})
    org.until(changed["reindexJobId"])
    judge_by(provider, lambda *_: "unsure")
    body = {"model": MODEL, "maxCostUsd": 1, "zone": {"from": 0, "to": 1}, "limit": 10}
    org.until(org.call("POST", "/v1/indexes/people/judge", 202, json=body)["jobId"])
    provider.reset()


def requests(found: Planted, told: dict[str, Any]) -> None:
    """A batch of requests whose end is told."""
    found.marks["request"] = mark("request")
    client = client_of(found.org)
    headers = {"Towpath-Webhook-Url": told["webhookUrl"], "Towpath-Webhook-Secret": told["webhookSigningSecret"]}
    ended(client, start(client, sent(1, user=found.marks["request"]), extra_headers=headers).id)


def enrichments(found: Planted, provider: LlmServer) -> None:
    paths = LlmPaths(provider)
    for path in (paths.batch, paths.generated, paths.edited, paths.asked_again, paths.merged):
        path(found.org)


@pytest.fixture(scope="module")
def planted(system: EmbeddedStack, loopback: LlmServer, hook: Receiver) -> Planted:
    return plant(system, loopback, hook)


def plant(system: EmbeddedStack, loopback: LlmServer, hook: Receiver) -> Planted:
    loopback.reset()
    org = organization(system.api_url)
    key = org.call("POST", "/api/auth/api-keys", 201, json={"name": "r", "role": "operator", "scopes": ["read"]})["key"]
    reader = httpx.Client(base_url=system.api_url, headers={"X-API-Key": key}, timeout=60)
    found = Planted(system, org, str(org.call("GET", "/api/auth/me")["organization"]), reader, {})
    people(found)
    told = receivers(found, hook)
    with serving(Site) as site:
        entities(found, loopback, told)
        vectors(found, site, told)
        documents(found, loopback, site, told)
    questions(found, loopback, told)
    enrichments(found, loopback)
    requests(found, told)
    loopback.reset()
    return found


def found_in(text: str, marks: dict[str, str]) -> set[str]:
    return {name for name, value in marks.items() if value in text}


def logs(stack: EmbeddedStack, marks: dict[str, str]) -> Iterator[tuple[str, str]]:
    for path in stack.home.logs.iterdir():
        yield from ((name, LOGS) for name in found_in(path.read_text(errors="replace"), marks))


def tables(stack: EmbeddedStack, marks: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every column of every table, as text; bytes as they are, and decompressed."""
    pattern = "|".join(re.escape(value) for value in marks.values())
    names = {value: name for name, value in marks.items()}
    with psycopg.connect(stack.database_url) as database:
        columns = database.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
        ).fetchall()
        assert len(columns) > 200
        for table, column, kind in columns:
            place = f"{table}.{column}"
            parts = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
            if kind == "bytea":
                read = sql.SQL("SELECT {column} FROM {table} WHERE {column} IS NOT NULL").format(**parts)
                for (data,) in database.execute(read):
                    text = unpacked(bytes(data)).decode("latin-1")
                    yield from ((names[value], place) for value in set(re.findall(pattern, text)))
            else:
                read = sql.SQL("SELECT DISTINCT (regexp_matches({column}::text, %s, 'g'))[1] FROM {table}").format(
                    **parts
                )
                yield from ((names[value], place) for (value,) in database.execute(read, (f"({pattern})",)))


def unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


async def temporal(planted: Planted) -> list[tuple[str, str]]:
    """Every event of every workflow of the organization, with summaries and search attributes; and the whole file."""
    found: list[tuple[str, str]] = []
    codec = EncryptionCodec(planted.stack.encryption_keys)
    client = await Client.connect(planted.stack.temporal_address)
    kinds = set()
    async for run in client.list_workflows(f'{SEARCH_ATTRIBUTES[0]} = "{planted.slug}"'):
        kinds.add(run.workflow_type)
        handle = client.get_workflow_handle(run.id, run_id=run.run_id)
        described = (await handle.describe()).raw_description
        messages: list[Message] = [described, *(await handle.fetch_history()).events]
        for message in messages:
            raw = message.SerializeToString().decode("latin-1")
            found += ((name, RAW) for name in found_in(raw, planted.marks))
            for payload in payloads_of(message):
                (opened,) = await codec.decode([payload])
                found += ((name, DECODED) for name in found_in(opened.data.decode("latin-1"), planted.marks))
    # Upkeep does not run here; it does what a re-index does.
    assert kinds == {*registry.kinds(), "notice", "delivery"} - registry.upkeep_kinds()
    for name in ("temporal.db", "temporal.db-wal"):
        text = (planted.stack.home.folder / name).read_bytes().decode("latin-1")
        found += ((one, RAW) for one in found_in(text, planted.marks))
    return found


def payloads_of(message: Message) -> Iterator[Payload]:
    if isinstance(message, Payload):
        yield message
        return
    for one, value in message.ListFields():
        if one.message_type is None:
            continue
        if one.message_type.GetOptions().map_entry:
            inner: Iterable[Any] = value.values()
        else:
            inner = value if one.is_repeated else [value]
        for each in inner:
            if isinstance(each, Message):
                yield from payloads_of(each)


def answers(planted: Planted) -> Iterator[tuple[str, str]]:
    """Everything that can be got without an id, and everything of each job, receiver and delivery."""
    reader = planted.reader
    operations = httpx.get(f"{planted.stack.api_url}/openapi.json", timeout=60).json()["paths"]
    paths = [path for path, methods in operations.items() if "get" in methods and "{" not in path]
    jobs: list[dict[str, Any]] = []
    cursor: str | None = None
    while cursor is not None or not jobs:
        page = reader.get("/v1/jobs", params={"limit": 100} | ({"cursor": cursor} if cursor else {})).json()
        jobs += page["jobs"]
        cursor = page.get("nextCursor")
    for job in jobs:
        one = job["id"]
        paths += [
            f"/v1/jobs/{one}", f"/v1/jobs/{one}/failures", f"/jobs/{one}", f"/extract?jobId={one}",
            f"/v1/ai/jobs/{one}", f"/v1/ai/jobs/{one}/result",
        ]  # fmt: skip
        with reader.stream("GET", f"/v1/jobs/{one}/events") as told:
            yield from ((name, READER) for name in found_in(told.read().decode(), planted.marks))
    paths += [
        f"/v1/webhooks/deliveries/{one['id']}" for one in reader.get("/v1/webhooks/deliveries").json()["deliveries"]
    ]
    paths += [f"/webhooks/{one['webhookId']}" for one in reader.get("/webhooks").json()]
    paths += [f"/v1/connections/{one['id']}" for one in listed(reader.get("/v1/connections").json())]
    for path in paths:
        yield from ((name, READER) for name in found_in(reader.get(path).text, planted.marks))


def listed(body: Any) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], body if isinstance(body, list) else next(iter(body.values())))


def test_what_is_planted_is_found_only_where_it_may_be(planted: Planted) -> None:
    marks = planted.marks
    assert len(set(marks.values())) == len(marks)

    found = {
        *logs(planted.stack, marks),
        *tables(planted.stack, marks),
        *asyncio.run(temporal(planted)),
        *answers(planted),
    }

    surprises = sorted(found - ALLOWED.keys())
    assert surprises == []
    # What is not there any more has no place in the threat model.
    assert sorted(ALLOWED.keys() - found) == []


def test_an_editor_sees_the_whole_address_of_a_receiver_and_a_reader_its_host(planted: Planted) -> None:
    path = planted.marks["receiver path"]

    assert path in json.dumps(planted.org.call("GET", "/webhooks"))
    shown = planted.reader.get("/webhooks").json()[0]["url"]
    assert shown.endswith("/***") and shown.startswith("http://127.0.0.1:")
