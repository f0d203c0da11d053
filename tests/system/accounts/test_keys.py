"""What a key can make of keys: none that does more or lasts longer, none that acts as somebody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from tests.support.builders import Organization, organization
from tests.support.waiting import until
from tests.system.accounts.test_accounts import Person, enters, refused
from towpath.accounts.domain.keys import make_key
from towpath.accounts.store.auth import add_key, new_key
from towpath.accounts.types import KeyKind, Role, Scope
from towpath.core.errors import UnauthorizedError
from towpath.db.engine import Database
from towpath.runtime.embedded import EmbeddedStack

KEYS = "/api/auth/api-keys"
Made = tuple[httpx.Client, dict[str, Any]]


def make(org: Organization, **body: Any) -> Made:
    """A fresh key of the organization: a client with it, and what is told of it."""
    made = org.call("POST", KEYS, 201, json={"name": "k", **body})
    client = httpx.Client(base_url=org.http.base_url, headers={"X-API-Key": made["key"]}, timeout=30)
    return client, made


def in_days(days: int) -> str:
    """A time from now, for the wire."""
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def test_a_key_takes_its_makers_role_and_end(org: Organization) -> None:
    _, plain = make(org)
    maker, own = make(org, role="owner", expires_in_days=2)

    made = maker.post(KEYS, json={"name": "child"}).json()

    assert (plain["role"], plain["expiresAt"], plain["parentId"] is not None) == ("owner", None, True)
    assert (made["role"], made["expiresAt"], made["parentId"]) == ("owner", own["expiresAt"], own["id"])


def test_a_key_makes_none_that_outlives_it(org: Organization) -> None:
    maker, own = make(org, expires_in_days=2)
    eternal = org.call("POST", KEYS, 201, json={"name": "eternal"})["id"]

    for late in ({"expiresAt": in_days(3)}, {"expires_in_days": 3}):
        assert "cannot outlive" in refused(maker.post(KEYS, json={"name": "child", **late}), 403)
        assert "cannot outlive" in refused(maker.patch(f"{KEYS}/{own['id']}", json=late), 403)
    assert "cannot outlive" in refused(maker.patch(f"{KEYS}/{own['id']}", json={"expiresAt": None}), 403)
    assert "cannot outlive" in refused(maker.post(f"{KEYS}/{eternal}/rotate"), 403)
    assert maker.post(KEYS, json={"name": "child", "expires_in_days": 1}).status_code == 201
    assert maker.patch(f"{KEYS}/{own['id']}", json={"name": "renamed"}).json()["expiresAt"] == own["expiresAt"]


def test_who_only_reads_makes_no_key(org: Organization) -> None:
    reader, _ = make(org, scopes=["read"])
    personal = Person(org).key(scopes=["read"])

    for client, kind in ((reader, "organization"), (personal, "personal")):
        body = {"name": "child", "kind": kind, "scopes": ["read"]}
        assert "lacks the scope write" in refused(client.post(KEYS, json=body), 403)


def test_a_key_without_a_scope_gives_none_away(org: Organization) -> None:
    writer, own = make(org, scopes=["write"])
    whole = org.call("POST", KEYS, 201, json={"name": "whole"})["id"]

    assert "a scope that its maker lacks: read" in refused(writer.post(KEYS, json={"name": "child"}), 403)
    assert "a scope that its maker lacks: read" in refused(writer.post(f"{KEYS}/{whole}/rotate"), 403)
    assert writer.post(f"{KEYS}/{own['id']}/rotate").status_code == 201


def test_a_revoked_key_takes_along_what_it_has_made(org: Organization) -> None:
    parent, told = make(org)
    child = parent.post(KEYS, json={"name": "child"}).json()
    grandchild = httpx.post(
        f"{org.http.base_url}{KEYS}", json={"name": "grandchild"}, headers={"X-API-Key": child["key"]}
    ).json()
    clients = [
        httpx.Client(base_url=org.http.base_url, headers={"X-API-Key": one["key"]}) for one in (child, grandchild)
    ]
    assert all(enters(client) for client in clients)

    org.call("DELETE", f"{KEYS}/{told['id']}", 200)

    assert not enters(parent) and not any(enters(client) for client in clients)
    assert enters(org.http)


def test_a_revoked_key_may_leave_what_it_has_made(org: Organization) -> None:
    parent, told = make(org)
    made = parent.post(KEYS, json={"name": "child"}).json()
    child = httpx.Client(base_url=org.http.base_url, headers={"X-API-Key": made["key"]})
    org.call("DELETE", f"{KEYS}/{told['id']}", 400, params={"children": "maybe"})

    org.call("DELETE", f"{KEYS}/{told['id']}", 200, params={"children": "keep"})

    assert not enters(parent) and enters(child)


def test_a_rotated_key_keeps_what_it_has_made_and_still_takes_it_along(org: Organization) -> None:
    parent, told = make(org)
    made = parent.post(KEYS, json={"name": "child"}).json()
    child = httpx.Client(base_url=org.http.base_url, headers={"X-API-Key": made["key"]})

    fresh = parent.post(f"{KEYS}/{told['id']}/rotate").json()

    assert not enters(parent) and enters(child)
    assert org.call("GET", f"{KEYS}/{made['id']}")["parentId"] == fresh["id"]
    org.call("DELETE", f"{KEYS}/{fresh['id']}", 200)
    assert not enters(child)


def test_a_dead_key_is_not_rotated_or_prolonged(org: Organization, system: EmbeddedStack) -> None:
    _, revoked = make(org)
    _, expired = make(org)
    org.call("DELETE", f"{KEYS}/{revoked['id']}", 200)
    with psycopg.connect(system.database_url, autocommit=True) as database:
        database.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (expired["id"],))

    before = len(org.call("GET", KEYS)["apiKeys"])
    for dead in (revoked, expired):
        assert "revoked or expired" in org.call("POST", f"{KEYS}/{dead['id']}/rotate", 409)["detail"]
        for body in ({"expiresAt": None}, {"expires_in_days": 1}):
            assert "revoked or expired" in org.call("PATCH", f"{KEYS}/{dead['id']}", 409, json=body)["detail"]
    assert len(org.call("GET", KEYS)["apiKeys"]) == before


def test_an_owner_does_not_become_somebody_else(org: Organization) -> None:
    person, owner = Person(org), Person(org, "owner").session()
    mine = person.key()
    path = f"{KEYS}/{mine.headers['X-Key-Id']}"

    for other in (org.http, owner):
        assert "by its own user" in refused(other.post(f"{path}/rotate"), 403)
        body = {"name": "k", "kind": "personal", "userId": person.id}
        assert other.post(KEYS, json=body).status_code in {400, 403}
    assert enters(mine)
    fresh = mine.post(f"{path}/rotate")
    assert fresh.status_code == 201
    assert not enters(mine)
    me = httpx.get(f"{person.url}/api/auth/me", headers={"X-API-Key": fresh.json()["key"]}).json()
    assert (me["user_id"], me["kind"]) == (person.id, "personal")


def test_a_person_revokes_their_own_key_and_an_owner_any(org: Organization) -> None:
    person, neighbour = Person(org), Person(org)
    first, second = person.key(), person.key()
    path = f"{KEYS}/{first.headers['X-Key-Id']}"
    assert "needs the role owner" in refused(neighbour.session().delete(path), 403)
    assert enters(first)

    assert person.session().delete(path).status_code == 200
    org.call("DELETE", f"{KEYS}/{second.headers['X-Key-Id']}", 200)

    assert not enters(first) and not enters(second)
    assert organization(person.url).http.delete(path).status_code == 404


def test_a_personal_key_outlives_a_demotion_with_the_lower_role(org: Organization) -> None:
    person = Person(org, "editor")
    key = person.key()
    assert key.get("/api/auth/me").json()["role"] == "editor"

    org.call("PATCH", f"/api/auth/users/{person.id}", json={"role": "operator"})

    assert key.get("/api/auth/me").json()["role"] == "operator"
    assert "above your own" in refused(key.post(KEYS, json={"name": "k", "kind": "personal", "role": "editor"}), 403)


def test_uses_of_a_key_are_counted(org: Organization) -> None:
    client, made = make(org)
    assert made["use_count"] == made["useCount"] == 0

    for _ in range(5):
        assert enters(client)

    def count() -> int:
        return int(org.call("GET", f"{KEYS}/{made['id']}")["use_count"])

    until(lambda: count() == 5, "count of all five uses")
    assert org.call("GET", f"{KEYS}/{made['id']}")["last_used_at"] is not None


async def test_a_key_that_expires_is_refused_at_that_moment(org: Organization) -> None:
    client, _ = make(org, expiresAt=(datetime.now(UTC) + timedelta(seconds=2)).isoformat())
    answers = []
    while not answers or answers[-1][1] == 200:
        sent = datetime.now(UTC)
        answers.append((sent, client.get("/v1/indexes").status_code))

    (ends,) = {datetime.fromisoformat(one["expiresAt"]) for one in org.call("GET", KEYS)["apiKeys"] if one["expiresAt"]}
    assert all(sent <= ends for sent, status in answers if status == 200)


def test_what_a_lowered_key_has_made_comes_down_with_it(org: Organization) -> None:
    maker, made = make(org, role="owner")
    child = maker.post(KEYS, json={"name": "child", "role": "owner"}).json()
    grandchild = httpx.post(
        f"{str(maker.base_url).rstrip('/')}{KEYS}", json={"name": "deeper"}, headers={"X-API-Key": child["key"]}
    ).json()

    org.call("PATCH", f"{KEYS}/{made['id']}", json={"role": "operator", "expiresAt": in_days(3)})

    for one in (child, grandchild):
        now = org.call("GET", f"{KEYS}/{one['id']}")
        assert (now["role"], now["expiresAt"]) == ("operator", org.call("GET", f"{KEYS}/{made['id']}")["expiresAt"])


def test_invitations_resets_and_links_go_with_who_made_them(org: Organization) -> None:
    leaving, other = Person(org, "owner"), Person(org)
    browser = leaving.session()
    made = browser.post("/api/auth/invitations", json={"email": "back@example.com", "role": "owner"}).json()
    reset = browser.post(f"/api/auth/users/{other.id}/password-reset").json()
    key, told = make(org, role="owner")
    by_key = key.post("/api/auth/invitations", json={"email": "also@example.com", "role": "owner"}).json()

    org.call("DELETE", f"/api/auth/users/{leaving.id}", 204)
    org.call("DELETE", f"{KEYS}/{told['id']}", 200)

    for email, one in (("back@example.com", made), ("also@example.com", by_key)):
        body = {"email": email, "password": "seven blue lanterns", "organization": "x", "invitation": one["invitation"]}
        assert refused(httpx.post(f"{leaving.url}/api/auth/register", json=body), 400)
    body = {"token": reset["token"], "password": "seven blue lanterns"}
    assert refused(httpx.post(f"{leaving.url}/api/auth/password-reset", json=body), 400)


async def test_a_key_that_was_revoked_meanwhile_makes_no_other(org: Organization, system: EmbeddedStack) -> None:
    _, told = make(org, role="owner")
    org.call("DELETE", f"{KEYS}/{told['id']}", 200)
    database = Database(system.database_url)
    row = new_key(
        org.slug, name="late", kind=KeyKind.ORGANIZATION, role=Role.OWNER, scopes=list(Scope), user_id=None,
        expires_at=None, parent_id=UUID(told["id"]),
    )  # fmt: skip
    try:
        # As another façade would, that has not heard of it.
        with pytest.raises(UnauthorizedError):
            await add_key(database, make_key(bytes(25)), row, maker=UUID(told["id"]))
    finally:
        await database.close()
