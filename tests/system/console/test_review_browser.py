"""A review in a real browser: by keys alone, with the field at hand shown on its page, and without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.builders import Organization
from tests.support.console.audit import AUDIT
from tests.support.console.browser import NewPage
from tests.support.console.console_data import DATA, SOURCES, make_extraction, page_of, review_of
from tests.support.console.site import Site, who
from tests.system.console.test_console_browser import SCREENS, enter
from towpath.db.engine import Database
from towpath.extraction.store.reviews import list_annotations
from towpath.extraction.types import FieldSource
from towpath.jobs.types import JobRef

pytestmark = pytest.mark.asyncio(loop_scope="session")


def at(ref: JobRef) -> str:
    return f"/console/jobs/{ref.job_id}/review"


async def opened(page: Page, site: Site, org: Organization, ref: JobRef) -> None:
    """A review's page, where the first field that needs a look has the focus."""
    await enter(page, site, org, at(ref))
    await expect(page.locator("#fields [data-of]:focus, #approve:focus")).to_have_count(1)


async def focused(page: Page) -> str:
    """The name of the field with the focus."""
    return str(await page.evaluate("document.activeElement.name || document.activeElement.id"))


async def in_sight(part: Locator, pane: Locator) -> bool:
    """Whether a part lies within what is seen of a pane."""
    box, view = await part.bounding_box(), await pane.bounding_box()
    assert box is not None
    assert view is not None
    return view["y"] <= box["y"] and box["y"] + box["height"] <= view["y"] + view["height"]


async def corrected(database: Database, ref: JobRef) -> list[dict[str, Any]]:
    return [one.annotated for one in await list_annotations(database, ref.organization, ref.job_id)]


