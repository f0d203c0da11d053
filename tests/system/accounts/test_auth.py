"""Keys, sign-in, roles and scopes: who gets in, and what they may do."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.builders import Organization, organization, sign_in
from tests.support.waiting import until
from towpath.runtime.embedded import EmbeddedStack

WRITES = [
    ("POST", "/v1/entity"),
    ("POST", "/v1/indexes"),
    ("POST", "/v1/entities/batch"),
    ("POST", "/api/auth/api-keys"),
]
READS = [("GET", "/v1/jobs"), ("GET", "/v1/indexes"), ("GET", "/api/auth/me")]


def key(org: Organization, **body: Any) -> httpx.Client:
    """A client with a fresh key of the organisation."""
    made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "k", **body})
    return httpx.Client(base_url=org.http.base_url, headers={"X-API-Key": made["key"]}, timeout=30)


def signed_in(org: Organization, role: str) -> tuple[httpx.Client, str]:
    """A client with the session cookie of an invited user, and the CSRF token."""
    email, password = f"{uuid4().hex}@example.com", "correct horse battery"
    invitation = org.call("POST", "/api/auth/invitations", 201, json={"email": email, "role": role})["invitation"]
    browser = httpx.Client(base_url=org.http.base_url, timeout=30)
    body = {"email": email, "password": password, "organization": "ignored", "invitation": invitation}
    assert browser.post("/api/auth/register", json=body).status_code == 201
    assert browser.post("/api/auth/register", json={**body, "email": "x@example.com"}).status_code == 400
    assert browser.post("/api/auth/login", json=sign_in(body)).status_code == 200
    return browser, str(browser.cookies["towpath_csrf"])


@pytest.mark.parametrize(("method", "path"), [*READS, *WRITES])
def test_no_key_and_wrong_keys_are_401(org: Organization, method: str, path: str) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer ent_" + "a" * 40},
        {"X-API-Key": "nonsense"},
        {"Authorization": "Basic x"},
    ):
        answer = httpx.request(method, f"{org.http.base_url}{path}", headers=headers, json={})

        assert answer.status_code == 401, headers
        assert answer.json()["code"] == "UNAUTHORIZED"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_works_in_every_header_and_case_but_two_different_ones_do_not(org: Organization) -> None:
    other = organization(str(org.http.base_url))
    url = f"{org.http.base_url}/api/auth/me"

    for headers in (
        {"Authorization": f"Bearer {org.key}"}, {"authorization": f"bearer {org.key.upper()}"},
        {"X-API-KEY": org.key.upper()}, {"x-api-key": org.key, "Authorization": f"Bearer {org.key}"},
    ):  # fmt: skip
        assert httpx.get(url, headers=headers).status_code == 200, headers
    both = {"x-api-key": other.key, "Authorization": f"Bearer {org.key}"}
    assert httpx.get(url, headers=both).status_code == 401


def test_a_key_is_shown_once_and_stored_as_a_prefix(org: Organization) -> None:
    made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "nightly"})

    assert len(made["key"]) == 44
    assert made["keyPrefix"] == made["key"][:12]
    listed = org.call("GET", "/api/auth/api-keys")["apiKeys"]
    assert all("key" not in one for one in listed)
    assert org.call("GET", f"/api/auth/api-keys/{made['id']}")["name"] == "nightly"


def test_an_expired_and_a_revoked_key_are_refused(org: Organization, system: EmbeddedStack) -> None:
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    short, long = key(org, expiresAt=soon), key(org)
    assert short.get("/v1/jobs").status_code == long.get("/v1/jobs").status_code == 200
    listed = org.call("GET", "/api/auth/api-keys")["apiKeys"]

    org.call("DELETE", f"/api/auth/api-keys/{listed[0]['id']}")

    assert long.get("/v1/jobs").status_code == 401
    with psycopg.connect(system.database_url, autocommit=True) as database:
        database.execute(
            "UPDATE api_keys SET expires_at = now() WHERE key_prefix = %s", (short.headers["X-API-Key"][:12],)
        )
    until(lambda: short.get("/v1/jobs").status_code == 401, "refusal of the key whose time is over")
    past = {"name": "late", "expiresAt": "2020-01-01T00:00:00Z"}
    org.call("POST", "/api/auth/api-keys", 400, json=past)


def test_a_key_ends_after_the_days_that_were_asked_for(org: Organization) -> None:
    body = {"name": "ci", "role": "editor", "expires_in_days": 90}
    made = org.call("POST", "/api/auth/api-keys", 201, json=body)

    left = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert abs(left - timedelta(days=90)) < timedelta(minutes=5)
    assert made["is_active"] is True
    for name, same in (("key_prefix", "keyPrefix"), ("expires_at", "expiresAt"), ("created_at", "createdAt")):
        assert made[name] == made[same]
    listed = org.call("GET", "/api/auth/api-keys")
    assert listed["api_keys"] == listed["apiKeys"]
    assert {"last_used_at", "revoked_at", "user_id", "is_active"} <= listed["api_keys"][0].keys()
    both = {**body, "expires_at": "2030-01-01T00:00:00Z"}
    assert "only one" in org.call("POST", "/api/auth/api-keys", 400, json=both)["detail"]
    changed = org.call("PATCH", f"/api/auth/api-keys/{made['id']}", json={"expires_in_days": 1})
    assert changed["expires_at"] < made["expires_at"]
    gone = org.call("DELETE", f"/api/auth/api-keys/{made['id']}")
    assert gone == {"id": made["id"], "revoked": [made["id"]]}
    assert org.call("GET", f"/api/auth/api-keys/{made['id']}")["is_active"] is False


def test_the_role_of_a_key_is_changed_never_above_ones_own(org: Organization) -> None:
    made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "k", "role": "operator"})
    client = httpx.Client(base_url=org.http.base_url, headers={"X-API-Key": made["key"]}, timeout=30)
    index = {"indexName": "i", "fields": [{"name": "name", "type": "text"}]}
    path = f"/api/auth/api-keys/{made['id']}"
    assert client.post("/v1/indexes", json=index).status_code == 403

    assert org.call("PATCH", path, json={"role": "editor"})["role"] == "editor"

    assert client.post("/v1/indexes", json=index).status_code == 201
    assert client.patch(path, json={"role": "owner"}).status_code == 403
    assert "above your own" in org.call("PATCH", path, 403, json={"role": "admin"})["detail"]
    org.call("PATCH", path, 400, json={"role": None})
    org.call("PATCH", path, 400, json={"roles": "owner"})
    assert org.call("PATCH", path, json={"name": "renamed"})["role"] == "editor"


def test_rotation_replaces_a_key(org: Organization) -> None:
    made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "old"})

    fresh = org.call("POST", f"/api/auth/api-keys/{made['id']}/rotate", 201)

    assert httpx.get(f"{org.http.base_url}/v1/jobs", headers={"X-API-Key": made["key"]}).status_code == 401
    assert httpx.get(f"{org.http.base_url}/v1/jobs", headers={"X-API-Key": fresh["key"]}).status_code == 200


def test_the_last_use_of_a_key_is_noted(org: Organization) -> None:
    client = key(org)
    client.get("/v1/jobs")

    assert until(lambda: org.call("GET", "/api/auth/api-keys")["apiKeys"][0]["lastUsedAt"], "use of the key")


def test_roles_and_scopes_bound_what_a_key_may_do(org: Organization) -> None:
    index = {"indexName": "i", "fields": [{"name": "name", "type": "text"}]}
    reader, operator, editor = key(org, scopes=["read"]), key(org, role="operator"), key(org, role="editor")

    assert reader.get("/v1/jobs").status_code == 200
    assert reader.post("/v1/entity", json={"id": 1, "name": "x"}).status_code == 403
    assert operator.post("/v1/entity", json={"id": 1, "name": "x"}).status_code == 200
    assert operator.post("/v1/indexes", json=index).status_code == 403
    assert editor.post("/v1/indexes", json=index).status_code == 201
    assert editor.delete("/v1/indexes/i").status_code == 403
    assert editor.get("/api/auth/api-keys").status_code == 403
    assert editor.post("/api/auth/api-keys", json={"name": "up", "role": "owner"}).status_code == 403
    org.call("POST", "/api/auth/api-keys", 403, json={"name": "up", "role": "admin"})


def test_another_organisations_key_is_unknown(org: Organization) -> None:
    made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "mine"})
    stranger = organization(str(org.http.base_url))

    for method in ("GET", "DELETE", "PATCH"):
        stranger.call(method, f"/api/auth/api-keys/{made['id']}", 404, json={"name": "theirs"})


def test_a_session_writes_only_with_its_csrf_token(org: Organization) -> None:
    browser, csrf = signed_in(org, "editor")

    assert browser.get("/api/auth/me").json()["role"] == "editor"
    assert browser.post("/v1/entity", json={"id": 1, "name": "x"}).status_code == 403
    written = browser.post("/v1/entity", json={"id": 1, "name": "x"}, headers={"X-CSRF-Token": csrf})
    assert written.status_code == 200
    assert browser.post("/api/auth/logout").status_code == 204
    assert browser.get("/api/auth/me").status_code == 401


def test_a_personal_key_acts_as_its_user(org: Organization) -> None:
    browser, csrf = signed_in(org, "operator")
    headers = {"X-CSRF-Token": csrf}
    body = {"name": "mine", "kind": "personal", "role": "operator"}

    made = browser.post("/api/auth/api-keys", json=body, headers=headers)

    assert made.status_code == 201
    me = httpx.get(f"{org.http.base_url}/api/auth/me", headers={"X-API-Key": made.json()["key"]}).json()
    assert (me["kind"], me["role"]) == ("personal", "operator")
    other = browser.post("/api/auth/api-keys", json={**body, "userId": str(uuid4())}, headers=headers)
    assert other.status_code == 403
    assert browser.post("/api/auth/api-keys", json={"name": "org"}, headers=headers).status_code == 403


def test_registration_and_sign_in_refuse_what_is_wrong(org: Organization) -> None:
    url = str(org.http.base_url)
    who = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery", "organization": uuid4().hex}
    assert httpx.post(f"{url}/api/auth/register", json=who).status_code == 201
    assert httpx.post(f"{url}/api/auth/register", json=who).status_code == 409
    assert httpx.post(f"{url}/api/auth/register", json={**who, "password": "short"}).status_code == 400
    assert httpx.post(f"{url}/api/auth/register", json={**who, "email": "nobody"}).status_code == 400
    assert (
        httpx.post(f"{url}/api/auth/login", json=sign_in({**who, "password": "wrong wrong wrong"})).status_code == 401
    )

    for _ in range(12):
        answer = httpx.post(f"{url}/api/auth/login", json=sign_in({**who, "password": "wrong wrong wrong"}))
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_a_stream_token_opens_its_job_only(org: Organization) -> None:
    bolts = [{"id": 1, "name": "Hex bolt M8 x 40"}]
    first = org.call("POST", "/v1/entities/batch", json=bolts)["jobId"]
    second = org.call("POST", "/v1/entities/batch", json=bolts)["jobId"]

    token = org.call("POST", f"/v1/jobs/{first}/stream-token")

    assert token["expires_in"] == 300
    url = f"{org.http.base_url}/v1/jobs"
    assert "job.completed" in httpx.get(f"{url}/{first}/events", params={"token": token["token"]}).text
    assert httpx.get(f"{url}/{second}/events", params={"token": token["token"]}).status_code == 401
    assert httpx.get(f"{url}/{first}", headers={"Authorization": f"Bearer {token['token']}"}).status_code == 401


def test_errors_have_one_shape_and_a_request_id(org: Organization) -> None:
    answer = org.http.get("/v1/jobs/nonsense", headers={"X-Request-Id": "my-id", "Accept": "application/problem+json"})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == "my-id"
    assert set(answer.json()) == {"detail", "status", "title", "code", "request_id"}
    assert answer.json()["request_id"] == "my-id"
    assert org.http.get("/v1/products").status_code == 404
    assert org.http.put("/v1/entity").status_code == 405


def test_the_openapi_document_is_valid_and_its_page_needs_no_network(org: Organization, system: EmbeddedStack) -> None:
    from openapi_spec_validator import validate

    document = httpx.get(f"{system.api_url}/openapi.json").json()

    validate(document)
    assert "/v1/entities/batch" in document["paths"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), f"{method} {path}"
    page = httpx.get(f"{system.api_url}/docs").text
    assert "https://" not in page
