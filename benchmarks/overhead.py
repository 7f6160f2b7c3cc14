"""`python -m benchmarks.overhead`: what the whole bot adds to the pipeline that it runs.

The same request goes through the same small Stable Diffusion 3 in two ways, in turns, on the same
GPU thread of the same process:

- *bare*: the thread runs `Runner.run`, one request after another, and the bot does nothing;
- *through the bot*: a member's slash commands arrive by websocket and wait in the store together;
  the policy picks each, the executor is handed it, its steps are shown in Discord, its picture is
  written to disk, committed and uploaded by multipart, while the GPU thread is at the next one.

**overhead** is what a job costs the GPU thread more: the median time from the begin of one run to
the begin of the next, through the bot less bare. It holds all that the bot puts between two runs
(the lease, the choice, the commit, the way to the thread and back) and all by which it slows a
run down (progress, the interpreter's lock). Both ways encode the same PNG inside the run, so
encoding cancels out. Beside it stands the *journey*: how much longer than a bare run a member waits
with nobody before them, from the command on Discord's side to the picture there.

**loop lag** is by how much later than asked a timer of 2 ms fires on the bot's event loop while
/sketch, /imagine and /animate generate and encode; its p99.

Discord is a process of its own, so that its work is not counted as the bot's. Torch has one
thread: a real GPU leaves the CPU to the bot, and so must the stand-in for one.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks._report import report
from bot.app import App
from bot.config import Config, LimitsConfig, StorageConfig, load_config
from bot.executors.thread import ThreadExecutor
from demo.sample import draw_sample
from demo.tiny import ensure
from pipelines.catalog import Catalog
from pipelines.contract.context import RunContext
from pipelines.contract.requests import ImagineRequest, Request
from pipelines.contract.runner import Artifacts
from pipelines.runner import Runner
from tests.loopback.pointing import point_discord_at

DEMO = Path(__file__).parents[1] / "demo"
ROUNDS, BATCH, ALONE, LAGGING = 12, 6, 10, 3
PROMPT = "a red star on a blue background"
OVERHEAD_GOAL, LAG_GOAL = 2.0, 15.0  # milliseconds
TICK = 0.002


Times = list[tuple[float, float]]
"""When each run on the GPU thread began and ended, by the monotonic clock."""


class WatchedRunner(Runner):
    """A Runner that notes the times of its runs."""

    def __init__(self, models: Catalog, times: Times) -> None:
        torch.set_num_threads(1)
        super().__init__(models, "cpu")
        self._times = times

    def run(self, requests: Sequence[Request], context: RunContext) -> tuple[Artifacts, ...]:
        """Run, and note it."""
        begun = time.monotonic()
        artifacts = super().run(requests, context)
        self._times.append((begun, time.monotonic()))
        return artifacts


class Discord:
    """A loopback Discord in a process of its own, and the member in it who types."""

    def __init__(self, process: asyncio.subprocess.Process, base: str, token: str) -> None:
        self.base = base
        self.token = token
        self._process = process

    async def type(self, *commands: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Type commands at once; what became of each, in the order in which they ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for command, options in commands:
            order = json.dumps({"command": command, "options": options})
            self._process.stdin.write(order.encode() + b"\n")
        return [json.loads(await self._process.stdout.readline()) for _ in commands]


@asynccontextmanager
async def open_discord() -> AsyncIterator[Discord]:
    """Start the Discord and end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.loopback",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Discord(process, **json.loads(await process.stdout.readline()))
    finally:
        process.stdin.close()
        await process.wait()