async def test_three_documents_are_reviewed_without_a_mouse(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    refs = [await make_extraction(database, who(org), name=f"note-{number}.pdf") for number in range(3)]
    page = browser_page
    await enter(page, running_site, org)
    await page.get_by_role("link", name="Review 3 waiting").press("Enter")
    heading = page.get_by_role("heading", level=1)

    await expect(heading).to_have_text("note-0.pdf")
    await expect(page.locator("#f-pallets")).to_be_focused()
    await page.keyboard.type("5")
    await page.keyboard.press("Control+Enter")
    await expect(heading).to_have_text("note-1.pdf")
    await expect(page.get_by_text("note-0.pdf was approved.")).to_be_visible()
    await expect(page.locator("#f-pallets")).to_be_focused()
    await page.keyboard.press("Alt+r")
    await expect(page.get_by_label("Comment")).to_be_focused()
    await page.keyboard.type("cut off below")
    await page.keyboard.press("Alt+r")
    await expect(heading).to_have_text("note-2.pdf")
    await expect(page.get_by_role("link", name="Review 1 waiting")).to_be_visible()
    await page.keyboard.press("Control+Enter")

    await expect(page.get_by_text("That was the last one")).to_be_visible()
    assert [(await review_of(database, ref.job_id))[0] for ref in refs] == ["APPROVED", "REJECTED", "APPROVED"]
    assert await corrected(database, refs[0]) == [{**DATA, "pallets": 5}]


async def test_keys_lead_from_field_to_field(running_site: Site, database: Database, browser_page: Page) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    page = browser_page
    await opened(page, running_site, org, ref)

    async def after(*keys: str) -> list[str]:
        found = []
        for key in keys:
            await page.keyboard.press(key)
            found.append(await focused(page))
        return found

    assert await focused(page) == "/pallets"
    assert await after("Enter", "Enter", "Enter", "Shift+Enter") == [
        "/weightKg", "/insured", "/consignee/name", "/insured",
    ]  # fmt: skip
    assert await after("Alt+ArrowUp", "Alt+ArrowDown") == ["/weightKg", "/insured"]
    assert await after("Alt+Shift+ArrowDown", "Alt+Shift+ArrowUp", "Alt+Shift+ArrowUp", "Alt+Shift+ArrowUp") == [
        "/lines/0/article", "/insured", "/pallets", "/pallets",
    ]  # fmt: skip
    assert await after("Alt+Shift+ArrowDown", "Alt+Shift+ArrowDown", "Alt+Shift+ArrowDown") == [
        "/insured", "/lines/0/article", "act",
    ]  # fmt: skip
    assert (await review_of(database, ref.job_id))[0] == "PENDING"


async def test_the_field_at_hand_is_shown_on_its_page(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    page = browser_page
    await opened(page, running_site, org, ref)
    pane, lit = page.locator("#document"), page.locator(".mark.on")

    await expect(lit).to_have_attribute("data-marks", "/pallets")
    await expect(page.locator(".block.on")).to_have_attribute("data-field", "/pallets")
    await page.locator("#f-marks-0").focus()
    await expect(lit).to_have_attribute("data-marks", "/marks")
    assert await in_sight(lit, pane)
    await page.locator("#f-lines-1-price").focus()
    await expect(lit).to_have_count(2)
    await page.locator("#f-insured").focus()
    await expect(lit).to_have_count(0)
    # Beside the word, which would go into the field at hand.
    await page.locator('[data-marks="/noteNumber"]').click(position={"x": 2, "y": 2})
    await expect(page.locator("#f-noteNumber")).to_be_focused()
    assert await in_sight(lit, pane)


def long_document() -> tuple[Sequence[Any], dict[str, FieldSource]]:
    pages = [page_of(number) for number in range(1, 31)]
    last = SOURCES["pallets"].model_copy(update={"page": 29})
    return pages, {"noteNumber": SOURCES["noteNumber"], "pallets": last}


async def test_a_page_that_is_not_there_yet_is_brought_with_its_field(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    pages, sources = long_document()
    ref = await make_extraction(database, who(org), pages=pages, pictures=(), sources=sources)
    page = browser_page
    await opened(page, running_site, org, ref)
    lit = page.locator("#page-29 .mark.on")

    await expect(lit).to_be_visible()
    assert await in_sight(lit, page.locator("#document"))
    await page.locator("#f-noteNumber").focus()
    await expect(page.locator("#page-1 .mark.on")).to_be_visible()
    await page.locator("#page-15").scroll_into_view_if_needed()
    await expect(page.locator("#page-15 .word").first).to_have_text("Delivery")


async def test_a_word_of_the_page_goes_into_the_field(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    page = browser_page
    await opened(page, running_site, org, ref)

    async def click(word: str, **how: Any) -> None:
        await page.locator(".word", has_text=word).first.click(**how)

    await click("120")
    await expect(page.locator("#f-pallets")).to_have_value("120")
    await expect(page.locator("#f-pallets")).to_be_focused()
    await page.locator("#f-consignee-city").focus()
    await click("Canal")
    await click("street", modifiers=["Shift"])
    await expect(page.locator("#f-consignee-city")).to_have_value("Canal street")
    await page.get_by_role("button", name="Save and approve").click()
    await expect(page.get_by_text("That was the last one")).to_be_visible()

    expected = {**DATA, "pallets": 120, "consignee": {"name": "Lamp Works", "city": "Canal street"}}
    assert await corrected(database, ref) == [expected]


async def test_rows_come_and_go_without_a_reload(running_site: Site, database: Database, browser_page: Page) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    page = browser_page
    await opened(page, running_site, org, ref)
    await page.evaluate("window.stayed = true")
    await page.locator("#f-pallets").fill("many")

    await page.get_by_role("button", name="Add a row to Lines").click()
    await expect(page.locator("#f-lines-2-article")).to_be_focused()
    await page.keyboard.type("Wall lamp")
    await page.get_by_role("button", name="Remove Lines 1").click()
    await expect(page.locator("#f-lines-2-article")).to_have_count(0)
    await expect(page.locator("#f-lines-1-article")).to_have_value("Wall lamp")
    await expect(page.locator("#f-pallets")).to_have_value("many")
    await expect(page.get_by_role("button", name="Add a row to Lines")).to_be_focused()
    await page.locator("#f-pallets").fill("4")
    assert await page.evaluate("window.stayed") is True
    await page.get_by_role("button", name="Save corrections").click()
    await expect(page.get_by_text("The corrections are saved.")).to_be_visible()

    assert (await corrected(database, ref))[0]["lines"] == [DATA["lines"][1], {"article": "Wall lamp"}]


async def test_what_is_not_right_is_shown_where_it_was_typed(
    running_site: Site, database: Database, browser_page: Page, tmp_path: Path
) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    page = browser_page
    await opened(page, running_site, org, ref)

    await page.locator("#f-pallets").fill("many")
    await page.locator("#f-lines-1-price").fill("?")
    await page.keyboard.press("Control+Enter")

    await expect(page.get_by_role("alert")).to_contain_text("Some fields are not right yet.")
    await expect(page.locator("#f-pallets")).to_be_focused()
    await expect(page.locator("#f-pallets")).to_have_value("many")
    await expect(page.locator("#f-pallets-wrong")).to_contain_text("one number")
    await expect(page.get_by_role("button", name="Save and approve")).to_be_visible()
    await page.screenshot(path=tmp_path / "wrong.png")
    assert await page.evaluate(AUDIT) == []


async def test_the_help_opens_by_its_key_and_leaves_by_escape(
    running_site: Site, database: Database, browser_page: Page, tmp_path: Path
) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    page = browser_page
    await opened(page, running_site, org, ref)
    help_of_keys = page.get_by_role("dialog", name="Shortcuts")

    await page.keyboard.type("?")
    await expect(page.locator("#f-pallets")).to_have_value("?")
    await expect(help_of_keys).to_be_hidden()
    await page.locator("#document").focus()
    await page.keyboard.type("?")
    await expect(help_of_keys).to_be_visible()
    await page.keyboard.press("Control+Enter")
    await page.screenshot(path=tmp_path / "help.png")
    await page.keyboard.press("Escape")
    await expect(help_of_keys).to_be_hidden()
    await page.get_by_role("button", name="Shortcuts").click()
    await page.get_by_role("button", name="Close").click()

    await expect(help_of_keys).to_be_hidden()
    assert (await review_of(database, ref.job_id))[0] == "PENDING"


async def test_who_leaves_with_something_unsaved_is_asked(
    running_site: Site, database: Database, browser_page: Page
) -> None:
    org = running_site.organization()
    first = await make_extraction(database, who(org), name="first.pdf")
    await make_extraction(database, who(org), name="second.pdf")
    page = browser_page
    await opened(page, running_site, org, first)
    asked: list[str] = []

    async def stay(dialog: Any) -> None:
        asked.append(dialog.type)
        await (dialog.dismiss() if len(asked) == 1 else dialog.accept())

    page.on("dialog", stay)
    await page.keyboard.type("7")
    await page.keyboard.press("Alt+j")
    await expect(page.locator("#f-pallets")).to_have_value("7")
    await page.keyboard.press("Alt+j")
    await expect(page.get_by_role("heading", level=1)).to_have_text("second.pdf")
    await page.keyboard.press("Alt+j")
    await expect(page.get_by_role("heading", level=1)).to_have_text("first.pdf")

    assert asked == ["beforeunload", "beforeunload"]
    assert await corrected(database, first) == []


async def test_a_review_works_without_scripts(running_site: Site, database: Database, new_page: NewPage) -> None:
    org = running_site.organization()
    pages, sources = long_document()
    ref = await make_extraction(database, who(org), pages=pages, pictures=(), sources=sources)
    page = await new_page(java_script_enabled=False)
    await enter(page, running_site, org, at(ref))

    await page.locator("#page-29").get_by_role("link", name="Show it").click()
    await expect(page.locator("#page-29 .word").first).to_have_text("Delivery")
    await page.get_by_role("button", name="Add a row to Marks").click()
    await page.locator("#f-marks-2").fill("heavy")
    await page.locator("#f-pallets").fill("x")
    await page.locator("#f-pallets").press("Enter")
    await expect(page.locator("#f-pallets-wrong")).to_be_visible()
    await page.locator("#f-pallets").fill("5")
    await page.get_by_label("Comment").fill("counted")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("That was the last one")).to_be_visible()

    assert await corrected(database, ref) == [{**DATA, "pallets": 5, "marks": [*DATA["marks"], "heavy"]}]
    assert (await review_of(database, ref.job_id))[1][-1] == ("APPROVED", "counted")


@pytest.mark.parametrize("screen", SCREENS)
async def test_a_decided_review_tells_who_decided_what(
    running_site: Site, database: Database, new_page: NewPage, tmp_path: Path, screen: str
) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    page = await new_page(viewport=SCREENS[screen])
    await opened(page, running_site, org, ref)
    await page.keyboard.type("5")
    await page.get_by_label("Comment").fill("counted at the gate")
    await page.get_by_role("button", name="Save and approve").click()
    await page.get_by_role("link", name="Look at it again").click()

    await expect(page.get_by_text("Corrected; extracted was 4")).to_be_attached()
    await expect(page.get_by_text("counted at the gate")).to_be_attached()
    await page.locator(".history").scroll_into_view_if_needed()
    await page.screenshot(path=tmp_path / f"decided-{screen}.png")
    assert await page.evaluate(AUDIT) == []


async def test_the_document_grows_and_shrinks(running_site: Site, database: Database, browser_page: Page) -> None:
    org = running_site.organization()
    ref = await make_extraction(database, who(org))
    page = browser_page
    await opened(page, running_site, org, ref)
    width = "document.querySelector('.paper').getBoundingClientRect().width"
    small = await page.evaluate(width)

    await page.get_by_role("button", name="Larger").click()
    large = await page.evaluate(width)
    await page.get_by_role("button", name="Smaller").click()

    assert large > small * 1.3
    assert await page.evaluate(width) == small
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
