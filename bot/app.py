"""The composition root: the only file that knows everyone."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bot.client import AtelierClient
from bot.config import Config
from bot.delivery import Delivery
from bot.executors.thread import ThreadExecutor
from bot.jobs.deliveries import Deliveries
from bot.jobs.events import Events
from bot.jobs.executor import Executor
from bot.jobs.files import FileStore
from bot.jobs.job import Job
from bot.jobs.limits import Limits
from bot.jobs.links import Links, read_key
from bot.jobs.pauses import growing
from bot.jobs.policy import Policy
from bot.jobs.queue import JobQueue
from bot.jobs.settings import Settings, SettingsBook
from bot.jobs.store import Store
from bot.jobs.usage import DAY
from bot.jobs.worker import Worker
from bot.metrics import Metrics
from bot.runner import build_runner
from bot.startup import StartWatch
from bot.tasks import Tasks
from bot.ui.logchannel import LogChannel
from bot.ui.origin import Origin, has_message
from bot.ui.placeholders import delete_left
from bot.ui.progress import ProgressBoard
from bot.words import WordRules, read_words
from pipelines import loras
from pipelines.contract.runner import RunnerLike

if TYPE_CHECKING:
    from bot.web.server import WebServer

log = logging.getLogger(__name__)

EXPIRED_EVERY, SWEEP_EVERY = 300.0, 3600.0  # seconds
LOGIN = 5.0  # seconds in which Discord, if it is there, has said whether it takes the token


class App:
    """Everything that makes the bot, open from the moment it exists."""

    def __init__(
        self,
        config: Config,
        store: Store,
        queue: JobQueue,
        events: Events,
        executors: Sequence[Executor],
    ) -> None:
        self.config = config
        self.store = store
        self.queue = queue
        self.events = events
        self.executors = executors
        self.files = FileStore(config.storage.folder / "files")
        self.client = AtelierClient(queue, self.files, store, config)
        self.board = ProgressBoard(self.client.roads, queue, events, previews=self._shows_previews)
        delivery = Delivery(self.client.roads, self.board, queue, self.files, config.moderation)
        self.log_channel = LogChannel(
            self.client.desk, queue, self.client.roads, events, config.moderation
        )
        self.deliveries = Deliveries(
            store, delivery.deliver, events, silent=lambda job: not has_message(job)
        )
        self.worker = Worker(queue, store, self.files, executors, events)
        self._metrics = Metrics(events)
        self.web: WebServer | None = None
        self.studio: str | None = None
        self._left: list[Origin] = []
        self._watch = StartWatch(events, config.storage.folder)
        self._tasks = Tasks()
        self._started = False
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, config: Config, *, executors: Sequence[Executor] = ()) -> Self:
        """Open the store, take up what an earlier run left, and put everyone together.

        Without `executors`, a thread of this process for each configured card runs the models.
        Raises AlreadyRunning, ConfigError for a list of words, or PortTaken for the metrics.
        """
        folder = config.storage.folder
        store = await Store.open(config.storage.database, folder / "files")
        try:
            events = Events()
            executors = executors or _executors(config)
            limits = Limits(
                waiting_per_member=config.limits.waiting_per_member,
                waiting_in_all=config.limits.waiting_in_all,
                cards=len(executors),
                permutations=config.limits.permutations,
            )
            policy = Policy(patience=config.gpu.patience_seconds, usage=await store.usage())
            settings = SettingsBook(store.database, _defaults(config))
            await settings.read()
            words = WordRules(read_words(config.moderation))
            queue = JobQueue(
                store, policy, config.models, events, limits, settings=settings, words=words
            )
            app = cls(config, store, queue, events, executors)
            await queue.moderation.read()
            await queue.restore()
            # Read before this process posts any of its own.
            app._left = [Origin.from_json(each) for each in await store.placeholders()]
            app._serve_metrics()
        except BaseException:
            await store.close()
            raise
        return app

    async def listen(self) -> None:
        """Open the studio where it is configured; `studio` is its address then.

        Raises PortTaken, or ConfigError for an address that this machine does not have.
        """
        config = self.config.web
        if config.port is None:
            return
        from bot.web.server import WebServer  # a tenth of the start, for those who want it
        from bot.web.watching import Watching

        self.web = WebServer(
            self.config,
            self.queue,
            self.client.intake.keep,
            Watching(self.queue, self.events, previews=self._shows_previews),
            self.client.whiteboard,
            self.executors,
            self._metrics.registry,
        )
        self.studio = await self.web.open()
        log.info("the studio is at %s", self.studio)
        if url := config.url or (self.studio if config.open else None):
            key = read_key(self.config.storage.folder / "link.key")
            self.client.whiteboard.open(Links(self.store.database, key), url)

    def start(self) -> None:
        """Begin the work behind the commands: the GPU, the deliveries, the sweeps. Idempotent.

        What Discord is to be told waits in `Roads` until it can be.
        """
        if self._started:
            return
        self._started = True
        for executor in self.executors:
            self._tasks.start(executor.start(), name="executor start")
        self._tasks.start(asyncio.to_thread(_warn_of_loras, self.config.models.loras), name="loras")
        self.worker.start()
        self.deliveries.start()
        self.log_channel.start()
        left = delete_left(self._left, self.queue, self.client.roads)
        self._tasks.start(left, name="delete placeholders without a job")
        self._tasks.start(self._repeat(self._sweep, SWEEP_EVERY), name="sweep")
        expired = self._repeat(self.store.forget_expired, EXPIRED_EVERY)
        self._tasks.start(expired, name="forget what has expired")

    async def serve(self, token: str) -> None:
        """Work and stay connected to Discord until cancelled; then close.

        Where Discord is away, the work begins without it. Raises PortTaken and TokenRefused, before
        any model is loaded if Discord is there to say so; StartupError when it ends the connection
        for good; CardLost.
        """
        try:
            await self.listen()
            await self._stay(token)
        finally:
            await self.close()

    async def _stay(self, token: str) -> None:
        """Work, on Discord or without it: raises CardLost where no more can be done."""
        without = asyncio.get_running_loop().call_later(LOGIN, self.start)
        ends = [
            asyncio.create_task(self._connect(token), name="stay connected"),
            asyncio.create_task(self.worker.lost(), name="watch the cards"),
        ]
        try:
            ended, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ended:
                end.result()
        finally:
            without.cancel()
            left = {end for end in ends if not end.done()}
            while left:  # again: a connection being made can lose a cancellation, by `wait_for`
                for end in left:
                    end.cancel()
                _, left = await asyncio.wait(left, timeout=1.0)

    async def _connect(self, token: str) -> None:
        """Log in, whenever Discord lets us, and stay connected."""
        await self.client.log_in(token)
        self.start()
        await self.client.stay_connected()

    @property
    def is_closing(self) -> bool:
        """Whether it was asked to close, or began to by itself."""
        return self._closing is not None

    async def close(self) -> None:
        """Let the running jobs end within their grace, post what is rendered, and free everything.

        Asked again meanwhile, no more grace is given.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="close")
        else:
            await self.worker.stop()
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self.web is not None:
            await self.web.close()
        await self.client.answer_last()
        await self._tasks.stop()
        await self.worker.stop()
        await self.deliveries.stop()
        await self.board.stop()
        await self.log_channel.stop()
        await self.client.close()
        await asyncio.gather(*(executor.stop() for executor in self.executors))
        await self._watch.stop()
        self._metrics.stop()
        await self.store.close()

    def _shows_previews(self, job: Job) -> bool:
        """Whether the bot's owner and the server of a job have nothing against it."""
        settings = self.queue.settings.of(job.server, job.channel)
        return self.config.discord.previews and settings.previews

    def _serve_metrics(self) -> None:
        metrics = self.config.metrics
        if metrics.port is not None:
            port = self._metrics.serve(metrics.host, metrics.port)
            log.info("the metrics are at %s, port %d", metrics.host, port)

    async def _repeat(self, forget: Callable[[], Awaitable[None]], every: float) -> None:
        """Call `forget` now and every so many seconds, whatever it raises."""
        pauses = growing()
        while True:
            try:
                await forget()
            except Exception:  # a disk that refuses today may not tomorrow
                log.exception("what is old could not be forgotten; it will be tried again")
                await asyncio.sleep(next(pauses))
            else:
                pauses = growing()
                await asyncio.sleep(every)

    async def _sweep(self) -> None:
        """Forget ended jobs, their files and reports, after the days that hold where they were."""
        jobs = await self._forget_old_jobs()
        # An hour of mercy for files whose job is just being written.
        files = await self.files.sweep(await self.store.named_files(), older_than=3600)
        if jobs or files:
            log.info("forgot %d old jobs and %d files", jobs, files)

    async def _forget_old_jobs(self) -> int:
        """How many there were."""
        places = defaultdict[int, list[tuple[int | None, int]]](list)
        for place in await self.store.places():
            places[self.queue.settings.of(*place).keep_days].append(place)
        now = time.time()
        for server in await self.queue.moderation.servers():
            days = self.queue.settings.of(server).keep_days
            await self.queue.moderation.forget_before(now - days * DAY, server)
        return sum(
            [await self.store.forget_before(now - d * DAY, *where) for d, where in places.items()]
        )


def _warn_of_loras(folder: Path | None) -> None:
    """Say which of the owner's files members are not offered, and why."""
    for key in loras.MODELS:
        for each in loras.unfit(folder, key):
            log.warning("models.loras: %s", each.why)
        for name in loras.ignored(folder, key):
            log.warning("models.loras: %s/%s/%s is no .safetensors file.", folder, key, name)


def _defaults(config: Config) -> Settings:
    """What holds in a server whose administrators have set nothing."""
    return Settings(waiting=config.limits.waiting_per_member, keep_days=config.storage.keep_days)


def _executors(config: Config) -> list[Executor]:
    """A thread for each card. They alone import torch, after the commands are ready."""
    devices = config.gpu.devices
    return [
        ThreadExecutor(
            partial(_build_runner, config, number),
            preload=config.gpu.preload,
            name="gpu" if len(devices) == 1 else f"gpu {device}",
        )
        for number, device in enumerate(devices)
    ]


def _build_runner(config: Config, number: int) -> RunnerLike:
    if config.gpu.preload and number == 0:  # what is read for one card is read for all
        from pipelines.reading import read_ahead

        read_ahead(config.models, config.gpu.models_folder)
    return build_runner(config, number)
