"""The console's other places: the log of notices, receivers, entities, keys; for whom they are and what they do."""

from __future__ import annotations

import re
from uuid import UUID

import httpx
import pytest

from tests.support.builders import persons
from tests.support.console.console_data import delivery_of, finish, make_job, tried
from tests.support.console.forms import fields_of
from tests.support.console.site import (
    PASSWORD,
    SECRETS,
    Site,
    as_operator,
    by_key,
    csrf_of,
    reading,
    sign_in,
    user,
    who,
)
from towpath.accounts.store.auth import get_key, list_keys
from towpath.db.engine import Database
from towpath.secrets.urls import open_url
from towpath.secrets.vault import Vault
from towpath.webhooks.store.endpoints import list_endpoints
from towpath.webhooks.types import DeliveryState

pytestmark = pytest.mark.asyncio(loop_scope="session")
ATTACK = '"><script>alert(1)</script>'
URL = "https://hooks.example.com/towpath"
KEY = re.compile(r'<code id="secret-once" tabindex="0">(.*?)</code>')


def secret_of(page: httpx.Response) -> str:
    """What is shown once."""
    found = KEY.search(page.text)
    assert found is not None, page.text
    return found[1]


async def notices(database: Database, tenant: str, count: int = 3) -> list[UUID]:
    """Notices: delivered, failed, and on its way."""
    made = []
    for number in range(count):
        ref = await make_job(database, tenant, target=f"{URL}/{number}")
        await finish(database, ref)
        notice = await delivery_of(database, ref)
        if number == 0:
            await tried(database, notice, 500, 200, state=DeliveryState.DELIVERED)
        elif number == 1:
            await tried(database, notice, None, state=DeliveryState.FAILED)
        made.append(notice.delivery_id)
    return made


