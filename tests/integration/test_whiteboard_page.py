"""What the page of a link says: while it is good, after it was used, and when it has expired."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from bot.app import App
from bot.config import Config
from bot.jobs.job import new_job_id
from bot.jobs.links import Links, read_key
from pipelines.contract.requests import SketchRequest
from tests.browser import MARKS, async_chromium
from tests.integration.shown import invited
from tests.loopback import LoopbackDiscord, Member
from tests.loopback.runner import Studio
from tests.web.serving import web_config
from tests.web.windows import picture

pytestmark = MARKS

POSTED = "() => 'atelier.posted' in localStorage"
FITS = "document.documentElement.scrollHeight <= innerHeight"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return web_config(tmp_path)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_chromium() as browser:
        yield browser


async def test_each_page_of_a_used_link_says_what_became_of_it(
    server: LoopbackDiscord, ada: Member, app: App, browser: Browser
) -> None:
    link, _ = await invited(server, ada)
    first, second = [await opened(app, browser, link) for _ in range(2)]
    assert await first.evaluate(FITS)
    await draw(first)
    await draw(second)
    await send(first)
    await first.wait_for_function(POSTED)
    await first.reload()
    await painted(first, "Sent.")
    await expect(first.locator("#paper")).to_be_hidden()

    await second.get_by_role("button", name="Paint for #pictures").click()
    await painted(second, "used already. Your drawing is kept")
    new, _ = await invited(server, ada)
    await second.goto(f"{app.studio}draw/{new}")
    await expect(second.locator("#clear")).to_be_enabled()  # with what was drawn there


@pytest.mark.parametrize("is_emptied", [False, True])
async def test_the_page_shows_all_that_the_command_said_and_sends_all_that_it_shows(
    server: LoopbackDiscord,
    ada: Member,
    app: App,
    studio: Studio,
    browser: Browser,
    is_emptied: bool,
) -> None:
    link, _ = await invited(server, ada, prompt="a fox", strength=40, seed=7)
    page = await opened(app, browser, link)
    prompt, seed = page.locator("#form-sketch textarea"), page.get_by_role("textbox", name="Seed")
    await expect(prompt).to_have_value("a fox")
    await expect(seed).to_have_value("7")
    if is_emptied:
        await prompt.fill("")
        await seed.fill("")
    await draw(page)
    await send(page)
    [run] = studio.runs
    assert isinstance(run, SketchRequest)
    assert (run.prompt, run.strength) == ("" if is_emptied else "a fox", 40)
    assert (run.seed == 7) is not is_emptied


async def test_no_key_changes_a_drawing_that_was_sent(
    server: LoopbackDiscord, ada: Member, app: App, browser: Browser
) -> None:
    link, _ = await invited(server, ada)
    page = await opened(app, browser, link)
    await draw(page)
    sent = await picture(page)
    await send(page)
    await page.locator("#paper").focus()
    for key in ("Space", "ArrowRight", "Space", "Control+z"):
        await page.keyboard.press(key)
        assert await picture(page) == sent


async def test_what_is_drawn_while_a_drawing_is_sent_is_kept_for_the_next_link(
    server: LoopbackDiscord, ada: Member, app: App, browser: Browser
) -> None:
    link, _ = await invited(server, ada)
    page = await opened(app, browser, link)

    async def draw_on(route: Route) -> None:
        await page.locator("#paper").click(position={"x": 30, "y": 30})
        await route.continue_()

    await page.route("**/v1/sketch", draw_on)
    await draw(page)
    await send(page)
    await page.reload()
    await painted(page, "Your drawing is kept")
    new, _ = await invited(server, ada)
    await page.goto(f"{app.studio}draw/{new}")
    await expect(page.locator("#clear")).to_be_enabled()


async def test_a_result_that_was_deleted_in_the_channel_was_posted_all_the_same(
    server: LoopbackDiscord, ada: Member, app: App, browser: Browser
) -> None:
    link, _ = await invited(server, ada)
    page = await opened(app, browser, link)
    await draw(page)
    await send(page)
    [job] = await app.queue.last(ada.user.id, 1)
    await app.queue.erase(job.id)
    await page.reload()
    await expect(page.locator("[data-stage=sketch]")).to_contain_text("It has been deleted")
    await expect(page.locator("#link-banner")).to_contain_text("Sent.")


async def test_a_link_that_runs_out_is_warned_of_and_gives_the_drawing_back(
    server: LoopbackDiscord, ada: Member, app: App, config: Config, browser: Browser
) -> None:
    link, _ = await invited(server, ada)
    page = await opened(app, browser, await ending_soon(app, config, link))
    await expect(page.locator("#link-banner")).to_contain_text("The link ends at")
    await draw(page)
    await expect(page.get_by_role("heading", name="does not work any more")).to_be_visible()
    await expect(page.get_by_role("img", name="Your drawing")).to_be_visible()
    await expect(page.get_by_role("link", name="Save the drawing")).to_be_visible()
    await expect(page.locator("#link-banner")).to_be_hidden()


async def ending_soon(app: App, config: Config, text: str) -> str:
    """A link as another, good for two seconds more."""
    links = Links(app.store.database, read_key(config.storage.folder / "link.key"))
    link = links.read(text)
    ends_at = int(time.time()) + 3
    return await links.make(
        replace(link, job_id=new_job_id(), ends_at=ends_at), await links.kept(link)
    )


async def opened(app: App, browser: Browser, link: str) -> Page:
    """The page of a link, in a browser that knows no other."""
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{app.studio}draw/{link}")
    await expect(page.locator("html[data-ready]")).to_be_attached()
    return page


async def draw(page: Page) -> None:
    await page.locator("#paper").click()
    await expect(page.locator("#clear")).to_be_enabled()


async def send(page: Page) -> None:
    await page.get_by_role("button", name="Paint for #pictures").click()
    await painted(page, "Sent.")


async def painted(page: Page, said: str) -> None:
    await expect(page.locator("[data-stage=sketch] .sheet")).to_have_attribute("data-state", "done")
    await expect(page.locator("#link-banner")).to_contain_text(said)
