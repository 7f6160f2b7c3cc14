"""What draws on the paper of a real browser, beside a mouse on a page that stays as it is."""

import asyncio

from playwright.async_api import BrowserContext, Page, expect

from tests.browser import MARKS
from tests.web.windows import draw, entered, picture

pytestmark = MARKS

HAND_THEN_PEN = """async (hand) => {
  const paper = document.querySelector("#paper");
  const { left, top } = paper.getBoundingClientRect();
  const send = (type, pointerId, pointerType, x, y) => paper.dispatchEvent(new PointerEvent(type, {
    bubbles: true, pointerId, pointerType, button: type === "pointermove" ? -1 : 0, buttons: 1,
    pressure: 0.5, clientX: left + x, clientY: top + y,
  }));
  if (hand) send("pointerdown", 1, "touch", 250, 250);
  await new Promise((done) => setTimeout(done, 300));
  send("pointerdown", 2, "pen", 50, 50);
  for (let x = 50; x < 200; x += 10) send("pointermove", 2, "pen", x, 50);
  send("pointerup", 2, "pen", 200, 50);
  if (hand) send("pointerup", 1, "touch", 250, 250);
}"""
PRESS = """(said) => document.body.dispatchEvent(
  new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...said }),
)"""
DARK_ROWS = """() => {
  const ink = document.querySelector("#ink");
  const { data } = ink.getContext("2d").getImageData(0, 0, ink.width, ink.height);
  const rows = data.findIndex((part, at) => at % 4 === 0 && part < 100) / 4 / ink.width;
  return Math.floor(rows * ink.clientHeight / ink.height);
}"""
"""How far from the top the ink begins, in pixels of the window."""


async def test_a_pen_draws_though_its_hand_came_down_first(window: BrowserContext) -> None:
    page = await entered(window)
    await page.evaluate(HAND_THEN_PEN, True)
    drawn = await picture(page)
    await page.get_by_role("button", name="Undo").click()
    await page.evaluate(HAND_THEN_PEN, False)
    assert await picture(page) == drawn


async def test_a_line_is_where_the_pen_is_though_the_paper_moves(window: BrowserContext) -> None:
    page = await entered(window)
    before = await page.locator("#paper").bounding_box()
    await page.mouse.move(400, 300)
    await page.mouse.down()
    await page.evaluate(
        "() => Object.assign(document.querySelector('#link-banner'),"
        " { hidden: false, textContent: 'The link ends' })"
    )
    for x in range(420, 600, 20):
        await page.mouse.move(x, 150)
    await page.mouse.up()
    after = await page.locator("#paper").bounding_box()
    assert before is not None and after is not None and after["y"] > before["y"] + 20
    assert abs(await page.evaluate(DARK_ROWS) + after["y"] - 150) < 12


async def test_a_line_goes_on_though_the_paper_is_hidden_meanwhile(window: BrowserContext) -> None:
    page = await entered(window)
    await page.mouse.move(400, 300)
    await page.mouse.down()
    await page.mouse.move(450, 300)
    await page.evaluate("location.hash = 'imagine'")
    await expect(page.locator("#paper")).to_be_hidden()
    async with asyncio.timeout(20):  # or it is lost in a line without end
        await page.mouse.move(500, 300)
        await page.mouse.up()
        await page.get_by_role("tab", name="Draw").click()
    await expect(page.locator("#undo")).to_be_enabled()
    await page.keyboard.press("Control+z")
    await expect(page.locator("#undo")).to_be_disabled()


async def test_a_space_that_is_held_puts_the_pen_down_once(window: BrowserContext) -> None:
    page = await entered(window)
    await page.locator("#paper").focus()
    for _ in range(4):  # of which all but the first repeat it
        await page.keyboard.down(" ")
    await expect(page.locator("#announcer")).to_have_text("The pen is down")
    await expect(page.locator("#undo")).to_be_disabled()


async def pressed(page: Page, **said: str | bool) -> None:
    await page.evaluate(PRESS, said)


async def test_keys_are_found_where_letters_are_not_latin(window: BrowserContext) -> None:
    page = await entered(window)
    await draw(page, 100)
    await pressed(page, key="я", code="KeyZ", ctrlKey=True)
    await expect(page.locator("#undo")).to_be_disabled()
    await pressed(page, key="у", code="KeyE")
    await expect(page.get_by_role("radio", name="Eraser")).to_be_checked()


async def test_a_bracket_that_is_typed_with_alt_is_one(window: BrowserContext) -> None:
    page = await entered(window)
    await pressed(page, key="]", code="Digit6", altKey=True)
    await expect(page.locator("#announcer")).to_have_text("Size: 19 pixels")
    await pressed(page, key="e", code="KeyE", altKey=True)  # opens a menu
    await expect(page.get_by_role("radio", name="Brush")).to_be_checked()
