"""A studio that is not open, in a real browser."""

from pathlib import Path

from playwright.async_api import BrowserContext, expect

from tests.browser import MARKS, async_chromium
from tests.loopback.runner import Studio
from tests.web.serving import opened, tokens, web_config
from tests.web.windows import entered

pytestmark = MARKS


async def test_a_studio_that_is_open_asks_for_a_token_through_a_proxy(
    window: BrowserContext,
) -> None:
    await window.set_extra_http_headers({"X-Forwarded-For": "203.0.113.9"})
    page = await entered(window)
    dialog = page.get_by_role("dialog", name="This studio asks for a token")
    await expect(dialog.get_by_role("textbox")).to_be_focused()


async def test_a_studio_asks_for_a_token_and_shows_its_holder_their_pictures(
    tmp_path: Path,
) -> None:
    config = web_config(tmp_path)
    secret = tokens(config).add("ada")
    async with opened(config, Studio()) as app, async_chromium() as browser:
        page = await browser.new_page()
        assert app.studio is not None
        await page.goto(app.studio)
        dialog = page.get_by_role("dialog", name="This studio asks for a token")
        for typed, told in (
            ("", "paste your token first"),
            ("hello", "from atl_ on"),
            ("atl_wrong", "is not known here"),
        ):
            await dialog.get_by_role("textbox").fill(typed)
            await page.keyboard.press("Enter")
            await expect(dialog.get_by_role("alert")).to_contain_text(told)
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await page.get_by_role("button", name="Enter a token").click()
        await dialog.get_by_role("textbox").fill(secret)
        await page.keyboard.press("Enter")
        await expect(dialog).to_be_hidden()

        await page.get_by_role("tab", name="Imagine").click()
        await page.get_by_role("textbox", name="Prompt").fill("a red star")
        await page.keyboard.press("Enter")
        result = page.locator("#imagine .result img")
        await expect(result).to_have_js_property("complete", True)
        assert await result.evaluate("image => image.src.startsWith('blob:') && image.naturalWidth")
        await page.get_by_role("tab", name="Gallery").click()
        await expect(page.locator("#gallery .card")).to_have_count(1)
