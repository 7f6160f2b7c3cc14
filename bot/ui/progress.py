"""Keeps the waiting messages up to date without wearing out Discord's patience."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import discord
from discord import ui

from bot.jobs.events import (
    Event,
    Events,
    JobBroughtForward,
    JobEnded,
    JobProgressed,
    JobQueued,
    JobStarted,
    QueueMoved,
)
from bot.jobs.job import Job, Status
from bot.jobs.queue import JobQueue
from bot.tasks import Tasks
from bot.ui import messages
from bot.ui.origin import Origin, has_message
from bot.ui.roads import UNREACHABLE, Roads, Upload
from pipelines.contract.context import Progress

log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]

PAUSES = (3.0, 4.0, 6.0, 9.0, 12.0, 15.0)  # seconds between the edits of one message, growing
FIRST = 0.1  # seconds; a job that begins within them is never said to wait
SWEEP = 3.0  # seconds in which moves of the queue are taken together
NEAR = 10  # places whose moves are shown; those further back are told their first place only
EDITS_PER_SECOND, BURST = 1.0, 10  # of all messages together, beside each one's first
LAST_EDIT = 5.0  # seconds that an edit under way may hold up the final one


@dataclass(slots=True, eq=False)
class _Watch:
    """What the board knows of one message. `shown` is what the member sees there now."""

    job: Job
    origin: Origin
    progress: Progress | None = None
    place: int | None = None
    shown: object = None
    edits: int = 0
    due: float = -math.inf
    editing: bool = False
    closed: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def state(self) -> object:
        """What the message ought to show; compared with `shown`."""
        running = self.job.status is Status.RUNNING
        return (self.progress or "starting") if running else (self.place, self.job.relaxed)

    @property
    def is_stale(self) -> bool:
        return not self.closed and self.state != self.shown

    def render(self, queue: JobQueue) -> ui.LayoutView:
        if self.job.status is Status.RUNNING:
            return messages.running(self.job, self.progress, queue.ends(self.job))
        return messages.waiting(self.job, self.place, queue.begins(self.job.id))

    def uploads(self) -> list[Upload]:
        """What the message shows beside its words."""
        preview = self.progress and self.progress.preview
        if self.job.status is not Status.RUNNING or not preview:
            return []
        return [Upload(messages.PREVIEW, preview)]


class ProgressBoard:
    """Listens to job events and edits the waiting messages; starts nothing until an event comes.

    Of each job only the latest state is shown, at a pace that slows down whether the edits
    succeed or fail. Where Discord refuses one for good, no more are made for that job. `previews`
    says of which jobs a preview is shown.
    """

    def __init__(
        self,
        roads: Roads,
        queue: JobQueue,
        events: Events,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        first: float = FIRST,
        previews: Callable[[Job], bool] = lambda job: True,
    ) -> None:
        self._first = first
        self._previews = previews
        self._roads = roads
        self._queue = queue
        self._now = now
        self._sleep = sleep
        self._budget = _Budget(now)
        self._watches: dict[str, _Watch] = {}
        self._tasks = Tasks()
        self._sweep: asyncio.Task[None] | None = None
        events.subscribe(self._hear)

    async def release(self, job_id: str) -> None:
        """Stop editing this job's message; when it returns, no edit of it is under way."""
        watch = self._watches.pop(job_id, None)
        if watch is None or watch.task is None:
            return
        watch.closed = True
        if watch.editing:
            # Cut off, it might still arrive, after the final edit; so it has a while to end.
            await asyncio.wait({watch.task}, timeout=LAST_EDIT)
        watch.task.cancel()
        await asyncio.wait({watch.task})

    async def stop(self) -> None:
        """Stop editing every message."""
        self._watches.clear()
        await self._tasks.stop()

    def _hear(self, event: Event) -> None:
        match event:
            case JobQueued(job) | JobBroughtForward(job) | JobStarted(job) | JobEnded(job) if (
                not has_message(job)
            ):
                pass
            case JobQueued(job):
                self._queued(self._watch(job))
            case JobBroughtForward(job):
                self._forward(self._watch(job))
            case JobStarted(job):
                self._started(self._watch(job))
            case JobProgressed(job, progress):
                if watch := self._watches.get(job.id):  # else it has ended already
                    watch.progress = progress
                    self._refresh(watch)
            case JobEnded(job):
                self._watch(job).closed = True
            case QueueMoved():
                if self._sweep is None or self._sweep.done():
                    self._sweep = self._tasks.start(self._look_at_places(), name="queue places")

    def _queued(self, watch: _Watch) -> None:
        watch.progress, watch.place = None, self._queue.place(watch.job.id)
        if self._is_near(watch) or self._is_new(watch):
            self._refresh(watch)

    def _forward(self, watch: _Watch) -> None:
        """However far back it is: what its message says of waiting behind holds no longer."""
        watch.place = self._queue.place(watch.job.id)
        self._refresh(watch)

    def _started(self, watch: _Watch) -> None:
        watch.edits = min(watch.edits, 1)  # quick again: now it gets interesting
        self._refresh(watch)

    def _watch(self, job: Job) -> _Watch:
        """What is known of the job's message, with the job as it is now."""
        watch = self._watches.get(job.id)
        if watch is None:
            watch = self._watches[job.id] = _Watch(job, Origin.from_json(job.origin))
        watch.job = job
        return watch

    def _is_new(self, watch: _Watch) -> bool:
        """Whether its member still looks at "thinking …"."""
        return watch.edits == 0 and self._roads.token_lives(watch.origin)

    @staticmethod
    def _is_near(watch: _Watch) -> bool:
        return watch.place is not None and watch.place <= NEAR

    def _refresh(self, watch: _Watch) -> None:
        if not watch.closed and (watch.task is None or watch.task.done()):
            watch.task = self._tasks.start(self._show(watch), name=f"progress of {watch.job.id}")

    async def _look_at_places(self) -> None:
        """After a while, show the places that have changed since."""
        await self._sleep(SWEEP)
        for watch in list(self._watches.values()):
            if watch.job.status is Status.QUEUED:
                watch.place = self._queue.place(watch.job.id)
                if self._is_near(watch):
                    self._refresh(watch)

    async def _show(self, watch: _Watch) -> None:
        """Edit the message until it shows the latest state."""
        if self._is_new(watch):
            await self._sleep(self._first)
        while watch.is_stale:
            if not self._is_new(watch):
                await self._sleep(watch.due - self._now())
                await self._sleep(self._budget.wait())  # not before: it is for an edit made then
                if not watch.is_stale:
                    return
            watch.shown = watch.state
            await self._edit(watch)
            watch.due = self._now() + PAUSES[min(watch.edits, len(PAUSES) - 1)]
            watch.edits += 1
            if not watch.closed and self._previews(watch.job):
                self._queue.expect_look(watch.job.id, watch.due)

    async def _edit(self, watch: _Watch) -> None:
        watch.editing = True
        try:
            view, uploads = watch.render(self._queue), watch.uploads()
            await self._roads.edit(watch.origin, view, uploads)
        except UNREACHABLE as error:
            log.info("job %s: a progress edit failed: %s", watch.job.id, error)
            watch.shown = None  # by the next one, if there is to be a next one
            if isinstance(error, discord.HTTPException) and error.status in (401, 403, 404):
                watch.closed = True
        finally:
            watch.editing = False


class _Budget:
    """A leaky bucket for all edits together: EDITS_PER_SECOND, with bursts of BURST."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._empty_at = -math.inf

    def wait(self) -> float:
        """Reserve one edit and return the seconds until it may be made."""
        now = self._now()
        self._empty_at = max(self._empty_at, now) + 1 / EDITS_PER_SECOND
        return max(0.0, self._empty_at - now - BURST / EDITS_PER_SECOND)
