"""`python -m tests.screenshots`: README's pictures of the channel and of the studio, made anew."""

import io
import math
from itertools import pairwise
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FloatRect, ViewportSize, expect

from tests.browser import Demo, chromium, results, running_demo
from tests.web.pages import draw, expect_done, opened, sheet

IMAGES = Path(__file__).parents[1] / "docs" / "images"
CHANNEL = ViewportSize(width=584, height=2200)
WISH = "yellow on a purple background"


def channel(browser: Browser, demo: Demo) -> bytes:
    """The results of the demo's three commands."""
    page = browser.new_page(viewport=CHANNEL)
    page.goto(demo.channel)
    expect(results(page)).to_have_count(3)
    page.wait_for_function(
        "() => [...document.querySelectorAll('video')].every(v => v.readyState > 1)"
    )
    shown = results(page)
    first, last = (shown.nth(at).bounding_box() for at in (0, 2))
    assert first is not None and last is not None
    clip = FloatRect(
        x=first["x"],
        y=first["y"],
        width=first["width"],
        height=last["y"] + last["height"] - first["y"],
    )
    taken = page.screenshot(clip=clip)
    page.close()
    return taken


def studio(browser: Browser, demo: Demo) -> bytes:
    """A heart on the whiteboard, and what was painted of it."""
    with opened(browser, demo.studio, color_scheme="light") as page:
        draw(page)
        page.get_by_placeholder("What should it become?").fill(WISH)
        page.locator(".chip", has_text="watercolour").click()
        page.locator("#sketch-seed").fill("4")
        page.get_by_role("button", name="Paint").click()
        expect_done(page, "sketch")
        expect(sheet(page, "sketch").get_by_role("img")).to_have_js_property("complete", True)
        return page.screenshot()


def phone(browser: Browser, demo: Demo) -> bytes:
    """A star on the whiteboard of a phone, in the dark."""
    with opened(browser, demo.studio, phone=True, color_scheme="dark") as page:
        box = page.locator("#paper").bounding_box()
        assert box is not None
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        corners = [_corner(middle, box["width"] * 0.36, 2 * step) for step in range(6)]
        draw(page, [at for pair in pairwise(corners) for at in _line(*pair)])
        return page.screenshot()


def _corner(middle: tuple[float, float], radius: float, fifths: int) -> tuple[float, float]:
    angle = math.tau * fifths / 5
    return middle[0] + radius * math.sin(angle), middle[1] - radius * math.cos(angle)


def _line(a: tuple[float, float], b: tuple[float, float]) -> list[tuple[float, float]]:
    return [(a[0] + (b[0] - a[0]) * t / 8, a[1] + (b[1] - a[1]) * t / 8) for t in range(9)]


def main() -> None:
    """Make them all."""
    with running_demo() as demo, chromium() as browser:
        for name, take in (("channel", channel), ("studio", studio), ("studio-phone", phone)):
            path = IMAGES / f"{name}.webp"
            Image.open(io.BytesIO(take(browser, demo))).convert("RGB").save(path, quality=80)


if __name__ == "__main__":
    main()
