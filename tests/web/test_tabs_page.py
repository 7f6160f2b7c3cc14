"""Several pages of the studio in one browser, which are in nobody's way."""

import pytest
from playwright.async_api import BrowserContext, Page, Request, expect

from bot.web import watching
from tests.browser import MARKS
from tests.loopback.runner import Studio
from tests.web.windows import entered, expect_state

pytestmark = MARKS


async def ask_for_all(page: Page) -> None:
    """Have a sketch, a picture and a video asked for, none of which gets far."""
    await page.locator("#paper").click()
    await page.locator("#form-sketch .go").click()
    for kind, tab in (("imagine", "Imagine"), ("animate", "Animate")):
        await page.get_by_role("tab", name=tab).click()
        await page.locator(f"#form-{kind} textarea").fill("a fox")
        await page.locator(f"#form-{kind} .go").click()
        await expect(page.locator(f"[data-stage={kind}] .cancel")).to_be_visible()


async def test_pages_with_jobs_that_wait_leave_room_for_more(
    window: BrowserContext, studio: Studio
) -> None:
    studio.gate.clear()
    first = await entered(window)
    await ask_for_all(first)
    for _ in range(3):
        page = await entered(window)
        await page.get_by_role("tab", name="Gallery").click()
        await expect(page.locator(".card")).to_have_count(3)
    await page.get_by_role("tab", name="Animate").click()
    await page.locator("#animate .cancel").click()
    await expect_state(page, "animate", "idle")
    studio.gate.set()
    await expect_state(first, "imagine", "done")  # where nobody looks


async def test_a_page_that_nobody_sees_holds_no_connection(
    window: BrowserContext, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT", 0.1)
    studio.gate.clear()
    page = await entered(window)
    await page.locator("#paper").click()
    async with page.expect_request(is_stream):
        await page.locator("#form-sketch .go").click()
    async with (
        page.expect_event("requestfailed", is_stream),
        page.expect_request(lambda request: "/v1/jobs/" in request.url and not is_stream(request)),
    ):
        await page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
    studio.gate.set()
    await expect_state(page, "sketch", "done")


def is_stream(request: Request) -> bool:
    return request.headers.get("accept") == "text/event-stream"
