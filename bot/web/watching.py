"""What is known of jobs while they wait and run, for whoever watches them.

Nothing is queued for a watcher: each is woken and looks at what is so then. A stalled one holds
one answer, however much happens meanwhile.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

from bot.errors import StorageFailed
from bot.jobs.events import Event, Events, JobEnded, JobProgressed, JobQueued, QueueMoved
from bot.jobs.job import Job, Status
from bot.jobs.queue import JobQueue
from pipelines.contract.context import Progress

PAUSE = 0.25  # seconds between two looks of one watcher
PREVIEWS = 1.5  # seconds between the previews that are made for them
HEARTBEAT = 15.0  # seconds


class Watching:
    """Listens to the jobs' events, and tells watchers when to look.

    `previews` says of which jobs a preview may be shown.
    """

    def __init__(self, queue: JobQueue, events: Events, *, previews: Callable[[Job], bool]) -> None:
        self._queue = queue
        self._previews = previews
        self._progress: dict[str, Progress] = {}
        self._watchers: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._wanted: dict[str, float] = {}  # when a preview of those that run is next looked at
        self._latest: dict[str, Job] = {}  # those that are watched, as of the last event
        events.subscribe(self._hear)

    def progress(self, job: Job) -> Progress | None:
        """How far a running job is."""
        return self._progress.get(job.id) if job.status is Status.RUNNING else None

    def preview(self, job: Job) -> bytes | None:
        """What a running job looks like so far."""
        progress = self.progress(job)
        return progress.preview if progress and self._previews(job) else None

    def want_preview(self, job: Job) -> None:
        """Have a preview made soon, for whoever looks at `job` now."""
        now = time.monotonic()
        if self._wanted.get(job.id, 0.0) <= now and job.status is Status.RUNNING:
            self._wanted[job.id] = now + PREVIEWS  # one that is moved on never comes
            if self._previews(job):
                self._queue.expect_look(job.id, now + PREVIEWS)

    def count(self, job_id: str) -> int:
        """How many watch a job."""
        return len(self._watchers.get(job_id, ()))

    async def looks(self, job_id: str) -> AsyncIterator[Job | None]:
        """The job now, and again whenever it may have changed; None where nothing did for long.

        It ends with the job's end. Raises NoSuchJob.
        """
        with self._woken(job_id) as woken:
            job = await self._queue.get(job_id)
            while True:
                woken.clear()
                job = self._latest.get(job_id, job)
                self.want_preview(job)
                yield job
                if is_over(job):
                    return
                while not await _within(woken, HEARTBEAT):
                    with suppress(StorageFailed):  # the next beat asks again
                        job = self._latest[job_id] = await self._queue.get(job_id)
                    if is_over(job):  # it ended and nobody said so, as where it was erased
                        break
                    yield None
                await asyncio.sleep(PAUSE)

    async def ended(self, job_id: str) -> Job:
        """The job, once it has ended. Raises NoSuchJob."""
        async for job in self.looks(job_id):
            if job is not None and not job.status.is_live:
                return job
        return await self._queue.get(job_id)

    @contextmanager
    def _woken(self, job_id: str) -> Iterator[asyncio.Event]:
        woken = asyncio.Event()
        self._watchers[job_id].add(woken)
        try:
            yield woken
        finally:
            self._watchers[job_id].discard(woken)
            if not self._watchers[job_id]:
                del self._watchers[job_id]
                self._latest.pop(job_id, None)

    def _hear(self, event: Event) -> None:
        match event:
            case JobProgressed(job, progress):
                self._progress[job.id] = progress
            case JobEnded(job) | JobQueued(job):
                self._progress.pop(job.id, None)
                self._wanted.pop(job.id, None)
            case QueueMoved():
                self._wake(*self._watchers)
                return
        told: Job | None = getattr(event, "job", None)
        if told is not None and told.id in self._watchers:
            self._latest[told.id] = told
            self._wake(told.id)

    def _wake(self, *job_ids: str) -> None:
        for job_id in job_ids:
            for woken in self._watchers.get(job_id, ()):
                woken.set()


def is_over(job: Job) -> bool:
    """Whether nothing about a job will change any more."""
    return not job.status.is_live and (job.status is not Status.RENDERED or job.told)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