async def test_the_log_shows_each_notice_with_its_attempts_and_body(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    delivered, failed, pending = await notices(database, who(org))
    browser = by_key(running_site, org)

    def shown(query: str = "") -> list[str]:
        return re.findall(r'<li id="delivery-([0-9a-f-]{36})"', browser.get(f"/console/deliveries{query}").text)

    page = browser.get("/console/deliveries").text
    assert shown() == [str(pending), str(failed), str(delivered)]
    assert shown("?state=FAILED") == [str(failed)]
    assert shown("?state=nonsense") == shown()
    for told in (
        "2 attempts",
        "1 attempt",
        "Not tried yet",
        "no connection",
        "&#34;event&#34;: &#34;job.complete&#34;",
    ):
        assert told in page, told
    assert "<html" not in browser.get("/console/deliveries?fragment=1").text
    assert browser.get("/console/deliveries?cursor=nonsense").status_code == 400
    assert shown("?state=DISABLED") == []


async def test_the_log_goes_on_behind_its_page(
    running_site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towpath.api.console.deliveries.SHOWN", 2)
    org = running_site.organization()
    first, *_ = await notices(database, who(org))
    browser = by_key(running_site, org)

    older = re.search(r'id="page-next" href="([^"]+)"', browser.get("/console/deliveries").text)

    assert older is not None
    page = browser.get(older[1].replace("&amp;", "&")).text
    assert re.findall(r'<li id="delivery-([0-9a-f-]{36})"', page) == [str(first)]
    assert 'id="page-next"' not in page


async def test_a_notice_is_sent_again_and_not_while_it_is_on_its_way(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    _, failed, pending = await notices(database, who(org))
    browser = by_key(running_site, org)
    csrf = csrf_of(browser.get("/console/deliveries"))

    def again(delivery_id: UUID, **form: str) -> httpx.Response:
        return browser.post(f"/console/deliveries/{delivery_id}/resend", data={"csrf": csrf, **form})

    sent, refused = again(failed, back="//evil.example"), again(pending)

    assert (sent.status_code, sent.headers["location"]) == (303, f"/console#delivery-{failed}")
    assert refused.status_code == 409
    assert "The delivery is on its way" in refused.text
    assert again(failed, csrf="wrong").status_code == 403
    reader = reading(running_site, org)
    assert "Send again" not in reader.get("/console/deliveries").text
    page = reader.get("/console/deliveries")
    assert (
        reader.post(f"/console/deliveries/{failed}/resend", data={"csrf": csrf_of(page)}).status_code == 403
    )  # fmt: skip
    stranger = by_key(running_site, running_site.organization())
    theirs = {"csrf": csrf_of(stranger.get("/console/deliveries"))}
    assert stranger.post(f"/console/deliveries/{failed}/resend", data=theirs).status_code == 404
    assert "Nothing was sent yet" in stranger.get("/console/deliveries").text


async def test_a_receiver_is_added_with_its_secret_shown_once(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    browser = by_key(running_site, org)
    empty = browser.get("/console/receivers")
    csrf = csrf_of(empty)

    added = browser.post(
        "/console/receivers", data={"csrf": csrf, "url": f" {URL} ", "event": ["job.complete", "job.review"]}
    )

    assert "No receiver is registered" in empty.text
    assert added.status_code == 201
    assert secret_of(added).startswith("whsec_")
    (row,) = await list_endpoints(database, who(org))
    assert (open_url(Vault([SECRETS]), row.url), row.events) == (URL, ["job.complete", "job.review"])
    later = browser.get("/console/receivers").text
    assert URL in later
    assert secret_of(added) not in later


async def test_a_receiver_is_given_another_secret_and_forgotten(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    made = org.call("POST", "/webhooks", 201, json={"url": URL})
    browser = by_key(running_site, org)
    csrf = csrf_of(browser.get("/console/receivers"))

    rotated = browser.post(f"/console/receivers/{made['webhookId']}/rotate", data={"csrf": csrf})
    both_sign = browser.get("/console/receivers").text
    forgotten = browser.post(f"/console/receivers/{made['webhookId']}/forget", data={"csrf": csrf})

    assert secret_of(rotated) not in {made["secret"], ""}
    assert "For a day the one before signs as well." in rotated.text
    assert "The secret before signs as well until" in both_sign
    assert forgotten.status_code == 303
    assert await list_endpoints(database, who(org)) == []
    gone = browser.post(f"/console/receivers/{made['webhookId']}/rotate", data={"csrf": csrf})
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"url": "", "event": ["job.complete"]}, "Say where the notices go."),
        ({"url": URL}, "Choose at least one event."),
        ({"url": "http://127.0.0.1/x", "event": ["job.complete"]}, "url:"),
        ({"url": URL, "event": ["job.complete"], "secret": "whsec_short"}, "secret:"),
        ({"url": URL, "event": ["nonsense"]}, "is not one that can be used"),
        ({"url": f"{ATTACK}", "event": ["job.complete"]}, "url:"),
    ],
)
async def test_a_receiver_that_cannot_be_is_told_with_what_was_typed(
    running_site: Site, database: Database, form: dict[str, str], told: str
) -> None:
    org = running_site.organization()
    browser = by_key(running_site, org)
    csrf = csrf_of(browser.get("/console/receivers"))

    answer = browser.post("/console/receivers", data={"csrf": csrf, **form})

    assert answer.status_code == 400
    assert told in answer.text.replace("Url:", "url:").replace("Secret:", "secret:")
    assert fields_of(answer.text)["url"] == form["url"]
    assert "<script>alert" not in answer.text
    assert "whsec_short" not in answer.text
    assert await list_endpoints(database, who(org)) == []


async def test_receivers_are_changed_by_editors_only(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    made = org.call("POST", "/webhooks", 201, json={"url": URL})
    operator = as_operator(running_site, org)
    page = operator.get("/console/receivers")

    answers = [
        operator.post(f"/console/receivers{path}", data={"csrf": csrf_of(page), "url": URL, "event": "job.complete"})
        for path in ("", f"/{made['webhookId']}/rotate", f"/{made['webhookId']}/forget")
    ]

    assert URL not in page.text and "hooks.example.com" in page.text
    assert "Add a receiver" not in page.text
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert "This needs the role editor" in answers[0].text
    assert len(await list_endpoints(database, who(org))) == 1
    owner = by_key(running_site, org)
    assert owner.post("/console/receivers", data={"url": URL, "event": "job.complete"}).status_code == 403


def people(running_site: Site) -> tuple[httpx.Client, str]:
    """A browser of an organization with twelve persons, of whom some are the same."""
    org = running_site.organization()
    org.index()
    for person in persons(12):
        org.call("POST", "/v1/entity", params={"indexName": "people"}, json=person)
    return by_key(running_site, org), who(org)


async def test_an_entity_is_shown_with_its_candidates_and_why(running_site: Site) -> None:
    browser, _ = people(running_site)

    page = browser.get("/console/entities?index=people&id=2").text

    assert '<h2 id="entity-title" class="break">2</h2>' in page
    assert "1 candidate</h2>" in page
    assert "Duplicate" in page
    assert "Its group of 2" in page
    assert 'href="/console/entities?index=people&amp;id=1"' in page
    assert re.findall(r'<span class="of">(.*?)</span>', page) == ["before any field", "name", "city", "born"]
    bits = [float(found) for found in re.findall(r'<span class="bits">([+-][\d.]+)<', page)]
    together = re.search(r"Together ([+-][\d.]+) bits", page)
    assert together is not None
    assert abs(sum(bits) - float(together[1])) < 0.3
    assert page.count('<rect class="for"') + page.count('<rect class="against"') == 4


async def test_groups_are_listed_with_their_sizes_in_pages(running_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("towpath.api.console.entities_page.GROUPS_A_PAGE", 3)
    browser, _ = people(running_site)

    first, last, beyond = (browser.get(f"/console/entities?page={number}").text for number in (1, 2, 3))

    assert "4 groups, page 1 of 2" in first
    assert first.count('>2<span class="visually-hidden"> members') == 3
    assert last.count('>2<span class="visually-hidden"> members') == 1
    assert "There is no page 3" in beyond


async def test_a_group_is_shown_corrected_and_put_back(running_site: Site) -> None:
    org = running_site.organization()
    org.index()
    for person in persons(12):
        org.call("POST", "/v1/entity", params={"indexName": "people"}, json=person)
    browser = by_key(running_site, org)
    of = {"indexName": "people"}
    group = org.call("GET", "/v1/groups", params={**of, "entityId": "2"})["groups"][0]
    address = f"/console/entities/group?index=people&group={group['groupId']}"

    page = browser.get(address).text
    assert "Group of 2" in page
    assert page.count('<article class="card pair"') == 1
    assert "created by" in page
    assert "In this group." in browser.get(f"{address}&other=2").text
    assert "no such entity" in browser.get(f"{address}&other=nobody").text
    form = {"index": "people", "group": group["groupId"], "csrf": csrf_of(browser.get(address))}
    assert browser.post("/console/entities/group/undo", data={**form, "csrf": "wrong"}).status_code == 403
    both = browser.post("/console/entities/group/split", data={**form, "member": group["entityIds"]})
    assert both.status_code == 400
    assert "nobody would be left" in both.text
    browser.post("/console/entities/group/split", data={**form, "member": group["entityIds"][:1]})
    assert org.call("GET", "/v1/groups", params={**of, "entityId": "2"})["groups"] == []
    first, second = group["entityIds"]
    why = org.call("GET", "/v1/groups/why", params={**of, "entityId": first, "otherId": second})
    assert why["reason"] == "label"
    browser.post("/console/entities/group/undo", data=form)
    assert org.call("GET", "/v1/groups", params={**of, "entityId": "2"})["groups"] == [group]
    assert browser.get("/console/entities/group?index=people&group=g_0").status_code == 404


async def test_what_is_not_in_an_index_is_told(running_site: Site) -> None:
    browser, _ = people(running_site)
    nothing = by_key(running_site, running_site.organization())

    unknown = browser.get("/console/entities", params={"index": "people", "id": ATTACK}).text
    elsewhere = browser.get("/console/entities?index=lamps").text

    assert "No entity has this id" in unknown
    assert "<script>alert" not in unknown
    assert "There is no index of this name" in elsewhere
    assert "No index is there yet" in nothing.get("/console/entities").text
    assert "No index is there yet" in nothing.get("/console/entities?index=people&id=2").text
    assert browser.get("/console/entities?id=%00").status_code == 200


async def test_an_entity_of_any_shape_is_text(running_site: Site) -> None:
    org = running_site.organization()
    entity = {"id": ATTACK, "name": ATTACK, "address": {"city": ATTACK, "zips": [1, None]}, ATTACK: True, "empty": {}}
    for number in range(2):
        org.call("POST", "/v1/entity", json=entity | {"id": f"{ATTACK}{number}"})

    page = by_key(running_site, org).get("/console/entities", params={"id": f"{ATTACK}0"}).text

    assert "<script>alert" not in page
    assert "address.city" in page
    assert "[1,null]" in page
    assert "1 candidate" in page


async def test_keys_are_for_owners_and_others_are_told_so(running_site: Site) -> None:
    org = running_site.organization()
    editor, _ = user(org, "editor")
    as_editor = running_site.browser()
    sign_in(as_editor, email=editor, password=PASSWORD)

    for browser in (as_operator(running_site, org), as_editor, reading(running_site, org)):
        page = browser.get("/console/keys")

        assert page.status_code == 403
        assert "Keys are seen and made by owners of the organization only; ask one of them." in page.text
        csrf = csrf_of(browser.get("/console/jobs"))
        made = browser.post("/console/keys", data={"csrf": csrf, "name": "mine", "scope": "read"})
        assert made.status_code == 403
    assert running_site.browser().get("/console/keys").status_code == 303


async def test_a_key_is_made_shown_once_and_works(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    browser = by_key(running_site, org)
    csrf = csrf_of(browser.get("/console/keys"))

    made = browser.post(
        "/console/keys",
        data={"csrf": csrf, "name": f"nightly {ATTACK}", "role": "operator", "scope": ["read"], "ends": "30"},
    )

    assert made.status_code == 201
    key = secret_of(made)
    me = httpx.get(f"{running_site.url}/api/auth/me", headers={"X-API-Key": key}).json()
    assert (me["role"], me["scopes"], me["organization"]) == ("operator", ["read"], who(org))
    assert "<script>alert" not in made.text
    later = browser.get("/console/keys").text
    assert key not in later
    assert key[:12] in later
    newest = (await list_keys(database, who(org)))[0]
    assert newest.expires_at is not None
    assert 29 <= (newest.expires_at - newest.created_at).days <= 30


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"name": " ", "scope": "read"}, "Give the key a name"),
        ({"name": "x"}, "Choose what the key may do"),
        ({"name": "x" * 201, "scope": "read"}, "The name is too long"),
        ({"name": "x", "scope": "everything"}, "a choice is not one of those on the page"),
        ({"name": "x", "scope": "read", "role": "king"}, "a choice is not one of those on the page"),
        ({"name": "x", "scope": "read", "kind": "personal"}, "A personal key is made by a signed-in user."),
    ],
)
async def test_a_key_that_cannot_be_is_told_with_what_was_typed(
    running_site: Site, form: dict[str, str], told: str
) -> None:
    org = running_site.organization()
    browser = by_key(running_site, org)
    csrf = csrf_of(browser.get("/console/keys"))

    answer = browser.post("/console/keys", data={"csrf": csrf, **form})

    assert answer.status_code == 400
    assert told in answer.text
    assert fields_of(answer.text)["name"] == form["name"]


