"""Users, passwords and sessions: how they are ended, and by whom; one account for all spellings of an address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.builders import Organization, organization
from towpath.accounts.rate_limiter import Limiter
from towpath.accounts.service.sign_ins import (
    FROM_ANYWHERE,
    FROM_ONE_ADDRESS,
    FROM_ONE_ADDRESS_LONG,
    OF_ADDRESS,
    PRESENT,
)
from towpath.db.engine import Database
from towpath.jobs.store.housekeeping import sweep_jobs
from towpath.runtime.embedded import EmbeddedStack

PASSWORD = "correct horse battery"
OTHER = "seven blue lanterns at dawn"
NOBODY = str(uuid4())
HERE = "127.0.0.1"
Body = dict[str, Any]


class Person:
    """A user with a browser of their own."""

    def __init__(self, org: Organization, role: str = "operator") -> None:
        self.org, self.email = org, f"{uuid4().hex}@example.com"
        self.url = str(org.http.base_url)
        invitation = org.call("POST", "/api/auth/invitations", 201, json={"email": self.email, "role": role})
        body = {
            "email": self.email, "password": PASSWORD, "organization": "x", "invitation": invitation["invitation"],
        }  # fmt: skip
        made = httpx.post(f"{self.url}/api/auth/register", json=body)
        assert made.status_code == 201, made.text
        self.id = made.json()["id"]

    def login(self, password: str = PASSWORD, **changed: str) -> httpx.Response:
        """Try to sign in."""
        body = {"email": self.email, "password": password, **changed}
        return httpx.post(f"{self.url}/api/auth/login", json=body)

    def session(self) -> httpx.Client:
        """Signed in with a cookie, writing with its CSRF token."""
        browser = httpx.Client(base_url=self.url, timeout=30)
        answer = browser.post("/api/auth/login", json={"email": self.email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        browser.headers["X-CSRF-Token"] = browser.cookies["towpath_csrf"]
        return browser

    def bearer(self) -> httpx.Client:
        """Signed in with a token."""
        token = self.login().json()["access_token"]
        return httpx.Client(base_url=self.url, timeout=30, headers={"Authorization": f"Bearer {token}"})

    def key(self, **more: Any) -> httpx.Client:
        """With a personal key."""
        made = self.session().post("/api/auth/api-keys", json={"name": "mine", "kind": "personal", **more})
        assert made.status_code == 201, made.text
        headers = {"X-API-Key": made.json()["key"], "X-Key-Id": made.json()["id"]}
        return httpx.Client(base_url=self.url, timeout=30, headers=headers)


def enters(client: httpx.Client) -> bool:
    """Whether a credential is taken."""
    status = client.get("/api/auth/me").status_code
    assert status in {200, 401}
    return status == 200


def refused(answer: httpx.Response, status: int) -> str:
    """Why a call was refused."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    return str(answer.json()["detail"])


def test_signing_out_kills_token_and_cookie(org: Organization) -> None:
    person = Person(org)
    browser = httpx.Client(base_url=person.url)
    token = browser.post("/api/auth/login", json={"email": person.email, "password": PASSWORD}).json()["access_token"]
    cookie = {"towpath_session": browser.cookies["towpath_session"]}
    bearer = httpx.Client(base_url=person.url, headers={"Authorization": f"Bearer {token}"})
    copied = httpx.Client(base_url=person.url, cookies=cookie)
    other = person.bearer()
    assert enters(bearer) and enters(copied)

    assert bearer.post("/api/auth/logout").status_code == 204

    assert not enters(bearer) and not enters(copied)
    assert enters(other)
    assert bearer.post("/api/auth/logout").status_code == 204
    assert httpx.post(f"{person.url}/api/auth/logout", headers={"Authorization": "Bearer x.y.z"}).status_code == 204


