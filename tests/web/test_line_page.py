"""The page in a real browser, at the end of a bad line."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import BrowserContext, Page, expect

from benchmarks.page import READY
from bot.app import App
from tests.browser import MARKS
from tests.loopback.runner import LARGE, Studio
from tests.web.lines import Line, line_to
from tests.web.windows import expect_state

pytestmark = MARKS


@pytest.fixture
async def line(own_app: App) -> AsyncIterator[Line]:
    assert own_app.web is not None
    async with line_to(*own_app.web.runner.addresses[0]) as line:
        yield line


async def imagined(window: BrowserContext, line: Line, prompt: str) -> Page:
    """A page on which a picture was asked for."""
    page = await window.new_page()
    await page.clock.install()
    await page.goto(f"{line.address}/#imagine")
    await page.wait_for_selector(READY, state="attached")
    await page.locator("#form-imagine textarea").fill(prompt)
    await page.locator("#form-imagine .go").click()
    return page


async def test_a_stream_that_was_cut_in_silence_is_opened_anew(
    window: BrowserContext, line: Line, studio: Studio
) -> None:
    studio.gate.clear()
    page = await imagined(window, line, "a fox")
    await expect_state(page, "imagine", "running")
    line.silent = line.opened
    studio.gate.set()
    await page.clock.fast_forward(20_000)
    assert line.opened == 1  # a sign of life may come yet
    await page.clock.fast_forward(40_000)
    await expect_state(page, "imagine", "done")


async def test_a_picture_that_is_cut_off_is_told_of_in_a_sentence(
    window: BrowserContext, line: Line
) -> None:
    line.most = 1_000_000
    page = await imagined(window, line, LARGE)
    await page.get_by_role("button", name="Draw on it").click()
    await expect(page.locator("#toast")).to_contain_text("The studio does not answer.")
