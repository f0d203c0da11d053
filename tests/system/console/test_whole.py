"""The console over a system of real processes: a document is read, reviewed on its page, and its job goes on."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.support.builders import Organization, persons
from tests.support.console.forms import fields_of
from tests.support.extraction import FIELDS, SCHEMA, note_pdf, poll, send
from tests.support.llm_server import LlmServer
from tests.system.extraction.test_extract import ANSWER, LLM, says
from towpath.runtime.embedded import EmbeddedStack


def signed_in(system: EmbeddedStack, org: Organization) -> httpx.Client:
    """A browser with the organization's key."""
    browser = httpx.Client(base_url=system.api_url, timeout=60, follow_redirects=True)
    assert browser.post("/sign-in", data={"key": org.key}).status_code == 200
    return browser


def test_a_held_document_is_reviewed_on_its_page_and_goes_on(
    system: EmbeddedStack, org: Organization, provider: LlmServer
) -> None:
    says(provider, {**ANSWER, "pallets": 7})
    job = send(org, note_pdf(2), schema=SCHEMA, llm=LLM, holdForReview=True)["jobId"]
    poll(org, job, "PAUSED")
    browser = signed_in(system, org)

    listed = browser.get("/console/jobs?review=PENDING").text
    page = browser.get("/console/review")
    picture = browser.get(f"/console/jobs/{job}/pages/1.jpg")
    form = fields_of(page.text, "//form[@id='review-form']")
    decided = browser.post(page.url.path, data={**form, "/pallets": "4", "comment": "counted", "act": "approve"})

    assert f'id="job-{job}"' in listed
    assert page.url.path == f"/console/jobs/{job}/review"
    assert picture.content[:3] == b"\xff\xd8\xff"
    assert re.search(r'<text class="word"[^>]*>Orion</text>', page.text)
    assert 'data-marks="/noteNumber"' in page.text
    assert re.search(r"Uncertain: </span>\d+ % sure", page.text)
    assert "That was the last one" in decided.text
    ended = poll(org, job)
    assert (ended["status"], ended["reviewStatus"]) == ("COMPLETE", "APPROVED")
    notes = org.call("GET", "/annotations", params={"jobId": job})["annotations"]
    assert [one["annotatedData"] for one in notes] == [FIELDS]
    assert "Review requested" in browser.get(f"/console/jobs/{job}").text


@pytest.mark.asyncio(loop_scope="session")
async def test_a_batch_is_watched_until_it_has_ended(
    system: EmbeddedStack, org: Organization, browser_page: Page
) -> None:
    page = browser_page
    await page.goto(f"{system.api_url}/")
    await page.get_by_label("API key").fill(org.key)
    await page.get_by_role("button", name="Sign in with the key").click()
    await expect(page.get_by_text("No job has run yet")).to_be_visible()

    org.index()
    org.submit(persons(300))
    await page.get_by_role("link", name="people").click(timeout=30_000)

    await expect(page.locator("h1 + .pill")).to_have_text("Complete", timeout=60_000)
    await expect(page.get_by_text("300 succeeded")).to_be_visible()
    await expect(page.locator(".timeline")).to_contain_text("Phase resolve")
    await page.get_by_role("link", name="Entities").click()
    await expect(page.get_by_text("300 entities")).to_be_visible()
    await page.locator(".member-list a").first.click()
    await expect(page.locator(".evidence").first).to_be_visible()
