"""Opens the real app in this process, for as long as a test needs it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from bot.app import App
from bot.config import Config, GpuConfig, LimitsConfig, StorageConfig
from bot.executors.thread import ThreadExecutor
from bot.jobs.events import Event, Events
from bot.jobs.executor import Executor
from pipelines.catalog import (
    AnimateModel,
    CaptionModel,
    Catalog,
    ImagineModel,
    SketchModel,
    UpscaleModel,
)
from tests.loopback import LoopbackDiscord
from tests.loopback.runner import LightRunner, Studio

E = TypeVar("E", bound=Event)
NOWHERE = "./no-models-are-needed"


def light_catalog() -> Catalog:
    """Names every model, so that every command is set up; a LightRunner loads none."""
    return Catalog(
        caption=CaptionModel(source=NOWHERE),
        sketch=SketchModel(source=NOWHERE),
        imagine=ImagineModel(source=NOWHERE),
        animate=AnimateModel(source=NOWHERE),
        upscale=UpscaleModel(source=NOWHERE),
    )


def light_config(folder: Path, limits: LimitsConfig | None = None) -> Config:
    return Config(
        storage=StorageConfig(folder=folder / "data"),
        limits=limits or LimitsConfig(),
        gpu=GpuConfig(preload=False),
        models=light_catalog(),
    )


def light_executor(studio: Studio) -> Executor:
    """The real thread, with a LightRunner in it."""
    return ThreadExecutor(lambda: LightRunner(studio), preload=False)


class Heard:
    """What the app published, and waiting for what it has yet to publish."""

    def __init__(self, events: Events) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()
        events.subscribe(self._hear)

    async def of(self, kind: type[E], *, timeout: float = 20.0) -> E:
        """The first event of a kind."""
        async with asyncio.timeout(timeout):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                self._news.clear()
                await self._news.wait()

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()


@asynccontextmanager
async def serving(server: LoopbackDiscord, config: Config, studio: Studio) -> AsyncIterator[App]:
    """The app, connected and its commands registered; closed at the end."""
    app = await App.open(config, executors=[light_executor(studio)])
    task = asyncio.create_task(app.serve(server.token))
    try:
        await server.connected()
        yield app
    finally:
        studio.gate.set()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
