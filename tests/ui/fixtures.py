"""Fixtures: the whole app in a simulated channel, with a runner that tests hold and release."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import simcord
from simcord.actors import MemberActor

from bot.app import App
from bot.config import Config, LimitsConfig
from bot.executors.thread import ThreadExecutor
from bot.jobs.events import Event, Events, JobTold
from bot.jobs.job import Job
from pipelines.catalog import Style
from pipelines.contract.artifact import Artifact
from pipelines.contract.context import RunContext
from pipelines.contract.requests import Request
from pipelines.contract.runner import Artifacts
from tests.integration.apps import light_config
from tests.loopback.runner import LightRunner, Studio
from tests.ui.channel import Channel, connected

STYLES = {"watercolour": Style(), "oil painting": Style(), "pixel art": Style()}


@dataclass(eq=False)
class Moods(Studio):
    """How the runner behaves: it raises `error` if there is one, and captions with `caption`.

    With `sensitive` its classifier finds something in all that it makes.
    """

    error: Exception | None = None
    caption: str = "a drawing of a house"
    sensitive: bool = False


class MoodyRunner(LightRunner):
    """A LightRunner that fails when it is told to."""

    def __init__(self, moods: Moods) -> None:
        super().__init__(moods)
        self._moods = moods

    def run(self, requests: Sequence[Request], context: RunContext) -> tuple[Artifacts, ...]:
        results = super().run(requests, context)
        if self._moods.error is not None:
            raise self._moods.error
        return tuple([tuple([self._judged(a) for a in artifacts]) for artifacts in results])

    def _judged(self, artifact: Artifact) -> Artifact:
        return replace(self._captioned(artifact), sensitive=self._moods.sensitive)

    def _captioned(self, artifact: Artifact) -> Artifact:
        if "caption" not in artifact.facts:
            return artifact
        return replace(artifact, facts={**artifact.facts, "caption": self._moods.caption})


async def open_app(config: Config, studio: Moods) -> App:
    """The app with a MoodyRunner on the real GPU thread; nothing started yet."""
    return await App.open(config, executors=[ThreadExecutor(lambda: MoodyRunner(studio))])


async def restarted(channel: Channel, app: App, studio: Moods) -> App:
    """Another app on the same data, in the place of `app`, which is stopped without grace."""
    await asyncio.gather(app.worker.stop(), app.worker.stop())
    await app.close()
    later = await open_app(app.config, studio)
    await channel.env.restart_bot(later.client)
    with channel.env.time_context():
        later.start()
    return later


@pytest.fixture
def studio() -> Moods:
    return Moods()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = light_config(tmp_path, LimitsConfig(waiting_per_member=3, upload_mib=1.0))
    offered = {"styles": STYLES, "loras": tmp_path / "loras"}
    return config.model_copy(update={"models": config.models.model_copy(update=offered)})


@pytest.fixture
async def app(config: Config, studio: Moods) -> AsyncIterator[App]:
    app = await open_app(config, studio)
    yield app
    studio.gate.set()
    await app.close()


class Ends:
    """The ends of jobs, in the order in which their owners were shown them."""

    def __init__(self, events: Events) -> None:
        self._told: asyncio.Queue[Job] = asyncio.Queue()
        events.subscribe(self._hear)

    async def next(self) -> Job:
        """Wait for the next one. By then the message shows it."""
        return await asyncio.wait_for(self._told.get(), 10.0)

    def _hear(self, event: Event) -> None:
        if isinstance(event, JobTold):
            self._told.put_nowait(event.job)


@pytest.fixture
def ends(app: App) -> Ends:
    return Ends(app.events)


@pytest.fixture
async def env(app: App) -> AsyncIterator[simcord.Env]:
    async with connected(app.client) as env:
        with env.time_context():
            app.start()
        yield env


@pytest.fixture
def channel(env: simcord.Env) -> Channel:
    return Channel.create(env)


@pytest.fixture
def ada(channel: Channel) -> MemberActor:
    return channel.member("ada")


@pytest.fixture
def bob(channel: Channel) -> MemberActor:
    return channel.member("bob")
