"""The console's list of jobs: its shell, its filters, who sees what, and that it stays text."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.support.console.console_data import make_extraction, make_job, of_every_state
from tests.support.console.site import PASSWORD, Site, by_key, make_question, sign_in, user, who
from towpath.db.engine import Database

pytestmark = pytest.mark.asyncio(loop_scope="session")
ATTACK = '"><script>alert(1)</script>'


def rows(page: httpx.Response) -> list[str]:
    """The ids of the jobs in a list, in order."""
    assert page.status_code == 200, page.text
    return re.findall(r'<tr role="row" id="job-([0-9a-f-]{36})"', page.text)


async def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(running_site: Site) -> None:
    org = running_site.organization()
    browser = running_site.browser()

    away = browser.get("/console?status=ERROR&kind=entity_batch")
    back = sign_in(browser, key=org.key, next=httpx.URL(away.headers["location"]).params["next"])

    assert away.status_code == 303
    assert back.headers["location"] == "/console?status=ERROR&kind=entity_batch"
    assert browser.get("/console").status_code == 200
    part = running_site.browser().get("/console/jobs?fragment=1")
    assert part.status_code == 401


async def test_the_console_is_where_one_comes_in(running_site: Site) -> None:
    org = running_site.organization()
    browser = running_site.browser()

    assert sign_in(browser, key=org.key).headers["location"] == "/console"
    root = browser.get("/")
    assert (root.status_code, root.headers["location"]) == (303, "/console")
    assert 'href="/console"' in browser.get("/sign-in").text


async def test_the_shell_comes_without_looking_for_jobs(
    running_site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = running_site.organization()
    await make_job(database, who(org))

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the shell must not wait for data")

    for name in ("list_page", "totals_by_status"):
        monkeypatch.setattr(f"towpath.jobs.service.reading.{name}", forbidden)
    browser = by_key(running_site, org)
    shell = browser.get("/console?status=ERROR&q=x&page=3")

    assert shell.status_code == 200
    assert browser.get("/console/jobs").status_code == 500, "the page with its table does look"
    assert 'data-live="/console/jobs?status=ERROR&amp;q=x&amp;page=3&amp;fragment=1"' in shell.text
    assert '<a href="/console/jobs?status=ERROR&amp;q=x&amp;page=3">Show it without one</a>' in shell.text
    assert "<table" not in shell.text


async def test_the_part_is_the_table_alone_and_the_page_holds_it(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org))
    browser = by_key(running_site, org)

    part, page = browser.get("/console/jobs?fragment=1"), browser.get("/console/jobs")

    assert rows(part) == rows(page) == [str(ref.job_id)]
    assert "<html" not in part.text
    assert "<html" in page.text
    # Links of the part lead through the shell, those of the page work without a script.
    assert 'href="/console?status=ERROR"' in part.text
    assert 'href="/console/jobs?status=ERROR"' in page.text


async def test_a_job_is_shown_with_all_that_is_known_of_it(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    made = await of_every_state(database, who(org))
    extraction = await make_extraction(database, who(org))

    page = by_key(running_site, org).get("/console/jobs").text

    for words in ("Pending", "In progress", "Retry", "Paused", "Complete", "Error", "Cancelled"):
        assert re.search(rf'<span class="pill [\w-]+">{words}</span>', page), words
    assert "420 of 1,000, 3 failed" in page
    assert 'value="0.4200"' in page
    assert "import-7" in page
    assert "$0.0031" in page
    assert "delivery-note.pdf" in page
    assert f'href="/console/jobs/{extraction.job_id}/review">Review pending</a>' in page
    assert f'href="/console/jobs/{made["running"].job_id}">people</a>' in page


async def test_filters_narrow_the_list_and_unknown_words_are_left_out(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    made = await of_every_state(database, who(org))
    extraction = await make_extraction(database, who(org))
    browser = by_key(running_site, org)

    def found(query: str) -> set[str]:
        return set(rows(browser.get(f"/console/jobs?fragment=1&{query}")))

    everything = {str(ref.job_id) for ref in [*made.values(), extraction]}
    assert found("") == found("kind=nonsense&status=x&review=%00&since=ever&page=-1") == everything
    assert found("status=RETRY") == {str(made["retry"].job_id)}
    assert found("kind=extraction") == found("review=PENDING") == {str(extraction.job_id)}
    assert found("kind=vector_upsertion&status=CANCELLED&since=day") == {str(made["cancelled"].job_id)}
    assert found("kind=vector_upsertion&status=COMPLETE") == set()


async def test_tabs_tell_totals_until_another_filter_makes_them_untrue(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    await of_every_state(database, who(org))
    browser = by_key(running_site, org)

    def totals(query: str) -> list[str]:
        page = browser.get(f"/console/jobs?fragment=1&{query}").text
        return re.findall(r'<span class="count">([\d,]+)</span>', page)

    assert totals("") == ["7", "1", "1", "1", "1", "1", "1", "1"]
    assert totals("status=ERROR") == totals("")
    assert totals("kind=entity_batch") == []


async def test_an_exact_id_is_found_by_itself(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    made = await of_every_state(database, who(org))
    browser = by_key(running_site, org)
    job_id = str(made["failed"].job_id)

    by_our_id = browser.get(f"/console/jobs?q={job_id}&status=COMPLETE")
    by_their_id = browser.get("/console/jobs", params={"q": " import-7 "})
    unknown = browser.get("/console/jobs", params={"q": ATTACK})

    assert rows(by_our_id) == [job_id]
    assert rows(by_their_id) == [str(made["cancelled"].job_id)]
    assert rows(unknown) == []
    assert "No job has this id" in unknown.text
    assert browser.get("/console/jobs?q=%00").status_code == 200


async def test_jobs_come_in_pages(running_site: Site, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("towpath.api.console.console_jobs.PAGE_SIZE", 2)
    org = running_site.organization()
    made = [str((await make_job(database, who(org))).job_id) for _ in range(5)]
    browser = by_key(running_site, org)

    first, last, beyond = (browser.get(f"/console/jobs?page={number}") for number in (1, 3, 4))

    assert rows(first) == made[:-3:-1]
    assert rows(last) == made[:1]
    assert "5 jobs, page 1 of 3" in first.text
    assert 'href="/console/jobs?page=2"' in first.text
    assert "There is no page 4" in beyond.text


async def test_nobody_sees_jobs_of_others(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    tenant = who(org)
    (ada, ada_id), (ben, _) = user(org), user(org)
    _, hers = await make_question(database, tenant, user_id=ada_id, prompt="Hers alone?")
    ours = await make_job(database, tenant)
    stranger = by_key(running_site, running_site.organization())
    as_ada, as_ben = running_site.browser(), running_site.browser()
    sign_in(as_ada, email=ada, password=PASSWORD)
    sign_in(as_ben, email=ben, password=PASSWORD)

    def seen(browser: httpx.Client) -> tuple[set[str], set[str]]:
        by_id = rows(browser.get(f"/console/jobs?q={hers.job_id}"))
        return set(rows(browser.get("/console/jobs"))), set(by_id)

    both = {str(hers.job_id), str(ours.job_id)}
    assert seen(by_key(running_site, org)) == seen(as_ada) == (both, {str(hers.job_id)})
    assert seen(as_ben) == ({str(ours.job_id)}, set())
    assert seen(stranger) == (set(), set())
    assert '<span class="count">1</span>' in as_ben.get("/console/jobs").text


async def test_an_empty_list_tells_how_to_begin_and_that_works(running_site: Site) -> None:
    org = running_site.organization()
    browser = by_key(running_site, org)

    page = browser.get("/console/jobs").text
    filtered = browser.get("/console/jobs?status=ERROR").text

    assert "No job has run yet" in page
    assert f"curl {running_site.url}/v1/entities/batch" in page
    body = re.search(r"-d &#39;({.*?})&#39;", page.replace("&#34;", '"'), re.DOTALL) or re.search(
        r"-d '({.*?})'", page, re.DOTALL
    )
    assert body is not None
    headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
    started = org.call("POST", "/v1/entities/batch", 202, content=body[1], headers=headers)
    assert rows(browser.get("/console/jobs")) == [started["jobId"]]
    assert "No job is like this" in filtered


async def test_what_clients_call_things_is_text(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    tenant = who(org)
    await make_job(database, tenant, params={"index": ATTACK}, external_id=ATTACK)
    await make_question(database, tenant, prompt=ATTACK)
    await make_extraction(database, tenant, name=ATTACK)
    browser = by_key(running_site, org)

    for path in ("/console/jobs", "/console/jobs?fragment=1", f"/console/jobs?q={ATTACK}", f"/console?q={ATTACK}"):
        page = browser.get(path).text
        assert "<script>alert" not in page
    assert browser.get("/console/jobs").text.count("&lt;script&gt;alert(1)") >= 4


async def test_a_page_has_nothing_inline_that_its_policy_forbids(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    made = await of_every_state(database, who(org))
    ref = await make_extraction(database, who(org))
    browser = by_key(running_site, org)

    paths = (
        "/console", "/console/jobs", f"/console/jobs/{made['running'].job_id}", f"/console/jobs/{ref.job_id}/review",
        "/console/deliveries", "/console/receivers", "/console/entities", "/console/keys",
    )  # fmt: skip
    for path in paths:
        page = browser.get(path)

        assert page.status_code == 200, path
        assert not re.search(r"<[^>]+\s(style|on\w+)=", page.text), path
        assert re.findall(r"<script(?! src=)", page.text) == [], path
        assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert page.headers["cache-control"] == "no-store"


async def test_the_ways_of_the_console_are_in_the_head_of_every_page(running_site: Site, database: Database) -> None:
    org = running_site.organization()
    await make_extraction(database, who(org))
    thread, _ = await make_question(database, who(org))
    operator, _ = user(org)
    as_operator = running_site.browser()
    sign_in(as_operator, email=operator, password=PASSWORD)

    page, chat = (by_key(running_site, org).get(path).text for path in ("/console/jobs", f"/chat/{thread}"))

    for way in ("/console", "/console/review", "/console/entities", "/console/deliveries", "/console/keys"):
        assert f'<a href="{way}"' in page
        assert f'<a href="{way}"' in chat
    assert '<a href="/console" aria-current="page">Jobs</a>' in page
    assert '<span class="count">1</span><span class="visually-hidden"> waiting</span>' in page
    assert 'href="/console/keys"' not in as_operator.get("/console/jobs").text
    assert 'class="places"' not in running_site.browser().get("/sign-in").text
