"""Whether all that is needed is within the window, with much to choose from and long words."""

from pathlib import Path

from playwright.async_api import async_playwright, expect

from benchmarks.page import READY
from pipelines.catalog import Style
from tests.browser import CHROMIUM, MARKS
from tests.loopback.runner import Studio
from tests.web.serving import opened, web_config

pytestmark = MARKS

STYLES = ("photo", "watercolour", "oil", "storybook", "anime", "comic", "clay", "pixel", "neon")
OUTSIDE = """() => {
  const { right, bottom } = document.querySelector("[data-stage=sketch]").getBoundingClientRect();
  const top = document.querySelector("#form-sketch").getBoundingClientRect().top;
  const needed = document.querySelectorAll("#form-sketch .go, #draw .action");
  return [...needed].filter((button) => {
    const box = button.getBoundingClientRect();
    const isCovered = button.matches(".action") && (box.bottom > top || box.right > right + 12);
    return box.right > innerWidth || box.bottom > innerHeight || isCovered;
  }).map((button) => button.textContent);
}"""


async def test_nine_styles_and_german_words_leave_every_button_in_the_window(
    tmp_path: Path,
) -> None:
    config = web_config(tmp_path, is_open=True)
    styles = {name: Style(frame=f"{{prompt}}, {name}") for name in STYLES}
    models = config.models.model_copy(update={"styles": styles})
    config = config.model_copy(update={"models": models})
    async with opened(config, Studio()) as app, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(locale="de")
        assert app.studio is not None
        await page.goto(app.studio)
        await page.wait_for_selector(READY, state="attached")
        await page.locator("#paper").click()
        await page.get_by_role("button", name="Malen").click()
        await expect(page.locator("#draw .action")).to_have_count(4)
        for width, height in ((1024, 768), (1280, 800), (1366, 768)):
            await page.set_viewport_size({"width": width, "height": height})
            assert await page.evaluate(OUTSIDE) == [], width
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        await browser.close()
