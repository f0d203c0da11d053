"""Reviewing: the queue, what the page shows, correcting and deciding, and what comes back when it is not right."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.console.console_data import DATA, SCHEMA, finish, make_extraction, make_job, page_of, review_of
from tests.support.console.forms import fields_of
from tests.support.console.site import Site, as_operator, by_key, reading, site, user, who
from tests.support.llm_server import LlmServer
from towpath.db.engine import Database
from towpath.entities.types import ENTITY_BATCH
from towpath.extraction.store.reviews import list_annotations
from towpath.extraction.types import FieldSource
from towpath.jobs.store.control import mark_paused
from towpath.jobs.store.jobs import get_job, lock_job
from towpath.jobs.types import JobRef, JobState
from towpath.runtime.embedded import EmbeddedStack

pytestmark = pytest.mark.asyncio(loop_scope="session")
ATTACK = '"><script>alert(1)</script>'
FORM = "//form[@id='review-form']"


def at(ref: JobRef) -> str:
    return f"/console/jobs/{ref.job_id}/review"


def send(browser: httpx.Client, ref: JobRef, act: str = "save", **typed: str) -> httpx.Response:
    """Open the page, type, and press a button."""
    page = browser.get(at(ref))
    assert page.status_code == 200, page.text
    return browser.post(at(ref), data={**fields_of(page.text, FORM), **typed, "act": act})


async def corrected(database: Database, ref: JobRef) -> list[dict[str, Any]]:
    """The corrected data that are saved."""
    return [one.annotated for one in await list_annotations(database, ref.organization, ref.job_id)]


async def test_the_document_stands_beside_its_fields(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))

    page = by_key(running_site, org).get(at(ref)).text

    assert f'<image href="/console/jobs/{ref.job_id}/pages/1.jpg"' in page
    assert re.search(r'<text class="word" x="100.0" [^>]*>Delivery</text>', page)
    assert re.search(r'<rect class="mark doubtful" id="mark-3-0" data-marks="/pallets" x="[\d.]+"', page)
    assert re.search(r'<input id="f-pallets" name="/pallets" type="text" value="4" inputmode="numeric"', page)
    assert '<a class="fine" href="#mark-3-0" data-show-mark>page 1' in page
    assert "Uncertain: </span>71 % sure" in page
    assert "99 % sure" in page
    assert "3 uncertain fields" in page
    assert page.index('"/noteNumber"') < page.index('"/deliveredOn"') < page.index('"/lines/0/article"')
    assert "Review asked for" in page


async def test_a_page_without_a_picture_is_a_sheet_with_its_words(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    wide = page_of(2, width=842, height=595)
    ref = await make_extraction(database, who(org), pages=[page_of(1), wide], pictures=())
    browser = by_key(running_site, org)

    page = browser.get(at(ref)).text

    assert "<image" not in page
    assert 'viewBox="0 0 1000 1414.0"' in page
    assert 'viewBox="0 0 1000 706.7"' in page
    assert 'textLength="25.0" lengthAdjust="spacingAndGlyphs">88</text>' in page
    assert browser.get(f"/console/jobs/{ref.job_id}/pages/1.jpg").status_code == 404


async def test_a_document_whose_words_have_no_places_is_its_text(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    text = page_of(
        1, words=[], width=None, height=None, content=f"# Note\n\n{ATTACK}\n\n![x](https://evil.example/x.png)"
    )
    ref = await make_extraction(database, who(org), pages=[text], pictures=())

    page = by_key(running_site, org).get(at(ref)).text

    assert "<h3>Note</h3>" in page
    assert "<script>alert" not in page
    assert "evil.example" not in page


async def test_a_picture_is_shown_to_who_may_see_the_job_only(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org), pages=[page_of(1), page_of(2)], pictures=(1, 3))
    path = f"/console/jobs/{ref.job_id}/pages"
    browser = by_key(running_site, org)

    picture = browser.get(f"{path}/1.jpg")
    others = [browser.get(f"{path}/{number}.jpg").status_code for number in (0, 2, 3, -1)]

    assert picture.content[:3] == b"\xff\xd8\xff"
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.headers["cache-control"] == "private, max-age=3600"
    assert picture.headers["x-content-type-options"] == "nosniff"
    assert others == [404, 404, 404, 404]
    assert running_site.browser().get(f"{path}/1.jpg").status_code == 401
    assert by_key(running_site, running_site.organization()).get(f"{path}/1.jpg").status_code == 404


async def test_of_a_long_document_the_first_pages_come_and_the_others_when_asked_for(
    running_site: Site, database: Database
) -> None:
    org = running_site.organization()
    pages = [page_of(number, [(0.1, 0.1, f"Page-{number}")]) for number in range(1, 31)]
    sources = {"noteNumber": FieldSource(confidence=0.9, page=30, boxes=[(0.1, 0.1, 0.2, 0.12)])}
    ref = await make_extraction(database, who(org), pages=pages, pictures=(), sources=sources)
    browser = by_key(running_site, org)

    first, there = browser.get(at(ref)).text, browser.get(f"{at(ref)}?page=20").text
    sheet = browser.get(f"/console/jobs/{ref.job_id}/pages/30")

    assert re.findall(r">(Page-\d+)</text>", first) == ["Page-1", "Page-2", "Page-3"]
    assert first.count("<figure") == 30
    assert f'data-load="/console/jobs/{ref.job_id}/pages/30"' in first
    assert f'href="{at(ref)}?page=30#page-30">Show it</a>' in first
    assert re.findall(r">(Page-\d+)</text>", there)[-1] == "Page-20"
    assert "<html" not in sheet.text
    assert ">Page-30</text>" in sheet.text
    assert 'data-marks="/noteNumber"' in sheet.text
    assert browser.get(f"/console/jobs/{ref.job_id}/pages/31").status_code == 404


async def test_the_queue_leads_through_what_waits_the_oldest_first(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    await make_extraction(database, who(org), review=False)
    first, second, third = [await make_extraction(database, who(org), name=f"{n}.pdf") for n in range(3)]
    browser = by_key(running_site, org)

    def led(query: str = "") -> str:
        answer = browser.get(f"/console/review{query}")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    assert led() == at(first)
    assert led(f"?after={first.job_id}") == at(second)
    assert led(f"?after={third.job_id}") == at(first)
    approved = send(browser, second, "approve")
    assert approved.headers["location"] == f"/console/review?done={second.job_id}"
    assert led(f"?done={second.job_id}") == f"{at(third)}?done={second.job_id}"
    assert "1.pdf was approved." in browser.get(f"{at(third)}?done={second.job_id}").text
    send(browser, third, "approve")
    assert "No other review waits" in browser.get(f"/console/review?after={first.job_id}").text
    send(browser, first, "reject", comment="torn")
    last = browser.get(f"/console/review?done={first.job_id}")
    assert "0.pdf was rejected." in last.text
    assert "That was the last one" in last.text


async def test_a_queue_longer_than_a_page_begins_at_its_end(
    running_site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towpath.extraction.service.reviews.SEARCH_PAGE", 2)
    org = running_site.organization()
    made = [await make_extraction(database, who(org)) for _ in range(5)]
    browser = by_key(running_site, org)
    order = []

    where = "/console/review"
    for _ in made:
        where = browser.get(where).headers["location"]
        order.append(where)
        where = f"/console/review?after={where.split('/')[3]}"

    assert order == [at(ref) for ref in made]


async def test_nothing_that_waits_is_told_with_how_it_comes_there(running_site: Site) -> None:
    org = running_site.organization()

    page = by_key(running_site, org).get("/console/review")

    assert page.status_code == 200
    assert "Nothing waits for a review" in page.text
    assert "requireReview" in page.text


async def test_an_untouched_form_is_approved_without_a_correction(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))

    answer = send(by_key(running_site, org), ref, "approve", comment=" counted at the gate ")

    assert answer.status_code == 303
    assert await review_of(database, ref.job_id) == (
        "APPROVED",
        [("PENDING", None), ("APPROVED", "counted at the gate")],
    )
    assert await corrected(database, ref) == []


async def test_an_extraction_that_breaks_its_schema_can_be_approved_as_it_is(
    running_site: Site, database: Database
) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org), data={"pallets": 0})

    assert send(by_key(running_site, org), ref, "approve").status_code == 303
    assert (await review_of(database, ref.job_id))[0] == "APPROVED"


async def test_what_is_corrected_is_approved_with_its_correction(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    browser = by_key(running_site, org)

    send(browser, ref, "approve", **{"/pallets": "5", "/lines/1/price": "61.50"})

    expected = {**DATA, "pallets": 5, "lines": [DATA["lines"][0], {**DATA["lines"][1], "price": 61.5}]}
    assert await corrected(database, ref) == [expected]
    assert (await review_of(database, ref.job_id))[0] == "APPROVED"
    page = browser.get(at(ref)).text
    assert "Corrected; extracted was <q>4</q>" in page
    assert '<span class="sure">corrected</span>' in page
    assert "1 uncertain field<" in page
    assert "<code>pallets</code> <del>4</del> <ins>5</ins>" in page
    assert "<code>lines[1].price</code> <del>59.0</del> <ins>61.5</ins>" in page
    assert "by the key test" in page
    assert 'id="approve"' not in page
    assert 'id="save"' in page


async def test_corrections_are_saved_over_each_other_and_the_review_still_waits(
    running_site: Site, database: Database
) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    browser = by_key(running_site, org)

    first = send(browser, ref, "save", **{"/pallets": "5"})
    second = send(browser, ref, "save", **{"/noteNumber": "89"})
    nothing = send(browser, ref, "save")

    assert [one.headers["location"] for one in (first, second, nothing)] == [
        f"{at(ref)}?saved=true", f"{at(ref)}?saved=true", f"{at(ref)}?saved=false",
    ]  # fmt: skip
    assert await corrected(database, ref) == [{**DATA, "pallets": 5, "noteNumber": "89"}]
    assert (await review_of(database, ref.job_id))[0] == "PENDING"
    page = browser.get(f"{at(ref)}?saved=true").text
    assert "The corrections are saved." in page
    assert page.count("<strong>Corrected</strong>") == 2


async def test_what_is_not_right_comes_back_beside_its_field_and_nothing_is_saved(
    running_site: Site, database: Database
) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    browser = by_key(running_site, org)

    answer = send(
        browser, ref, "approve",
        **{"/pallets": "many", "/noteNumber": f"89 {ATTACK}", "/lines/0/article": "", "comment": ATTACK},
    )  # fmt: skip

    assert answer.status_code == 400
    page = answer.text
    assert 'name="/pallets" type="text" value="many"' in page
    assert re.search(r'id="f-pallets"[^>]* aria-describedby="f-pallets-wrong [^"]*" aria-invalid="true"', page)
    assert '<p class="wrong" id="f-pallets-wrong">This has to be one number' in page
    assert '<a href="#f-pallets">Pallets</a>' in page
    assert 'role="alert"' in page
    assert "<script>alert" not in page
    assert fields_of(page, FORM)["comment"] == ATTACK
    assert fields_of(page, FORM)["/noteNumber"] == f"89 {ATTACK}"
    assert await review_of(database, ref.job_id) == ("PENDING", [("PENDING", None)])
    assert await corrected(database, ref) == []


async def test_what_breaks_the_schema_comes_back_too(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))

    answer = send(by_key(running_site, org), ref, "save", **{"/pallets": "0", "/lines/0/article": ""})

    assert answer.status_code == 400
    assert "Some fields are not right yet." in answer.text
    assert "0 is less than the minimum of 1." in answer.text
    assert '<a href="#f-lines-0-article">Lines 1, Article</a>' in answer.text
    assert '<p class="wrong" id="f-lines-0-article-wrong">This is needed.</p>' in answer.text


async def test_a_rejection_says_why(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    browser = by_key(running_site, org)

    silent = send(browser, ref, "reject", **{"/pallets": "5"})
    told = send(browser, ref, "reject", comment="the scan is cut off\nbelow")

    assert silent.status_code == 400
    assert "Say in the comment why it is rejected." in silent.text
    assert fields_of(silent.text, FORM)["/pallets"] == "5"
    assert told.status_code == 303
    assert (await review_of(database, ref.job_id))[1][-1] == ("REJECTED", "the scan is cut off\nbelow")
    assert "the scan is cut off\nbelow</p>" in browser.get(at(ref)).text


async def test_a_review_is_withdrawn(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    browser = by_key(running_site, org)

    answer = send(browser, ref, "withdraw")

    assert answer.status_code == 303
    assert (await review_of(database, ref.job_id))[0] == "CANCELLED"
    assert "delivery-note.pdf was withdrawn." in browser.get(answer.headers["location"]).text


async def test_who_comes_too_late_is_told_and_keeps_what_was_typed(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    ada, ben = by_key(running_site, org), as_operator(running_site, org)
    of_ben = fields_of(ben.get(at(ref)).text, FORM)
    send(ada, ref, "approve", **{"/pallets": "5"})

    untouched = ben.post(at(ref), data={**of_ben, "act": "approve"})
    typed = ben.post(at(ref), data={**of_ben, "/noteNumber": "89", "act": "save"})
    again = ben.post(at(ref), data={**fields_of(typed.text, FORM), "act": "save"})

    assert (untouched.status_code, typed.status_code, again.status_code) == (409, 409, 303)
    assert "Somebody else has corrected this meanwhile" in typed.text
    assert fields_of(typed.text, FORM)["/noteNumber"] == "89"
    assert await corrected(database, ref) == [{**DATA, "noteNumber": "89"}]


async def test_who_decides_what_is_decided_already_is_told(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    ada, ben = by_key(running_site, org), as_operator(running_site, org)
    of_ben = fields_of(ben.get(at(ref)).text, FORM)
    send(ada, ref, "approve")

    late = ben.post(at(ref), data={**of_ben, "act": "reject", "comment": "no"})

    assert late.status_code == 409
    assert "The review is APPROVED." in late.text
    assert 'id="reject"' not in late.text
    assert len((await review_of(database, ref.job_id))[1]) == 2


async def test_rows_are_added_and_removed_without_saving(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    browser = by_key(running_site, org)
    form = fields_of(browser.get(at(ref)).text, FORM)

    added = browser.post(at(ref), data={**form, "/pallets": "many", "row": "add /lines"})
    grown = fields_of(added.text, FORM)
    dropped = browser.post(at(ref), data={**grown, "/lines/2/article": "Wall lamp", "row": "drop /lines/0"})
    saved = browser.post(at(ref), data={**fields_of(dropped.text, FORM), "/pallets": "4", "act": "save"})

    assert added.status_code == dropped.status_code == 200
    assert grown["/pallets"] == "many"
    assert grown["/lines/2/article"] == ""
    assert saved.headers["location"] == f"{at(ref)}?saved=true"
    assert (await corrected(database, ref))[0]["lines"] == [DATA["lines"][1], {"article": "Wall lamp"}]


async def test_only_who_may_write_is_offered_to_and_heeded(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    reader, operator = reading(running_site, org), as_operator(running_site, org)
    page = reader.get(at(ref))
    form = fields_of(page.text, FORM)

    refused = reader.post(at(ref), data={**form, "act": "approve"})
    forged = operator.post(at(ref), data={**form, "act": "approve"})
    allowed = send(operator, ref, "approve")

    assert 'id="approve"' not in page.text
    assert 'name="row"' not in page.text
    assert re.search(r'<input id="f-pallets"[^>]* readonly>', page.text)
    assert re.search(r'<select id="f-carrier"[^>]* disabled>', page.text)
    assert (refused.status_code, forged.status_code, allowed.status_code) == (403, 403, 303)


async def test_who_decided_is_named(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    email, user_id = user(org)
    ref = await make_extraction(database, who(org))
    browser = running_site.browser()
    browser.post("/sign-in", data={"email": email, "password": "correct horse battery"})

    send(browser, ref, "approve", **{"/pallets": "5"})

    page = browser.get(at(ref)).text
    assert page.count(f"by {email}") == 2
    async with database.transaction() as connection:
        found = await connection.execute("SELECT by FROM reviews WHERE job_id = %s AND number = 2", (ref.job_id,))
        assert await found.fetchone() == (UUID(str(user_id)),)


async def test_a_held_job_goes_on_with_its_decision(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org), ended=False)
    async with database.transaction() as connection:
        await mark_paused(connection, await lock_job(connection, ref.organization, ref.job_id), paused=True)
        await connection.execute("UPDATE jobs SET phase = 'review' WHERE id = %s", (ref.job_id,))
    browser = by_key(running_site, org)

    answer = send(browser, ref, "approve")

    assert answer.status_code == 303
    assert (await get_job(database, ref.organization, ref.job_id)).state is JobState.RUNNING


async def test_a_decision_that_cannot_reach_the_job_changes_nothing(
    parts: EmbeddedStack, database_url: str, loopback: LlmServer, database: Database
) -> None:
    with site(parts, database_url, loopback) as cut_off:
        org = cut_off.organization()
        ref = await make_extraction(database, who(org), ended=False)
        async with database.transaction() as connection:
            await mark_paused(connection, await lock_job(connection, ref.organization, ref.job_id), paused=True)
            await connection.execute("UPDATE jobs SET phase = 'review' WHERE id = %s", (ref.job_id,))
        browser = by_key(cut_off, org)
        form = fields_of(browser.get(at(ref)).text, FORM)
        cut_off.state.gateway._client = Away()  # type: ignore[assignment]

        answer = browser.post(at(ref), data={**form, "/pallets": "5", "act": "approve", "comment": "kept"})

    assert answer.status_code == 503
    assert "Temporal does not answer; nothing was changed." in answer.text
    assert fields_of(answer.text, FORM)["comment"] == "kept"
    assert fields_of(answer.text, FORM)["/pallets"] == "5"
    assert (await review_of(database, ref.job_id))[0] == "PENDING"


class Away:
    """Temporal, out of reach."""

    def get_workflow_handle(self, _: str) -> Away:
        return self

    async def signal(self, *_: object, **__: object) -> None:
        from temporalio.service import RPCError, RPCStatusCode

        raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")


async def test_jobs_without_fields_have_their_page_too(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    plain = await make_extraction(database, who(org), schema=None, data=None, review=False)
    working = await make_extraction(database, who(org), data=None, review=False, ended=False)
    unread = await make_extraction(database, who(org), pages=[], data=None, review=False)
    batch = await make_job(database, who(org), ENTITY_BATCH)
    browser = by_key(running_site, org)

    assert "its job was given no schema" in browser.get(at(plain)).text
    assert "the job is at work" in browser.get(at(working)).text
    assert "Nothing of the document is kept." in browser.get(at(unread)).text
    assert browser.get(at(batch)).status_code == 404
    csrf = fields_of(browser.get("/console/jobs").text, "//form[@action='/sign-out']")["csrf"]
    assert browser.post(at(plain), data={"csrf": csrf, "act": "save"}).status_code == 303
    assert browser.post(at(plain), data={"csrf": csrf, "act": "approve"}).status_code == 409
    assert browser.post(at(plain), data={"csrf": csrf}).status_code == 400
    assert browser.post(at(plain), data={"csrf": csrf, "act": "a\x00b"}).status_code == 400


async def test_a_review_of_a_document_without_a_schema_is_decided(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org), schema=None, data=None)

    assert send(by_key(running_site, org), ref, "approve").status_code == 303
    assert (await review_of(database, ref.job_id))[0] == "APPROVED"


async def test_the_order_of_a_template_is_kept(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    template = org.call("POST", "/templates", 201, json={"name": "note", "schema": SCHEMA})["templateId"]
    ref = await make_extraction(database, who(org))
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE extractions SET request = '{}', template_id = %s WHERE job_id = %s", (template, ref.job_id)
        )

    page = by_key(running_site, org).get(at(ref)).text

    names = re.findall(r'data-field="/(\w+)"', page)
    assert names == list(SCHEMA["properties"])
    await finish(database, ref)
