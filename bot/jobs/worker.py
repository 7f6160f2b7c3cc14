"""The worker takes jobs through the cards, one at a time on each, and writes down their ends."""

import asyncio
import contextlib
import errno
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain
from typing import NoReturn, TypeVar

from bot.errors import NoSuchJob, StorageFailed, TooLate, Unforeseen
from bot.jobs.events import Events, JobEnded, JobProgressed
from bot.jobs.executor import Executor
from bot.jobs.files import FileStore
from bot.jobs.job import Job, Status, StoredArtifact
from bot.jobs.pauses import growing
from bot.jobs.policy import best_card
from bot.jobs.progress import Meter
from bot.jobs.queue import JobQueue, Run
from bot.jobs.store import Store
from bot.tasks import Tasks
from pipelines.contract.artifact import Artifact
from pipelines.contract.context import Progress, RunContext
from pipelines.contract.errors import AtelierError, Cancelled, CardLost, RenderFailed
from pipelines.contract.requests import picture_count
from pipelines.contract.runner import Artifacts

log = logging.getLogger(__name__)

T = TypeVar("T")
Outcome = Artifacts | AtelierError

_WRITES_AT_ONCE = 2  # jobs of a card whose results are being written while it is at the next one
_BEGIN = 10.0  # seconds that the store may take to write down that a run begins
_LAST_STEP = 10.0  # seconds that a cancelled run may take to come to the end of its step


