"""The console's pages of users and of one's own account, and those behind the links that an owner hands out."""

from __future__ import annotations

import re
from uuid import uuid4

import httpx
import pytest

from tests.support.console.site import PASSWORD, Site, as_operator, by_key, csrf_of, reading, sign_in, user

LINK = re.compile(r'<code id="secret-once" tabindex="0">(.*?)</code>')
OTHER = "seven blue lanterns at dawn"


def link_of(page: httpx.Response) -> str:
    """The link that is shown once."""
    found = LINK.search(page.text)
    assert found is not None, page.text
    return found.group(1)


def may_sign_in(running: Site, email: str, password: str) -> bool:
    """Whether an address and a password open a session."""
    body = {"email": email, "password": password}
    return httpx.post(f"{running.url}/api/auth/login", json=body).status_code == 200


def test_users_are_for_owners_and_others_are_told_so(running_site: Site) -> None:
    org = running_site.organization()
    email, user_id = user(org)
    for browser in (as_operator(running_site, org), reading(running_site, org)):
        page = browser.get("/console/users")

        assert page.status_code == 403
        assert "Users are seen and changed by owners of the organization only" in page.text
        csrf = csrf_of(browser.get("/console/jobs"))
        for path in (f"{user_id}/remove", f"{user_id}/change", f"{user_id}/password-reset", "invitations"):
            assert browser.post(f"/console/users/{path}", data={"csrf": csrf, "active": "no"}).status_code == 403
    owner = by_key(running_site, org)
    assert email in owner.get("/console/users").text
    assert owner.post(f"/console/users/{user_id}/remove", data={"csrf": "wrong"}).status_code == 403
    assert may_sign_in(running_site, email, PASSWORD)
    stranger = by_key(running_site, running_site.organization())
    csrf = csrf_of(stranger.get("/console/users"))
    for path in ("remove", "logout", "password-reset", "change"):
        answer = stranger.post(f"/console/users/{user_id}/{path}", data={"csrf": csrf, "active": "no"})
        assert answer.status_code == 404, path


def test_a_user_is_changed_deactivated_and_removed(running_site: Site) -> None:
    org = running_site.organization()
    email, user_id = user(org)
    owner = by_key(running_site, org)
    csrf = csrf_of(owner.get("/console/users"))

    def post(path: str, **form: str) -> httpx.Response:
        return owner.post(f"/console/users/{user_id}/{path}", data={"csrf": csrf, **form})

    assert post("change", role="editor").status_code == 303
    assert "not one of those on the page" in post("change", role="king").text
    assert post("change", active="no").status_code == 303
    page = owner.get("/console/users").text
    assert "Deactivated" in page and "editor" in page
    assert not may_sign_in(running_site, email, PASSWORD)
    assert post("change", active="yes").status_code == 303
    assert may_sign_in(running_site, email, PASSWORD)
    assert post("logout").status_code == 303
    assert post("remove").status_code == 303
    assert email not in owner.get("/console/users").text


def test_the_last_owner_stays_and_the_page_says_why(running_site: Site) -> None:
    org = running_site.organization()
    (first,) = org.call("GET", "/api/auth/users")
    owner = by_key(running_site, org)
    csrf = csrf_of(owner.get("/console/users"))
    for path, form in (("remove", {}), ("change", {"active": "no"}), ("change", {"role": "editor"})):
        answer = owner.post(f"/console/users/{first['id']}/{path}", data={"csrf": csrf, **form})

        assert answer.status_code == 409
        assert "This is the last owner of the organization" in answer.text


def test_an_invitations_link_makes_a_user(running_site: Site) -> None:
    org = running_site.organization()
    owner = by_key(running_site, org)
    csrf = csrf_of(owner.get("/console/users"))
    email = f"{uuid4().hex}@example.com"
    assert "no e-mail address" in owner.post("/console/users/invitations", data={"csrf": csrf, "email": "ada"}).text

    made = owner.post("/console/users/invitations", data={"csrf": csrf, "email": email, "role": "editor"})

    link = link_of(made)
    assert made.status_code == 201
    assert link not in owner.get("/console/users").text
    guest, token = running_site.browser(), link.partition("token=")[2]
    assert f'value="{token}"' in guest.get(link).text
    form = {"token": token, "email": email, "password": OTHER, "again": OTHER}
    for changed, told in (
        ({"again": "x"}, "The two passwords are not the same"), ({"email": "ada"}, "An e-mail address is needed"),
        ({"password": "1234567890", "again": "1234567890"}, "too easy to guess"), ({"token": "x"}, "not valid"),
        ({"email": "other@example.com"}, "This invitation is not valid for this address"),
    ):  # fmt: skip
        answer = guest.post("/invitation", data=form | changed)
        assert answer.status_code == 400
        assert told in answer.text
    assert "Welcome" in guest.post("/invitation", data=form).text
    sign_in(guest, email=email, password=OTHER)
    assert guest.get("/api/auth/me").json()["role"] == "editor"


def test_an_invitation_is_revoked_on_the_page(running_site: Site) -> None:
    org = running_site.organization()
    made = org.call("POST", "/api/auth/invitations", 201, json={"email": "ada@example.com"})
    owner = by_key(running_site, org)
    page = owner.get("/console/users")
    assert "ada@example.com" in page.text

    owner.post(f"/console/users/invitations/{made['id']}/revoke", data={"csrf": csrf_of(page)})

    assert "ada@example.com" not in owner.get("/console/users").text