def test_signing_out_everywhere_ends_all_of_ones_own(org: Organization) -> None:
    person, neighbour = Person(org), Person(org)
    browser, bearer, key, theirs = person.session(), person.bearer(), person.key(), neighbour.bearer()
    assert refused(browser.post("/api/auth/logout-everywhere", headers={"X-CSRF-Token": "x"}), 403)
    assert "no password and no sessions" in refused(org.http.post("/api/auth/logout-everywhere"), 403)

    assert browser.post("/api/auth/logout-everywhere").status_code == 204

    assert not enters(browser) and not enters(bearer)
    assert enters(key) and enters(theirs)


def test_a_changed_password_ends_all_other_sessions(org: Organization) -> None:
    person = Person(org)
    here, there, key = person.session(), person.bearer(), person.key()
    change = {"currentPassword": PASSWORD, "newPassword": OTHER}
    assert "not your present password" in refused(
        here.post("/api/auth/password", json={**change, "currentPassword": "x"}), 400
    )
    assert "easy to guess" in refused(
        here.post("/api/auth/password", json={**change, "newPassword": "1234567890"}), 400
    )
    assert "not by a key" in refused(key.post("/api/auth/password", json=change), 403)
    assert "no password" in refused(org.http.post("/api/auth/password", json=change), 403)
    assert refused(httpx.post(f"{person.url}/api/auth/password", json=change), 401)

    assert here.post("/api/auth/password", json=change).status_code == 204

    assert enters(here) and enters(key) and not enters(there)
    assert person.login().status_code == 401
    assert person.login(OTHER).status_code == 200


async def test_a_wrong_present_password_is_limited_too(org: Organization, system: EmbeddedStack) -> None:
    person = Person(org)
    browser, change = person.session(), {"currentPassword": "wrong", "newPassword": OTHER}
    async with counting(system) as limiter:
        await limiter.hit(PRESENT, str(person.id), PRESENT.most - 1)

        assert [browser.post("/api/auth/password", json=change).status_code for _ in range(2)] == [400, 429]


def test_a_reset_sets_a_password_once_and_ends_all_sessions(org: Organization) -> None:
    person = Person(org)
    browser, key = person.session(), person.key()
    path, use = f"/api/auth/users/{person.id}/password-reset", f"{person.url}/api/auth/password-reset"
    headers = {"Idempotency-Key": uuid4().hex}
    first = org.call("POST", path, 201)
    made = org.call("POST", path, 201, headers=headers)
    assert "token" not in org.call("POST", path, 201, headers=headers)
    assert (made["email"], made["path"]) == (person.email, "/password-reset")
    assert enters(browser) and person.login().status_code == 200

    void = httpx.post(use, json={"token": first["token"], "password": OTHER})
    assert "unknown, used or over" in refused(void, 400)
    assert "e-mail address" in refused(httpx.post(use, json={"token": made["token"], "password": person.email}), 400)
    assert httpx.post(use, json={"token": made["token"], "password": OTHER}).status_code == 204

    assert not enters(browser) and enters(key)
    assert (person.login().status_code, person.login(OTHER).status_code) == (401, 200)
    assert "unknown, used or over" in refused(httpx.post(use, json={"token": made["token"], "password": PASSWORD}), 400)


def test_an_open_reset_is_void_for_who_is_deactivated_or_has_changed_the_password(org: Organization) -> None:
    person = Person(org)
    path, use = f"/api/auth/users/{person.id}/password-reset", f"{person.url}/api/auth/password-reset"
    token = org.call("POST", path, 201)["token"]
    change = {"currentPassword": PASSWORD, "newPassword": OTHER}
    assert person.session().post("/api/auth/password", json=change).status_code == 204
    assert refused(httpx.post(use, json={"token": token, "password": PASSWORD}), 400)

    token = org.call("POST", path, 201)["token"]
    for active in (False, True):
        org.call("PATCH", f"/api/auth/users/{person.id}", json={"active": active})
        assert refused(httpx.post(use, json={"token": token, "password": PASSWORD}), 400)


