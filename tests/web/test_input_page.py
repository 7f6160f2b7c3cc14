"""What is typed, pasted and dropped in a real browser is not lost, nor taken for something else."""

from playwright.async_api import BrowserContext, Route, expect

from tests.browser import MARKS
from tests.loopback.runner import Studio
from tests.web.windows import draw, entered, picture

pytestmark = MARKS

PASTE = """async () => {
  const data = new DataTransfer();
  const canvas = new OffscreenCanvas(9, 9);
  canvas.getContext("2d").fillRect(0, 0, 9, 9);
  const black = await canvas.convertToBlob();
  data.setData("text/plain", "a fox");
  data.items.add(new File([black], "a.png", { type: "image/png" }));
  const said = { clipboardData: data, bubbles: true, cancelable: true };
  return !document.activeElement.dispatchEvent(new ClipboardEvent("paste", said));
}"""
"""Paste text with a picture beside it, as word processors copy it. Is it taken for a picture?"""
DROP = """async (width) => {
  const data = new DataTransfer();
  if (width) {
    const canvas = new OffscreenCanvas(width, 5000);
    canvas.getContext("2d").fillRect(0, 0, width, 5000);
    data.items.add(new File([await canvas.convertToBlob()], "a.png", { type: "image/png" }));
  } else data.items.add(new File(["%PDF"], "a.pdf", { type: "application/pdf" }));
  const said = { dataTransfer: data, bubbles: true, cancelable: true };
  document.querySelector("#paper").dispatchEvent(new DragEvent("drop", said));
}"""
"""Drop a picture of that width on the paper, or without one a document."""
ENTER = """(keyCode) => {
  const said = { key: "Enter", keyCode, bubbles: true, cancelable: true };
  return !document.activeElement.dispatchEvent(new KeyboardEvent("keydown", said));
}"""


async def test_what_is_drawn_after_a_clearing_is_not_taken_back_for_it(
    window: BrowserContext,
) -> None:
    page = await entered(window)
    undo = page.locator("#toast").get_by_role("button", name="Undo")
    await draw(page, 100)
    drawn = await picture(page)
    await page.get_by_role("button", name="Clear").click()
    await undo.click()
    assert await picture(page) == drawn
    await page.get_by_role("button", name="Clear").click()
    await expect(undo).to_be_visible()
    await draw(page, 200)
    await expect(undo).to_be_hidden()


async def test_text_is_pasted_where_one_types_though_a_picture_is_beside_it(
    window: BrowserContext,
) -> None:
    page = await entered(window)
    await page.locator("#form-sketch textarea").focus()
    assert not await page.evaluate(PASTE)
    await page.locator("#paper").focus()
    await page.keyboard.press("?")
    assert not await page.evaluate(PASTE)  # on the paper behind the dialog
    await page.keyboard.press("Escape")
    assert await page.evaluate(PASTE)
    await expect(page.locator("#clear")).to_be_enabled()


async def test_text_is_dropped_where_one_types(window: BrowserContext) -> None:
    page = await entered(window)
    prompt = page.locator("#form-sketch textarea")
    box = await prompt.bounding_box()
    assert box is not None
    session = await window.new_cdp_session(page)
    items = [{"mimeType": "text/plain", "data": "a fox"}]
    drag = {"data": {"items": items, "dragOperationsMask": 1}, "x": box["x"] + 9, "y": box["y"] + 9}
    for kind in ("dragEnter", "dragOver", "drop"):
        await session.send("Input.dispatchDragEvent", {"type": kind, **drag})
    await expect(prompt).to_have_value("a fox")


async def test_a_picture_as_thin_as_a_hair_lies_below_the_line_that_is_drawn(
    window: BrowserContext,
) -> None:
    page = await entered(window)
    box = await page.locator("#paper").bounding_box()
    assert box is not None
    middle, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await page.mouse.move(middle - 200, y)
    await page.mouse.down()
    await page.mouse.move(middle + 200, y, steps=20)
    await page.evaluate(DROP, 1)
    await expect(page.locator("#clear")).to_be_enabled()
    await page.mouse.up()
    drawn = await picture(page)
    await page.locator("#undo").click()
    await page.locator("#redo").click()
    assert await picture(page) == drawn


async def test_a_file_that_is_dropped_and_no_picture_is_told_of(window: BrowserContext) -> None:
    page = await entered(window)
    await page.evaluate(DROP, 0)
    await expect(page.locator("#toast")).to_contain_text("cannot be read as a picture")


async def test_the_enter_that_ends_a_composed_word_sends_nothing(
    window: BrowserContext, studio: Studio
) -> None:
    page = await entered(window, "/#imagine")
    await page.locator("#form-imagine textarea").fill("狐")
    assert not await page.evaluate(ENTER, 229)  # as Safari says it
    assert await page.evaluate(ENTER, 13)
    await expect(page.locator("#imagine .result")).to_have_count(1)
    assert len(studio.runs) == 1


async def test_where_there_is_no_paper_no_drawing_is_asked_for(window: BrowserContext) -> None:
    async def answer(route: Route) -> None:
        told = await (await window.request.get("/v1/options")).json()
        await route.fulfill(json={name: value for name, value in told.items() if name != "sketch"})

    await window.route("**/v1/options", answer)  # as where /sketch is not set up
    page = await entered(window, "/#animate")
    await expect(page.locator("#slot-choose")).to_be_visible()
    await expect(page.get_by_role("button", name="Take my drawing")).to_be_hidden()
