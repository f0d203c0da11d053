"""The page of a conversation: who may see it, what a link opens, asking, cancelling, following."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

import httpx
import jwt
import pytest

from tests.support.builders import Organization
from tests.support.console.site import (
    PASSWORD,
    Site,
    begin,
    by_key,
    csrf_of,
    end,
    keep,
    link_token,
    make_answered,
    make_question,
    sign_in,
    site,
    user,
    who,
)
from tests.support.console.threads import BY_WAREHOUSE, LATE, WAREHOUSE, did, found
from tests.support.llm_server import LlmServer
from towpath.ai.types import ActionType, ChartType
from towpath.api.http.auth import sign_chat_link, sign_stream_token
from towpath.core.errors import ErrorCode
from towpath.db.engine import Database
from towpath.jobs.types import JobError, JobRef
from towpath.runtime.embedded import EmbeddedStack

pytestmark = pytest.mark.asyncio(loop_scope="session")
ROWS = found(1, (WAREHOUSE, LATE), [line[:2] for line in BY_WAREHOUSE], chart=ChartType.BAR)
PART = {"Towpath-Part": "turn"}


def by_link(site: Site, tenant: str, thread: UUID, *, write: bool) -> httpx.Client:
    """A browser that has opened a link."""
    browser = site.browser()
    token = link_token(site, tenant, thread, write=write)
    assert browser.get(f"/chat/{thread}", params={"token": token}).status_code == 303
    return browser


async def question(site: Site, database: Database, **more: object) -> tuple[Organization, str, UUID, JobRef]:
    """A question under way, in a fresh organization."""
    org = site.organization()
    tenant = who(org)
    thread, ref = await make_question(database, tenant, **more)  # type: ignore[arg-type]
    return org, tenant, thread, ref


async def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(running_site: Site, database: Database) -> None:
    org, _, thread, _ = await question(running_site, database)
    browser = running_site.browser()

    away = browser.get(f"/chat/{thread}")
    back = sign_in(browser, key=org.key, next=httpx.URL(away.headers["location"]).params["next"])

    assert (away.status_code, away.headers["location"]) == (303, f"/sign-in?next=%2Fchat%2F{thread}")
    assert back.headers["location"] == f"/chat/{thread}"
    assert "How many?" in browser.get(f"/chat/{thread}").text
    for path in ("turn", "events", "chart.svg", "actions/1.csv"):
        refused = running_site.browser().get(f"/chat/{thread}/jobs/{uuid4()}/{path}")
        assert refused.status_code == 401
        assert refused.headers["content-type"].startswith("text/html")


async def test_an_organization_key_sees_every_thread_and_a_user_only_their_own(
    running_site: Site, database: Database
) -> None:
    org = running_site.organization()
    tenant = who(org)
    (ada, ada_id), (ben, _) = user(org), user(org)
    hers, ref = await make_question(database, tenant, user_id=ada_id)
    shared, _ = await make_question(database, tenant)
    stranger = by_key(running_site, running_site.organization())
    as_ada, as_ben = running_site.browser(), running_site.browser()
    sign_in(as_ada, email=ada, password=PASSWORD)
    sign_in(as_ben, email=ben, password=PASSWORD)

    def statuses(browser: httpx.Client) -> list[int]:
        paths = (f"/chat/{hers}", f"/chat/{hers}/jobs/{ref.job_id}/turn", f"/chat/{shared}")
        return [browser.get(path).status_code for path in paths]

    assert statuses(by_key(running_site, org)) == [200, 200, 200]
    assert statuses(as_ada) == [200, 200, 404]
    assert statuses(as_ben) == statuses(stranger) == [404, 404, 404]
    assert "Nothing is here" in as_ben.get(f"/chat/{hers}").text
    in_header = httpx.get(f"{running_site.url}/chat/{hers}", headers={"X-API-Key": org.key})
    assert in_header.status_code == 200


async def test_a_link_opens_its_thread_and_leaves_its_token_nowhere(running_site: Site, database: Database) -> None:
    _, tenant, thread, ref = await question(running_site, database)
    other, other_ref = await make_question(database, tenant)
    browser = running_site.browser()
    token = link_token(running_site, tenant, thread, write=False)

    opened = browser.get(f"/chat/{str(thread).upper()}", params={"token": token})

    assert (opened.status_code, opened.headers["location"]) == (303, f"/chat/{thread}")
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert f"Path=/chat/{thread}" in cookie
    assert token not in cookie
    assert 86_300 < int(re.search(r"Max-Age=(\d+)", cookie)[1]) <= 86_400  # type: ignore[index]
    page = browser.get(f"/chat/{thread}")
    assert page.status_code == 200
    assert token not in page.text
    assert browser.get(f"/chat/{thread}/jobs/{ref.job_id}/turn").status_code == 200
    assert browser.get(f"/chat/{other}").status_code == 303
    # The same cookie, sent by hand where no browser would send it.
    forced = {"Cookie": f"towpath_chat={browser.cookies['towpath_chat']}"}
    assert httpx.get(f"{running_site.url}/chat/{other}", headers=forced).status_code == 303
    assert httpx.get(f"{running_site.url}/v1/jobs", headers=forced).status_code == 401
    for path in ("turn", "events", "chart.svg", "actions/1.csv"):
        assert browser.get(f"/chat/{thread}/jobs/{other_ref.job_id}/{path}").status_code == 404


async def test_a_link_or_key_for_reading_writes_nothing(running_site: Site, database: Database) -> None:
    org, tenant, thread, ref = await question(running_site, database)
    linked, keyed = by_link(running_site, tenant, thread, write=False), running_site.browser()
    reading = org.call("POST", "/api/auth/api-keys", 201, json={"name": "reads", "scopes": ["read"]})["key"]
    sign_in(keyed, key=reading)
    by_cookie = jwt.decode(linked.cookies["towpath_chat"], options={"verify_signature": False})["csrf"]
    tokens = (by_cookie, csrf_of(keyed.get("/sign-in")))

    for browser, csrf in zip((linked, keyed), tokens, strict=True):
        page = browser.get(f"/chat/{thread}")
        asked = browser.post(f"/chat/{thread}/messages", data={"csrf": csrf, "prompt": "And?"})
        cancelled = browser.post(f"/chat/{thread}/jobs/{ref.job_id}/cancel", data={"csrf": csrf})

        assert "<textarea" not in page.text
        assert "/cancel" not in page.text
        assert (asked.status_code, cancelled.status_code) == (403, 403)
        assert "for reading only" in asked.text
    assert org.call("GET", f"/v1/ai/jobs/{ref.job_id}")["state"] == "QUEUED"


async def test_a_link_that_writes_asks_and_cancels(running_site: Site, database: Database) -> None:
    org, tenant, thread, ref = await question(running_site, database)
    browser = by_link(running_site, tenant, thread, write=True)
    csrf = csrf_of(browser.get(f"/chat/{thread}"))

    forged = browser.post(f"/chat/{thread}/jobs/{ref.job_id}/cancel", data={"csrf": "wrong"})
    cancelled = browser.post(f"/chat/{thread}/jobs/{ref.job_id}/cancel", data={"csrf": csrf})
    asked = browser.post(f"/chat/{thread}/messages", data={"csrf": csrf, "prompt": "And in June?"})

    assert forged.status_code == 403
    assert (cancelled.status_code, cancelled.headers["location"]) == (303, f"/chat/{thread}#turn-{ref.job_id}")
    assert org.call("GET", f"/v1/ai/jobs/{ref.job_id}")["state"] == "CANCELLED"
    assert asked.status_code == 303
    job = asked.headers["location"].removeprefix(f"/chat/{thread}#turn-")
    assert org.call("GET", f"/v1/ai/jobs/{job}")["prompt"] == "And in June?"


async def test_a_link_that_is_revoked_lets_nobody_in_any_more(running_site: Site, database: Database) -> None:
    org, _, thread, _ = await question(running_site, database)
    stranger = running_site.organization()
    links = f"/v1/ai/conversations/{thread}/links"
    made = org.call("POST", links.removesuffix("s"), params={"write": True})
    kept = org.call("POST", links.removesuffix("s"))
    in_, out, other = running_site.browser(), running_site.browser(), running_site.browser()
    assert in_.get(made["url"]).status_code == 303
    assert other.get(kept["url"]).status_code == 303
    assert in_.get(f"/chat/{thread}").status_code == 200

    stranger.call("GET", links, 404)
    stranger.call("DELETE", f"{links}/{made['linkId']}", 404)
    org.call("DELETE", f"{links}/{uuid4()}", 404)
    org.call("DELETE", f"{links}/{made['linkId']}", 204)
    org.call("DELETE", f"{links}/{made['linkId']}", 204)

    shown = {one["linkId"]: one for one in org.call("GET", links)["links"]}
    assert set(shown) == {made["linkId"], kept["linkId"]}
    assert shown[made["linkId"]]["revokedAt"] is not None
    assert (shown[kept["linkId"]]["revokedAt"], shown[kept["linkId"]]["write"]) == (None, False)
    # Neither the link nor the cookie that it had become.
    assert out.get(made["url"]).status_code == 403
    assert in_.get(f"/chat/{thread}").status_code == 303
    assert other.get(f"/chat/{thread}").status_code == 200


@pytest.mark.parametrize("spoil", ["cut", "another thread's", "of before links were rows", "of another kind", "empty"])
async def test_a_spoilt_link_tells_so(running_site: Site, database: Database, spoil: str) -> None:
    org, tenant, thread, ref = await question(running_site, database)
    token = {
        "cut": link_token(running_site, tenant, thread, write=True)[:-3],
        "another thread's": sign_chat_link(running_site.state, tenant, uuid4(), uuid4(), write=True),
        "of before links were rows": sign_chat_link(running_site.state, tenant, thread, uuid4(), write=True),
        "of another kind": sign_stream_token(running_site.state, tenant, ref.job_id),
        "empty": "",
    }[spoil]

    refused = running_site.browser().get(f"/chat/{thread}", params={"token": token})
    known = by_key(running_site, org).get(f"/chat/{thread}", params={"token": token})

    assert refused.status_code == 403
    assert "This link is not valid or has expired" in refused.text
    assert "set-cookie" not in refused.headers
    assert (known.status_code, known.headers["location"]) == (303, f"/chat/{thread}")


async def test_a_question_is_asked_once_the_last_one_is_answered(running_site: Site, database: Database) -> None:
    org, _, thread, ref = await question(running_site, database)
    browser = by_key(running_site, org)
    page = browser.get(f"/chat/{thread}")
    typed = "  And\r\nin June? <b>"

    refused = browser.post(f"/chat/{thread}/messages", data={"csrf": csrf_of(page), "prompt": typed})
    await begin(database, ref)
    await keep(database, ref, did(1, ActionType.SUMMARIZE, "Done."), answer="Seven.")
    await end(database, ref)
    asked = browser.post(f"/chat/{thread}/messages", data={"csrf": csrf_of(page), "prompt": typed})

    assert refused.status_code == 409
    assert "The conversation has an active job; wait for it, or cancel it." in refused.text
    assert "\n  And\nin June? &lt;b&gt;</textarea>" in refused.text
    assert asked.status_code == 303
    after = browser.get(f"/chat/{thread}").text
    assert "Seven." in after
    assert '<div class="prompt">And\nin June? &lt;b&gt;</div>' in after
    assert after.count("<article") == 2


async def test_questions_are_asked_no_faster_than_by_the_api(
    parts: EmbeddedStack, database_url: str, loopback: LlmServer, database: Database
) -> None:
    with site(parts, database_url, loopback, ai_rate=1) as slow:
        org, _, thread, _ = await question(slow, database)
        browser = by_key(slow, org)
        csrf = csrf_of(browser.get(f"/chat/{thread}"))

        first, second = (
            browser.post(f"/chat/{thread}/messages", data={"csrf": csrf, "prompt": "And in June?"}) for _ in range(2)
        )

    assert (first.status_code, second.status_code) == (409, 429)
    assert int(second.headers["Retry-After"]) > 0
    assert "And in June?</textarea>" in second.text


@pytest.mark.parametrize("typed", ["", " \r\n ", "x" * 32_769, "a\x00b"])
async def test_what_is_no_question_comes_back_with_the_reason(
    running_site: Site, database: Database, typed: str
) -> None:
    org = running_site.organization()
    thread, _ = await make_answered(database, who(org), ROWS, "Here.")
    browser = by_key(running_site, org)
    csrf = csrf_of(browser.get(f"/chat/{thread}"))

    answer = browser.post(f"/chat/{thread}/messages", data={"csrf": csrf, "prompt": typed})

    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert browser.get(f"/chat/{thread}").text.count("<article") == 1


async def test_a_write_without_its_token_or_session_changes_nothing(running_site: Site, database: Database) -> None:
    org, _, thread, ref = await question(running_site, database)
    browser = by_key(running_site, org)
    other = csrf_of(by_key(running_site, org).get("/sign-in"))

    for csrf in ({}, {"csrf": ""}, {"csrf": other}):
        assert browser.post(f"/chat/{thread}/jobs/{ref.job_id}/cancel", data=csrf).status_code == 403
    nobody = running_site.browser().post(f"/chat/{thread}/messages", data={"prompt": "x"})

    assert (nobody.status_code, nobody.headers["location"]) == (303, f"/sign-in?next=%2Fchat%2F{thread}")
    assert org.call("GET", f"/v1/ai/jobs/{ref.job_id}")["state"] == "QUEUED"


async def test_the_script_gets_one_question_instead_of_a_page(running_site: Site, database: Database) -> None:
    org, _, thread, ref = await question(running_site, database)
    browser = by_key(running_site, org)
    headers = PART | {"X-CSRF-Token": csrf_of(browser.get(f"/chat/{thread}"))}

    cancelled = browser.post(f"/chat/{thread}/jobs/{ref.job_id}/cancel", headers=headers)
    asked = browser.post(f"/chat/{thread}/messages", data={"prompt": "And?"}, headers=headers)

    assert (cancelled.status_code, asked.status_code) == (204, 201)
    assert asked.text.count("<article") == 1
    assert "<html" not in asked.text
    job = re.search(r'data-turn="([^"]+)"', asked.text)
    assert job is not None
    assert "And?" in browser.get(f"{job[1]}/turn").text


async def test_a_page_shows_what_a_question_has_found(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    thread, ref = await make_answered(database, who(org), ROWS, "**North** it is.")
    browser = by_key(running_site, org)
    at = f"/chat/{thread}/jobs/{ref.job_id}"

    page = browser.get(f"/chat/{thread}")
    svg, dark, narrow, png, csv = (
        browser.get(f"{at}/{part}")
        for part in ("chart.svg?dark=0", "chart.svg?dark=1", "chart.svg?narrow=1", "chart.png", "actions/1.csv")
    )

    assert "<strong>North</strong> it is." in page.text
    assert f"{at}/chart.svg?dark=0" in page.text
    assert len({svg.text, dark.text, narrow.text}) == 3
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert svg.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert svg.headers["cache-control"].startswith("private")
    assert png.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert csv.text == ROWS.csv
    assert "attachment" in csv.headers["content-disposition"]
    assert browser.get(f"{at}/actions/2.csv").status_code == 404


async def test_a_chart_that_cannot_be_drawn_is_an_error_without_a_picture(
    running_site: Site, database: Database
) -> None:
    org = running_site.organization()
    thread, ref = await make_answered(database, who(org), did(1, ActionType.SUMMARIZE, "Done."), "Nothing to draw.")

    answer = by_key(running_site, org).get(f"/chat/{thread}/jobs/{ref.job_id}/chart.svg")

    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")


async def test_a_page_follows_from_where_it_was_made_and_resumes(running_site: Site, database: Database) -> None:
    _, tenant, thread, ref = await question(running_site, database)
    browser = by_link(running_site, tenant, thread, write=False)
    await begin(database, ref)
    page = browser.get(f"/chat/{thread}").text
    seen = int(re.search(r'data-last-event="(\d+)"', page)[1])  # type: ignore[index]
    await keep(database, ref, ROWS)
    await end(database, ref, JobError(code=ErrorCode.MODEL_ERROR, message="the model is gone"))
    at = f"/chat/{thread}/jobs/{ref.job_id}"

    def numbers(path: str, **headers: str) -> list[int]:
        lines = browser.get(path, headers=headers).text.splitlines()
        return [int(line[4:]) for line in lines if line.startswith("id: ")]

    followed = numbers(f"{at}/events?last_event_id={seen}")
    resumed = numbers(f"{at}/events?last_event_id={seen}", **{"Last-Event-ID": str(seen + 1)})

    assert followed == [seen + 1, seen + 2]
    assert resumed == [seen + 2]
    assert browser.get(f"{at}/events", headers={"Last-Event-ID": str(seen + 2)}).status_code == 204
    assert "event: job.failed" in browser.get(f"{at}/events").text
    assert "This question failed. The model is gone." in browser.get(f"{at}/turn").text


async def test_without_scripts_a_page_under_way_looks_again_by_itself(running_site: Site, database: Database) -> None:
    org, _, thread, ref = await question(running_site, database)
    browser = by_key(running_site, org)

    waiting = browser.get(f"/chat/{thread}").text
    await end(database, ref)

    refresh = f'<noscript><meta http-equiv="refresh" content="4;url=/chat/{thread}"></noscript>'
    assert refresh in waiting
    assert refresh not in browser.get(f"/chat/{thread}").text


@pytest.mark.parametrize("path", ["/chat/nonsense", "/chat/{}/nothing/here", "/chat/{}/jobs/nonsense/turn", "/chat/{}"])
async def test_what_is_not_there_is_a_page_that_says_so(running_site: Site, path: str) -> None:
    browser = by_key(running_site, running_site.organization())

    answer = browser.get(path.format(uuid4()))

    assert answer.status_code == 404
    assert "<h1>Nothing is here</h1>" in answer.text
    assert browser.delete("/chat/x").status_code == 405


async def test_a_database_that_is_away_is_a_page_that_says_so(
    running_site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    org, _, thread, _ = await question(running_site, database)
    browser = by_key(running_site, org)
    gone = Database("postgresql://nobody@127.0.0.1:9/none")
    monkeypatch.setattr(running_site.state, "db", gone)

    answer = browser.get(f"/chat/{thread}")

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "A part of the system does not answer" in answer.text
    await gone.close()
