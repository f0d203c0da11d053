"""The conversation page over the whole system: a worker answers what was typed into a browser."""

from __future__ import annotations

import threading

from playwright.async_api import Page, expect

from tests.support.ai import LATE, TELL, ask, script
from tests.support.builders import Organization
from tests.support.llm_server import Fault, LlmServer
from towpath.runtime.embedded import EmbeddedStack

Ids = dict[str, str]


async def _signed_in(page: Page, url: str, key: str) -> None:
    await page.goto(url)
    await page.get_by_label("API key").fill(key)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/chat/**")


async def test_a_question_is_followed_answered_and_gone_on_with(
    org: Organization, lamps: Ids, provider: LlmServer, browser_page: Page
) -> None:
    script(provider, LATE, TELL)
    job = ask(org, lamps)
    await _signed_in(browser_page, job["omniChatUrl"], org.key)
    await expect(browser_page.get_by_role("cell", name="Dock 5").first).to_be_visible()
    await expect(browser_page.get_by_role("heading", name="Late sales", exact=True)).to_be_visible()
    await expect(browser_page.get_by_role("img").first).to_be_visible()

    await browser_page.get_by_role("textbox").fill("And once more?")
    await browser_page.keyboard.press("Enter")

    await expect(browser_page.get_by_text("And once more?").first).to_be_visible()
    await expect(browser_page.get_by_role("heading", name="Late sales", exact=True)).to_have_count(2)
    # The page names no topic, so it is chosen first.
    assert len(provider.calls) == 5


async def test_a_question_is_cancelled_from_the_page(
    org: Organization, lamps: Ids, provider: LlmServer, browser_page: Page
) -> None:
    script(provider, LATE, TELL)
    gate = threading.Event()
    provider.faults = [Fault(gate=gate)]
    job = ask(org, lamps)
    await _signed_in(browser_page, job["omniChatUrl"], org.key)

    await browser_page.get_by_role("button", name="Cancel").click()

    await expect(browser_page.get_by_text("cancelled", exact=False).first).to_be_visible()
    assert org.call("GET", f"/v1/ai/jobs/{job['jobId']}")["state"] == "CANCELLED"
    gate.set()


async def test_a_signed_link_opens_this_thread_alone_and_asks_nothing(
    org: Organization, lamps: Ids, provider: LlmServer, browser_page: Page, system: EmbeddedStack
) -> None:
    script(provider, LATE, TELL)
    first, second = ask(org, lamps), ask(org, lamps)
    link = org.call("POST", f"/v1/ai/conversations/{first['conversationId']}/link")["url"]

    await browser_page.goto(link)

    assert "token" not in browser_page.url
    await expect(browser_page.get_by_text("Where are sales late?").first).to_be_visible()
    await expect(browser_page.get_by_role("textbox")).to_have_count(0)
    await browser_page.goto(f"{system.api_url}/chat/{second['conversationId']}")
    assert "/sign-in" in browser_page.url