def test_a_resets_link_sets_a_password(running_site: Site) -> None:
    org = running_site.organization()
    email, user_id = user(org)
    owner = by_key(running_site, org)
    csrf = csrf_of(owner.get("/console/users"))

    link = link_of(owner.post(f"/console/users/{user_id}/password-reset", data={"csrf": csrf}))

    browser, token = running_site.browser(), link.partition("token=")[2]
    assert f'value="{token}"' in browser.get(link).text
    for form, told in (
        ({"token": token, "password": OTHER, "again": "x"}, "not the same"),
        ({"token": token, "password": "short", "again": "short"}, "a password has 10 to 1,024 characters"),
        ({"token": token, "password": email, "again": email}, "must not contain the e-mail address"),
        ({"token": "x", "password": OTHER, "again": OTHER}, "This reset is unknown, used or over"),
    ):
        answer = browser.post("/password-reset", data=form)
        assert answer.status_code == 400
        assert told in answer.text
    done = browser.post("/password-reset", data={"token": token, "password": OTHER, "again": OTHER})
    assert "The password is set" in done.text
    assert may_sign_in(running_site, email, OTHER) and not may_sign_in(running_site, email, PASSWORD)


def test_ones_own_password_is_changed_and_other_sessions_end(running_site: Site) -> None:
    org = running_site.organization()
    email, _ = user(org)
    here, there = running_site.browser(), running_site.browser()
    for browser in (here, there):
        sign_in(browser, email=email, password=PASSWORD)
    page = here.get("/console/account")
    assert email in page.text
    form = {"csrf": csrf_of(page), "current_password": PASSWORD, "password": OTHER, "again": OTHER}
    assert here.post("/console/account/password", data=form | {"csrf": "wrong"}).status_code == 403
    for changed, told in (
        ({"current_password": "x"}, "This is not your present password"), ({"again": "x"}, "not the same"),
        ({"password": "1234567890", "again": "1234567890"}, "This password is too easy to guess"),
    ):  # fmt: skip
        answer = here.post("/console/account/password", data=form | changed)
        assert answer.status_code == 400
        assert told in answer.text

    assert "The password is changed" in here.post("/console/account/password", data=form).text

    assert here.get("/api/auth/me").status_code == 200
    assert there.get("/api/auth/me").status_code == 401
    assert may_sign_in(running_site, email, OTHER)


def test_one_signs_out_everywhere(running_site: Site) -> None:
    email, _ = user(running_site.organization())
    here, there = running_site.browser(), running_site.browser()
    for browser in (here, there):
        sign_in(browser, email=email, password=PASSWORD)

    left = here.post("/console/account/logout-everywhere", data={"csrf": csrf_of(here.get("/console/account"))})

    assert (left.status_code, left.headers["location"]) == (303, "/sign-in")
    assert [browser.get("/api/auth/me").status_code for browser in (here, there)] == [401, 401]


def test_a_key_has_no_account(running_site: Site) -> None:
    browser = by_key(running_site, running_site.organization())
    page = browser.get("/console/account")

    assert "signed in with a key of the organization" in page.text
    assert "Change the password" not in page.text
    form = {"csrf": csrf_of(page), "current_password": "x", "password": OTHER, "again": OTHER}
    assert browser.post("/console/account/password", data=form).status_code == 403
    assert browser.post("/console/account/logout-everywhere", data=form).status_code == 403


@pytest.mark.parametrize("path", ["/password-reset", "/invitation"])
def test_a_page_without_a_token_asks_for_it(running_site: Site, path: str) -> None:
    page = running_site.browser().get(path)

    assert page.status_code == 200
    assert 'label for="token"' in page.text


def test_an_owner_does_not_replace_somebodys_own_key(running_site: Site) -> None:
    org = running_site.organization()
    email, _ = user(org)
    person = running_site.browser()
    sign_in(person, email=email, password=PASSWORD)
    body = {"name": "mine", "kind": "personal"}
    headers = {"X-CSRF-Token": person.cookies["towpath_csrf"]}
    made = person.post("/api/auth/api-keys", json=body, headers=headers).json()
    owner = by_key(running_site, org)
    page = owner.get("/console/keys")
    assert f"/console/keys/{made['id']}/revoke" in page.text
    assert f"/console/keys/{made['id']}/rotate" not in page.text

    assert owner.post(f"/console/keys/{made['id']}/rotate", data={"csrf": csrf_of(page)}).status_code == 403

    owner.post(f"/console/keys/{made['id']}/revoke", data={"csrf": csrf_of(page)})
    mine = [one for one in org.call("GET", "/api/auth/api-keys")["apiKeys"] if one["kind"] == "organization"]
    revoked = org.call("POST", "/api/auth/api-keys", 201, json={"name": "old"})
    org.call("DELETE", f"/api/auth/api-keys/{revoked['id']}")
    dead = owner.post(f"/console/keys/{revoked['id']}/rotate", data={"csrf": csrf_of(page)})
    assert dead.status_code == 409
    assert "This key is revoked or expired" in dead.text
    assert len(mine) + 1 == len(
        [one for one in org.call("GET", "/api/auth/api-keys")["apiKeys"] if one["kind"] == "organization"]
    )
