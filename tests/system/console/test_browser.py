"""Pages in a real browser: what the script adds, what works without it, and that nothing breaks the pages' policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from playwright.async_api import Page, expect

from tests.support.console.audit import AUDIT
from tests.support.console.browser import NewPage
from tests.support.console.showcase import Showcase, showcase
from tests.support.console.site import Site, begin, end, keep, link_token, make_answered, make_question, who
from tests.support.console.threads import (
    BY_WAREHOUSE,
    CARRIER,
    LATE,
    LONG,
    WAREHOUSE,
    did,
    failed_query,
    found,
    long_rows,
    thread,
    turn,
    unfinished,
)
from towpath.ai.types import AI_JOB, ActionType, AiState, ChartType, Thread, Turn
from towpath.api.console.rendering import Reader
from towpath.db.engine import Database
from towpath.jobs.types import JobRef

pytestmark = pytest.mark.asyncio(loop_scope="session")
ROWS = found(1, (WAREHOUSE, LATE), [line[:2] for line in BY_WAREHOUSE], chart=ChartType.BAR)
SCREENS = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}


@pytest.fixture(scope="module")
def shared_case() -> Iterator[Showcase]:
    with showcase() as started:
        yield started


@pytest.fixture
def case(shared_case: Showcase) -> Showcase:
    """The showcase, as new."""
    shared_case.reader = Reader(writes=True, csrf="c")
    shared_case.asked.clear()
    shared_case.answer, shared_case.refusal = None, None
    return shared_case


def of_every_state() -> dict[str, Thread]:
    long = found(1, LONG, long_rows(340), title="Shipments in May", chart=ChartType.TABLE)
    broken = [failed_query(1), failed_query(2)]
    return {
        "complete": thread(turn(), turn(actions=[long], answer="| a | b |\n|---|---:|\n" + "| x | 1 |\n" * 3)),
        "executing": thread(turn(), unfinished(AiState.EXECUTING, actions=[ROWS])),
        "queued": thread(unfinished(AiState.QUEUED)),
        "delivering": thread(unfinished(AiState.DELIVERING, actions=[ROWS])),
        "failed": thread(unfinished(AiState.FAILED, actions=broken, error="no such measure")),
        "cancelled": thread(unfinished(AiState.CANCELLED, actions=[ROWS], error="cancelled")),
        "wordy": thread(turn("W" * 4000), turn("word " * 800, answer="x" * 3000 + "\n\n```\n" + "y" * 3000 + "\n```")),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("state", of_every_state())
async def test_every_state_fits_every_screen_and_is_told_to_those_who_do_not_see_it(
    case: Showcase, new_page: NewPage, tmp_path: Path, state: str, screen: str, scheme: str
) -> None:
    page = await new_page(viewport=SCREENS[screen], color_scheme=scheme)

    await page.goto(case.show(of_every_state()[state]))
    await page.screenshot(path=tmp_path / f"{state}-{screen}-{scheme}.png", full_page=True)

    assert await page.evaluate(AUDIT) == []


@pytest.mark.parametrize("screen", SCREENS)
async def test_the_sign_in_fits_every_screen(running_site: Site, new_page: NewPage, screen: str) -> None:
    page = await new_page(viewport=SCREENS[screen])

    await page.goto(f"{running_site.url}/sign-in")

    assert await page.evaluate(AUDIT) == []


async def test_a_person_signs_in_asks_and_sees_the_answer_grow_without_a_reload(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    tenant = who(org)
    place, _ = await make_answered(database, tenant, ROWS, "North.")
    page = browser_page

    await page.goto(f"{running_site.url}/chat/{place}")
    await page.get_by_label("API key").fill(org.key)
    await page.get_by_role("button", name="Sign in with the key").click()
    await expect(page.get_by_text("North.", exact=True)).to_be_visible()
    await page.evaluate("window.stayed = true")
    box = page.get_by_label("Ask a question")
    await box.fill("And in June?")
    await box.press("Enter")
    latest = page.locator(".turn").last
    await expect(latest).to_contain_text("Waiting for its turn")
    await expect(box).to_be_disabled()
    await expect(page.get_by_text("The next question can be asked when this one has its answer.")).to_be_visible()

    job = UUID((await latest.get_attribute("id") or "").removeprefix("turn-"))
    ref = JobRef(organization=tenant, kind=AI_JOB, job_id=job)
    await begin(database, ref)
    await expect(latest).to_contain_text("Working on it")
    await keep(database, ref, ROWS.model_copy(update={"message": "Counting June."}))
    await expect(latest.get_by_role("listitem").first).to_contain_text("Counting June.")
    await expect(page.locator("#told")).to_have_text("Counting June.")
    await keep(database, ref, did(2, ActionType.SUMMARIZE, "Done."), answer="It was **East** then.")
    await end(database, ref)
    await expect(latest.get_by_text("It was East then.")).to_be_visible()
    await expect(page.locator("#told")).to_have_text("The answer is there.")
    await expect(latest.get_by_role("img")).to_be_visible()
    await expect(box).to_be_enabled()
    await expect(box).to_be_focused()
    await expect(box).to_have_value("")
    assert await page.evaluate("window.stayed") is True


async def test_a_link_opens_a_clean_address_and_a_question_is_cancelled(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    tenant = who(org)
    place, ref = await make_question(database, tenant)
    token = link_token(running_site, tenant, place, write=True)

    await browser_page.goto(f"{running_site.url}/chat/{place}?token={token}")
    await browser_page.get_by_role("button", name="Cancel").click()

    await expect(browser_page.get_by_text("This question was cancelled.")).to_be_visible()
    await expect(browser_page.get_by_label("Ask a question")).to_be_enabled()
    assert browser_page.url == f"{running_site.url}/chat/{place}"
    assert org.call("GET", f"/v1/ai/jobs/{ref.job_id}")["state"] == "CANCELLED"


async def test_everything_works_without_scripts(running_site: Site, database: Database, new_page: NewPage) -> None:
    org = running_site.organization()
    place, _ = await make_answered(database, who(org), found(1, LONG, long_rows(60)), "Many.")
    page = await new_page(java_script_enabled=False)

    await page.goto(f"{running_site.url}/chat/{place}")
    await page.get_by_label("API key").fill(org.key)
    await page.get_by_role("button", name="Sign in with the key").click()
    assert await page.locator("tbody tr:visible").count() == 60
    await page.get_by_text("Show query").click()
    await expect(page.locator("pre")).to_be_visible()
    await page.get_by_label("Ask a question").fill("And in\nJune?")
    await page.get_by_role("button", name="Ask").click()
    await expect(page.locator(".prompt").last).to_have_text("And in\nJune?")
    await expect(page.get_by_label("Ask a question")).to_be_disabled()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_text("This question was cancelled.")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_what_the_reader_has_opened_stays_open_while_a_question_goes_on(
    case: Showcase, browser_page: Page
) -> None:
    first = found(1, LONG, long_rows(60))
    shown = thread(unfinished(AiState.EXECUTING, actions=[first]))
    page = browser_page
    await page.goto(case.show(shown))

    await page.get_by_text("Show query").click()
    await page.get_by_role("button", name="Show all 60").click()
    await page.get_by_role("button", name="Cancel").focus()
    case.change(shown, shown.turns[0].model_copy(update={"actions": [first, ROWS.model_copy(update={"number": 2})]}))

    await expect(page.locator(".step")).to_have_count(3)
    await expect(page.locator("pre").first).to_be_visible()
    assert await page.locator("tbody tr:visible").count() == 64
    await expect(page.get_by_role("button", name="Show the first 20")).to_have_attribute("aria-expanded", "true")
    await expect(page.get_by_role("button", name="Cancel")).to_be_focused()


async def test_the_page_stays_at_its_end_only_for_who_reads_there(case: Showcase, browser_page: Page) -> None:
    long = found(1, LONG, long_rows(20))
    shown = thread(turn(actions=[long, long.model_copy(update={"number": 2})]), unfinished(AiState.EXECUTING))
    page = browser_page
    await page.goto(case.show(shown))
    below = "document.body.scrollHeight - innerHeight - scrollY"

    async def grow(number: int) -> None:
        steps = [long.model_copy(update={"number": place}) for place in range(1, number + 1)]
        case.change(shown, shown.turns[1].model_copy(update={"actions": steps}))
        await expect(page.locator(".turn").last.locator("table")).to_have_count(number)

    assert await page.evaluate(below) < 2
    await grow(1)
    assert await page.evaluate(below) < 2
    await page.evaluate("scrollTo(0, 200)")
    await grow(2)

    assert await page.evaluate("scrollY") == 200


async def test_what_was_refused_keeps_its_words(case: Showcase, browser_page: Page) -> None:
    shown = thread(turn())
    case.refusal = "The conversation has an active job; wait for it, or cancel it."
    page = browser_page
    await page.goto(case.show(shown))

    box = page.get_by_label("Ask a question")
    await box.fill("And in June?")
    await box.press("Control+Enter")

    await expect(page.get_by_role("alert")).to_have_text(case.refusal)
    await expect(box).to_have_value("And in June?")
    await expect(box).to_be_enabled()


async def test_a_question_that_cannot_be_sent_is_kept(case: Showcase, browser_page: Page) -> None:
    page = browser_page
    await page.goto(case.show(thread(turn())))
    await page.route("**/messages", lambda route: route.abort())

    box = page.get_by_label("Ask a question")
    await box.fill("And in June?")
    await page.get_by_role("button", name="Ask").click()

    await expect(page.get_by_role("alert")).to_contain_text("could not be sent")
    await expect(box).to_have_value("And in June?")
    await expect(box).to_be_enabled()


async def test_a_draft_survives_leaving_the_page(case: Showcase, browser_page: Page) -> None:
    page, place = browser_page, case.show(thread(turn()))
    await page.goto(place)
    await page.get_by_label("Ask a question").fill("Half a thou")

    await page.goto(case.show(thread(turn())))
    await expect(page.get_by_label("Ask a question")).to_have_value("")
    await page.goto(place)

    await expect(page.get_by_label("Ask a question")).to_have_value("Half a thou")


async def test_shift_and_enter_make_a_new_line_and_nothing_is_asked_twice(case: Showcase, browser_page: Page) -> None:
    page = browser_page
    case.answer = unfinished(AiState.QUEUED, prompt="one\ntwo")
    await page.goto(case.show(thread(turn())))

    box = page.get_by_label("Ask a question")
    await box.press("Enter")
    await box.fill("  ")
    await box.press("Enter")
    await box.fill("one")
    await box.press("Shift+Enter")
    await box.press_sequentially("two")
    await box.press("Enter")
    await expect(box).to_be_disabled()
    await page.keyboard.press("Enter")

    await expect(page.locator(".prompt").last).to_have_text("one\ntwo")
    assert [text.replace("\r\n", "\n") for text in case.asked] == ["one\ntwo"]


async def test_the_theme_is_chosen_kept_and_followed_by_charts(case: Showcase, new_page: NewPage) -> None:
    page = await new_page(color_scheme="light")
    await page.goto(case.show(thread(turn())))
    button, chart = page.get_by_role("button", name="Theme"), page.get_by_role("img", name="Bar chart")
    ground = "getComputedStyle(document.body).backgroundColor"
    await chart.scroll_into_view_if_needed()

    async def drawn_dark() -> bool:
        # The page's policy lets nobody evaluate a text while he waits; the image itself tells when it is there.
        await chart.evaluate("image => image.decode()")
        return "dark=1" in str(await chart.evaluate("image => image.currentSrc"))

    light = await page.evaluate(ground)
    assert not await drawn_dark()
    await button.click()
    await expect(button).to_have_accessible_name("Theme: light")
    await button.click()
    await expect(button).to_have_accessible_name("Theme: dark")
    dark = await page.evaluate(ground)
    assert await drawn_dark()
    await page.reload()

    assert light != dark == await page.evaluate(ground)
    await chart.scroll_into_view_if_needed()
    assert await drawn_dark()
    await expect(button).to_have_accessible_name("Theme: dark")


async def test_rows_and_queries_are_copied_as_they_are(case: Showcase, new_page: NewPage) -> None:
    page = await new_page(permissions=["clipboard-read", "clipboard-write"])
    await page.goto(case.show(thread(turn(actions=[ROWS]))))

    await page.get_by_role("button", name="Copy CSV").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    rows = await page.evaluate("navigator.clipboard.readText()")
    await page.get_by_text("Show query").click()
    await page.get_by_role("button", name="Copy query").click()
    await expect(page.locator("[data-copy-text]")).to_have_text("Copied")
    query = await page.evaluate("navigator.clipboard.readText()")

    assert rows == ROWS.csv
    assert ROWS.query is not None
    assert type(ROWS.query).model_validate_json(query) == ROWS.query


async def test_a_chart_that_cannot_be_drawn_leaves_its_place(case: Showcase, browser_page: Page) -> None:
    styled: Turn = turn(actions=[did(1, ActionType.VISUALIZE, "As a line.", chart=ChartType.LINE)])

    await browser_page.goto(case.show(thread(styled)))

    await expect(browser_page.locator(".chart")).to_be_hidden()


async def test_what_people_and_models_write_is_never_run(case: Showcase, browser_page: Page) -> None:
    attack = '<img src=x onerror="window.bad = 1"><script>window.bad = 1</script>'
    rows = found(1, (CARRIER, LATE), [[attack, 1]], title=attack, message=attack)
    shown = thread(unfinished(AiState.EXECUTING, prompt=attack, actions=[rows]), name=attack)
    await browser_page.goto(case.show(shown))

    case.change(
        shown, turn(attack, job_id=shown.turns[0].job_id, actions=[rows], answer=f"{attack}\n\n[x](javascript:1)")
    )
    await expect(browser_page.locator(".answer")).to_be_visible()

    assert await browser_page.evaluate("window.bad") is None
    assert await browser_page.locator(".answer a").count() == 0


async def test_keys_alone_reach_everything_in_order(case: Showcase, browser_page: Page) -> None:
    page = browser_page
    await page.goto(case.show(thread(turn(actions=[ROWS]))))
    name = "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText)"
    reached = []
    for _ in range(15):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate(f"{name}.trim().replace(/\\s+/g, ' ')"))
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")

    assert reached[:11] == [
        "Skip to the content", "Towpath", "Jobs", "Review", "Entities", "Deliveries", "Theme: as the system",
        "Sign out", "Chart as a PNG, 1600 by 960", "Late shipments by warehouse", "Show query",
    ]  # fmt: skip
    assert reached[11:14] == ["Copy CSV", "Download CSV", ""]
    assert outline != "none"


async def test_who_wants_no_motion_gets_none(case: Showcase, new_page: NewPage) -> None:
    page = await new_page(reduced_motion="reduce")
    await page.goto(case.show(thread(unfinished(AiState.EXECUTING))))

    names = await page.evaluate(
        "[getComputedStyle(document.querySelector('.spinner')).animationName,"
        " getComputedStyle(document.querySelector('.reply'), '::before').animationName]"
    )

    assert names == ["none", "none"]


async def test_times_are_shown_in_the_readers_zone(case: Showcase, new_page: NewPage) -> None:
    page = await new_page(timezone_id="Asia/Tokyo")

    await page.goto(case.show(thread(turn())))

    await expect(page.locator(".turn time[data-local]").first).to_have_text("1 Jun 2026, 21:00")