def test_a_deactivated_user_is_out_until_they_are_active_again(org: Organization) -> None:
    person = Person(org)
    browser, bearer, key = person.session(), person.bearer(), person.key()
    assert enters(browser) and enters(bearer) and enters(key)

    assert org.call("PATCH", f"/api/auth/users/{person.id}", json={"active": False})["active"] is False

    assert not enters(browser) and not enters(bearer) and not enters(key)
    assert "deactivated" in refused(person.login(), 401)
    assert "password is wrong" in refused(person.login("wrong"), 401)
    org.call("PATCH", f"/api/auth/users/{person.id}", json={"active": True})
    assert enters(key) and not enters(browser) and not enters(bearer)
    assert person.login().status_code == 200


def test_a_removed_user_leaves_their_address_and_their_work(org: Organization, system: EmbeddedStack) -> None:
    person = Person(org, "owner")
    browser, key = person.session(), person.key()
    child = key.post("/api/auth/api-keys", json={"name": "child"}).json()["key"]
    job = key.post("/v1/entities/batch", json=[{"id": 1, "name": "x"}]).json()["jobId"]

    org.call("DELETE", f"/api/auth/users/{person.id}", 204)

    assert not enters(browser) and not enters(key)
    assert httpx.get(f"{person.url}/api/auth/me", headers={"X-API-Key": child}).status_code == 401
    assert refused(person.login(), 401)
    assert person.id not in [user["id"] for user in org.call("GET", "/api/auth/users")]
    assert org.call("GET", f"/v1/jobs/{job}")["id"] == job
    for method, path in (("DELETE", ""), ("PATCH", ""), ("POST", "/logout"), ("POST", "/password-reset")):
        org.call(
            method,
            f"/api/auth/users/{person.id}{path}",
            404,
            **({"json": {"active": True}} if method == "PATCH" else {}),
        )
    again = org.call("POST", "/api/auth/invitations", 201, json={"email": person.email})
    body = {"email": person.email, "password": PASSWORD, "organization": "x", "invitation": again["invitation"]}
    made = httpx.post(f"{person.url}/api/auth/register", json=body)
    assert made.status_code == 201
    assert made.json()["id"] != person.id
    assert not enters(key)


def test_an_owner_ends_the_sessions_of_another(org: Organization) -> None:
    person = Person(org)
    browser, key = person.session(), person.key()

    org.call("POST", f"/api/auth/users/{person.id}/logout", 204)

    assert not enters(browser) and enters(key)
    assert person.login().status_code == 200


def test_the_last_owner_stays(org: Organization) -> None:
    (first,) = org.call("GET", "/api/auth/users")
    path = f"/api/auth/users/{first['id']}"

    def all_refused() -> None:
        for body in ({"active": False}, {"role": "editor"}):
            assert "last owner" in org.call("PATCH", path, 409, json=body)["detail"]
        assert "last owner" in org.call("DELETE", path, 409)["detail"]

    all_refused()
    org.call("PATCH", path, json={"role": "owner", "active": True})
    second = Person(org, "owner")
    org.call("PATCH", f"/api/auth/users/{second.id}", json={"active": False})
    all_refused()
    org.call("PATCH", f"/api/auth/users/{second.id}", json={"active": True})
    assert org.call("PATCH", path, json={"role": "editor"})["role"] == "editor"
    assert "last owner" in org.call("DELETE", f"/api/auth/users/{second.id}", 409)["detail"]


async def test_of_two_owners_who_remove_each_other_at_once_one_stays(org: Organization) -> None:
    """The key's organization has an owner of its own, who is made an editor before."""
    (first,) = org.call("GET", "/api/auth/users")
    owners = [Person(org, "owner") for _ in range(4)]
    org.call("PATCH", f"/api/auth/users/{first['id']}", json={"role": "editor"})
    async with httpx.AsyncClient(base_url=org.http.base_url, headers=dict(org.http.headers), timeout=30) as client:
        found = await asyncio.gather(*(client.delete(f"/api/auth/users/{one.id}") for one in owners))

    assert sorted(one.status_code for one in found) == [204, 204, 204, 409]


