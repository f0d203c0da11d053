"""The console in a real browser: what keeps itself up to date, what works without scripts, and how it looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from tests.support.builders import Organization, persons
from tests.support.console.audit import AUDIT
from tests.support.console.browser import NewPage
from tests.support.console.console_data import (
    delivery_of,
    fail_items,
    finish,
    make_extraction,
    make_job,
    of_every_state,
    page_of,
    run,
    tried,
)
from tests.support.console.site import Site, who
from towpath.db.engine import Database
from towpath.jobs.types import JobState
from towpath.webhooks.types import DeliveryState

pytestmark = pytest.mark.asyncio(loop_scope="session")
SCREENS = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}
ATTACK = '"><img src=x onerror="window.bad = 1"><script>window.bad = 1</script>'


async def enter(page: Page, site: Site, org: Organization, path: str = "/console") -> None:
    """Sign in and open a page of the console."""
    await page.goto(f"{site.url}/sign-in?next={path}")
    await page.get_by_label("API key").fill(org.key)
    await page.get_by_role("button", name="Sign in with the key").click()
    await page.wait_for_url(f"**{path}*")


async def furnished(site: Site, database: Database) -> tuple[Organization, dict[str, str]]:
    """An organization with everything, and where each page is."""
    org = site.organization()
    tenant = who(org)
    made = await of_every_state(database, tenant)
    await fail_items(database, made["running"], 60)
    await make_job(database, tenant, params={"index": "W" * 200}, external_id="x" * 120)
    for number in range(3):
        ref = await make_job(database, tenant, target=f"https://hooks.example.com/{'long/' * 30}{number}")
        await finish(database, ref)
        answers = ([500, 200], [None, 500], [])[number]
        if answers:
            state = DeliveryState.DELIVERED if number == 0 else DeliveryState.FAILED
            await tried(database, await delivery_of(database, ref), *answers, state=state)
    review = await make_extraction(database, tenant, name=f"delivery-note-{'of-many-words-' * 6}88.pdf")
    blank = await make_extraction(
        database, tenant, pages=[page_of(number) for number in range(1, 9)], pictures=(), data={"noteNumber": "88"}
    )
    org.index()
    for person in persons(12):
        org.call("POST", "/v1/entity", params={"indexName": "people"}, json=person)
    org.call("POST", "/webhooks", 201, json={"url": "https://hooks.example.com/all"})
    jobs = "/console/jobs"
    return org, {
        "jobs": "/console", "running": f"{jobs}/{made['running'].job_id}", "failed": f"{jobs}/{made['failed'].job_id}",
        "notice": f"{jobs}/{ref.job_id}", "extraction": f"{jobs}/{review.job_id}",
        "review": f"{jobs}/{review.job_id}/review", "blank": f"{jobs}/{blank.job_id}/review",
        "deliveries": "/console/deliveries", "receivers": "/console/receivers", "groups": "/console/entities",
        "entity": "/console/entities?index=people&id=2", "keys": "/console/keys",
        "users": "/console/users", "account": "/console/account", "nothing": "/console/nothing",
        "unknown": "/console?q=unknown",
    }  # fmt: skip


async def settled(page: Page) -> None:
    """Wait until what the page loads by itself is there."""
    await expect(page.locator("[data-empty]")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
async def test_every_page_fits_every_screen_and_is_told_to_those_who_do_not_see_it(
    running_site: Site, database: Database, new_page: NewPage, tmp_path: Path, screen: str, scheme: str
) -> None:
    org, places = await furnished(running_site, database)
    page = await new_page(viewport=SCREENS[screen], color_scheme=scheme)
    await enter(page, running_site, org)

    wrong = {}
    for name, path in places.items():
        await page.goto(f"{running_site.url}{path}")
        await settled(page)
        await page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        await page.screenshot(path=tmp_path / f"{name}-{screen}-{scheme}.png", full_page=True)
        wrong[name] = await page.evaluate(AUDIT)

    assert {name: found for name, found in wrong.items() if found} == {}


@pytest.mark.parametrize("path", ["/console", "/console/review", "/console/deliveries", "/console/receivers",
                                  "/console/entities"])  # fmt: skip
async def test_an_empty_organization_is_led_on(
    running_site: Site, browser_page: Page, tmp_path: Path, path: str
) -> None:
    page = browser_page
    await enter(page, running_site, running_site.organization(), path)
    await settled(page)

    await page.screenshot(path=tmp_path / "empty.png")

    await expect(page.locator(".empty h2")).to_be_visible()
    assert await page.evaluate(AUDIT) == []


async def test_the_first_paint_does_not_wait_for_the_jobs(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    await make_job(database, who(org))
    page = browser_page
    held: list[Route] = []
    await page.route("**/console/jobs?fragment=1", lambda route: held.append(route))

    await enter(page, running_site, org)

    await expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    await expect(page.locator(".skeleton")).to_be_visible()
    await expect(page.get_by_role("link", name="Error")).to_be_visible()
    await held[0].continue_()
    await expect(page.locator("table.jobs")).to_be_visible()


async def quick(page: Page) -> None:
    """Let what is refreshed every few seconds be refreshed at once, and count it."""
    await page.add_init_script(
        """
        window.refreshes = 0;
        window.wait = window.setTimeout;
        window.setTimeout = (act, time) => window.wait(act, Math.min(time, 40));
        const load = window.fetch;
        window.fetch = (...given) => { window.refreshes += 1; return load(...given); };
        """
    )


async def test_the_list_follows_its_jobs_without_losing_focus_or_place(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    tenant = who(org)
    refs = [await make_job(database, tenant, params={"index": f"index-{number}"}) for number in range(40)]
    page = browser_page
    await quick(page)
    await enter(page, running_site, org)
    link = page.get_by_role("link", name="index-3", exact=True)
    await link.focus()
    await page.evaluate("window.stayed = true; scrollTo(0, 700)")
    at = await page.evaluate("scrollY")

    await run(database, refs[3], done=250, share=0.25)
    await finish(database, refs[4])
    row = page.locator(f"#job-{refs[3].job_id}")

    await expect(row).to_contain_text("In progress")
    await expect(row).to_contain_text("250 of 1,000")
    await expect(page.locator(f"#job-{refs[4].job_id}")).to_contain_text("Complete")
    await expect(page.locator("#tab-COMPLETE .count")).to_have_text("1")
    await expect(link).to_be_focused()
    assert await page.evaluate("scrollY") == at > 0
    assert await page.evaluate("window.stayed") is True


async def test_a_new_job_and_a_waiting_review_come_up_by_themselves(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    page = browser_page
    await quick(page)
    await enter(page, running_site, org)
    await expect(page.get_by_text("No job has run yet")).to_be_visible()

    await make_extraction(database, who(org))

    await expect(page.get_by_role("link", name="delivery-note.pdf")).to_be_visible()
    await expect(page.get_by_role("link", name="Review 1 waiting")).to_be_visible()


async def test_nothing_is_asked_for_while_nobody_looks(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    page = browser_page
    await quick(page)
    await enter(page, running_site, org)
    await settled(page)
    hide = "value => { Object.defineProperty(document, 'hidden', {value, configurable: true});"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"

    await page.evaluate(hide, True)
    quiet = await page.evaluate("window.refreshes")
    await make_job(database, who(org), params={"index": "later"})
    # Ten times the pause between two looks.
    await page.evaluate("new Promise((done) => window.wait(done, 400))")
    assert await page.evaluate("window.refreshes") == quiet
    await page.evaluate(hide, False)

    await expect(page.get_by_role("link", name="later")).to_be_visible()
    assert await page.evaluate("window.refreshes") > quiet


async def test_a_list_that_cannot_be_refreshed_says_so_and_recovers(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    await make_job(database, who(org))
    page = browser_page
    await quick(page)
    await enter(page, running_site, org)
    await settled(page)
    stale = page.get_by_text("This is not up to date")

    await page.route("**/console/jobs?fragment=1", lambda route: route.abort())
    await expect(stale).to_be_visible()
    await expect(page.locator("table.jobs")).to_be_visible()
    await page.unroute("**/console/jobs?fragment=1")

    await expect(stale).to_be_hidden()


async def test_who_is_signed_out_meanwhile_is_led_to_the_sign_in(running_site: Site, browser_page: Page) -> None:
    org = running_site.organization()
    page = browser_page
    await quick(page)
    await enter(page, running_site, org)
    await settled(page)

    await page.context.clear_cookies()

    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_filters_change_the_list_in_place_and_the_address_goes_along(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    await of_every_state(database, who(org))
    await make_extraction(database, who(org))
    page = browser_page
    await enter(page, running_site, org)
    await settled(page)
    await page.evaluate("window.stayed = true")
    rows = page.locator("table.jobs tbody tr")

    await page.get_by_role("link", name="Error").click()
    await expect(rows).to_have_count(1)
    await page.get_by_label("Kind").select_option("extraction")
    await expect(page.get_by_role("heading", name="No job is like this")).to_be_visible()
    assert page.url == f"{running_site.url}/console?status=ERROR&kind=extraction"
    await page.get_by_role("link", name="All", exact=True).click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("delivery-note.pdf")
    await page.go_back()
    await page.go_back()
    await expect(rows).to_contain_text("Error")
    await expect(page.get_by_label("Kind")).to_have_value("")
    await page.get_by_label("Find by id").fill("import-7")
    await page.get_by_label("Find by id").press("Enter")
    await expect(rows).to_contain_text("Vector upsertion")
    await page.get_by_role("link", name="Show all jobs").click()
    await expect(rows).to_have_count(8)
    await expect(page.get_by_label("Find by id")).to_have_value("")

    assert await page.evaluate("window.stayed") is True
    await page.reload()
    await expect(rows).to_have_count(8)


async def test_pages_are_turned_in_place(
    running_site: Site, database: Database, browser_page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towpath.api.console.console_jobs.PAGE_SIZE", 3)
    org = running_site.organization()
    for number in range(7):
        await make_job(database, who(org), params={"index": f"index-{number}"})
    page = browser_page
    await enter(page, running_site, org)

    await page.get_by_role("link", name="Next").click()
    await expect(page.locator(".pager .fine")).to_have_text("7 jobs, page 2 of 3")
    await expect(page.get_by_role("link", name="Next")).to_be_focused()
    await page.get_by_role("link", name="Last").click()

    await expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    assert page.url.endswith("/console?page=3")


async def test_a_job_is_followed_live_and_what_is_opened_stays_open(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org), target="https://hooks.example.com/x")
    page = browser_page
    await quick(page)
    await enter(page, running_site, org, f"/console/jobs/{ref.job_id}")
    await page.get_by_role("button", name="Cancel").focus()

    await run(database, ref, done=250, share=0.25)
    await expect(page.locator(".event-head").first).to_contain_text("Progress in match")
    await expect(page.get_by_text("250 of 1,000").first).to_be_visible()
    await expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    await finish(database, ref, JobState.FAILED, "the deadline passed")
    await expect(page.locator("h1 + .pill")).to_have_text("Error")
    await expect(page.get_by_role("button", name="Run again")).to_be_visible()
    await expect(page.get_by_text("Not tried yet")).to_be_visible()

    seen = await page.evaluate("window.refreshes")
    assert seen > 0


async def test_a_job_is_paused_and_goes_on_by_its_buttons(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org))
    await run(database, ref, done=1)
    page = browser_page
    await enter(page, running_site, org, f"/console/jobs/{ref.job_id}")
    pill = page.locator("h1 + .pill")

    await page.get_by_role("button", name="Pause").click()
    await expect(pill).to_have_text("Paused")
    await page.get_by_role("button", name="Continue").click()
    await expect(pill).to_have_text("In progress")
    await page.get_by_role("button", name="Cancel").click()

    await expect(pill).to_have_text("Cancelling")


async def test_a_notice_is_opened_and_stays_open_while_the_log_refreshes(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org), target="https://hooks.example.com/x")
    await finish(database, ref)
    notice = await delivery_of(database, ref)
    page = browser_page
    await quick(page)
    await enter(page, running_site, org, "/console/deliveries")
    await page.get_by_text("Not tried yet").click()

    await tried(database, notice, 500, state=DeliveryState.FAILED)

    await expect(page.get_by_text("1 attempt", exact=True)).to_be_visible()
    await expect(page.get_by_text("the receiver answers 500")).to_be_visible()
    await expect(page.get_by_role("button", name="Send again")).to_be_visible()


async def test_a_key_is_made_copied_and_revoked(running_site: Site, new_page: NewPage) -> None:
    org = running_site.organization()
    page = await new_page(permissions=["clipboard-read", "clipboard-write"])
    await enter(page, running_site, org, "/console/keys")

    await page.get_by_label("Name").fill("nightly import")
    await page.get_by_label("write", exact=True).uncheck()
    await page.get_by_role("button", name="Make it").click()
    await page.get_by_role("button", name="Copy the key").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    key = await page.evaluate("navigator.clipboard.readText()")
    line = page.get_by_role("listitem").filter(has_text="nightly import")
    await line.get_by_text("Revoke", exact=True).click()
    await line.get_by_role("button", name="Yes, revoke").click()

    await expect(line).to_contain_text("Revoked")
    assert key.startswith("ent_")
    assert len(key) == 44


async def test_the_list_and_a_job_work_without_scripts(
    running_site: Site, database: Database, new_page: NewPage
) -> None:
    org = running_site.organization()
    ref = await make_job(database, who(org))
    await run(database, ref, done=1)
    page = await new_page(java_script_enabled=False)
    await enter(page, running_site, org)

    await page.get_by_role("link", name="Show it without one").click()
    await page.get_by_label("Kind").select_option("entity_batch")
    await page.get_by_role("button", name="Show").click()
    await page.get_by_role("link", name="In progress").click()
    assert page.url == f"{running_site.url}/console/jobs?status=IN_PROGRESS&kind=entity_batch"
    await page.get_by_role("link", name="people").click()
    await page.get_by_role("button", name="Pause").click()

    await expect(page.locator("h1 + .pill")).to_have_text("Paused")


async def test_what_clients_send_is_never_run(running_site: Site, database: Database, browser_page: Page) -> None:
    org = running_site.organization()
    tenant = who(org)
    ref = await make_job(database, tenant, params={"index": ATTACK}, external_id=ATTACK)
    document = await make_extraction(
        database, tenant, name=ATTACK, data={"noteNumber": ATTACK, ATTACK: ATTACK},
        pages=[page_of(1, [(0.1, 0.1, ATTACK)])],
    )  # fmt: skip
    page = browser_page
    await quick(page)
    await enter(page, running_site, org)

    for path in ("", f"/jobs/{ref.job_id}", f"/jobs/{document.job_id}", f"/jobs/{document.job_id}/review"):
        await page.goto(f"{running_site.url}/console{path}")
        await settled(page)
        await run(database, ref, done=1)

        assert await page.evaluate("window.bad") is None


async def test_keys_alone_reach_the_list_in_order(running_site: Site, database: Database, browser_page: Page) -> None:
    org = running_site.organization()
    await make_extraction(database, who(org))
    page = browser_page
    await enter(page, running_site, org)
    await settled(page)
    name = "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.labels?.[0]?.textContent ??"
    name += " document.activeElement.textContent).trim().replace(/\\s+/g, ' ')"

    reached = []
    for _ in range(25):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate(name))

    assert reached[:14] == [
        "Skip to the content", "Towpath", "Jobs", "Review1 waiting", "Entities", "Deliveries", "Keys", "Users",
        "Theme: as the system", "Sign out", "Kind", "Review", "Created", "Find by id",
    ]  # fmt: skip
    assert reached[14:] == [
        "All 1", "Pending 0", "In progress 0", "Retry 0", "Paused 0", "Complete 1", "Error 0", "Cancelled 0",
        "Jobs", "delivery-note.pdf", "Review pending",
    ]  # fmt: skip
