"""The demo's page in a real browser: a person types, uploads, clicks and plays."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.sample import draw_sample
from tests.browser import MARKS, PATIENCE, Demo, choose_command, results, send

pytestmark = MARKS


@pytest.fixture
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.goto(demo.channel)
    expect(results(page).first).to_be_visible()
    yield page
    page.close()


def test_opens_on_the_results_of_the_three_commands(page: Page) -> None:
    for command in ("/sketch", "/imagine", "/animate"):
        expect(results(page).filter(has_text=command).first).to_be_visible()


def test_the_video_plays(page: Page) -> None:
    video = page.locator("video").first
    # The page may load its media anew while it opens, which interrupts a play().
    page.wait_for_function(
        """() => {
            const video = document.querySelector("video");
            video.muted = true;
            if (video.paused) video.play().catch(() => {});
            return video.currentTime > 0.2;
        }"""
    )
    size = video.evaluate("video => [video.videoWidth, video.videoHeight]")
    assert size == [256, 256]


def test_a_typed_prompt_becomes_a_picture_and_again_another(page: Page) -> None:
    choose_command(page, "imagine")
    page.get_by_label("prompt, required").fill("a green heart")
    send(page)
    hearts = results(page).filter(has_text="a green heart")
    expect(hearts).to_have_count(1)
    expect(hearts.locator("img").first).to_be_visible()

    hearts.get_by_role("button", name="Again").click()
    expect(hearts).to_have_count(2)
    seeds = [re.findall(r"seed (\d+)", text) for text in hearts.all_inner_texts()]
    assert seeds[0] != seeds[1]

    # Its buttons move down when the picture comes, from under a click.
    expect(hearts.last.locator("img").first).to_have_js_property("naturalHeight", 256)
    hearts.last.get_by_role("button", name="Delete").click()
    expect(hearts).to_have_count(1)


def test_an_uploaded_drawing_becomes_a_picture(page: Page, tmp_path: Path) -> None:
    drawing = tmp_path / "my heart.png"
    draw_sample().save(drawing)
    sketches = results(page).filter(has_text="/sketch")
    before = sketches.count()

    choose_command(page, "sketch")
    page.get_by_role("option", name="drawing").click()
    page.get_by_label("drawing attachment").set_input_files(drawing)
    send(page)

    expect(sketches).to_have_count(before + 1)
    expect(sketches.last).to_contain_text("caption")