def test_nobody_changes_who_outranks_them_or_gives_more_than_they_have(
    org: Organization, system: EmbeddedStack
) -> None:
    person = Person(org)
    path = f"/api/auth/users/{person.id}"
    assert "above your own" in org.call("PATCH", path, 403, json={"role": "admin"})["detail"]
    with psycopg.connect(system.database_url, autocommit=True) as database:
        database.execute("UPDATE users SET role = 'admin' WHERE id = %s", (person.id,))

    for method, more, body in (
        ("PATCH", "", {"active": False}), ("DELETE", "", None), ("POST", "/logout", None),
        ("POST", "/password-reset", None),
    ):  # fmt: skip
        assert "above your own" in org.call(method, f"{path}{more}", 403, json=body)["detail"]
    assert enters(person.bearer())


USER_CALLS = [
    ("GET", "/api/auth/users", None),
    ("GET", "/api/auth/invitations", None),
    ("PATCH", "/api/auth/users/{id}", {"active": False}),
    ("DELETE", "/api/auth/users/{id}", None),
    ("POST", "/api/auth/users/{id}/logout", None),
    ("POST", "/api/auth/users/{id}/password-reset", None),
    ("DELETE", "/api/auth/invitations/{invitation}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), USER_CALLS)
def test_users_are_changed_by_owners_of_their_organization(
    org: Organization, method: str, path: str, body: Body | None
) -> None:
    person = Person(org)
    invitation = org.call("POST", "/api/auth/invitations", 201, json={"email": f"{uuid4().hex}@example.com"})["id"]
    filled = path.format(id=person.id, invitation=invitation)
    reader = org.call("POST", "/api/auth/api-keys", 201, json={"name": "r", "scopes": ["read"]})["key"]
    assert httpx.request(method, f"{person.url}{filled}", json=body).status_code == 401
    low = {"X-API-Key": org.call("POST", "/api/auth/api-keys", 201, json={"name": "e", "role": "editor"})["key"]}
    for headers in ({"X-API-Key": reader}, low):
        assert httpx.request(method, f"{person.url}{filled}", json=body, headers=headers).status_code == 403
    stranger = organization(person.url)
    if "{" in path:
        stranger.call(method, filled, 404, json=body)
        org.call(method, path.format(id=NOBODY, invitation=NOBODY), 404, json=body)
        org.call(method, path.format(id="x", invitation="x"), 400, json=body)
    else:
        told = stranger.call(method, filled)
        assert person.id not in str(told) and invitation not in str(told)
    if method == "PATCH":
        for wrong in ({}, {"active": None}, {"active": "no"}, {"role": None}, {"role": "king"}, {"email": "a@b.c"}):
            org.call(method, filled, 400, json=wrong)
    assert enters(person.bearer())


def test_invitations_are_listed_and_revoked(org: Organization) -> None:
    email = f"{uuid4().hex}@example.com"
    made = org.call("POST", "/api/auth/invitations", 201, json={"email": email, "role": "editor"})
    used = Person(org)

    (listed,) = org.call("GET", "/api/auth/invitations")

    assert (listed["id"], listed["email"], listed["role"]) == (made["id"], email, "editor")
    assert "invitation" not in listed
    org.call("DELETE", f"/api/auth/invitations/{made['id']}", 204)
    org.call("DELETE", f"/api/auth/invitations/{made['id']}", 404)
    body = {"email": email, "password": PASSWORD, "organization": "x", "invitation": made["invitation"]}
    assert "not valid" in refused(httpx.post(f"{used.url}/api/auth/register", json=body), 400)


@pytest.mark.parametrize(
    ("password", "why"),
    [("1234567890", "too easy"), ("aaaaaaaaaa", "too easy"), ("{email}", "e-mail address"), ("{name} 77 xq", "name")],
)
def test_weak_passwords_are_refused_at_registration(org: Organization, password: str, why: str) -> None:
    email, name = f"{uuid4().hex}@example.com", f"Works {uuid4().hex}"
    body = {"email": email, "password": password.format(email=email, name=name), "organization": name}

    assert why in refused(httpx.post(f"{org.http.base_url}/api/auth/register", json=body), 400)


def test_an_invited_users_password_does_not_hold_the_organizations_name(org: Organization) -> None:
    name = str(org.call("GET", "/api/auth/me")["organization"])
    email = f"{uuid4().hex}@example.com"
    invitation = org.call("POST", "/api/auth/invitations", 201, json={"email": email})["invitation"]
    body = {"email": email, "password": f"{name} 77 xq", "organization": "x", "invitation": invitation}

    assert "organization's name" in refused(httpx.post(f"{org.http.base_url}/api/auth/register", json=body), 400)


def test_every_spelling_of_an_address_is_one_account(org: Organization) -> None:
    local, url = uuid4().hex, str(org.http.base_url)
    body = {"email": f"{local}@a.example", "password": PASSWORD, "organization": uuid4().hex}
    assert httpx.post(f"{url}/api/auth/register", json=body).json()["email"] == f"{local}@a.example"

    for other in (
        f"{local}\u200b@a.example",
        f"{local}@ａ.example",
        f"{local.upper()}@A.EXAMPLE",
        f"{local}@a.example.",
    ):
        again = {**body, "email": other, "organization": uuid4().hex}
        assert httpx.post(f"{url}/api/auth/register", json=again).status_code == 409
        assert httpx.post(f"{url}/api/auth/login", json={"email": other, "password": PASSWORD}).status_code == 200
    assert refused(httpx.post(f"{url}/api/auth/register", json={**body, "email": f"{local}\x07@a.example"}), 400)


def test_an_invitation_holds_for_every_spelling(org: Organization) -> None:
    local = uuid4().hex
    made = org.call("POST", "/api/auth/invitations", 201, json={"email": f"{local.upper()}@ａ.example"})
    assert made["email"] == f"{local}@a.example"
    body = {"email": f"{local}\u2060@A.example", "password": PASSWORD, "organization": "x"}

    made = httpx.post(f"{org.http.base_url}/api/auth/register", json={**body, "invitation": made["invitation"]})

    assert made.status_code == 201, made.text
    assert made.json()["email"] == f"{local}@a.example"


def test_names_without_ascii_letters_have_ids_of_their_own(org: Organization) -> None:
    url, mark = str(org.http.base_url), "".join(chr(0x4E00 + int(one, 16)) for one in uuid4().hex)

    def register(name: str) -> httpx.Response:
        body = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD, "organization": name}
        return httpx.post(f"{url}/api/auth/register", json=body)

    found = [register(name) for name in (f"{mark}日", f"{mark}本", f"../{mark}", f"{mark} Lamps", f"{mark} Lamps!")]

    assert [one.status_code for one in found] == [201] * 5, [one.text for one in found]
    slugs = [one.json()["organization"] for one in found]
    assert len(set(slugs)) == 5
    assert slugs[0].startswith("org-") and slugs[0].isascii()
    for same in (f"{mark}日", f"{mark}日\u200b", f" {mark}  LAMPS"):
        assert register(same).status_code == 409, same
    assert register("\u200b\u2060").status_code == 400
    assert register("DEFAULT").status_code == 409
    assert register(f"default!{mark}").json()["organization"] != "default"


@asynccontextmanager
async def counting(system: EmbeddedStack) -> AsyncIterator[Limiter]:
    """The limits that the façade counts by; what was counted is forgotten, since all tests call from one address."""
    database = Database(system.database_url, pool_size=1)
    limiter = Limiter(database)
    await limiter.forget(OF_ADDRESS, HERE)
    try:
        yield limiter
    finally:
        await limiter.forget(OF_ADDRESS, HERE)
        await database.close()


async def test_who_guesses_is_stopped_by_account_and_address(org: Organization, system: EmbeddedStack) -> None:
    person, other = Person(org), Person(org)
    async with counting(system) as limiter:
        # The limit of an hour: in the middle of a test a minute's window may turn, and then there is room again.
        await limiter.hit(FROM_ONE_ADDRESS_LONG, f"{HERE} {person.id}", FROM_ONE_ADDRESS_LONG.most - 1)
        assert person.login("wrong").status_code == 401

        for email in (person.email, person.email.upper(), f"{person.email}.", person.email.replace("@", "\u200b@")):
            stopped = person.login(email=email)

            assert stopped.status_code == 429
            assert int(stopped.headers["Retry-After"]) > 0
            assert stopped.json()["limit"] == "wrong_passwords_of_an_account_from_an_address_an_hour"
        assert other.login().status_code == 200


async def test_what_others_use_up_keeps_nobody_from_where_they_signed_in_before(
    org: Organization, system: EmbeddedStack
) -> None:
    person, newcomer = Person(org), Person(org)
    async with counting(system) as limiter:
        with psycopg.connect(system.database_url, autocommit=True) as database:
            database.execute("DELETE FROM sign_in_places WHERE user_id = %s", (newcomer.id,))
        for rate, told in ((OF_ADDRESS, HERE), (FROM_ANYWHERE, newcomer.id)):
            await limiter.hit(rate, told, rate.most)
            await limiter.hit(
                FROM_ANYWHERE, person.id, FROM_ANYWHERE.most - await limiter.used(FROM_ANYWHERE, person.id)
            )

            assert newcomer.login().json()["limit"] == rate.name
            assert person.login().status_code == 200
            await limiter.forget(rate, told)


async def test_right_passwords_use_nothing_up(org: Organization, system: EmbeddedStack) -> None:
    person = Person(org)
    async with counting(system) as limiter:
        assert person.login().status_code == 200

        for rate, key in (
            (OF_ADDRESS, HERE), (FROM_ANYWHERE, person.id), (FROM_ONE_ADDRESS, f"{HERE} {person.id}"),
        ):  # fmt: skip
            assert await limiter.used(rate, key) == 0
        assert person.login("wrong").status_code == 401
        assert await limiter.used(FROM_ONE_ADDRESS_LONG, f"{HERE} {person.id}") == 1
        assert await limiter.used(OF_ADDRESS, HERE) == 0, "from here its user has signed in before"


async def test_sign_ins_that_are_over_are_swept(org: Organization, system: EmbeddedStack) -> None:
    person = Person(org)
    first, second = person.session(), person.session()
    org.call("POST", f"/api/auth/users/{person.id}/password-reset", 201)
    database = Database(system.database_url, pool_size=1)
    try:
        async with database.transaction() as connection:
            await connection.execute(
                "UPDATE sessions SET expires_at = now() WHERE id = "
                "(SELECT id FROM sessions WHERE user_id = %s LIMIT 1)",
                (person.id,),
            )
            await connection.execute(
                "UPDATE password_resets SET expires_at = now() WHERE user_id = %s", (person.id,)
            )  # fmt: skip
        assert [enters(first), enters(second)].count(True) == 1

        await sweep_jobs(database, retention_days=30, limit=1)

        async with database.transaction() as connection:
            left = await connection.execute("SELECT count(*) FROM sessions WHERE user_id = %s", (person.id,))
            assert await left.fetchone() == (1,)
            left = await connection.execute("SELECT count(*) FROM password_resets WHERE user_id = %s", (person.id,))
            assert await left.fetchone() == (0,)
    finally:
        await database.close()


def test_signing_out_everywhere_ends_what_a_personal_key_has_opened_too(org: Organization) -> None:
    person = Person(org)
    key = person.key()
    by_key = httpx.Client(base_url=person.url, timeout=30)
    opened = by_key.post("/sign-in", data={"key": key.headers["X-API-Key"]}, headers={"Origin": person.url})
    assert opened.status_code == 303, opened.text
    assert enters(by_key)

    assert person.session().post("/api/auth/logout-everywhere").status_code == 204

    assert not enters(by_key)
    assert enters(key)
