"""A database of lamps, a model over it, and an agent whose moves a test writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import httpx
import psycopg

from tests.support.builders import Organization
from tests.support.llm_server import LlmServer

LLM = "openai::gpt-4o"
Move = dict[str, Any]


def make_lamps(path: Path) -> None:
    """Three shops, and lamps sold in them."""
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE shops (id INTEGER PRIMARY KEY, name VARCHAR, city VARCHAR)")
        database.execute("INSERT INTO shops VALUES (1, 'North', 'Oslo'), (2, 'East', 'Graz'), (3, 'Dock 5', 'Porto')")
        database.execute(
            "CREATE TABLE sales (id INTEGER PRIMARY KEY, shop_id INTEGER REFERENCES shops (id), lamp VARCHAR,"
            " watts DOUBLE, price DOUBLE, sold DATE, late BOOLEAN)"
        )
        database.execute(
            "INSERT INTO sales SELECT n, 1 + n % 3, 'lamp ' || n % 7, 5 + n % 20, 10.5 + n % 50,"
            " DATE '2026-01-01' + CAST(n % 150 AS INTEGER), n % 4 = 0 FROM range(1500) t(n)"
        )


def lamps_model(org: Organization, *, name: str = "lamps") -> dict[str, str]:
    """Connect the lamps and make a model over what the database tells of itself; the ids."""
    connection = org.call(
        "POST", "/v1/connections", 201, json={"name": name, "kind": "duckdb", "path": "lamps.duckdb"}
    )["id"]
    schema = org.call("POST", "/v1/models", json={"connectionId": connection})["model"]["id"]
    content = {"topics": {"sales": {"label": "Sales of lamps", "description": "What was sold where"}}}
    body = {
        "connectionId": connection,
        "modelKind": "SHARED",
        "modelName": name,
        "baseModelId": schema,
        "content": content,
    }
    shared = org.call("POST", "/v1/models", json=body)["model"]["id"]
    return {"connection": connection, "schema": schema, "model": shared}


def shop_model(org: Organization, server_url: str) -> tuple[dict[str, str], str]:
    """Make a Postgres database of orders and a model over it.

    Returns:
        The model's id, and the database's URL.
    """
    name = f"shop_{uuid4().hex[:8]}"
    server, _, _ = server_url.rpartition("/")
    url = f"{server}/{name}"
    with psycopg.connect(server_url, autocommit=True) as database:
        database.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(url) as database:
        database.execute('CREATE TABLE orders (id int PRIMARY KEY, city text, "Total" numeric)')
        database.execute("INSERT INTO orders SELECT n, 'city ' || n % 3, n FROM generate_series(1, 30) n")
    body = {"name": name, "kind": "postgres", "url": url}
    connection = org.call("POST", "/v1/connections", 201, json=body)["id"]
    schema = org.call("POST", "/v1/models", json={"connectionId": connection})["model"]["id"]
    shared = {"connectionId": connection, "modelKind": "SHARED", "baseModelId": schema}
    return {"model": org.call("POST", "/v1/models", json=shared)["model"]["id"]}, url


LATE = {
    "action": "query",
    "message": "Counting sales by shop.",
    "query": {
        "title": "Late sales by shop",
        "fields": ["shops.name", "sales.count"],
        "filters": [{"field": "sales.late", "operator": "is", "values": [True]}],
        "sorts": [{"field": "sales.count", "descending": True}],
        "limit": 3,
    },
}
TOTALS = {**LATE, "query": {"title": "Totals", "fields": ["orders.city", "orders.total_total"]}}
TELL = {"action": "answer", "message": "Ranking them.", "answer": "### Late sales\n\n1. North"}


def script(provider: LlmServer, *moves: Move | Callable[[str], Move], topic: str = "sales") -> None:
    """Let the provider make these moves, by how many queries a prompt tells of; the last one again and again."""

    def answer(_model: str, prompt: str, form: dict[str, Any]) -> dict[str, Any]:
        if "topic" in form["properties"]:
            return {"topic": topic}
        done = prompt.count("\nQuery ") + prompt.count("\nDrawn as")
        move = moves[min(done, len(moves) - 1)]
        return move(prompt) if callable(move) else move

    provider.answer = answer
    provider.whole = True


def ask(org: Organization, ids: dict[str, str], prompt: str = "Where are sales late?", **more: Any) -> dict[str, Any]:
    """Start a job; the answer."""
    body = {"modelId": ids["model"], "prompt": prompt, "topicName": "sales", "llm": LLM, **more}
    found: dict[str, Any] = org.call("POST", "/v1/ai/jobs", 201, json=body)
    return found


def state(org: Organization, job: str) -> dict[str, Any]:
    """A job as its API shows it."""
    found: dict[str, Any] = org.call("GET", f"/api/v1/ai/jobs/{job}")
    return found


def until(org: Organization, job: str, *states: str, seconds: float = 60) -> dict[str, Any]:
    """Wait until a job is in one of some states (by default: has ended)."""
    wanted = states or ("COMPLETE", "FAILED", "CANCELLED")
    ends = time.monotonic() + seconds
    while (found := state(org, job))["state"] not in wanted:
        assert time.monotonic() < ends, found
        time.sleep(0.05)
    return found


def answered(org: Organization, ids: dict[str, str], **more: Any) -> dict[str, Any]:
    """Ask and wait for the answer; it must be complete."""
    job = ask(org, ids, **more)
    found = until(org, job["jobId"])
    assert found["state"] == "COMPLETE", found
    return found


def person_of(org: Organization, url: str, *, role: str = "editor") -> tuple[Organization, str]:
    """Another person of the organization, by a personal token; and the person's id."""
    who = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery"}
    token = org.call("POST", "/api/auth/invitations", 201, json={"email": who["email"], "role": role})["invitation"]
    with httpx.Client(base_url=url) as http:
        joined = http.post("/api/auth/register", json={**who, "organization": "x", "invitation": token})
        assert joined.status_code == 201, joined.text
        bearer = {"Authorization": f"Bearer {http.post('/api/auth/login', json=who).json()['access_token']}"}
        http.cookies.clear()
        body = {"name": "mine", "kind": "personal", "role": role}
        key = http.post("/api/auth/api-keys", json=body, headers=bearer).json()["key"]
    http = httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {key}"})
    return Organization(http, key, org.slug), joined.json()["id"]
