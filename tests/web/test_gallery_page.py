"""The gallery in a real browser: page after page, and what becomes of it when something ends."""

import asyncio

import pytest
from playwright.async_api import BrowserContext, Locator, Page, Route, expect

from bot.app import App
from bot.jobs.job import Job
from bot.tokens import LOCAL
from bot.web import api
from pipelines.contract.requests import ImagineRequest
from tests.browser import MARKS
from tests.loopback.runner import Studio
from tests.web.windows import entered

pytestmark = MARKS


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PAGE", 3)


async def made(app: App, count: int) -> list[Job]:
    """Jobs that have ended, the oldest first."""
    assert app.web is not None
    return [await app.web.watching.ended((await asked(app, n)).id) for n in range(1, count + 1)]


async def asked(app: App, seed: int) -> Job:
    request = ImagineRequest(prompt=f"fox {seed}", seed=seed)
    return await app.queue.submit(request, owner=LOCAL, origin={"locale": "en"})


async def gallery(window: BrowserContext, pages: int) -> Page:
    """The gallery, so many pages of it."""
    page = await entered(window, "/#gallery")
    for number in range(1, pages + 1):
        await expect(cards(page)).to_have_count(3 * number)
        if number < pages:
            await page.get_by_role("button", name="Show more").click()
    return page


def cards(page: Page) -> Locator:
    return page.locator("button.card")


async def said(page: Page) -> list[str]:
    return await cards(page).all_inner_texts()


async def delete(page: Page, prompt: str) -> None:
    await cards(page).filter(has_text=prompt).click()
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("button", name="Delete for good?").click()
    await expect(cards(page).filter(has_text=prompt)).to_have_count(0)


async def test_each_press_shows_more_once(window: BrowserContext, own_app: App) -> None:
    await made(own_app, 8)
    page = await gallery(window, 1)
    pressed = asyncio.Event()

    async def answer_late(route: Route) -> None:
        await pressed.wait()
        await route.continue_()

    await page.route("**/v1/jobs?cursor=*", answer_late)
    await page.get_by_role("button", name="Show more").dblclick()
    pressed.set()
    await expect(cards(page).filter(has_text="fox 3")).to_be_visible()
    await page.get_by_role("button", name="Show more").click()
    await expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    assert await said(page) == [f"fox {n}" for n in range(8, 0, -1)]


async def test_a_screen_reader_says_once_what_a_card_shows(
    window: BrowserContext, own_app: App
) -> None:
    await made(own_app, 1)
    page = await entered(window, "/#gallery")
    await expect(page.get_by_role("button", name="fox 1", exact=True)).to_be_visible()


async def test_what_is_deleted_leaves_all_else_where_it_is(
    window: BrowserContext, own_app: App
) -> None:
    await made(own_app, 7)
    page = await gallery(window, 2)
    await delete(page, "fox 4")
    await expect(cards(page).filter(has_text="fox 3")).to_be_focused()
    assert await said(page) == ["fox 7", "fox 6", "fox 5", "fox 3", "fox 2"]
    await delete(page, "fox 2")
    await expect(cards(page).filter(has_text="fox 3")).to_be_focused()


async def test_what_is_deleted_is_no_picture_to_animate_any_more(
    window: BrowserContext, own_app: App
) -> None:
    await made(own_app, 2)
    page = await entered(window, "/#gallery")
    await cards(page).filter(has_text="fox 1").click()
    await page.get_by_role("button", name="Animate").click()
    for prompt, is_chosen in (("fox 2", True), ("fox 1", False)):
        await page.get_by_role("tab", name="Gallery").click()
        await delete(page, prompt)
        await page.get_by_role("tab", name="Animate").click()
        await expect(page.locator("#slot .chosen")).to_be_visible(visible=is_chosen)


async def test_nothing_is_said_to_be_there_only_where_nothing_is(
    window: BrowserContext, own_app: App
) -> None:
    jobs = await made(own_app, 5)
    for job in jobs[1:]:
        await own_app.queue.erase(job.id)
    page = await entered(window, "/#gallery")
    await expect(cards(page)).to_have_text(["fox 1"])
    await expect(page.locator("#grid-empty")).to_be_hidden()
    await delete(page, "fox 1")
    await expect(page.locator("#grid-empty")).to_be_visible()
    await expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    await expect(page.get_by_role("tab", name="Gallery")).to_be_focused()


async def test_a_job_that_ends_is_shown_in_its_place(
    window: BrowserContext, own_app: App, studio: Studio
) -> None:
    await made(own_app, 5)
    page = await entered(window)
    studio.gate.clear()
    await page.get_by_role("tab", name="Imagine").click()
    await page.get_by_role("textbox", name="Prompt").fill("a hen")
    await page.get_by_role("button", name="Paint", exact=True).click()
    await expect(page.locator("#imagine .cancel")).to_be_visible()
    await page.get_by_role("tab", name="Gallery").click()
    await expect(page.locator(".unfinished")).to_have_count(1)
    await page.get_by_role("button", name="Show more").click()
    await expect(cards(page).filter(has_text="fox 1")).to_be_visible()
    studio.gate.set()
    await expect(page.locator(".unfinished")).to_have_count(0)
    assert await said(page) == ["a hen", *(f"fox {n}" for n in range(5, 0, -1))]
