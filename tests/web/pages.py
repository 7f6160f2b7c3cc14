"""What a person does on the page, and what can be seen of it."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from benchmarks.page import READY

PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=800)

PROBES = Path(__file__).parent / "probes.js"

Scheme = Literal["dark", "light"]


@contextmanager
def opened(
    browser: Browser, url: str, *, phone: bool = False, complaints: int = 0, **options: Any
) -> Iterator[Page]:
    """The page in a browser of its own; at the end, nothing but `complaints` is on its console."""
    context = browser.new_context(
        viewport=PHONE if phone else DESKTOP, has_touch=phone, is_mobile=phone, **options
    )
    context.add_init_script(path=PROBES)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if _is_bad(message) else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url)
    page.wait_for_selector(READY, state="attached")
    yield page
    context.close()
    assert len(said) == complaints, said


def _is_bad(message: Any) -> bool:
    """A preview may be gone, its job done, before the page comes to ask for it."""
    return message.type in ("error", "warning") and "/preview?" not in message.location["url"]


def reload(page: Page) -> None:
    page.reload()
    page.wait_for_selector(READY, state="attached")


def heart(page: Page) -> list[tuple[float, float]]:
    """Where a pointer goes to draw a heart on the paper."""
    box = page.locator("#paper").bounding_box()
    assert box is not None
    unit = box["width"] / 42
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.47)
    turns = [0.1 + 6.1 * step / 40 for step in range(41)]
    return [
        (
            middle[0] + unit * 16 * math.sin(a) ** 3,
            middle[1] - unit * (13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a)),
        )
        for a in turns
    ]


def draw(page: Page, points: Sequence[tuple[float, float]] | None = None) -> None:
    """Draw with the mouse, a heart unless told otherwise."""
    first, *others = points or heart(page)
    page.mouse.move(*first)
    page.mouse.down()
    for point in others:
        page.mouse.move(*point)
    page.mouse.up()
    page.mouse.move(5, 5)


def touch(page: Page, points: Sequence[tuple[float, float]]) -> None:
    """Draw with a finger."""
    session = page.context.new_cdp_session(page)
    for at, (x, y) in enumerate(points):
        kind = "touchMove" if at else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def press_pen(page: Page, points: Sequence[tuple[float, float]], force: float) -> None:
    """Draw with a pen that is pressed so hard, from 0 to 1."""
    session = page.context.new_cdp_session(page)
    pen = {"pointerType": "pen", "button": "left", "buttons": 1, "force": force, "clickCount": 1}
    kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 2), "mouseReleased"]
    for kind, (x, y) in zip(kinds, points, strict=True):
        session.send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **pen})


def ink(page: Page) -> int:
    """How many pixels of the paper are drawn upon."""
    count: int = page.evaluate("probes.ink()")
    return count


def picture(page: Page) -> str:
    """All pixels of the paper."""
    data: str = page.evaluate("() => document.querySelector('#ink').toDataURL()")
    return data


def sheet(page: Page, kind: str) -> Locator:
    """Where jobs of a kind are followed."""
    return page.locator(f"[data-stage={kind}] .sheet")


def expect_done(page: Page, kind: str) -> None:
    expect(sheet(page, kind)).to_have_attribute("data-state", "done")


def wide_as_painted(locator: Locator) -> int:
    """How many pixels wide the picture is that an <img> shows, once it does."""
    expect(locator).not_to_have_js_property("naturalWidth", 0)  # as before it has an address
    width: int = locator.evaluate("image => image.naturalWidth")
    return width
