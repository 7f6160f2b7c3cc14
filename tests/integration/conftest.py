"""The real app in this process, an unmodified discord.py in it, and a Discord of our own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.app import App
from bot.config import Config
from tests.integration.apps import Heard, light_config, serving
from tests.loopback import LoopbackDiscord
from tests.loopback.fixtures import ada, server, studio
from tests.loopback.runner import Studio

__all__ = ["ada", "server", "studio"]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return light_config(tmp_path)


@pytest.fixture
async def app(server: LoopbackDiscord, config: Config, studio: Studio) -> AsyncIterator[App]:
    async with serving(server, config, studio) as app:
        yield app


@pytest.fixture
def heard(app: App) -> Heard:
    return Heard(app.events)
