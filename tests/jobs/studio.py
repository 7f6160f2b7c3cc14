"""A queue, its worker and its deliveries on a real store and real GPU threads, one a painter."""

import asyncio
import io
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from PIL import Image

from bot.executors.thread import ThreadExecutor
from bot.jobs.events import (
    Event,
    Events,
    JobEnded,
    JobProgressed,
    JobQueued,
    JobStarted,
    JobTold,
)
from bot.jobs.executor import Executor
from bot.jobs.files import FileStore
from bot.jobs.job import Job
from bot.jobs.limits import Limits
from bot.jobs.policy import Policy
from bot.jobs.store import Store
from bot.jobs.worker import Worker
from pipelines.catalog import Catalog
from pipelines.contract.artifact import Artifact, MediaType
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.requests import ImagineRequest, Kind, Request, picture_count
from pipelines.contract.runner import Artifacts
from tests.jobs.samples import CATALOG, ROOMY, Clock, a_queue

E = TypeVar("E", JobQueued, JobStarted, JobProgressed, JobEnded, JobTold)
SOON = 30.0  # seconds: longer than anything here takes, however busy the machine is


def a_request(prompt: str = "a fox", count: int = 1) -> ImagineRequest:
    return ImagineRequest(prompt=prompt, count=count, seed=7)


def a_picture(colour: int = 7) -> Artifact:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (colour % 256, 80, 120)).save(file, "PNG")
    return Artifact(
        encode=lambda _: file.getvalue(),
        media_type=MediaType.PNG,
        name="fox.png",
        width=64,
        height=48,
        facts={"seed": colour},
    )


class Painter:
    """A Runner that paints plain pictures in three steps, or does what the prompt's script says."""

    together = 1

    def __init__(self, **scripts: Callable[[RunContext], None]) -> None:
        self.scripts = scripts
        self.painted: list[str] = []
        self.batches_painted: list[int] = []
        self.unloaded = 3
        self.threads = {threading.current_thread().name}
        self.closed = False

    def run(self, requests: Sequence[Request], context: RunContext) -> tuple[Artifacts, ...]:
        self.threads.add(threading.current_thread().name)
        for step in range(1, 4):
            context.step(Phase.PAINTING, step, 3)
        for request in requests:
            if (script := self.scripts.get(request.prompt)) is not None:
                script(context)
        self.painted += [request.prompt for request in requests]
        self.batches_painted.append(len(requests))
        return tuple(
            tuple(a_picture((request.seed or 0) + i) for i in range(picture_count(request)))
            for request in requests
        )

    def preload(self) -> bool:
        self.threads.add(threading.current_thread().name)
        self.unloaded -= 1
        return self.unloaded > 0

    def resident(self) -> frozenset[str]:
        return frozenset({"imagine"}) if self.painted else frozenset()

    def batches(self) -> dict[Kind, int]:
        return {Kind.IMAGINE: self.together}

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed = True


class Gate:
    """A script that holds a run where it is until the test opens it, or the run is cancelled."""

    def __init__(self, *, deaf: bool = False) -> None:
        self._deaf = deaf
        self._loop = asyncio.get_running_loop()
        self.reached = asyncio.Event()
        self.open = threading.Event()

    def __call__(self, context: RunContext) -> None:
        self._loop.call_soon_threadsafe(self.reached.set)
        while not self.open.wait(0.005):
            if not self._deaf:
                context.step(Phase.PAINTING, 3, 3)

    async def wait(self) -> None:
        await asyncio.wait_for(self.reached.wait(), SOON)


@contextmanager
def heard(text: str) -> Iterator[asyncio.Event]:
    """An event that is set when `text` is logged by the bot."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if text in record.getMessage():
                loop.call_soon_threadsafe(event.set)

    ear = Ear()
    logging.getLogger("bot").addHandler(ear)
    try:
        yield event
    finally:
        logging.getLogger("bot").removeHandler(ear)


def held(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> tuple[asyncio.Event, asyncio.Event]:
    """Have a method of `owner` wait: what is set once it is called, and what lets it go on."""
    called, go_on = asyncio.Event(), asyncio.Event()
    method = getattr(owner, name)

    async def slow(*args: object, **options: object) -> object:
        called.set()
        await go_on.wait()
        return await method(*args, **options)

    monkeypatch.setattr(owner, name, slow)
    return called, go_on


def _itself(painter: Painter) -> Painter:
    return painter


class Studio:
    """Everything between a request and an ended job, with a record of what was said of it."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        *painters: Painter,
        clock: Clock | None = None,
        catalog: Catalog = CATALOG,
        limits: Limits = ROOMY,
        grace: float = SOON,
        executors: Sequence[Executor] = (),
    ) -> None:
        self.store = store
        self.files = FileStore(folder)
        self.painter = painters[0]
        self.executors = executors or [ThreadExecutor(partial(_itself, each)) for each in painters]
        self.events = Events()
        self.seen: list[Event] = []
        self._changed = asyncio.Event()
        self.events.subscribe(self._take)
        policy = Policy(patience=60.0)
        self.queue = a_queue(store, policy, catalog, self.events, limits, now=clock or Clock())
        self.worker = Worker(
            self.queue, store, self.files, self.executors, self.events, grace=grace
        )

    async def open(self) -> None:
        await self.queue.restore()
        for executor in self.executors:
            await executor.start()
        self.worker.start()

    async def close(self) -> None:
        await self.worker.stop()
        for executor in self.executors:
            await executor.stop()

    async def submit(self, prompt: str = "a fox", *, owner: int = 1, count: int = 1) -> Job:
        return await self.queue.submit(a_request(prompt, count), owner=owner, origin={})

    def of(self, event: type[E], job: Job) -> list[E]:
        """What was said of this kind about `job`."""
        return [e for e in self.seen if isinstance(e, event) and e.job.id == job.id]

    async def said(self, event: type[E], job: Job) -> E:
        """The first event of this kind about `job`, as soon as there is one."""
        async with asyncio.timeout(SOON):
            while not (found := self.of(event, job)):
                self._changed.clear()
                await self._changed.wait()
        return found[0]

    def _take(self, event: Event) -> None:
        self.seen.append(event)
        self._changed.set()
