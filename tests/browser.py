"""A real Chromium, and the demo that it looks at: one demo for all tests."""

import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser as AsyncBrowser
from playwright.async_api import async_playwright
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
PATIENCE = 60_000.0  # milliseconds, for a slow machine; nothing waits longer than it must
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

LAUNCH: dict[str, Any] = {
    "executable_path": CHROMIUM,
    "args": ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
}
"""How Playwright is to launch it."""

expect.set_options(timeout=PATIENCE)

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="Chromium is not installed: `apt-get install chromium`, then `pytest -m browser`",
    ),
]


@dataclass(frozen=True, slots=True)
class Demo:
    """Where the running demo is: its channel, and the studio beside it."""

    channel: str
    studio: str


@contextmanager
def running_demo() -> Iterator[Demo]:
    """The demo in a process of its own, its three commands performed."""
    with subprocess.Popen(
        [sys.executable, "-m", "demo", "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = (re.search(r"http://127\.0\.0\.1:\d+/\S*", line) for line in process.stdout)
        addresses = (each.group() for each in found if each)
        yield Demo(channel=next(addresses), studio=next(addresses))
        process.terminate()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**LAUNCH)
        yield browser
        browser.close()


@asynccontextmanager
async def async_chromium() -> AsyncIterator[AsyncBrowser]:
    """The same, for who looks at what runs on their own event loop."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**LAUNCH)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture(scope="module")  # no longer: Playwright's event loop is in the way of others
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


# --- what a person does in the channel ---------------------------------------------------------


def results(page: Page) -> Locator:
    """The messages in the channel that hold a finished result."""
    return page.locator("[data-message-id]").filter(has=page.get_by_role("button", name="Again"))


def choose_command(page: Page, name: str) -> None:
    page.get_by_role("textbox", name="Message").click()
    page.keyboard.type(f"/{name}")
    expect(page.get_by_role("option", name=f"/{name}")).to_be_visible()
    page.keyboard.press("Enter")


def send(page: Page) -> None:
    """Press Send; once more where the page ignored it because it was being drawn anew."""
    for _ in range(3):
        page.get_by_role("button", name="Send", exact=True).click()
        try:
            return expect(page.get_by_role("textbox", name="Message")).to_be_visible(timeout=10_000)
        except AssertionError:
            continue
    raise AssertionError("the page takes no command")