class Bench:
    """The app with its runner watched."""

    def __init__(self, app: App, discord: Discord, times: Times) -> None:
        self._app = app
        self._discord = discord
        self._times = times
        self._seed = 0

    async def bare(self, count: int) -> list[float]:
        """Run bare, one after another. Seconds from each begin to the next, ends for the last."""
        for _ in range(count):
            request = ImagineRequest(prompt=PROMPT, seed=self._next_seed())
            await self._app.executor.run([request], RunContext())
        return [end - begin for begin, end in self._times[-count:]]

    async def through_the_bot(self, count: int) -> list[float]:
        """Run `count` jobs that wait together. Seconds from each begin to the next."""
        await self._discord.type(*(self._imagine() for _ in range(count)))
        begins = [begin for begin, _ in self._times[-count:]]
        return [after - before for before, after in pairwise(begins)]

    async def alone(self) -> float:
        """Seconds that a member waits with nobody before them."""
        [told] = await self._discord.type(self._imagine())
        shown: float = told["shown"] - told["sent"]
        return shown

    async def every_kind(self, drawing: Path) -> None:
        """One job of each kind."""
        await self._discord.type(
            ("sketch", {"drawing": str(drawing), "seed": self._next_seed()}),
            self._imagine(),
            ("animate", {"prompt": PROMPT, "seed": self._next_seed()}),
        )

    def _imagine(self) -> tuple[str, dict[str, Any]]:
        return "imagine", {"prompt": PROMPT, "seed": self._next_seed()}

    def _next_seed(self) -> int:
        self._seed += 1
        return self._seed


@asynccontextmanager
async def open_bench(folder: Path) -> AsyncIterator[Bench]:
    """The real app on the demo's models, connected."""
    ensure(DEMO / ".models")
    models = load_config(DEMO / "config.toml").models
    config = Config(
        storage=StorageConfig(folder=folder),
        limits=LimitsConfig(waiting_per_member=BATCH),
        models=models,
    )
    times: Times = []
    executor = ThreadExecutor(lambda: WatchedRunner(models, times))
    async with open_discord() as discord:
        with point_discord_at(discord.base):
            app = await App.open(config, executor=executor)
            serving = asyncio.create_task(app.serve(discord.token))
            yield Bench(app, discord, times)
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving


async def lag_while(work: asyncio.Task[None]) -> list[float]:
    """Milliseconds by which a timer was late, every 2 ms until `work` ends."""
    lags = []
    while not work.done():
        due = time.monotonic() + TICK
        await asyncio.sleep(TICK)
        lags.append((time.monotonic() - due) * 1000)
    await work
    return lags


async def main() -> bool:
    """Measure, print a line for each figure and return whether both goals were met."""
    bare: list[float] = []
    bot: list[float] = []
    with tempfile.TemporaryDirectory(prefix="atelier-overhead-") as folder:
        drawing = Path(folder) / "drawing.png"
        draw_sample().save(drawing)
        async with open_bench(Path(folder) / "data") as bench:
            await bench.every_kind(drawing)  # loads every model
            await bench.through_the_bot(BATCH)
            for _ in range(ROUNDS):
                bare += await bench.bare(BATCH)
                bot += await bench.through_the_bot(BATCH)
            alone = [await bench.alone() for _ in range(ALONE)]
            lags = sorted(await lag_while(asyncio.create_task(_work(bench, drawing))))
    return _report(bare, bot, alone, lags)


async def _work(bench: Bench, drawing: Path) -> None:
    for _ in range(LAGGING):
        await bench.every_kind(drawing)


def _report(bare: list[float], bot: list[float], alone: list[float], lags: list[float]) -> bool:
    plain = statistics.median(bare) * 1000
    more = statistics.median(bot) * 1000 - plain
    journey = statistics.median(alone) * 1000 - plain
    p99 = lags[int(len(lags) * 0.99)]
    quick = report(
        "overhead",
        f"{more:+.2f} ms a job on the GPU thread (bare {plain:.1f} ms, {len(bot)} and {len(bare)} "
        f"runs in turns; the journey of a job alone {journey:+.1f} ms)",
        f"≤ {OVERHEAD_GOAL:g} ms",
        met=more <= OVERHEAD_GOAL,
    )
    smooth = report(
        "loop lag",
        f"p99 {p99:.1f} ms (median {statistics.median(lags):.2f} ms, most {lags[-1]:.1f} ms, "
        f"{len(lags)} timers)",
        f"≤ {LAG_GOAL:g} ms",
        met=p99 <= LAG_GOAL,
    )
    return quick and smooth


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
