"""The whole bot but Discord, with two CPUs for cards and the demo's models on both."""

import asyncio
from pathlib import Path

from bot.app import App
from bot.config import Config, GpuConfig, StorageConfig
from bot.jobs.events import Event, JobEnded, JobStarted
from bot.jobs.job import Job, Status
from pipelines.catalog import Catalog
from pipelines.contract.requests import ImagineRequest

SEED = 7


async def test_jobs_are_painted_side_by_side(catalog: Catalog, tmp_path: Path) -> None:
    config = Config(
        storage=StorageConfig(folder=tmp_path),
        gpu=GpuConfig(device=("cpu", "cpu"), preload=False),
        models=catalog,
    )
    app = await App.open(config)
    ended: asyncio.Queue[Job] = asyncio.Queue()
    kinds: list[type[Event]] = []

    def hear(event: Event) -> None:
        if isinstance(event, JobStarted | JobEnded):
            kinds.append(type(event))
        if isinstance(event, JobEnded):
            ended.put_nowait(event.job)

    app.events.subscribe(hear)
    for executor in app.executors:
        await executor.start()
    app.worker.start()
    try:
        for _ in range(4):
            await app.queue.submit(
                ImagineRequest(prompt="a red star", seed=SEED), owner=1, origin={}
            )
        async with asyncio.timeout(120):
            jobs = [await ended.get() for _ in range(4)]
        assert all(executor.resident() == {"imagine"} for executor in app.executors)
    finally:
        await app.close()
    assert {job.status for job in jobs} == {Status.RENDERED}
    assert len({job.artifacts[0].path for job in jobs}) == 1, "the same picture on both cards"
    assert kinds[:2] == [JobStarted, JobStarted]
