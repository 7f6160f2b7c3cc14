"""From the channel to the whiteboard, and back to the channel."""

import re

from playwright.sync_api import Browser, Page, expect

from tests.browser import MARKS, PATIENCE, Demo, choose_command, results, send
from tests.web.pages import draw, expect_done, ink, opened, reload

pytestmark = MARKS


def test_a_drawing_made_in_the_browser_comes_to_the_channel(browser: Browser, demo: Demo) -> None:
    channel = browser.new_page()
    channel.set_default_timeout(PATIENCE)
    channel.goto(demo.channel)
    sketches = results(channel).filter(has_text="/sketch")
    expect(sketches.first).to_be_visible()
    before = sketches.count()

    link = _ask_for_link(channel)
    with opened(browser, link) as page:
        expect(page.locator("#link-banner")).to_contain_text("#pictures")
        expect(page.get_by_role("tablist")).to_be_hidden()
        draw(page)
        reload(page)
        assert ink(page) > 5000
        page.get_by_role("button", name="Paint for #pictures").click()
        expect(page.locator("#link-banner")).to_contain_text("Sent.")
        expect_done(page, "sketch")
        expect(page.get_by_role("button", name="Download")).to_be_visible()

        reload(page)  # the link was used: what it came to is all that there is
        expect_done(page, "sketch")
        expect(page.get_by_role("button", name="Paint for #pictures")).to_be_hidden()

    expect(sketches).to_have_count(before + 1)
    channel.close()


def _ask_for_link(channel: Page) -> str:
    choose_command(channel, "sketch")
    send(channel)
    link = channel.get_by_role("link", name=re.compile("Draw")).last
    expect(link).to_be_visible()
    return link.get_attribute("href") or ""
