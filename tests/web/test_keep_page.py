"""What a browser keeps of the studio, and what is where it keeps nothing."""

import json
from pathlib import Path

from playwright.async_api import BrowserContext, Page, async_playwright, expect

from benchmarks.page import READY
from bot.app import App
from tests.browser import LAUNCH, MARKS
from tests.web.windows import draw, entered, expect_state, picture

pytestmark = MARKS

KEPT = """async (wanted) => {
  const { keptDrawings } = await import("/static/keep.js");
  for (;;) {
    const kept = await keptDrawings("studio");
    if (String(kept.map(({ marks }) => marks.length)) === String(wanted)) return;
  }
}"""
DAMAGED = """async () => {
  const { keepDrawing } = await import("/static/keep.js");
  const points = new Float32Array(6000 * 3).map(() => 500 * Math.random());
  const marks = [
    { kind: "picture", blob: new Blob(["no picture"]), at: [0, 0] },
    { kind: "stroke", stroke: { colour: "#000000", size: 9, pressed: true, points } },
  ];
  return keepDrawing("studio", { id: 7, at: 1, marks, done: 2, shape: "wide" }, []);
}"""
"""Keep a drawing of a picture that cannot be read, and of more than 64 KiB."""
BLOCK = {"profile": {"default_content_setting_values": {"cookies": 2}}}


async def test_where_site_data_is_blocked_the_studio_works_without(
    own_app: App, tmp_path: Path
) -> None:
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(BLOCK))
    thrown: list[str] = []
    async with async_playwright() as playwright:
        window = await playwright.chromium.launch_persistent_context(tmp_path, **LAUNCH)
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


async def test_what_was_drawn_on_one_page_is_drawn_on_at_another(window: BrowserContext) -> None:
    first, second = await pages(window)
    await draw(second, 100)
    await expect_kept(second, [1])
    await first.bring_to_front()
    await expect(first.locator("#undo")).to_be_enabled()
    assert await picture(first) == await picture(second)
    await draw(first, 200)
    both = await picture(first)
    await expect_kept(first, [2])
    await second.reload()
    await expect(second.locator("#undo")).to_be_enabled()
    assert await picture(second) == both


async def test_of_two_pages_that_are_drawn_on_at_once_neither_loses_its_drawing(
    window: BrowserContext,
) -> None:
    first, second = await pages(window)
    drawn = []
    for page, y in ((first, 100), (second, 200)):
        await draw(page, y)
        drawn.append(await picture(page))
        await expect_kept(page, [1] * len(drawn))
    await first.reload()
    await expect(first.locator("#undo")).to_be_enabled()
    assert await picture(first) == drawn[1]
    for _ in ("the line", "the fresh sheet"):
        await first.locator("#undo").click()
    assert await picture(first) == drawn[0]
    await expect_kept(first, [3])  # as one from now on


async def test_a_line_under_the_pen_stays_whole_when_another_page_is_caught_up_with(
    window: BrowserContext,
) -> None:
    first, second = await pages(window)
    await draw(second, 100)
    await expect_kept(second, [1])
    await first.mouse.move(400, 300)
    await first.mouse.down()
    await first.mouse.move(500, 320, steps=3)
    await first.bring_to_front()
    await expect(first.locator("#undo")).to_be_enabled()
    await first.mouse.move(600, 300, steps=3)
    await first.mouse.up()
    both = await picture(first)
    await expect_kept(first, [2])
    await first.reload()
    await expect(first.locator("#undo")).to_be_enabled()
    assert await picture(first) == both


async def test_a_long_drawing_with_a_picture_that_cannot_be_read_keeps_nobody_out(
    window: BrowserContext,
) -> None:
    page = await entered(window)
    assert await page.evaluate(DAMAGED)
    page = await entered(window)
    await expect(page.locator("#undo")).to_be_enabled()
    await draw(page, 100)
    await expect_kept(page, [3])


async def test_what_is_drawn_after_the_browser_closed_its_database_is_kept(
    window: BrowserContext,
) -> None:
    page = await entered(window)
    await draw(page, 100)
    await expect_kept(page, [1])
    session = await window.new_cdp_session(page)
    origin = {"origin": await page.evaluate("location.origin"), "storageTypes": "indexeddb"}
    await session.send("Storage.clearDataForOrigin", origin)
    await draw(page, 200)
    await expect_kept(page, [2])


async def pages(window: BrowserContext) -> tuple[Page, Page]:
    """Two, of which the second is in front."""
    first, second = [await entered(window) for _ in range(2)]
    session = await window.new_cdp_session(first)  # or Playwright would have it believe that it is
    await session.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    return first, second


async def expect_kept(page: Page, marks: list[int]) -> None:
    """Wait until drawings of so many marks are kept."""
    await page.evaluate(KEPT, marks)
