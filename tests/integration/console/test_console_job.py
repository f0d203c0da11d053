"""A job's own page: what it tells, what can be done with it and by whom, its stream, its failed items and notices."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from psycopg.types.json import Json

from tests.support.console.console_data import (
    delivery_of,
    fail_items,
    finish,
    make_extraction,
    make_job,
    of_every_state,
    run,
    tried,
)
from tests.support.console.site import (
    PASSWORD,
    Site,
    as_operator,
    by_key,
    csrf_of,
    make_question,
    reading,
    sign_in,
    site,
    user,
    who,
)
from tests.support.llm_server import LlmServer
from towpath.core.errors import ErrorCode
from towpath.db.engine import Database
from towpath.entities.types import ENTITY_REINDEX
from towpath.jobs.store.jobs import get_job
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.types import JobRef, JobState, JobWarning
from towpath.runtime.embedded import EmbeddedStack
from towpath.webhooks.types import DeliveryState

pytestmark = pytest.mark.asyncio(loop_scope="session")
ATTACK = '"><script>alert(1)</script>'
URL = "https://hooks.example.com/towpath?token=secret"


def buttons(page: str) -> list[str]:
    """What can be done with the job."""
    return re.findall(r'id="act-(\w+)"', page)


def at(ref: JobRef) -> str:
    return f"/console/jobs/{ref.job_id}"


async def test_a_page_tells_all_of_its_job(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    deadline = datetime.now(UTC) + timedelta(hours=1)
    ref = await make_job(database, who(org), deadline=deadline, external_id="nightly-7")
    await run(database, ref, done=417, failed=3, share=0.42)

    page = by_key(running_site, org).get(at(ref)).text

    assert "<h1>people</h1>" in page
    for told in (
        "Entity batch", "attempt 1", "phase match", str(ref.job_id), "nightly-7", "420 of 1,000, 3 failed",
        "417 succeeded", "3 failed", "Deadline", "$0.0031", "2,100 in, 180 out", "Duration",
    ):  # fmt: skip
        assert told in page, told
    assert f'href="/v1/entities/batch/status?jobId={ref.job_id}"' in page
    assert f'href="/v1/jobs/{ref.job_id}"' in page


async def test_warnings_are_shown_on_the_page_in_its_timeline_and_in_the_list(
    running_site: Site, database: Database
) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org), total=1)
    cut = JobWarning(code=ErrorCode.SOURCE_TRUNCATED, message=f"its end is left out {ATTACK}", item="long.txt")
    async with database.transaction() as connection:
        await add_warnings(connection, ref, [cut])
    browser = by_key(running_site, org)

    page = browser.get(at(ref)).text

    assert "This was done worse than it was asked for." in page
    assert page.count("long.txt") == 2
    assert ATTACK not in page
    assert "1 item<" in page
    assert "1 warning<" in browser.get("/console/jobs").text


async def test_what_can_be_done_follows_the_state(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    made = await of_every_state(database, who(org))
    made["cancelling"] = await make_job(database, who(org))
    async with database.transaction() as connection:
        await connection.execute("UPDATE jobs SET cancelling = true WHERE id = %s", (made["cancelling"].job_id,))
    made["some failed"] = await make_job(database, who(org), total=2)
    await run(database, made["some failed"], done=1, failed=1)
    await finish(database, made["some failed"])
    made["held"] = await make_extraction(database, who(org), ended=False)
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE jobs SET state = 'PAUSED', phase = 'review' WHERE id = %s", (made["held"].job_id,)
        )
    browser = by_key(running_site, org)

    offered = {name: buttons(browser.get(at(ref)).text) for name, ref in made.items()}

    assert offered == {
        "pending": ["pause", "cancel"],
        "running": ["pause", "cancel"],
        "paused": ["continue", "cancel"],
        "complete": [],
        "failed": ["restart"],
        "cancelled": ["restart"],
        "retry": ["pause", "cancel"],
        "cancelling": ["restart"],
        "some failed": ["restart"],
        "held": ["cancel"],
    }
    held = browser.get(at(made["held"]))
    assert "It waits for its review." in held.text
    forced = browser.post(f"{at(made['held'])}/act/continue", data={"csrf": csrf_of(held)})
    assert forced.status_code == 409
    assert "The job waits for its review; decide it, and the job goes on." in forced.text


async def test_buttons_pause_continue_cancel_and_restart(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org))
    await run(database, ref, done=10, share=0.1)
    browser = by_key(running_site, org)

    async def press(act: str) -> JobState:
        csrf = csrf_of(browser.get(at(ref)))
        answer = browser.post(f"{at(ref)}/act/{act}", data={"csrf": csrf})
        assert (answer.status_code, answer.headers.get("location")) == (303, at(ref)), answer.text
        return (await get_job(database, ref.organization, ref.job_id)).state

    assert await press("pause") is JobState.PAUSED
    assert await press("continue") is JobState.RUNNING
    await press("cancel")
    assert (await get_job(database, ref.organization, ref.job_id)).cancelling
    assert "Cancelling" in browser.get(at(ref)).text
    await finish(database, ref, JobState.CANCELLED)
    assert await press("restart") is JobState.PENDING
    job = await get_job(database, ref.organization, ref.job_id)
    assert (job.attempt, job.cancelling) == (2, False)


async def test_what_the_state_does_not_allow_is_told_on_the_page(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org))
    browser = by_key(running_site, org)
    csrf = csrf_of(browser.get(at(ref)))

    running = browser.post(f"{at(ref)}/act/restart", data={"csrf": csrf})
    await finish(database, ref)
    ended = browser.post(f"{at(ref)}/act/pause", data={"csrf": csrf})

    assert (running.status_code, ended.status_code) == (409, 409)
    assert "The job is PENDING; cancel it first, or let it end." in running.text
    assert "<h1>people</h1>" in ended.text


async def test_only_who_may_write_is_offered_to_and_heeded(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org))
    reader, operator = reading(running_site, org), as_operator(running_site, org)

    page = reader.get(at(ref))
    refused = reader.post(f"{at(ref)}/act/cancel", data={"csrf": csrf_of(page)})
    forged = operator.post(f"{at(ref)}/act/cancel", data={"csrf": csrf_of(page)})
    nobody = running_site.browser().post(f"{at(ref)}/act/cancel")
    allowed = operator.post(f"{at(ref)}/act/pause", data={"csrf": csrf_of(operator.get(at(ref)))})

    assert buttons(page.text) == []
    assert (refused.status_code, forged.status_code) == (403, 403)
    assert "for reading only" in refused.text
    assert 'href="/console"' in refused.text
    assert (nobody.status_code, nobody.headers["location"]) == (303, "/sign-in?next=%2Fconsole")
    assert allowed.status_code == 303


async def test_nobody_opens_jobs_of_others(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    (_, ada_id), (ben, _) = user(org), user(org)
    ours = await make_extraction(database, who(org))
    _, hers = await make_question(database, who(org), user_id=ada_id)
    stranger, as_ben = by_key(running_site, running_site.organization()), running_site.browser()
    sign_in(as_ben, email=ben, password=PASSWORD)

    for browser, ref in ((stranger, ours), (stranger, hers), (as_ben, hers)):
        csrf = csrf_of(browser.get("/sign-in"))
        for path in ("", "?fragment=1", "/events", "/review", "/pages/1", "/pages/1.jpg"):
            assert browser.get(f"{at(ref)}{path}").status_code == 404, path
        for path in ("/act/cancel", "/review"):
            assert browser.post(f"{at(ref)}{path}", data={"csrf": csrf, "act": "approve"}).status_code == 404, path
    assert as_ben.get(at(ours)).status_code == 200


@pytest.mark.parametrize("path", ["nonsense", "{id}/nothing", "{id}", "{id}/act/burn", "{id}/pages/x"])
async def test_what_is_not_there_is_a_page_that_says_so(running_site: Site, path: str) -> None:
    browser = by_key(running_site, running_site.organization())

    answer = browser.get(f"/console/jobs/{path.format(id=uuid4())}")

    assert answer.status_code in {404, 405}
    assert "<h1>Nothing is here</h1>" in answer.text


async def test_the_timeline_tells_events_of_every_kind_in_words(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org))
    await run(database, ref, done=417, failed=3)
    async with database.transaction() as connection:
        for kind, data in (
            ("model_completed", {"model": "openai::gpt-4o", "success": True, "breakdown": [{"a": 1}], "note": ATTACK}),
            ("job.progress", {"iteration": 2, "type": "generate_query", "message": ATTACK}),
            ("review.requested", {}),
        ):
            await connection.execute(
                "INSERT INTO job_events (job_id, seq, type, data)"
                " SELECT id, last_seq + 1, %s, %s FROM jobs WHERE id = %s",
                (kind, Json(data), ref.job_id),
            )
            await connection.execute("UPDATE jobs SET last_seq = last_seq + 1 WHERE id = %s", (ref.job_id,))
    await finish(database, ref, JobState.FAILED, "the deadline passed")

    page = by_key(running_site, org).get(at(ref)).text

    titles = re.findall(r'<div class="event-head"><strong>(.*?)</strong>', page)
    assert titles == [
        "Failed", "Review requested", "Step 2", "Model completed", "Progress in match", "Phase match", "Started",
        "Created",
    ]  # fmt: skip
    assert "420 of 1,000, 3 failed" in page
    assert "DEADLINE_EXCEEDED: the deadline passed" in page
    assert "model openai::gpt-4o, success yes" in page
    assert "&#34;breakdown&#34;: [" in page
    assert "<script>alert" not in page


async def test_a_long_timeline_shows_its_newest_and_leads_to_earlier(
    running_site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towpath.api.console.console_job.SHOWN_EVENTS", 3)
    org = running_site.organization()
    ref = await make_job(database, who(org))
    await run(database, ref, done=1)
    await finish(database, ref)
    browser = by_key(running_site, org)

    newest = browser.get(at(ref)).text
    earlier = browser.get(f"{at(ref)}?before=3").text

    assert re.findall(r'id="event-(\d+)"', newest) == ["5", "4", "3"]
    assert f'href="{at(ref)}?before=3"' in newest
    assert re.findall(r'id="event-(\d+)"', earlier) == ["2", "1"]
    assert "before=1" not in earlier


async def test_a_page_follows_from_where_it_was_made_and_resumes(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org))
    browser = by_key(running_site, org)
    page = browser.get(at(ref)).text
    seen = int(re.search(r'data-last-event="(\d+)"', page)[1])  # type: ignore[index]
    await run(database, ref, done=10)
    await finish(database, ref)

    def numbers(**headers: str) -> list[int]:
        lines = browser.get(f"{at(ref)}/events?last_event_id={seen}", headers=headers).text.splitlines()
        return [int(line[4:]) for line in lines if line.startswith("id: ")]

    newest = (await get_job(database, ref.organization, ref.job_id)).last_seq
    assert "data-active" in page
    assert numbers()[-1] == newest
    assert numbers(**{"Last-Event-ID": str(newest - 1)}) == [newest]
    assert browser.get(f"{at(ref)}/events", headers={"Last-Event-ID": str(newest)}).status_code == 204
    assert "data-active" not in browser.get(f"{at(ref)}?fragment=1").text


async def test_without_scripts_a_page_under_way_looks_again_by_itself(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org))
    browser = by_key(running_site, org)
    refresh = '<noscript><meta http-equiv="refresh" content="5"></noscript>'

    waiting = browser.get(at(ref)).text
    await finish(database, ref)

    assert refresh in waiting
    assert refresh not in browser.get(at(ref)).text


async def test_failed_items_come_in_pages(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org))
    await run(database, ref, done=1, failed=60)
    await fail_items(database, ref, 60)
    browser = by_key(running_site, org)

    first, last = browser.get(at(ref)).text, browser.get(f"{at(ref)}?failures=3").text

    assert "60 failed items, page 1 of 3" in first
    assert "LMP-7000" in first
    assert f'href="{at(ref)}?failures=2"' in first
    assert "LMP-7059" in last
    assert "LMP-7000" not in last
    # The part that refreshes itself stays on its page.
    assert f'data-live="{at(ref)}?fragment=1&amp;failures=3"' in last
    assert browser.get(f"{at(ref)}?failures=0").status_code == 400


async def test_notices_are_shown_with_their_attempts_and_sent_again(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org), target=URL)
    await finish(database, ref)
    notice = await delivery_of(database, ref)
    browser = by_key(running_site, org)
    on_its_way = browser.get(at(ref)).text
    await tried(database, notice, 500, None, state=DeliveryState.FAILED)

    page = browser.get(at(ref))
    sent = browser.post(
        f"/console/deliveries/{notice.delivery_id}/resend", data={"csrf": csrf_of(page), "back": at(ref)}
    )

    assert "Send again" not in on_its_way
    for told in ("job.complete", "hooks.example.com", "2 attempts", "no connection", "evt_", "&#34;jobId&#34;"):
        assert told in page.text, told
    assert (sent.status_code, sent.headers["location"]) == (303, f"{at(ref)}#delivery-{notice.delivery_id}")
    assert org.deliveries(jobId=str(ref.job_id))[0]["state"] == "PENDING"


async def test_a_question_leads_to_its_conversation_and_is_cancelled_by_its_own_rules(
    running_site: Site, database: Database
) -> None:
    org = running_site.organization()
    (ada, ada_id) = user(org)
    thread, ref = await make_question(database, who(org), user_id=ada_id, prompt="How many lamps?")
    _, shared = await make_question(database, who(org))
    as_ada = running_site.browser()
    sign_in(as_ada, email=ada, password=PASSWORD)
    operator = as_operator(running_site, org)

    page = as_ada.get(at(ref))
    cancelled = as_ada.post(f"{at(ref)}/act/cancel", data={"csrf": csrf_of(page)})
    refused = operator.post(f"{at(shared)}/act/cancel", data={"csrf": csrf_of(operator.get("/console/jobs"))})

    assert "<h1>How many lamps?</h1>" in page.text
    assert f'href="/chat/{thread}#turn-{ref.job_id}"' in page.text
    assert cancelled.status_code == 303
    assert (await get_job(database, ref.organization, ref.job_id)).state is JobState.CANCELLED
    assert refused.status_code == 404
    assert operator.get(at(shared)).status_code == 404
    assert buttons(by_key(running_site, org).get(at(shared)).text) == ["pause", "cancel"]


async def test_the_page_leads_into_the_temporal_ui_where_one_is_known(
    parts: EmbeddedStack, database_url: str, loopback: LlmServer, database: Database
) -> None:
    with site(parts, database_url, loopback, temporal_ui_url="https://temporal.example.com") as known:
        org = known.organization()
        ref = await make_job(database, who(org))

        page = by_key(known, org).get(at(ref)).text

    assert f"https://temporal.example.com/namespaces/default/workflows/{who_of(ref)}" in page


def who_of(ref: JobRef) -> str:
    return ref.workflow_id.replace("/", "%2F")


async def test_an_extraction_shows_its_document_and_how_sure_each_field_is(
    running_site: Site, database: Database
) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org), data={"noteNumber": "88", "pallets": 4, "note": ATTACK})

    page = by_key(running_site, org).get(at(ref)).text

    for told in ("delivery-note.pdf", "PDF", "48.2 kB", "1 page, 1 read", "noteNumber", "99 % sure"):
        assert told in page, told
    assert re.search(r'class="sure doubtful">.*?Uncertain: </span>71 % sure', page)
    assert "not found" in page
    # In the order of the schema as it was sent.
    assert page.index("noteNumber") < page.index("deliveredOn") < page.index("carrier") < page.index("pallets")
    assert "<script>alert" not in page
    assert f'href="{at(ref)}/review"' in page


async def test_a_cancelled_extraction_takes_its_review_along(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org), ended=False)
    await finish(database, ref, JobState.CANCELLED)
    other = await make_extraction(database, who(org))
    browser = by_key(running_site, org)

    assert buttons(browser.get(at(ref)).text) == ["restart"]
    assert buttons(browser.get(at(other)).text) == []
    answer = browser.post(f"{at(ref)}/act/cancel", data={"csrf": csrf_of(browser.get(at(ref)))})

    assert answer.status_code == 303
    assert (await get_job(database, ref.organization, ref.job_id)).review_status == "CANCELLED"


async def test_a_result_that_a_job_has_is_shown(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org), ENTITY_REINDEX)
    await run(database, ref)
    await finish(database, ref, result={"precision": 0.97, "told": ATTACK})

    page = by_key(running_site, org).get(at(ref)).text

    assert "&#34;precision&#34;: 0.97" in page
    assert "<script>alert" not in page


async def test_a_database_that_is_away_is_a_page_that_says_so(
    running_site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = running_site.organization()
    browser: httpx.Client = by_key(running_site, org)
    gone = Database("postgresql://nobody@127.0.0.1:9/none")
    monkeypatch.setattr(running_site.state, "db", gone)

    answer = browser.get("/console/jobs")

    assert answer.status_code == 503
    assert "A part of the system does not answer" in answer.text
    await gone.close()
