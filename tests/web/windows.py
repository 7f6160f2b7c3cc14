"""What is done in the pages of a window, and what can be seen of them."""

from playwright.async_api import BrowserContext, Page, expect

from benchmarks.page import READY
from tests.browser import PATIENCE

expect.set_options(timeout=PATIENCE)


async def entered(window: BrowserContext, path: str = "/") -> Page:
    """One more page of the studio."""
    page = await window.new_page()
    await page.goto(path)
    await page.wait_for_selector(READY, state="attached")
    return page


async def expect_state(page: Page, kind: str, state: str) -> None:
    """Wait until a job of a kind is so far where it is followed."""
    sheet = page.locator(f"[data-stage={kind}] .sheet")
    await expect(sheet).to_have_attribute("data-state", state)


async def draw(page: Page, y: int) -> None:
    """Draw a line across the paper."""
    await page.mouse.move(400, 200 + y)
    await page.mouse.down()
    await page.mouse.move(600, 200 + y, steps=3)  # each takes long where nobody looks
    await page.mouse.up()
    await page.mouse.move(5, 5)


async def picture(page: Page) -> str:
    """All pixels of the paper."""
    data: str = await page.evaluate("document.querySelector('#ink').toDataURL()")
    return data
