"""`python -m benchmarks.overhead`: what the whole bot adds to the pipeline that it runs.

The same request to the same small Stable Diffusion 3 goes two ways in turns, through the same GPU
thread of the same process:

- *bare*: what `Runner.run` takes on the thread while the bot does nothing;
- *through the bot*: a member's slash command has come by websocket and the job is in the store;
  measured is from that moment until the worker has the artifacts in its hands. In it are the
  policy's choice, the lease and its commit, the way to the thread and back, the progress that is
  shown in Discord meanwhile, and what all that costs the run itself.

**overhead** is the median of the difference, job by job. Neither way encodes the PNG inside the
run: who asks for its bytes does. Three more figures stand beside it. *Rendered*: the same until the
picture is on disk and the store says so, during which the GPU thread could go on. *In a queue*:
from the begin of one run to the begin of the next while six jobs wait and the results of those
before are stored and uploaded. *Journey*: from the command on Discord's side to the picture there.

**loop lag** is by how much later than asked a timer of 2 ms fires on the bot's event loop while
/sketch, /imagine and /animate generate and encode; its p99.

Discord is a process of its own, so that its work is not counted as the bot's. Torch has one
thread: a GPU leaves the CPU to the bot, and so must the stand-in for one.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks._report import report
from bot.app import App
from bot.config import Config, LimitsConfig, StorageConfig, load_config
from bot.executors.thread import ThreadExecutor
from bot.jobs.events import Event, JobEnded, JobQueued
from demo.sample import draw_sample
from pipelines.catalog import Catalog
from pipelines.contract.context import RunContext
from pipelines.contract.requests import ImagineRequest, Request
from pipelines.contract.runner import Artifacts
from pipelines.runner import Runner
from tests.loopback.pointing import point_discord_at

DEMO = Path(__file__).parents[1] / "demo"
PAIRS, BATCHES, BATCH, MIXED = 60, 6, 6, 3
STEPS, SIZE = 4, 128
PROMPT = "a red star on a blue background"
OVERHEAD_GOAL, LAG_GOAL = 2.0, 15.0  # milliseconds
TICK = 0.002


class WatchedRunner(Runner):
    """A Runner that notes when each of its runs began and ended."""

    def __init__(self, models: Catalog, runs: list[tuple[float, float]]) -> None:
        torch.set_num_threads(1)
        super().__init__(models, "cpu")
        self._runs = runs

    def run(self, requests: Sequence[Request], context: RunContext) -> tuple[Artifacts, ...]:
        """Run, and note it."""
        begun = time.monotonic()
        artifacts = super().run(requests, context)
        self._runs.append((begun, time.monotonic()))
        return artifacts


class WatchedExecutor(ThreadExecutor):
    """The executor of a WatchedRunner. Notes when it handed back what the last run had made."""

    def __init__(self, models: Catalog) -> None:
        self.runs: list[tuple[float, float]] = []
        self.handed_back = 0.0
        super().__init__(lambda: WatchedRunner(models, self.runs))

    async def run(self, requests: Sequence[Request], context: RunContext) -> tuple[Artifacts, ...]:
        """Run on the thread."""
        artifacts = await super().run(requests, context)
        self.handed_back = time.monotonic()
        return artifacts


@dataclass(frozen=True, slots=True)
class Alone:
    """Seconds that one job took with nobody before it: up to three ends, ever later."""

    to_artifacts: float
    to_rendered: float
    journey: float


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
    """The app, watched."""

    def __init__(self, app: App, executor: WatchedExecutor, discord: Discord) -> None:
        self._executor = executor
        self._discord = discord
        self._seed = 0
        self._last: dict[type[Event], float] = {}
        app.events.subscribe(self._hear)

    async def bare(self) -> float:
        """Seconds of a bare run."""
        request = ImagineRequest(prompt=PROMPT, seed=self._next_seed())
        await self._executor.run([request], RunContext())
        begun, ended = self._executor.runs[-1]
        return ended - begun

    async def alone(self) -> Alone:
        """One job through the bot."""
        [told] = await self._discord.type(self._imagine())
        queued = self._last[JobQueued]
        return Alone(
            self._executor.handed_back - queued,
            self._last[JobEnded] - queued,
            told["shown"] - told["sent"],
        )

    async def in_a_queue(self) -> list[float]:
        """Seconds from each begin of a run to the next, of jobs that wait together."""
        await self._discord.type(*(self._imagine() for _ in range(BATCH)))
        begins = [begun for begun, _ in self._executor.runs[-BATCH:]]
        return [after - before for before, after in pairwise(begins)]

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

    def _hear(self, event: Event) -> None:
        self._last[type(event)] = time.monotonic()


@asynccontextmanager
async def open_bench(folder: Path) -> AsyncIterator[Bench]:
    """The real app on the demo's models, connected."""
    config = Config(
        storage=StorageConfig(folder=folder),
        limits=LimitsConfig(waiting_per_member=BATCH),
        models=_light(load_config(DEMO / "config.toml").models),
    )
    executor = WatchedExecutor(config.models)
    async with open_discord() as discord:
        with point_discord_at(discord.base):
            app = await App.open(config, executors=[executor])
            serving = asyncio.create_task(app.serve(discord.token))
            yield Bench(app, executor, discord)
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving


