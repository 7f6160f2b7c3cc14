"""Jobs, artifacts and a clock for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.jobs.events import Events
from bot.jobs.job import Job, StoredArtifact, new_job_id
from bot.jobs.limits import Limits
from bot.jobs.policy import Policy
from bot.jobs.queue import JobQueue
from bot.jobs.settings import Settings, SettingsBook
from bot.jobs.store import Store
from bot.words import WordRules
from pipelines.catalog import (
    AnimateModel,
    CaptionModel,
    Catalog,
    ImagineModel,
    SketchModel,
    UpscaleModel,
)
from pipelines.contract.artifact import MediaType
from pipelines.contract.requests import ImagineRequest

ROOMY = Limits(waiting_per_member=1_000_000, waiting_in_all=1_000_000)
CATALOG = Catalog(
    caption=CaptionModel(source="./blip"),
    sketch=SketchModel(source="./sdxl"),
    imagine=ImagineModel(source="./sd3"),
    animate=AnimateModel(source="./svd"),
    upscale=UpscaleModel(source="./swin2sr"),
)
START = 1_000_000.0


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def a_queue(
    store: Store, policy: Policy, catalog: Catalog, events: Events, limits: Limits, **more: Any
) -> JobQueue:
    """One in whose servers nothing was set and no word is forbidden."""
    settings = SettingsBook(store.database, Settings(waiting=limits.waiting_per_member))
    return JobQueue(
        store, policy, catalog, events, limits, settings=settings, words=WordRules(), **more
    )


async def enqueue(store: Store, job: Job, limits: Limits) -> Job:
    """Write one queued job."""
    [written] = await store.enqueue([job], limits)
    return written


def a_job(owner: int = 1, **changes: Any) -> Job:
    fields: dict[str, Any] = {
        "id": new_job_id(),
        "owner": owner,
        "request": ImagineRequest(prompt="a fox", seed=7),
        "origin": {"channel_id": 5, "token": "t"},
        "queued_at": START,
    }
    return Job(**{**fields, **changes})


def an_artifact(folder: Path, name: str = "fox.png") -> StoredArtifact:
    return StoredArtifact(
        path=folder / name,
        media_type=MediaType.PNG,
        name=name,
        size=3,
        width=64,
        height=48,
        facts={"prompt": "a fox", "seed": 7, "strength": 0.5},
    )


@asynccontextmanager
async def open_store(path: Path) -> AsyncIterator[Store]:
    """The store at `path`, closed whatever happens: its thread would keep the tests from ending."""
    store = await Store.open(path, path.parent / "files")
    try:
        yield store
    finally:
        await store.close()
