"""Who may call what: what the routes ask for is what was reviewed, and every caller is answered by that.

A new operation needs one line in `REVIEWED`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import httpx
import psycopg
import pytest

from docs.permissions import Permission, collect_permissions
from tests.support.ai import person_of
from tests.support.builders import Organization, organization
from tests.support.hostile import Operation, operations, plain
from towpath.api.app import create_app
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

APP = create_app(Settings(docs_open=True))
OPERATIONS = operations(APP.openapi())
ASKED = collect_permissions(APP)
OF_PERSONS = {"POST /api/auth/logout-everywhere"}
"""For keys of the organization there is nothing to do: 403, whatever their role."""
REFUSED = ("none", "garbage", "unknown", "revoked", "expired")
"""Callers who are nobody."""
ROLES = {"read-only": "read-only", "operator": "operator", "editor": "editor", "owner": "owner", "admin": "admin",
         "personal": "operator"}  # fmt: skip
"""Callers who are somebody, by what the table calls them; the personal key is an operator's."""


@dataclass
class Callers:
    """A client for each caller."""

    clients: dict[str, httpx.Client]


@pytest.fixture(scope="module")
def callers(system: EmbeddedStack) -> Callers:
    """One organization with a key of each kind."""
    org = organization(system.api_url)
    keys = {role: _key(org, role=role) for role in ("operator", "editor", "owner")}
    keys |= {"read-only": _key(org, role="owner", scopes=["read"])}
    keys |= {name: _key(org, role="owner") for name in ("admin", "revoked", "expired")}
    keys["personal"] = (person_of(org, system.api_url, role="operator")[0].key, "")
    org.call("DELETE", f"/api/auth/api-keys/{keys['revoked'][1]}")
    with psycopg.connect(system.database_url, autocommit=True) as database:
        database.execute("UPDATE api_keys SET role = 'admin' WHERE id = %s", (keys["admin"][1],))
        database.execute(
            "UPDATE api_keys SET expires_at = now() - interval '1 minute' WHERE id = %s", (keys["expired"][1],)
        )
    headers = {name: {"X-API-Key": key} for name, (key, _) in keys.items()}
    headers |= {"none": {}, "garbage": {"Authorization": "Bearer x"}, "unknown": {"X-API-Key": "ent_" + "a" * 40}}
    return Callers(
        {name: httpx.Client(base_url=system.api_url, headers=sent, timeout=60) for name, sent in headers.items()}
    )


def _key(org: Organization, **body: object) -> tuple[str, str]:
    made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "k", **body})
    return made["key"], made["id"]


@pytest.mark.parametrize("name", REFUSED)
def test_who_is_nobody_is_refused_everywhere(callers: Callers, name: str) -> None:
    wrong = _answers(callers.clients[name], lambda asked: {401} if asked.authenticated else None)

    assert wrong == []


@pytest.mark.parametrize("name", ROLES)
def test_who_is_somebody_may_do_what_the_table_says(callers: Callers, name: str) -> None:
    wrong = _answers(callers.clients[name], lambda asked: None if asked.allows(ROLES[name]) else {403})

    assert wrong == []


def _answers(client: httpx.Client, expected: Callable[[Permission], set[int] | None]) -> list[str]:
    """Call every operation with ids of nothing and the least of a body; the answers that are not as expected.

    Args:
        expected: The statuses that an operation must answer; None: any but 401, 403 and server errors.
    """
    wrong = []
    for operation in OPERATIONS:
        status = _status(client, operation)
        wanted = expected(ASKED[operation.name])
        if wanted is None and operation.name in OF_PERSONS:
            wanted = {403, 204}
        fits = status in wanted if wanted is not None else status not in {401, 403} and status < 500
        if not fits:
            wrong.append(f"{operation.name}: {status}, not {wanted or 'let in'}")
    return wrong


def _status(client: httpx.Client, operation: Operation) -> int:
    sent = plain(operation, {one["name"]: str(uuid4()) for one in operation.parameters if one.get("required")})
    headers = {**sent.headers, "Content-Type": "application/json"}
    body = b"{}" if operation.body is not None or operation.forms else None
    url = sent.path + (f"?{sent.query}" if sent.query else "")
    with client.stream(operation.method, url, headers=headers, content=body) as answer:
        return answer.status_code