def _light(models: Catalog) -> Catalog:
    """`models` with so little to do for /imagine that the bot's part can be seen beside it."""
    assert models.imagine is not None
    imagine = models.imagine.model_copy(update={"steps": STEPS, "size": SIZE})
    return models.model_copy(update={"imagine": imagine})


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
    with tempfile.TemporaryDirectory(prefix="atelier-overhead-") as folder:
        drawing = Path(folder) / "drawing.png"
        draw_sample().save(drawing)
        async with open_bench(Path(folder) / "data") as bench:
            await bench.every_kind(drawing)  # loads every model
            await bench.in_a_queue()
            pairs = [(await bench.bare(), await bench.alone()) for _ in range(PAIRS)]
            queue = [gap for _ in range(BATCHES) for gap in await bench.in_a_queue()]
            lags = await lag_while(asyncio.create_task(_mixed(bench, drawing)))
    quick = _report_overhead(pairs, queue)
    return _report_lag(sorted(lags)) and quick


async def _mixed(bench: Bench, drawing: Path) -> None:
    for _ in range(MIXED):
        await bench.every_kind(drawing)


def _report_overhead(pairs: list[tuple[float, Alone]], queue: list[float]) -> bool:
    bare = statistics.median(plain for plain, _ in pairs)
    more = _median_ms(job.to_artifacts - plain for plain, job in pairs)
    rendered = _median_ms(job.to_rendered - plain for plain, job in pairs)
    journey = _median_ms(job.journey - plain for plain, job in pairs)
    queued = _median_ms(gap - bare for gap in queue)
    return report(
        "overhead",
        f"{more:+.2f} ms in the median of {len(pairs)} jobs (bare {bare * 1000:.1f} ms; rendered "
        f"{rendered:+.1f} ms, in a queue {queued:+.1f} ms, journey {journey:+.1f} ms)",
        f"≤ {OVERHEAD_GOAL:g} ms",
        met=more <= OVERHEAD_GOAL,
    )


def _report_lag(lags: list[float]) -> bool:
    p99 = lags[int(len(lags) * 0.99)]
    return report(
        "loop lag",
        f"p99 {p99:.1f} ms (median {statistics.median(lags):.2f} ms, most {lags[-1]:.1f} ms, "
        f"{len(lags)} timers)",
        f"≤ {LAG_GOAL:g} ms",
        met=p99 <= LAG_GOAL,
    )


def _median_ms(seconds: Iterable[float]) -> float:
    return statistics.median(seconds) * 1000


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
