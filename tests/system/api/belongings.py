"""What an organization has, one of everything, with a mark in every text that its people and models have written."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg

from tests.support.ai import LATE, TELL, ask, lamps_model, person_of, script
from tests.support.ai import until as end_of
from tests.support.batches import client_of, ended, question, start
from tests.support.builders import Organization, organization
from tests.support.extraction import FIELDS, SCHEMA, note_pdf, poll, send
from tests.support.llm_server import LlmServer
from tests.support.receiver import Receiver
from tests.support.waiting import until
from towpath.runtime.embedded import EmbeddedStack

LLM = "openai::gpt-4o"
MODELS = [LLM, "google::gemini-2.5-pro"]
UNSTEADY = frozenset({"api_keys.last_used_at", "api_keys.use_count", "entity_event_logs.announced"})
"""Columns that a look changes, or the housekeeping whenever it comes by."""
COUNTED = frozenset({"job_deltas", "job_facets", "job_blocks", "organization_use"})
"""Tables of counts, which the housekeeping folds whenever it comes by."""


@dataclass
class Belongings:
    """An organization, and its things by what they are called in the registry of samples.

    Attributes:
        mark: Stands in every text of the organization, and in no name or id by which it is called.
    """

    org: Organization
    slug: str
    mark: str = field(default_factory=lambda: f"secret{uuid4().hex[:12]}")
    things: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.things[name]


def furnish(system: EmbeddedStack, provider: LlmServer, hook: Receiver) -> Belongings:
    """Make an organization that has one of everything."""
    org = organization(system.api_url)
    mine = Belongings(org, org.call("GET", "/api/auth/me")["organization"])
    _receivers(mine, hook)
    _entities(mine)
    _documents_to_search(mine)
    provider.reset()
    _enrichment(mine)
    _extraction(mine, provider)
    _questions(mine, provider)
    provider.reset()
    _requests(mine)
    _people(mine, system)
    until(lambda: all(one["state"] != "PENDING" for one in org.deliveries()), "the notices are through")
    mine.things["delivery"] = org.deliveries()[0]["id"]
    return mine


def _receivers(mine: Belongings, hook: Receiver) -> None:
    body = {"url": f"{hook.url}/{mine.mark}", "events": ["job.complete", "job.failed"]}
    mine.things["receiver"] = mine.org.call("POST", "/webhooks", 201, json=body)["webhookId"]


def _entities(mine: Belongings) -> None:
    org, tag = mine.org, uuid4().hex[:6]
    index = org.index(f"people-{tag}")
    twins = [
        {"id": f"{tag}-{n}", "name": f"{mine.mark} Lovelace", "city": "Porto", "born": "1990-01-01"} for n in (1, 2)
    ]
    broken = {"id": f"{tag}-3", "remark": mine.mark}
    third = {"id": f"{tag}-4", "name": f"{mine.mark} Hopper", "city": "Lima", "born": "1961-05-17"}
    job = org.submit([*twins, broken, third], index)
    org.until(job)
    of = {"indexName": index}
    group = org.call("GET", "/v1/groups", params={**of, "entityId": f"{tag}-1"})["groups"][0]["groupId"]
    merged = org.call("POST", f"/v1/groups/{group}/merge", params=of, json={"entityIds": [f"{tag}-4"]})
    mine.things |= {"index": index, "entity": f"{tag}-1", "twin": f"{tag}-2", "job": job}
    mine.things |= {"group": group, "correction": merged["correctionId"]}


def _documents_to_search(mine: Belongings) -> None:
    org, tag = mine.org, uuid4().hex[:6]
    item = {"object_id": f"paper-{tag}", "payload": {"text": f"On lamps: {mine.mark}", "year": 2020}}
    org.task({"task_id": f"fill-{tag}", "items": [item]})
    org.task({"task_id": f"drop-{tag}", "object_ids": [f"none-{tag}"]}, "deletion")
    org.ended(f"fill-{tag}")
    org.ended(f"drop-{tag}", "deletion")
    mine.things |= {"upsertion": f"fill-{tag}", "deletion": f"drop-{tag}", "object": f"paper-{tag}"}


def _enrichment(mine: Belongings) -> None:
    org = mine.org
    schema = org.schema(f"Lamps {mine.mark}")
    entity = {"name": f"Orion {mine.mark}"}
    job = org.enrich(entity_data=entity, schema_id=schema, models=MODELS)
    org.until(job)
    records = [one for one in org.records(job_id=job) if one["type"] == "enrichment"]
    right = {"values": {"slogan": f"Light of {mine.mark}"}}
    org.call("POST", f"/api/records/{records[0]['id']}/corrections", json=right)
    file = {"filename": "note.txt", "content_base64": base64.b64encode(mine.mark.encode()).decode()}
    mine.things |= {
        "schema": schema, "enrichment": job, "record": records[0]["id"], "records": [one["id"] for one in records],
        "record_entity": records[0]["entity_id"],
        "attachment": org.call("POST", "/api/attachments/base64", json=file)["id"],
    }  # fmt: skip


def _extraction(mine: Belongings, provider: LlmServer) -> None:
    org = mine.org
    described = {**SCHEMA, "description": mine.mark}
    mine.things["template"] = org.call("POST", "/templates", 201, json={"name": mine.mark, "schema": described})[
        "templateId"
    ]
    options = [{"name": mine.mark}, {"name": "invoice"}]
    mine.things["class"] = org.call("POST", "/classification", 201, json={"name": mine.mark, "options": options})["id"]
    values = {**FIELDS, "customer": mine.mark}
    provider.answer, provider.whole = lambda *_: values, True
    sent = send(
        org, note_pdf(1, more=mine.mark), name=f"{mine.mark}.pdf", llm=LLM, requireReview=True,
        templateId=mine["template"], metadata={"of": mine.mark},
    )  # fmt: skip
    poll(org, sent["jobId"])
    note = {"jobId": sent["jobId"], "annotatedData": values}
    mine.things |= {
        "document": sent["jobId"],
        "annotation": org.call("POST", "/annotate", json=note)["annotation"]["annotationId"],
    }  # fmt: skip


def _questions(mine: Belongings, provider: LlmServer) -> None:
    org = mine.org
    ids = lamps_model(org, name=f"lamps {mine.mark}")
    body = {
        "connectionId": ids["connection"], "modelKind": "BRANCH", "baseModelId": ids["model"],
        "modelName": f"wording {mine.mark}", "content": {"topics": {"sales": {"label": mine.mark}}},
    }  # fmt: skip
    branch = org.call("POST", "/v1/models", json=body)["model"]["id"]
    script(provider, LATE, {**TELL, "answer": f"North, says {mine.mark}"})
    job = ask(org, ids, prompt=f"Where are sales late, {mine.mark}?")
    assert end_of(org, job["jobId"])["state"] == "COMPLETE"
    mine.things |= {
        "connection": ids["connection"], "schema_model": ids["schema"], "model": ids["model"], "branch": branch,
        "model_name": f"lamps {mine.mark}", "question": job["jobId"], "conversation": job["conversationId"],
        "link": org.call("POST", f"/v1/ai/conversations/{job['conversationId']}/link")["linkId"],
    }  # fmt: skip


def _requests(mine: Belongings) -> None:
    client = client_of(mine.org)
    batch = start(client, question(1, user=mine.mark), metadata={"of": mine.mark})
    ended(client, batch.id)
    mine.things |= {"file": batch.input_file_id, "request_batch": batch.id}


def _people(mine: Belongings, system: EmbeddedStack) -> None:
    org = mine.org
    _, person = person_of(org, system.api_url)
    guest = {"email": f"{mine.mark}@example.com", "role": "operator"}
    mine.things |= {
        "invitation": org.call("POST", "/api/auth/invitations", 201, json=guest)["id"],
        "key": org.call("POST", "/api/auth/api-keys", 201, json={"name": mine.mark})["id"], "person": person,
    }  # fmt: skip


def rows_of(system: EmbeddedStack, slug: str) -> dict[str, str]:
    """A digest of an organization's rows in each table that has an organization."""
    with psycopg.connect(system.database_url) as database:
        tables = database.execute(
            "SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_name)"
            " WHERE c.column_name = 'organization' AND c.table_schema = 'public' AND t.table_type = 'BASE TABLE'"
        ).fetchall()
        found = {}
        for (table,) in tables:
            if table in COUNTED:
                continue
            left_out = [name.partition(".")[2] for name in UNSTEADY if name.startswith(f"{table}.")]
            rows = database.execute(
                f'SELECT (to_jsonb(t) - %s::text[])::text FROM "{table}" t WHERE organization = %s ORDER BY 1',
                (left_out, slug),
            ).fetchall()
            found[table] = f"{len(rows)} rows, {hashlib.sha256(repr(rows).encode()).hexdigest()[:16]}"
        return found
