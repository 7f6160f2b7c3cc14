"""How many durable enqueues a second the store takes in a burst.

Concurrent submitters, each of whom waits for its own job to be on the disk, against a real file
in the current folder's file system, with nothing relaxed.
"""

import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._report import report
from bot.jobs.job import Job
from bot.jobs.limits import Limits
from bot.jobs.store import Store
from pipelines.contract.requests import ImagineRequest

GOAL = 1_000
JOBS, AT_ONCE = 5_000, 250
ROOMY = Limits(waiting_per_member=1_000_000, waiting_in_all=1_000_000)


def _job(owner: int) -> Job:
    return Job(
        id=secrets.token_hex(8),
        owner=owner,
        request=ImagineRequest(prompt="a fox in the snow, at dawn, in oils", seed=owner),
        origin={"application_id": 1, "channel_id": 2, "token": secrets.token_hex(80)},
        queued_at=time.time(),
    )


async def enqueues_per_second(folder: Path, jobs: int, at_once: int) -> float:
    """Enqueues a second, `at_once` of them under way at any time, `jobs` in all."""
    store = await Store.open(folder / "jobs.sqlite3", folder / "files")

    async def submit(owner: int) -> None:
        for _ in range(jobs // at_once):
            await store.enqueue([_job(owner)], ROOMY)

    began = time.perf_counter()
    await asyncio.gather(*(submit(owner) for owner in range(at_once)))
    seconds = time.perf_counter() - began
    waiting = len(await store.waiting())
    await store.close()
    assert waiting == jobs // at_once * at_once, "every job that was acknowledged is there"
    return waiting / seconds


async def main() -> bool:
    """Measure in the current folder and print the figure."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        rate = await enqueues_per_second(Path(name), JOBS, AT_ONCE)
    figure = f"{rate:,.0f} durable enqueues/s in a burst of {AT_ONCE} at once"
    return report("store", figure, f"≥ {GOAL:,}", met=rate >= GOAL)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
