"""The app with its web server, and a token's holder who asks it."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bot.app import App
from bot.config import Config
from tests.loopback.fixtures import studio
from tests.loopback.runner import Studio
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
