"""Signing in to the pages: by password, by key; what a session may, and when it ends."""

from __future__ import annotations

import httpx
import psycopg
import pytest

from tests.support.console.site import PASSWORD, Site, csrf_of, sign_in, user
from towpath.api.console.sign_in import HOME, require_local_path

WRONG_KEY = "ent_" + "a" * 40


@pytest.fixture(autouse=True)
def fresh_counts(database_url: str) -> None:
    """All tests call from one address, and would be too many together."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM rate_counters")


def test_a_user_signs_in_and_goes_on_to_where_they_wanted_to_be(running_site: Site) -> None:
    email, _ = user(running_site.organization())
    browser = running_site.browser()

    answer = sign_in(browser, email=email.upper(), password=PASSWORD, next="/chat/x?y=1")

    assert answer.headers["location"] == "/chat/x?y=1"
    page = browser.get("/sign-in")
    assert "You are signed in" in page.text
    assert "as a user" in page.text


def test_a_key_signs_in_as_what_it_is(running_site: Site) -> None:
    org = running_site.organization()
    browser = running_site.browser()

    sign_in(browser, key=f" {org.key.upper()} ")

    me = browser.get("/api/auth/me").json()
    assert (me["kind"], me["role"]) == ("organization", "owner")
    assert me["key_id"]
    assert "with a key" in browser.get("/sign-in").text


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(running_site: Site) -> None:
    org = running_site.organization()

    answer = sign_in(running_site.browser(), key=org.key)

    cookie = next(line for line in answer.headers.get_list("set-cookie") if line.startswith("towpath_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert org.key not in cookie


def test_a_session_ends_with_its_key(running_site: Site) -> None:
    org = running_site.organization()
    made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "k"})
    browser = running_site.browser()
    sign_in(browser, key=made["key"])
    assert browser.get("/api/auth/me").status_code == 200

    org.call("DELETE", f"/api/auth/api-keys/{made['id']}")

    assert browser.get("/api/auth/me").status_code == 401
    assert "<h1>Sign in</h1>" in browser.get("/sign-in").text
    sign_in(browser, 401, key=made["key"])


def test_a_key_session_writes_only_with_its_csrf_token(running_site: Site) -> None:
    org = running_site.organization()
    browser = running_site.browser()
    sign_in(browser, key=org.key)
    body = {"name": "made by a session"}

    assert browser.post("/api/auth/api-keys", json=body).status_code == 403
    wrong = browser.post("/api/auth/api-keys", json=body, headers={"X-CSRF-Token": "wrong"})
    right = browser.post("/api/auth/api-keys", json=body, headers={"X-CSRF-Token": browser.cookies["towpath_csrf"]})

    assert (wrong.status_code, right.status_code) == (403, 201)


@pytest.mark.parametrize(
    "form", [{"email": "nobody@example.com", "password": PASSWORD}, {"key": WRONG_KEY}, {"key": ""}, {}]
)
def test_who_is_not_known_gets_the_form_again(running_site: Site, form: dict[str, str]) -> None:
    answer = sign_in(running_site.browser(), 401, next="/chat/x", **form)

    assert 'role="alert"' in answer.text
    assert 'name="next" value="/chat/x"' in answer.text
    assert f'value="{form.get("email", "")}"' in answer.text
    assert "towpath_session" not in answer.headers.get("set-cookie", "")


def test_what_was_typed_wrongly_is_not_shown_again(running_site: Site) -> None:
    secret = WRONG_KEY[:-1] + "b"

    assert secret not in sign_in(running_site.browser(), 401, key=secret).text
    assert "hunter2" not in sign_in(running_site.browser(), 401, email="a@example.com", password="hunter2").text


def test_guessing_is_slowed_for_passwords_and_keys(running_site: Site) -> None:
    browser = running_site.browser()
    for limit, form in ((10, {"email": "ada@example.com", "password": "wrong"}), (20, {"key": WRONG_KEY})):
        tries = [browser.post("/sign-in", data=form)]
        # Where the window of a minute turns on the way there is room for some more, never for as many again.
        while tries[-1].status_code == 401 and len(tries) <= 2 * limit:
            tries.append(browser.post("/sign-in", data=form))

        answer = tries[-1]
        assert len(tries) > limit
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert "Too many" in answer.text


def test_right_keys_are_not_counted(running_site: Site) -> None:
    org = running_site.organization()

    for _ in range(25):
        sign_in(running_site.browser(), key=org.key)


def test_the_form_is_not_taken_from_another_site(running_site: Site) -> None:
    org = running_site.organization()

    answer = running_site.browser().post("/sign-in", data={"key": org.key}, headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/sign-in", "/password-reset", "/invitation"])
def test_a_browser_that_tells_its_origin_alone_is_believed(running_site: Site, path: str) -> None:
    own = running_site.url
    page = running_site.browser().get(path)
    assert page.headers["referrer-policy"] == "same-origin", "else it would hide its own origin, too"

    for origin, status in ((own, None), (own.upper(), None), ("https://evil.example", 403), ("null", 403), ("", 403)):
        answer = running_site.browser().post(path, data={"key": "x"}, headers={"Origin": origin})

        assert (answer.status_code == 403) is (status == 403), (origin, answer.status_code)
    both = {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}
    assert running_site.browser().post(path, data={"key": "x"}, headers=both).status_code != 403


def test_signing_out_ends_the_session_everywhere(running_site: Site) -> None:
    org = running_site.organization()
    browser, copy = running_site.browser(), running_site.browser()
    sign_in(browser, key=org.key)
    copy.cookies["towpath_session"] = browser.cookies["towpath_session"]
    assert copy.get("/api/auth/me").status_code == 200

    browser.post("/sign-out", data={"csrf": csrf_of(browser.get("/sign-in"))})

    assert copy.get("/api/auth/me").status_code == 401


def test_a_session_ends_with_its_rotated_or_expired_key(running_site: Site, database_url: str) -> None:
    org = running_site.organization()
    browsers = []
    for _ in range(2):
        made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "k"})
        browsers.append((running_site.browser(), made["id"]))
        sign_in(browsers[-1][0], key=made["key"])

    org.call("POST", f"/api/auth/api-keys/{browsers[0][1]}/rotate", 201)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (browsers[1][1],))

    assert [browser.get("/api/auth/me").status_code for browser, _ in browsers] == [401, 401]


def test_signing_out_needs_the_token_of_the_session(running_site: Site) -> None:
    org = running_site.organization()
    browser = running_site.browser()
    sign_in(browser, key=org.key)

    assert browser.post("/sign-out", data={"csrf": "wrong"}).status_code == 403
    assert browser.get("/api/auth/me").status_code == 200
    left = browser.post("/sign-out", data={"csrf": csrf_of(browser.get("/sign-in"))})

    assert (left.status_code, left.headers["location"]) == (303, "/sign-in")
    assert browser.get("/api/auth/me").status_code == 401
    assert browser.post("/sign-out").status_code == 303


@pytest.mark.parametrize(
    "given",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "/a\nb",
        "javascript:alert(1)", "evil.example", "", None,
    ],
)  # fmt: skip
def test_a_sign_in_leads_to_this_site_only(given: str | None) -> None:
    assert require_local_path(given) == HOME


@pytest.mark.parametrize("given", ["/chat/1", "/chat/1?a=b#c", "/a//b", "/?next=https://example.com"])
def test_a_sign_in_leads_to_any_path_of_this_site(given: str) -> None:
    assert require_local_path(given) == given


def test_pages_carry_their_headers(running_site: Site) -> None:
    for path in ("/sign-in", "/chat/nonsense", "/chat/00000000-0000-0000-0000-000000000000"):
        headers = httpx.get(f"{running_site.url}{path}").headers

        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == ("same-origin" if path == "/sign-in" else "no-referrer")
        assert headers["cache-control"] == "no-store"


def test_a_form_is_bounded(running_site: Site) -> None:
    browser = running_site.browser()

    large = browser.post("/sign-in", data={"email": "x" * 2_000_000})
    many = browser.post("/sign-in", data={f"f{number}": "x" for number in range(100)})
    spoilt = browser.post("/sign-in", content=b"email=\xff\xfe")

    assert (large.status_code, many.status_code, spoilt.status_code) == (413, 400, 400)
    for answer in (large, many, spoilt):
        assert answer.headers["content-type"].startswith("text/html")


def test_files_are_kept_for_a_year_under_the_address_of_their_content(running_site: Site) -> None:
    from towpath.api.console.static_files import static_files

    for file in static_files().values():
        answer = httpx.get(f"{running_site.url}{file.url}")
        old = httpx.get(f"{running_site.url}/static/000000000000/{file.name}")

        assert answer.content == old.content == file.body
        assert "immutable" in answer.headers["cache-control"]
        assert old.headers["cache-control"] == "no-cache"
    types = {file.name: file.media_type for file in static_files().values()}
    assert types["towpath.js"] == "text/javascript"
    assert types["icon.svg"] == "image/svg+xml"
    assert httpx.get(f"{running_site.url}/static/000000000000/none.js").status_code == 404
    assert httpx.get(f"{running_site.url}/static/0/..%2f..%2fchat.py").status_code == 404
