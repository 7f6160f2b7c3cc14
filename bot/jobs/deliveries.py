"""Has the end of every job told to its owner, whatever it takes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress

from bot.errors import StorageFailed, Undeliverable
from bot.jobs.events import Event, Events, JobEnded, JobTold, JobWanted
from bot.jobs.job import Job
from bot.jobs.pauses import growing, once_stored
from bot.jobs.store import Store
from bot.tasks import Tasks

log = logging.getLogger(__name__)

Deliver = Callable[[Job], Awaitable[None]]
"""Returns when the owner was told. Raises Undeliverable when that can never be."""

_AT_ONCE = 4
_GRACE = 10.0  # seconds that a delivery under way may take to end when the bot does


class Deliveries:
    """Calls `deliver` for every job that has ended and whose owner does not know.

    What `deliver` raises, other than Undeliverable, is tried again after growing pauses, for as
    long as it takes; the GPU never waits for it. Jobs that are `silent`, of which there is nothing
    to tell, do not wait behind those of which there is.
    """

    def __init__(
        self,
        store: Store,
        deliver: Deliver,
        events: Events,
        *,
        silent: Callable[[Job], bool] = lambda job: False,
    ) -> None:
        self._store = store
        self._deliver = deliver
        self._silent = silent
        self._events = events
        self._tasks = Tasks()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._trying: set[str] = set()  # those that hold a slot, or are about to be written down
        self._running = False
        events.subscribe(self._on_event)

    def start(self) -> None:
        """Deliver what earlier processes left, and from now on every job that ends."""
        self._running = True
        self._tasks.start(self._catch_up(), name="deliveries: catch up")

    async def stop(self) -> None:
        """Begin no more; give those under way a little time. The rest is told after a restart."""
        self._running = False
        under_way = {self._telling[job_id] for job_id in self._trying}
        for task in set(self._telling.values()) - under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way, timeout=_GRACE)
        await self._tasks.stop()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, JobEnded | JobWanted) and self._running:
            self._begin(event.job)

    async def _catch_up(self) -> None:
        for job in await once_stored(lambda: self._store.untold()):
            self._begin(job)

    def _begin(self, job: Job) -> None:
        if job.id not in self._telling:
            self._telling[job.id] = self._tasks.start(self._tell(job), name=f"tell of {job.id}")

    async def _tell(self, job: Job) -> None:
        """Try until the owner is told, or the bot ends; the job is read anew for every try."""
        try:
            for pause in growing():
                if await self._try(job) or not self._running:
                    return
                self._trying.discard(job.id)
                await asyncio.sleep(pause)
                with suppress(StorageFailed):  # then the next try is with what was known
                    now = await self._store.get(job.id)
                    if now is None or now.told:
                        return  # forgotten or erased meanwhile: there is nothing left to tell
                    job = now
        finally:
            self._trying.discard(job.id)
            del self._telling[job.id]

    async def _try(self, job: Job) -> bool:
        """Deliver once. Returns whether that settled it, one way or the other."""
        error: Undeliverable | None = None
        async with nullcontext() if self._silent(job) else self._slots:
            self._trying.add(job.id)
            try:
                await self._deliver(job)
            except Undeliverable as undeliverable:
                error = undeliverable
                log.warning("job %s cannot be delivered: %s", job.id, error.sentence)
            except Exception:
                log.exception("the delivery of job %s failed; it will be tried again", job.id)
                return False
        await self._write_down(job, error)
        return True

    async def _write_down(self, job: Job, error: Undeliverable | None) -> None:
        """Have the store know that `job` was told; a refusing disk must not tell it twice."""
        told = await once_stored(lambda: self._store.told(job, error))
        if told is not None:
            self._events.publish(JobTold(told))