async def test_no_key_is_above_its_maker(running_site: Site) -> None:
    org = running_site.organization()
    browser = by_key(running_site, org)
    csrf = csrf_of(browser.get("/console/keys"))

    answer = browser.post("/console/keys", data={"csrf": csrf, "name": "x", "scope": "read", "role": "admin"})

    assert answer.status_code == 403
    assert "above your own" in answer.text


async def test_a_user_makes_a_personal_key(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    email, user_id = user(org, "owner")
    browser = running_site.browser()
    sign_in(browser, email=email, password=PASSWORD)
    page = browser.get("/console/keys")

    made = browser.post(
        "/console/keys", data={"csrf": csrf_of(page), "name": "mine", "scope": ["read", "write"], "kind": "personal"}
    )

    assert '<option value="personal">you</option>' in page.text
    assert made.status_code == 201
    assert f"of {email}" in made.text
    assert (await list_keys(database, who(org)))[0].user_id == user_id


async def test_a_key_is_replaced_and_revoked(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    old = org.call("POST", "/api/auth/api-keys", 201, json={"name": "import"})
    browser = by_key(running_site, org)
    csrf = csrf_of(browser.get("/console/keys"))

    def status(key: str) -> int:
        return httpx.get(f"{running_site.url}/api/auth/me", headers={"X-API-Key": key}).status_code

    replaced = browser.post(f"/console/keys/{old['id']}/rotate", data={"csrf": csrf})
    fresh = secret_of(replaced)
    assert (status(old["key"]), status(fresh)) == (401, 200)
    newest = (await list_keys(database, who(org)))[0]
    revoked = browser.post(f"/console/keys/{newest.id}/revoke", data={"csrf": csrf})

    assert (revoked.status_code, status(fresh)) == (303, 401)
    assert browser.get("/console/keys").text.count("Revoked</span>") == 2
    stranger = by_key(running_site, running_site.organization())
    theirs = {"csrf": csrf_of(stranger.get("/console/keys"))}
    own = (await list_keys(database, who(org)))[-1]
    assert stranger.post(f"/console/keys/{own.id}/revoke", data=theirs).status_code == 404
    assert (await get_key(database, who(org), own.id)).revoked_at is None


async def test_who_revokes_the_own_key_is_warned_and_signed_out(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    browser = by_key(running_site, org)
    page = browser.get("/console/keys")
    own = (await list_keys(database, who(org)))[0]

    gone = browser.post(f"/console/keys/{own.id}/revoke", data={"csrf": csrf_of(page)})

    assert "you are signed in with it" in page.text
    assert "Your sign-in ends with it." in page.text
    assert gone.status_code == 303
    assert browser.get("/console/keys").headers["location"] == "/sign-in?next=%2Fconsole%2Fkeys"


async def test_who_replaces_the_own_key_sees_the_new_one(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    browser = by_key(running_site, org)
    own = (await list_keys(database, who(org)))[0]

    answer = browser.post(
        f"/console/keys/{own.id}/rotate", data={"csrf": csrf_of(browser.get("/console/keys"))}
    )  # fmt: skip

    assert answer.status_code == 201
    sign_in(running_site.browser(), key=secret_of(answer))
    assert browser.get("/console/keys").status_code == 303
