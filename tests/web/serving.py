"""The real app with its web server, in this process; Discord is never asked."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from PIL import Image

from bot.app import App
from bot.config import Config, WebConfig
from bot.tokens import TokenBook
from tests.integration.apps import light_config, light_executor
from tests.loopback.runner import Studio


def web_config(folder: Path, *, is_open: bool = False) -> Config:
    url = None if is_open else "https://paint.example"
    web = WebConfig(port=0, open=is_open, url=url)
    return light_config(folder).model_copy(update={"web": web})


def tokens(config: Config) -> TokenBook:
    return TokenBook.in_storage(config.storage.folder)


def drawing(width: int = 64, height: int = 48) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height), 1).save(file, "PNG")
    return file.getvalue()


@asynccontextmanager
async def opened(config: Config, studio: Studio) -> AsyncIterator[App]:
    """The app, its server listening."""
    app = await App.open(config, executors=[light_executor(studio)])
    try:
        await app.listen()
        app.start()
        yield app
    finally:
        studio.gate.set()
        await app.close()


@asynccontextmanager
async def client(app: App, token: str | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody who asks, with a token or without."""
    assert app.studio is not None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(app.studio, headers=headers) as session:
        yield session
