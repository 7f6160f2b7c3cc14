"""How long a device has nothing to do between two jobs, and whether the processor waits for it."""

import asyncio
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks._bench import PROMPT, Bench, after_decoding
from bot.executors.thread import ThreadExecutor
from bot.jobs.events import Event, Events, JobEnded
from bot.jobs.files import FileStore
from bot.jobs.job import Status
from bot.jobs.limits import Limits
from bot.jobs.policy import Policy
from bot.jobs.queue import JobQueue, Run
from bot.jobs.settings import Settings, SettingsBook
from bot.jobs.store import Store
from bot.jobs.worker import Worker
from bot.words import WordRules
from pipelines.contract.context import Progress, RunContext
from pipelines.contract.requests import ImagineRequest
from pipelines.fitting import denoiser_of

WITHIN = 600.0  # seconds in which all jobs have to be done


@dataclass(slots=True)
class Marks:
    """When each job's first step began and its last picture was decoded, by the device's clock."""

    on_card: bool
    begins: list[Any] = field(default_factory=list)
    ends: list[Any] = field(default_factory=list)

    def watch(self, pipeline: Any) -> Any:
        """The pipeline, from now on watched."""
        after_decoding(pipeline, lambda _: self.ends.append(self._now()))
        denoiser_of(pipeline).register_forward_pre_hook(lambda net, given: self._begin())
        return pipeline

    def _begin(self) -> None:
        if len(self.begins) == len(self.ends):
            self.begins.append(self._now())

    def _now(self) -> Any:
        """An event is reached when the work before it is done: after a decoder, with its last
        kernel; before a network, when the device has nothing else to do, at once."""
        if not self.on_card:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def gaps(self) -> list[float]:
        """Milliseconds from each end to the next begin."""
        if self.on_card:
            torch.cuda.synchronize()
        pairs = zip(self.ends, self.begins[1:], strict=False)
        if self.on_card:
            return [end.elapsed_time(begin) for end, begin in pairs]
        return [1000 * (begin - end) for end, begin in pairs]


class _Watched(JobQueue):
    """Notes the milliseconds in which the store takes down that a job is begun."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.leases: list[float] = []

    async def lease(self, *args: Any, **how: Any) -> Run | None:
        begun = time.perf_counter()
        run = await super().lease(*args, **how)
        if run is not None:
            self.leases.append(1000 * (time.perf_counter() - begun))
        return run


async def gaps(bench: Bench, jobs: int) -> tuple[list[float], list[float]]:
    """Milliseconds without work between jobs that wait together, in the bot's queue and worker;
    and what of them the leases take.
    """
    marks = Marks(bench.on_card)
    executor = ThreadExecutor(lambda: bench.runner(watch=marks.watch))
    store = await Store.open(bench.folder / "jobs.sqlite3", bench.folder / "files")
    events, done = Events(), asyncio.Event()
    ended: list[Status] = []

    def hear(event: Event) -> None:
        if isinstance(event, JobEnded):
            ended.append(event.job.status)
            if len(ended) == jobs:
                done.set()

    events.subscribe(hear)
    queue = _Watched(
        store,
        Policy(patience=120.0),
        bench.catalog,
        events,
        Limits(jobs, jobs),
        settings=SettingsBook(store.database, Settings(waiting=jobs)),
        words=WordRules(),
    )
    worker = Worker(queue, store, FileStore(bench.folder / "files"), [executor], events)
    await queue.restore()
    for seed in range(jobs):
        await queue.submit(ImagineRequest(prompt=PROMPT, seed=seed), owner=1, origin={})
    try:
        await executor.start()
        worker.start()
        await asyncio.wait_for(done.wait(), WITHIN)
        if set(ended) != {Status.RENDERED}:
            raise RuntimeError(f"a job failed: {ended}")
        return marks.gaps(), queue.leases[1:]
    finally:
        await worker.stop()
        await executor.stop()
        await store.close()


def synchronisations(
    run: Callable[[RunContext], object],
    set_mode: Callable[[str], None] = torch.cuda.set_sync_debug_mode,
) -> int:
    """How often the processor waits for the card between the first step of a run and its last."""

    def listen(progress: Progress) -> None:
        set_mode("warn" if 0 < progress.step < progress.of else "default")

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            run(RunContext(listen))
        finally:
            set_mode("default")
    return sum("called a synchronizing" in str(each.message) for each in said)