class Worker:
    """Runs the queue's jobs on `executors`, each of which has a card of its own.

    `grace` is how many seconds `stop` lets running jobs go on before they are put back.
    """

    def __init__(
        self,
        queue: JobQueue,
        store: Store,
        files: FileStore,
        executors: Sequence[Executor],
        events: Events,
        *,
        grace: float = 20.0,
    ) -> None:
        self._queue = queue
        self._store = store
        self._files = files
        self._executors = tuple(executors)
        self._events = events
        self._grace = grace
        self._tasks = Tasks()
        self._writes = Tasks()
        self._slots = asyncio.Semaphore(_WRITES_AT_ONCE * len(self._executors))
        self._runs = Tasks()
        self._running: dict[Executor, list[Run]] = {}
        self._freed = asyncio.Event()
        self._lost: dict[Executor, CardLost] = {}
        self._lost_runs: list[Run] = []
        self._loses = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._end: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    def start(self) -> None:
        """Begin to lease and run."""
        self._loop = self._tasks.start(self._work(), name="worker")

    async def idle(self) -> None:
        """Wait while there is nothing to do."""
        if not self._stopping.is_set():  # else nobody wakes it
            await self._queue.work()

    async def lost(self) -> NoReturn:
        """Wait until a card is lost for this process, and raise CardLost.

        The jobs that it had stay as they are, running: so the next process counts a crash of
        theirs, and takes them up. Those that nobody wants any more end with the worker.
        """
        await self._loses.wait()
        raise next(iter(self._lost.values()))

    async def stop(self) -> None:
        """Lease no more, and end after the running jobs or after the grace, whichever is first.

        Jobs that are cut short go back to the queue. Asked again meanwhile, no more grace is
        given.
        """
        if self._end is None:
            self._end = self._tasks.start(self._wind_up(), name="worker: stop")
        else:
            self._hurry.set()
        await asyncio.shield(self._end)

    # -- one job ----------------------------------------------------------------------------

    async def _work(self) -> None:
        """One job after another. Whatever goes wrong outside of a run is logged and tried again."""
        pauses = growing()
        while not self._stopping.is_set():
            try:
                await self._next()
                pauses = growing()
            except Exception:
                log.exception("the worker could not take a job")
                await self._pause(next(pauses))

    async def _next(self) -> None:
        """Send the job whose turn it is to a free card; wait where there is no job, or no card."""
        cards = self._free_cards()
        if not cards:
            self._freed.clear()
            await self._freed.wait()
            return
        free = [card.resident() for card in cards]
        busy = [card.resident() for card in self._running]
        run = await self._queue.lease(free, busy, begun=all(card.ready() for card in cards))
        if run is None:
            await self.idle()
            return
        best = best_card(run.models, free)
        runs = self._running[cards[best]] = [run]
        most = cards[best].batches().get(run.job.kind, 1)
        if most > 1:
            runs += await self._queue.lease_beside(run, free[best], most)
        self._runs.start(self._take(cards[best], runs), name=f"job {run.job.id}")

    def _free_cards(self) -> list[Executor]:
        """Those that could take a job now; one that did not come up, only where none did."""
        busy = self._running.keys() | self._lost.keys()
        free = [card for card in self._executors if card not in busy]
        if any(card.usable() for card in self._executors):
            return [card for card in free if card.usable()]
        return free

    async def _take(self, executor: Executor, runs: list[Run]) -> None:
        """Render jobs together; have the results written while the card goes on."""
        outcomes = await self._render(executor, runs)
        if len(runs) > 1 and any(_failed(outcome) for outcome, _ in outcomes):
            log.warning("a batch of %d jobs failed: each is tried by itself", len(runs))
            # What the batch took is nobody's: it failed through no doing of most of them.
            outcomes = [(await self._render(executor, [run]))[0] for run in runs]
        for run, (outcome, gpu_seconds) in zip(runs, outcomes, strict=True):
            if isinstance(outcome, CardLost):
                self._lose(executor, run, outcome)
                continue
            if isinstance(outcome, AtelierError) and self._may_hand_on(executor, run):
                await self._hand_on(run)
                continue
            self._queue.end(run, gpu_seconds)
            await self._slots.acquire()
            conclude = self._conclude(executor, run, outcome, gpu_seconds)
            self._writes.start(conclude, name=f"conclude job {run.job.id}")
        del self._running[executor]
        self._freed.set()

    def _may_hand_on(self, executor: Executor, run: Run) -> bool:
        """Whether it was the card that failed, and another could do the job."""
        others = any(card.usable() for card in self._executors)
        return others and not executor.usable() and not run.unwanted and not self._stopping.is_set()

    async def _hand_on(self, run: Run) -> None:
        """Put back the job of a run whose card did not come up, for another card."""
        job = await self._stored(lambda: self._store.put_back(run.job))
        if job is None:
            log.warning("job %s was finished by somebody else", run.job.id)
            self._queue.leave(run, 0.0)
        else:
            self._queue.give_back(run, job)
            if run.unwanted:  # since a moment ago
                with contextlib.suppress(NoSuchJob, TooLate):  # or asked for once more, and done
                    await self._stored(lambda: self._queue.cancel(job.id))

    async def _render(self, executor: Executor, runs: Sequence[Run]) -> list[tuple[Outcome, float]]:
        """Each job's artifacts, or why there are none; and its share of the GPU-seconds."""
        if self._stopping.is_set():
            return [(Cancelled(), 0.0) for _ in runs]
        meters = [Meter(partial(self._publish_progress, run), run.look) for run in runs]

        loop = asyncio.get_running_loop()

        def begin() -> None:
            if not runs[0].begun:
                self._write_begun(runs, loop)
            for meter in meters:
                meter.begin()

        def report(progress: Progress) -> None:
            for meter in meters:
                meter.report(progress)

        outcomes: Sequence[Outcome]
        requests = [run.job.request for run in runs]
        cancel = runs[0].cancel if len(runs) == 1 else _AllOf([run.cancel for run in runs])
        try:
            context = RunContext(
                on_progress=report,
                cancel=cancel,
                coming=runs[-1].coming,
                allow=self._queue.check_seen,
                viewers=meters,
                on_begin=begin,
            )
            outcomes = await executor.run(requests, context)
        except AtelierError as error:
            outcomes = [error] * len(runs)
        except Exception:
            log.exception("job %s failed for no foreseen reason", runs[0].job.id)
            outcomes = [Unforeseen()] * len(runs)
        seconds = meters[0].gpu_seconds() / sum(map(picture_count, requests))
        shares = [seconds * picture_count(request) for request in requests]
        return list(zip(outcomes, shares, strict=True))

    def _write_begun(self, runs: Sequence[Run], loop: asyncio.AbstractEventLoop) -> None:
        """Write down that runs begin before they do, for they may kill the process."""
        written = asyncio.run_coroutine_threadsafe(self._begun(runs), loop)
        try:
            written.result(_BEGIN)
        except (AtelierError, TimeoutError) as error:
            log.warning("that job %s begins cannot be written down: %s", runs[0].job.id, error)

    async def _begun(self, runs: Sequence[Run]) -> None:
        for run in runs:
            await self._store.begun(run.job)
            run.begun = True

    def _publish_progress(self, run: Run, progress: Progress) -> None:
        self._events.publish(JobProgressed(run.job, progress))

    def _lose(self, executor: Executor, run: Run, error: CardLost) -> None:
        self._lost[executor] = error
        self._lost_runs.append(run)
        self._loses.set()

    async def _conclude(
        self,
        executor: Executor,
        run: Run,
        outcome: Artifacts | AtelierError,
        gpu_seconds: float,
    ) -> None:
        """Write down how a run ended, however often the storage refuses, and tell the listeners.

        Its pictures may still have to come off the card, and so show that the card is lost.
        """
        try:
            try:
                job = await self._stored(lambda: self._record(run, outcome, gpu_seconds))
            except StorageFailed:  # and the bot is stopping
                await self._let_go(run)
                return
            except CardLost as error:
                self._lose(executor, run, error)
                return
            except Exception:
                log.exception("what job %s made cannot be stored", run.job.id)
                job = await self._stored(lambda: self._record(run, Unforeseen(), gpu_seconds))
        finally:
            if run not in self._lost_runs:  # which can be cancelled for as long as there is a bot
                self._queue.ended(run)
            self._slots.release()
        if job is not None and job.status in (Status.RENDERED, Status.QUEUED) and run.unwanted:
            written = job  # while it was, somebody cancelled it
            job = await self._stored(lambda: self._store.withdrawn(written))
        if job is None:
            log.warning("job %s was finished by somebody else", run.job.id)
        elif job.status is not Status.QUEUED:
            self._queue.learn(job)
            self._events.publish(JobEnded(job))

    async def _record(
        self, run: Run, outcome: Artifacts | AtelierError, gpu_seconds: float
    ) -> Job | None:
        """One try to write down how a run ended. Artifacts are on disk before the row says so."""
        if run.unwanted:
            return await self._store.cancelled(run.job, gpu_seconds)
        if isinstance(outcome, Cancelled) and self._stopping.is_set():
            return await self._store.put_back(run.job)
        if isinstance(outcome, AtelierError):
            return await self._store.failed(run.job, outcome, gpu_seconds)
        try:
            artifacts = await asyncio.gather(*(self._put(artifact) for artifact in outcome))
        except RenderFailed as error:  # which only shows on the way off the card
            return await self._store.failed(run.job, error, gpu_seconds)
        if run.unwanted:
            return await self._store.cancelled(run.job, gpu_seconds)
        return await self._store.rendered(run.job, artifacts, gpu_seconds)

    async def _put(self, artifact: Artifact) -> StoredArtifact:
        try:
            data = await asyncio.to_thread(lambda: artifact.data)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise StorageFailed.because(error) from error  # a video is first a temporary file
        return StoredArtifact(
            path=await self._files.put(data, artifact.media_type.suffix),
            media_type=artifact.media_type,
            name=artifact.name,
            size=len(data),
            width=artifact.width,
            height=artifact.height,
            facts=artifact.facts,
            sensitive=artifact.sensitive,
        )

    async def _stored(self, action: Callable[[], Awaitable[T]]) -> T:
        """Repeat `action` for as long as the storage refuses, until the worker is stopped."""
        pauses = growing()
        while True:
            try:
                return await action()
            except StorageFailed as error:
                if self._stopping.is_set():
                    raise
                log.error("a result cannot be stored yet: %s", error.sentence)
            await self._pause(next(pauses))

    async def _pause(self, seconds: float) -> None:
        """Wait for so long, or until the worker is to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    # -- the end ----------------------------------------------------------------------------

    async def _wind_up(self) -> None:
        self._stopping.set()
        self._queue.wake()
        self._freed.set()
        ends = self._tasks.start(self._last_runs(), name="worker: last runs")
        if not await self._ended(ends, self._grace):
            await self._cut_short(ends)
        await self._writes.join()
        for run in self._lost_runs:
            if run.unwanted:
                await self._let_go(run)

    async def _last_runs(self) -> None:
        """Wait until nothing is leased any more and nothing runs."""
        if self._loop is not None:
            await asyncio.wait({self._loop})
        await self._runs.join()

    async def _ended(self, ends: asyncio.Task[None], seconds: float) -> bool:
        """Whether `ends` ends within `seconds`. Returns early when there is a hurry."""
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({ends, hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        return ends.done()

    async def _cut_short(self, ends: asyncio.Task[None]) -> None:
        """Stop all runs at their next step; leave behind those for which that takes too long."""
        for run in chain(*self._running.values()):
            run.cancel.set()
        await asyncio.wait({ends}, timeout=_LAST_STEP)
        if self._loop is not None:
            self._loop.cancel()
        await self._runs.stop()
        await ends
        for run in chain(*self._running.values()):
            log.warning("job %s did not stop in time", run.job.id)
            await self._let_go(run)

    async def _let_go(self, run: Run) -> None:
        """Put a run's job back for the next start, or end it as cancelled where it is unwanted."""
        try:
            job = run.job if run.unwanted else await self._store.put_back(run.job)
            if job is None or not run.unwanted:  # which it may be since a moment ago
                return
            if (ended := await self._store.cancelled(job)) is not None:
                self._events.publish(JobEnded(ended))
        except StorageFailed:
            log.error("job %s will be taken for one that the bot died of", run.job.id)


class _AllOf(threading.Event):
    """Set when all the others are: a batch goes on for as long as anybody wants something of it."""

    def __init__(self, events: Sequence[threading.Event]) -> None:
        super().__init__()
        self._events = events

    def is_set(self) -> bool:
        """Whether nobody is left."""
        return all(event.is_set() for event in self._events)


def _failed(outcome: Outcome) -> bool:
    """Whether another try may help."""
    return isinstance(outcome, AtelierError) and not isinstance(outcome, Cancelled | CardLost)
