"""Where a job is followed, in a real browser: what can be done once it has ended."""

import pytest
from playwright.async_api import BrowserContext, Page, expect

from benchmarks.page import READY
from pipelines.contract.errors import RenderFailed
from pipelines.contract.requests import Request
from pipelines.contract.runner import Artifacts
from tests.browser import MARKS
from tests.loopback import runner
from tests.loopback.runner import Studio
from tests.web.windows import entered, expect_state

pytestmark = MARKS


async def imagine(page: Page, prompt: str) -> None:
    await page.get_by_role("tab", name="Imagine").click()
    await page.get_by_role("textbox", name="Prompt").fill(prompt)
    await page.get_by_role("button", name="Paint", exact=True).click()


async def cut_off(window: BrowserContext, studio: Studio) -> Page:
    """A page that follows a job, and can no longer ask about it."""
    studio.gate.clear()
    page = await entered(window)
    await imagine(page, "a fox")
    await expect_state(page, "imagine", "running")
    await window.route("**/v1/jobs/*", lambda route: route.abort())
    return page


def broken(_: Request) -> Artifacts:
    raise RenderFailed("This could not be painted.")


@pytest.mark.parametrize("size", [(1280, 800), (375, 812)])
async def test_what_failed_is_tried_again(
    window: BrowserContext,
    studio: Studio,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
) -> None:
    page = await entered(window)
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    with monkeypatch.context() as failing:
        failing.setattr(runner, "paint", broken)
        await imagine(page, "a fox")
        await expect_state(page, "imagine", "failed")
    await page.get_by_role("button", name="Try again").click()
    await expect_state(page, "imagine", "done")
    assert [run.prompt for run in studio.runs] == ["a fox", "a fox"]


async def test_what_was_to_be_enlarged_is_enlarged_when_it_is_tried_again(
    window: BrowserContext, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = await entered(window)
    await imagine(page, "a fox")
    await expect_state(page, "imagine", "done")
    with monkeypatch.context() as failing:
        failing.setattr(runner, "paint", broken)
        await page.get_by_role("button", name="Enlarge ×2").click()
        await expect_state(page, "imagine", "failed")
    await page.get_by_role("textbox", name="Prompt").fill("something else")
    await page.get_by_role("button", name="Try again").click()
    await expect_state(page, "imagine", "done")
    assert [run.kind for run in studio.runs] == ["imagine", "upscale", "upscale"]


async def test_a_page_that_knows_not_what_was_to_be_enlarged_does_not_offer_to(
    window: BrowserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = await entered(window)
    await imagine(page, "a fox")
    await expect_state(page, "imagine", "done")
    monkeypatch.setattr(runner, "paint", broken)
    await page.get_by_role("button", name="Enlarge ×2").click()
    await expect_state(page, "imagine", "failed")
    await page.reload()
    await expect_state(page, "imagine", "failed")
    await expect(page.get_by_role("button", name="Try again")).to_be_hidden()


async def test_what_was_deleted_leaves_its_stage(window: BrowserContext) -> None:
    page = await entered(window)
    await imagine(page, "a fox")
    await expect_state(page, "imagine", "done")
    await page.get_by_role("button", name="Show it large").click()
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("button", name="Delete for good?").click()
    await expect_state(page, "imagine", "idle")
    await expect(page.get_by_role("button", name="Paint", exact=True)).to_be_focused()
    await expect(page.locator("#imagine .action")).to_have_count(0)
    await expect(page.locator("#imagine .told")).to_have_text("")
    async with page.expect_response("**/v1/jobs/*"):
        await page.reload()
    await page.evaluate("fetch('/health').then((answer) => answer.text())")  # which comes after it
    await expect_state(page, "imagine", "idle")


async def test_a_cancel_that_does_not_arrive_is_told_of(
    window: BrowserContext, studio: Studio
) -> None:
    page = await cut_off(window, studio)
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#toast")).to_contain_text("The studio does not answer.")


async def test_a_job_is_not_forgotten_where_a_page_cannot_ask_for_it(
    window: BrowserContext, studio: Studio
) -> None:
    page = await cut_off(window, studio)
    async with page.expect_event("requestfailed", lambda request: "/v1/jobs/" in request.url):
        await page.reload()
    await page.wait_for_selector(READY, state="attached")
    await window.unroute_all()
    await page.reload()
    await expect_state(page, "imagine", "running")
