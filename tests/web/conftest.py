"""The app with its web server, and a token's holder who asks it."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import BrowserContext

from bot.app import App
from bot.config import Config
from tests.browser import async_chromium
from tests.loopback.fixtures import studio
from tests.loopback.runner import Studio
from tests.web.pages import DESKTOP
from tests.web.serving import client, opened, tokens, web_config

__all__ = ["studio"]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return web_config(tmp_path)


@pytest.fixture
async def app(config: Config, studio: Studio) -> AsyncIterator[App]:
    async with opened(config, studio) as app:
        yield app


@pytest.fixture
async def ada(app: App, config: Config) -> AsyncIterator[aiohttp.ClientSession]:
    async with client(app, tokens(config).add("ada")) as session:
        yield session


@pytest.fixture
async def own_app(tmp_path: Path, studio: Studio) -> AsyncIterator[App]:
    """The app where whoever uses the machine needs no token."""
    async with opened(web_config(tmp_path, is_open=True), studio) as app:
        yield app


@pytest.fixture
async def window(own_app: App) -> AsyncIterator[BrowserContext]:
    """A browser that looks at it; at the end, no page of it has thrown anything."""
    thrown: list[str] = []
    async with async_chromium() as browser:
        context = await browser.new_context(base_url=own_app.studio, viewport=DESKTOP)
        context.on("weberror", lambda error: thrown.append(str(error.error)))
        yield context
    assert thrown == []
