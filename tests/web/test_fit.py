"""Whether all that is needed is within the window, with much to choose from and long words."""

import time
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Route, expect

from benchmarks.page import READY
from pipelines.catalog import Style
from tests.browser import MARKS, async_chromium
from tests.loopback.runner import Studio
from tests.web.serving import opened, web_config
from tests.web.windows import entered, expect_state

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

HIDDEN = """(selectors) => selectors.filter((selector) => {
  const box = document.querySelector(selector).getBoundingClientRect();
  return box.top < 0 || box.bottom > document.querySelector(".tabs").getBoundingClientRect().top;
})"""
"""Which of some elements are not, or not wholly, above the tabs at the foot of a small window."""


async def test_nine_styles_and_german_words_leave_every_button_in_the_window(
    tmp_path: Path,
) -> None:
    config = web_config(tmp_path, is_open=True)
    styles = {name: Style(frame=f"{{prompt}}, {name}") for name in STYLES}
    models = config.models.model_copy(update={"styles": styles})
    config = config.model_copy(update={"models": models})
    async with opened(config, Studio()) as app, async_chromium() as browser:
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


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (2560, 1440)])
async def test_the_paper_is_as_high_as_a_large_window_lets_it(
    window: BrowserContext, width: int, height: int
) -> None:
    page = await entered(window)
    await page.set_viewport_size({"width": width, "height": height})
    paper = await page.locator("#paper").bounding_box()
    form = await page.locator("#form-sketch").bounding_box()
    assert paper is not None and form is not None
    assert form["y"] - (paper["y"] + paper["height"]) < 100  # for what is told below a result


@pytest.mark.parametrize(("width", "height"), [(640, 360), (667, 375), (844, 390)])
async def test_a_phone_on_its_side_shows_the_whole_paper_and_how_a_job_goes(
    window: BrowserContext, studio: Studio, width: int, height: int
) -> None:
    studio.gate.clear()
    page = await entered(window)
    await page.set_viewport_size({"width": width, "height": height})
    assert await page.evaluate(HIDDEN, ["#paper"]) == []
    await page.get_by_role("tab", name="Imagine").click()
    await page.locator("#form-imagine textarea").fill("a fox")
    await page.locator("#form-imagine .go").click()
    cancel = "#imagine .cancel"
    await expect(page.locator(cancel)).to_be_visible()
    await page.wait_for_function(f"selectors => !({HIDDEN})(selectors).length", arg=[cancel])
    told = await page.locator("#imagine .status").bounding_box()
    assert told is not None and told["width"] > 400


async def test_nothing_is_where_a_phone_on_its_side_has_its_camera(
    window: BrowserContext,
) -> None:
    page = await entered(window, "/#imagine")
    await page.locator("#form-imagine textarea").fill("a fox")
    await page.locator("#form-imagine .go").click()
    await expect_state(page, "imagine", "done")
    await page.set_viewport_size({"width": 844, "height": 390})
    session = await window.new_cdp_session(page)
    insets = {"insets": {"left": 47, "right": 47}}
    await session.send("Emulation.setSafeAreaInsetsOverride", insets)
    await page.get_by_role("tab", name="Gallery").click()
    for selector in (".card", ".brand", "#theme"):
        box = await page.locator(selector).bounding_box()
        assert box is not None and box["x"] >= 47 and box["x"] + box["width"] <= 844 - 47


async def test_an_address_that_leads_to_a_tab_leaves_the_tabs_in_view(
    window: BrowserContext,
) -> None:
    page = await window.new_page()
    await page.set_viewport_size({"width": 1000, "height": 500})
    await page.goto("/#draw")
    await page.wait_for_selector(READY, state="attached")
    await page.evaluate("new Promise(requestAnimationFrame)")
    assert await page.evaluate("scrollY") == 0


@pytest.mark.parametrize(("width", "height"), [(320, 568), (344, 882), (390, 844)])
async def test_on_a_phone_there_are_colours_to_choose(
    window: BrowserContext, width: int, height: int
) -> None:
    page = await entered(window)
    await page.set_viewport_size({"width": width, "height": height})
    colours = await page.locator("#colours").bounding_box()
    assert colours is not None and colours["width"] > 140
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_on_a_small_phone_a_result_is_shown_from_its_top_and_whole_when_it_was_veiled(
    window: BrowserContext,
) -> None:
    async def veil(route: Route) -> None:
        told = await (await window.request.get("/v1/jobs")).json()
        told["jobs"][0]["results"][0] |= {"sensitive": True, "width": 1024, "height": 1024}
        await route.fulfill(json=told)

    await window.route("**/v1/jobs", veil)  # as the classifier would have it
    page = await entered(window, "/#imagine")
    await page.set_viewport_size({"width": 360, "height": 640})
    await page.locator("#form-imagine textarea").fill("a fox")
    await page.locator("#form-imagine .go").click()
    await expect_state(page, "imagine", "done")
    await page.get_by_role("button", name="Show it large").click()
    await expect(page.get_by_role("heading", name="a fox")).to_be_focused()
    assert await page.locator("#viewer").evaluate("viewer => viewer.scrollTop") == 0
    await page.get_by_role("button", name="Close").click()
    await page.get_by_role("tab", name="Gallery").click()
    await page.locator(".card").click()
    await page.get_by_role("button", name="Show what may be sensitive").click()
    shown = await page.locator("#viewer img").bounding_box()
    assert shown is not None and (shown["x"], shown["width"]) == (0, 360)


@pytest.mark.parametrize(("width", "height"), [(320, 568), (1024, 768)])
async def test_a_channel_with_a_long_name_fits(
    window: BrowserContext, width: int, height: int
) -> None:
    async def answer(route: Route) -> None:
        told = await (await window.request.get("/v1/options")).json()
        link = {"channel": "a_long_name_" * 8, "expires": time.time() + 600}
        await route.fulfill(json={**told, "link": link})

    await window.route("**/v1/options", answer)  # as a link would have it
    page = await entered(window, "/draw/link")
    await page.set_viewport_size({"width": width, "height": height})
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    prompt = await page.locator("#form-sketch textarea").bounding_box()
    assert prompt is not None and prompt["width"] > 200


async def test_of_a_long_arabic_prompt_the_beginning_and_the_picture_are_shown(
    window: BrowserContext,
) -> None:
    page = await entered(window, "/#imagine")
    await page.locator("#form-imagine textarea").fill("ثعلب أحمر في الثلج! " * 40)
    await page.locator("#form-imagine .go").click()
    await expect_state(page, "imagine", "done")
    await page.get_by_role("tab", name="Gallery").click()
    caption = page.locator(".caption")
    begins = """(caption) => {
      const range = new Range();
      range.setStart(caption.firstChild, 0);
      range.setEnd(caption.firstChild, 1);
      return caption.getBoundingClientRect().right - range.getBoundingClientRect().right;
    }"""
    assert 0 <= await caption.evaluate(begins) < 20
    await caption.click()
    viewer, shown = page.locator("#viewer"), page.locator("#viewer img")
    await expect(page.get_by_role("definition").first).to_be_visible()
    top = "element => element.getBoundingClientRect().top"
    assert await shown.evaluate(top) - await viewer.evaluate(top) < 20
