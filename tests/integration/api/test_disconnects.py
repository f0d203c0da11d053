"""Requests whose client leaves, and statements that take too long: neither goes on in the database."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from fastapi import FastAPI

from tests.support.builders import Organization, organization
from tests.support.console.site import Site, sign_in, site
from tests.support.llm_server import LlmServer
from towpath.api.http.disconnects import QUESTIONS
from towpath.db.engine import Database
from towpath.runtime.embedded import EmbeddedStack

PATIENCE = 15.0
"""Far below the time-out that would end a statement that nobody ends."""


@pytest.fixture(scope="module")
def slow_site(parts: EmbeddedStack, database_url: str, loopback: LlmServer) -> Iterator[Site]:
    """A façade that waits long for its database, with few connections."""
    with site(parts, database_url, loopback, statement_seconds=600, api_pool_size=4) as started:
        yield started


@pytest.fixture(scope="module")
def hasty_site(parts: EmbeddedStack, database_url: str, loopback: LlmServer) -> Iterator[Site]:
    """A façade that waits a moment only."""
    with site(parts, database_url, loopback, statement_seconds=0.5) as started:
        yield started


@pytest.fixture
def postgres(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The façade's database, to hold locks in and to look at."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@contextmanager
def held(database_url: str, statement: str) -> Iterator[None]:
    """A lock that is held as long as this lasts."""
    with psycopg.connect(database_url) as connection:
        connection.execute(statement)
        yield
        connection.rollback()


def until_waiting(postgres: psycopg.Connection[Any], count: int) -> None:
    """Until so many statements of the façade wait for a lock."""
    ends = time.monotonic() + PATIENCE
    while (waiting := waiting_for_locks(postgres)) != count:
        assert time.monotonic() < ends, f"{waiting} statements wait, not {count}"
        time.sleep(0.01)


def waiting_for_locks(postgres: psycopg.Connection[Any]) -> int:
    row = postgres.execute(
        """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'towpath' AND wait_event_type = 'Lock'
        """
    ).fetchone()
    return int(row[0]) if row else 0


def ask(org: Organization, method: str, path: str, body: Any = None) -> socket.socket:
    """Send a request and leave the answer to be read."""
    address = urlsplit(str(org.http.base_url))
    content = b"" if body is None else json.dumps(body).encode()
    head = [
        f"{method} {path} HTTP/1.1", f"Host: {address.netloc}", f"Authorization: Bearer {org.key}",
        "Content-Type: application/json", f"Content-Length: {len(content)}", "", "",
    ]  # fmt: skip
    client = socket.create_connection((address.hostname, address.port))
    client.sendall("\r\n".join(head).encode() + content)
    return client


@pytest.mark.parametrize(
    ("method", "path", "body", "table"),
    [
        ("GET", "/v1/duplicates?indexName=people", None, "entity_pairs"),
        ("GET", "/v1/groups?indexName=people", None, "entities"),
        ("GET", "/v1/jobs", None, "jobs"),
        ("POST", "/embeddings/payload-count", {"filter": {"year": 1}}, "vector_collections"),
        ("POST", "/api/v1/embeddings/similarity-search", {"search_query": "x", "limit": 1}, "vector_collections"),
    ],
)
def test_a_read_ends_in_the_database_when_its_client_leaves(
    slow_site: Site, database_url: str, postgres: psycopg.Connection[Any], method: str, path: str, body: Any, table: str
) -> None:
    org = organization(slow_site.url)
    org.index()

    with held(database_url, f"LOCK TABLE {table}"):
        with closing(ask(org, method, path, body)):
            until_waiting(postgres, 1)
        # The lock is still held: only a cancel ends the statement.
        until_waiting(postgres, 0)


def test_clients_that_leave_in_numbers_leave_the_pool_as_it_was(
    slow_site: Site, database_url: str, postgres: psycopg.Connection[Any]
) -> None:
    org = organization(slow_site.url)
    org.index()

    with held(database_url, "LOCK TABLE entity_pairs"):
        for _ in range(3):
            clients = [ask(org, "GET", "/v1/duplicates?indexName=people") for _ in range(6)]
            until_waiting(postgres, 4)
            for client in clients:
                client.close()
            until_waiting(postgres, 0)
        assert org.call("GET", "/v1/indexes/people")["indexName"] == "people"

    assert org.call("GET", "/v1/duplicates", params={"indexName": "people"})["total"] == 0


def test_a_write_goes_on_when_its_client_leaves(
    slow_site: Site, database_url: str, postgres: psycopg.Connection[Any]
) -> None:
    org = organization(slow_site.url)
    org.index()
    writes = [
        ("POST", "/v1/entity?indexName=people", {"id": 1, "name": "Ada"}),
        ("POST", "/v1/entities/batch?indexName=people", [{"id": n, "name": "Ada"} for n in range(150)]),
    ]

    with held(database_url, "SELECT 1 FROM entity_indexes FOR UPDATE"):
        clients = [ask(org, *write) for write in writes]
        until_waiting(postgres, 2)
        for client in clients:
            client.close()
        # Who left after them has been noticed.
        with held(database_url, "LOCK TABLE entity_pairs"):
            with closing(ask(org, "GET", "/v1/duplicates?indexName=people")):
                until_waiting(postgres, 3)
            until_waiting(postgres, 2)

    ends = time.monotonic() + PATIENCE
    entity = {"indexName": "people", "entityId": "1"}
    while not org.call("GET", "/v1/jobs")["jobs"] or org.http.get("/v1/entity", params=entity).status_code != 200:
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_statement_that_takes_too_long_is_stopped_and_told(hasty_site: Site, database_url: str) -> None:
    org = organization(hasty_site.url)
    org.index()

    with held(database_url, "LOCK TABLE entity_pairs, entities"):
        answer = org.http.get("/v1/duplicates", params={"indexName": "people"})
        write = org.http.post("/v1/entity", params={"indexName": "people"}, json={"id": 1, "name": "Ada"})
        with hasty_site.browser() as browser:
            sign_in(browser, key=org.key)
            page = browser.get("/console/entities")

    for told in (answer, write):
        assert (told.status_code, told.json()["code"]) == (503, "QUERY_TOO_SLOW")
        assert told.headers["Retry-After"] == "5"
        assert "took too long" in told.json()["detail"]
    assert page.status_code == 503
    assert "took too long" in page.text
    org.call("GET", "/v1/entity", 404, params={"indexName": "people", "entityId": "1"})


def test_an_upload_may_last_longer_than_a_statement(hasty_site: Site) -> None:
    org = organization(hasty_site.url)
    org.index()

    def lines() -> Iterator[bytes]:
        for number in range(3):
            yield b"".join(b'{"id":"%d-%d","name":"Ada"}\n' % (number, n) for n in range(5_000))
            # Longer than any statement may take.
            time.sleep(0.7)

    headers = {"Content-Type": "application/x-ndjson", "Prefer": "respond-async"}
    answer = org.call(
        "POST", "/v1/entities/batch", 202, params={"indexName": "people"}, content=lines(), headers=headers
    )

    assert answer["summary"]["total"] == 15_000


def test_every_question_is_a_route(slow_site: Site) -> None:
    app: FastAPI = slow_site.app

    known = {path for path, methods in app.openapi()["paths"].items() if "post" in methods}

    assert known >= QUESTIONS


async def test_only_a_handle_that_is_told_so_bounds_its_statements(database_url: str) -> None:
    async def limits(**options: Any) -> tuple[str, str]:
        handle = Database(f"{database_url}?options=-c%20lock_timeout%3D7s", **options)
        async with handle.transaction() as connection:
            found = await connection.execute(
                "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
            )
            row = await found.fetchone()
        await handle.close()
        assert row is not None
        return row[0], row[1]

    assert await limits() == ("0", "7s")
    assert await limits(statement_seconds=12) == ("12s", "7s")
