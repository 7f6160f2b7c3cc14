"""The queue and its worker on the bot's own executors: CPUs for cards, and the demo's models."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from bot.app import _executors
from bot.config import Config, GpuConfig, StorageConfig
from bot.jobs.events import JobEnded, JobStarted
from bot.jobs.job import Job, Status
from pipelines.batches import Batches
from pipelines.catalog import Catalog
from pipelines.contract.context import RunContext
from tests.jobs.studio import Studio, a_request

MakeStudio = Callable[..., Studio]
LONG = 120.0  # seconds: the demo's models have to be read


def _config(catalog: Catalog, folder: Path, *devices: str) -> Config:
    return Config(
        storage=StorageConfig(folder=folder),
        gpu=GpuConfig(device=devices, preload=False),
        models=catalog,
    )


async def _paint(studio: MakeStudio, config: Config, count: int) -> tuple[Studio, list[Job]]:
    """The same picture so many times, each a job, on executors that have the model."""
    s = studio(executors=_executors(config), catalog=config.models)
    for executor in s.executors:
        await executor.start()
        await executor.run([a_request()], RunContext())
        assert executor.resident() == {"imagine"}
    jobs = [await s.submit() for _ in range(count)]
    s.worker.start()
    async with asyncio.timeout(LONG):
        ends = [(await s.said(JobEnded, job)).job for job in jobs]
    assert {job.status for job in ends} == {Status.RENDERED}
    return s, ends


def _turns(s: Studio) -> list[type]:
    return [type(event) for event in s.seen if isinstance(event, JobStarted | JobEnded)]


async def test_jobs_are_painted_side_by_side(
    studio: MakeStudio, catalog: Catalog, tmp_path: Path
) -> None:
    s, jobs = await _paint(studio, _config(catalog, tmp_path, "cpu", "cpu"), 4)
    assert len({job.artifacts[0].path for job in jobs}) == 1, "the same picture on both cards"
    assert _turns(s)[:2] == [JobStarted, JobStarted]


async def test_jobs_are_painted_together_where_that_was_measured_to_pay(
    studio: MakeStudio, catalog: Catalog, tmp_path: Path
) -> None:
    config = _config(catalog, tmp_path, "cpu")
    assert catalog.imagine is not None
    table = Batches.read(config.storage.batches)
    table.add("cpu", catalog.imagine, {1: 1.0, 2: 0.6, 4: 0.5})
    table.write()
    s, _ = await _paint(studio, config, 4)
    assert _turns(s) == [JobStarted] * 4 + [JobEnded] * 4
