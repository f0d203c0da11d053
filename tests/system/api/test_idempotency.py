"""A repeat with the same `Idempotency-Key` makes nothing a second time, whatever is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import select

from tests.support.ai import lamps_model
from tests.support.builders import FIELDS, LAMPS, Organization, persons
from tests.support.extraction import SCHEMA, note_pdf, poll, send
from towpath.ai.store.connections import add_connection
from towpath.ai.store.tables import ConnectionRow
from towpath.db.engine import Database

CONNECTION = {"name": "lamps", "kind": "duckdb", "path": "lamps.duckdb"}


@dataclass(frozen=True)
class Making:
    """A call that makes something.

    Attributes:
        path: Where it is made.
        body: Of an organization: what is sent, twice.
        other: What is sent then under the same key.
        made: How many there are.
    """

    path: str
    body: Callable[[Organization], dict[str, Any]]
    other: dict[str, Any]
    made: Callable[[Organization], int]


def models(org: Organization) -> int:
    return len(org.call("GET", "/v1/models")["records"])


def over_lamps(org: Organization) -> dict[str, Any]:
    ids = lamps_model(org)
    return {"connectionId": ids["connection"], "modelKind": "BRANCH", "baseModelId": ids["model"], "modelName": "b"}


def corrected(org: Organization) -> dict[str, Any]:
    job = send(org, note_pdf(), schema=SCHEMA)["jobId"]
    assert poll(org, job)["status"] == "COMPLETE"
    return {"jobId": job, "annotatedData": {"noteNumber": "89"}}


def corrections(org: Organization) -> int:
    job = org.call("GET", "/jobs")["jobs"][0]["jobId"]
    return len(org.call("GET", "/annotations", params={"jobId": job})["annotations"])


def kept_index(org: Organization) -> int:
    return len(org.call("GET", "/v1/indexes")["indexes"])


def indexed(org: Organization) -> dict[str, Any]:
    org.index("default")
    org.call("POST", "/v1/entities/batch", json=[{"id": number, "name": "Ada"} for number in (1, 2, 3)])
    return {"labels": [{"entityId": 1, "duplicateId": 2, "duplicate": True}]}


MAKINGS = {
    "index": Making(
        "/v1/indexes", lambda _: {"indexName": "lamps", "fields": FIELDS}, {"duplicateThreshold": 0.5}, kept_index
    ),
    "labels": Making(
        "/v1/indexes/default/labels", indexed,
        {"labels": [{"entityId": 1, "duplicateId": 3, "duplicate": False}]}, kept_index,
    ),
    "template": Making(
        "/templates", lambda _: {"name": "note", "schema": SCHEMA}, {"name": "other"},
        lambda org: len(org.call("GET", "/templates")["templates"]),
    ),
    "connection": Making(
        "/v1/connections", lambda _: CONNECTION, {**CONNECTION, "name": "x"},
        lambda org: len(org.call("GET", "/v1/connections")),
    ),
    "schema model": Making(
        "/v1/models", lambda org: {"connectionId": org.call("POST", "/v1/connections", 201, json=CONNECTION)["id"]},
        {"connectionId": str(uuid4())}, models,
    ),
    "model": Making("/v1/models", over_lamps, {"modelName": "x"}, lambda org: models(org) - 2),
    "schema": Making(
        "/api/schema/saved", lambda _: {"name": "lamps", "schema_content": LAMPS},
        {"name": "x", "schema_content": LAMPS}, lambda org: len(org.call("GET", "/api/schema/saved")["schemas"]),
    ),
    "correction": Making("/annotate", corrected, {"jobId": str(uuid4()), "annotatedData": {}}, corrections),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKINGS)
def test_what_is_made_is_made_once(org: Organization, name: str) -> None:
    making, headers = MAKINGS[name], {"Idempotency-Key": "one"}
    body = making.body(org)

    first = org.http.post(making.path, json=body, headers=headers)
    again = org.http.post(making.path, json=body, headers=headers)

    assert first.status_code in {200, 201}, first.text
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert making.made(org) == 1
    refused = org.http.post(making.path, json={**body, **making.other}, headers=headers)
    assert refused.status_code in {404, 422}, refused.text
    assert making.made(org) == 1


def test_a_repeated_file_is_the_first_one(org: Organization) -> None:
    headers = {"Idempotency-Key": "file"}

    first, again = (
        org.http.post("/api/attachments", files={"files": ("a.txt", b"Orion makes lamps")}, headers=headers).json()
        for _ in range(2)
    )
    other = org.http.post("/api/attachments", files={"files": ("a.txt", b"else")}, headers=headers)

    assert first == again
    assert other.status_code == 422


def test_classes_of_documents_are_made_once(org: Organization) -> None:
    body = {"name": "post", "options": [{"name": "note"}, {"name": "bill"}]}
    headers = {"Idempotency-Key": "classes"}

    first, again = (org.call("POST", "/classification", 201, json=body, headers=headers) for _ in range(2))

    assert first == again


def test_what_has_a_secret_is_made_once_and_the_secret_told_once(org: Organization) -> None:
    headers = {"Idempotency-Key": "secret"}
    made: dict[str, Any] = {}
    for path, body, secret, status in (
        ("/api/auth/api-keys", {"name": "nightly"}, "key", 201),
        ("/api/auth/invitations", {"email": "ada@example.com"}, "invitation", 201),
        ("/webhooks", {"url": "http://127.0.0.1:1/"}, "secret", 201),
    ):
        made[path] = org.call("POST", path, status, json=body, headers=headers)
        again = org.call("POST", path, status, json=body, headers=headers)
        assert {**again, secret: made[path][secret]} == made[path]
        assert secret not in again

    assert len(org.call("GET", "/api/auth/api-keys")["apiKeys"]) == 2
    assert len(org.call("GET", "/webhooks")) == 1
    org.call("POST", "/api/auth/api-keys", 422, json={"name": "other"}, headers=headers)
    rotate = f"/api/auth/api-keys/{made['/api/auth/api-keys']['id']}/rotate"
    fresh, repeat = (org.call("POST", rotate, 201, headers=headers) for _ in range(2))
    assert fresh["id"] == repeat["id"]
    assert "key" not in repeat
    turn = f"/webhooks/{made['/webhooks']['webhookId']}/rotate"
    first, second = (org.call("POST", turn, headers=headers) for _ in range(2))
    assert {**second, "secret": first["secret"]} == first


def test_a_repeated_restart_restarts_nothing(org: Organization) -> None:
    org.index()
    job = org.done(persons(30))
    headers = {"Idempotency-Key": "again"}

    assert org.call("POST", f"/v1/jobs/{job}/restart", headers=headers)["attempt"] == 2
    assert org.until(job)["state"] == "COMPLETED"
    assert org.call("POST", f"/v1/jobs/{job}/restart", headers=headers)["attempt"] == 2
    assert org.call("POST", f"/v1/jobs/{job}/restart", headers={"Idempotency-Key": "other"})["attempt"] == 3


def test_an_index_is_not_changed_by_a_repeat_of_an_older_request(org: Organization) -> None:
    body = {"indexName": "lamps", "fields": FIELDS}
    first = org.call("POST", "/v1/indexes", 201, json=body, headers={"Idempotency-Key": "first"})
    org.call("POST", "/v1/indexes", json={**body, "duplicateThreshold": 0.5}, headers={"Idempotency-Key": "second"})

    again = org.call("POST", "/v1/indexes", 201, json=body, headers={"Idempotency-Key": "first"})

    assert again == first
    assert org.call("GET", "/v1/indexes/lamps")["duplicateThreshold"] == 0.5


async def unsaved(database: Database) -> ConnectionRow:
    """A connection of a new organization, not stored yet."""
    row = ConnectionRow(organization=uuid4().hex, name="x", kind="duckdb", config=b"")
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO organizations (id, name) VALUES (%s, %s)", (row.organization,) * 2)
    return row


@pytest.mark.asyncio(loop_scope="session")
async def test_an_effect_that_fails_in_the_middle_leaves_nothing(database: Database) -> None:
    row = await unsaved(database)

    async def fail() -> None:
        async with database.joined() as (inside, _):
            await add_connection(inside, row)
            async with inside.session() as session:
                found = (await session.exec(select(ConnectionRow).where(ConnectionRow.id == row.id))).all()
            assert len(found) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    async with database.session() as session:
        assert not (await session.exec(select(ConnectionRow).where(ConnectionRow.id == row.id))).all()


@pytest.mark.asyncio(loop_scope="session")
async def test_effects_that_succeed_are_kept_together(database: Database, neighbour: Database) -> None:
    row = await unsaved(database)

    async with database.joined() as (inside, _):
        await add_connection(inside, row)
        async with inside.transaction() as part:
            await part.execute("UPDATE connections SET name = 'y' WHERE id = %s", (row.id,))
        async with neighbour.transaction() as elsewhere:
            seen = await elsewhere.execute("SELECT count(*) FROM connections WHERE id = %s", (row.id,))
            assert await seen.fetchone() == (0,)

    async with database.transaction() as connection:
        kept = await connection.execute("SELECT name FROM connections WHERE id = %s", (row.id,))
        assert await kept.fetchone() == ("y",)
