"""What a browser keeps of the studio, and what is where it keeps nothing."""

import json
from pathlib import Path

from playwright.async_api import async_playwright, expect

from benchmarks.page import READY
from bot.app import App
from tests.browser import CHROMIUM, MARKS
from tests.web.windows import expect_state

pytestmark = MARKS

BLOCK = {"profile": {"default_content_setting_values": {"cookies": 2}}}


async def test_where_site_data_is_blocked_the_studio_works_without(
    own_app: App, tmp_path: Path
) -> None:
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(BLOCK))
    thrown: list[str] = []
    async with async_playwright() as playwright:
        window = await playwright.chromium.launch_persistent_context(
            tmp_path, executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        window.on("weberror", lambda error: thrown.append(str(error.error)))
        page = await window.new_page()
        await page.goto(str(own_app.studio))
        await page.wait_for_selector(READY, state="attached")
        await page.get_by_role("button", name="Dark or light").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.locator("#paper").click()
        await page.get_by_role("button", name="Paint").click()
        await expect_state(page, "sketch", "done")
        await window.close()
    assert thrown == []
