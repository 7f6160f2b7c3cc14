"""`python -m benchmarks.progress`: what it takes to show members how their jobs come on.

**edits** are those of the waiting messages while twenty jobs run and are watched at once, each on a
card of its own and with previews: the most that reach Discord in any minute, beside each message's
first and its last. The budget for all messages together is one a second and ten at once; two more
are allowed for the way, on which those of a minute may come together by a moment.

**final edit** is how long after the end of its job a result is at Discord, at the most, when the
twenty end at once while their messages are still being edited; and how many messages were edited
once more after it, which must be none. What it waits for is its own upload and those beside it, not
the pace of the progress.

**loop lag** is by how much later than asked a timer of 2 ms fires on the bot's event loop, its p99,
over the whole minute above and while the demo's models load and paint with previews on.

Discord is a process of its own, and torch has one thread, as in `benchmarks.overhead`.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._report import report
from benchmarks.overhead import DEMO, Discord, WatchedExecutor, lag_while, open_discord
from bot.app import App
from bot.config import Config, GpuConfig, LimitsConfig, StorageConfig, load_config
from bot.jobs.events import Event, JobEnded, JobProgressed, JobStarted
from bot.jobs.executor import Executor
from bot.ui.messages import PREVIEW
from bot.ui.progress import BURST, EDITS_PER_SECOND
from demo.sample import draw_sample
from pipelines.catalog import Catalog
from tests.integration.apps import light_catalog, light_executor
from tests.loopback.pointing import point_discord_at
from tests.loopback.runner import Studio

WATCHED, STEPS, STEP_SECONDS = 20, 750, 0.1
MINUTE = 60.0
ROUNDS, LONG = 3, 48  # of each kind; steps that make the demo's jobs long enough to be watched
MOMENT = 2.0  # seconds by which the way to Discord may differ from edit to edit
BUDGET = EDITS_PER_SECOND * (MINUTE + MOMENT) + BURST
FINAL_GOAL, LAG_GOAL = 1.0, 15.0  # seconds, milliseconds


@dataclass(eq=False)
class Notes:
    """What the app published: when each job ended, in Unix time, and how many previews came."""

    started: int = 0
    ends: list[float] = field(default_factory=list)
    previews: int = 0
    _latest: bytes | None = None

    def hear(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case JobStarted():
                self.started += 1
            case JobEnded():
                self.ends.append(time.time())
            case JobProgressed(progress=progress) if progress.preview not in (None, self._latest):
                self._latest = progress.preview
                self.previews += 1


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of jobs that ran at once: for each its message's edits, with their files."""

    edits: Sequence[Sequence[tuple[float, Sequence[str]]]]
    ended: float
    lags: Sequence[float]

    def in_a_minute(self) -> int:
        """The most progress edits in any minute."""
        # The first version is the acknowledgement, the second says that the job waits or starts.
        times = sorted(at for each in self.edits for at, _ in each[2:-1])
        return max((sum(0 <= t - begin < MINUTE for t in times) for begin in times), default=0)

    def longest_wait(self) -> float:
        """Seconds from the first end to the last result."""
        return (
            max(at for each in self.edits for at, files in each if _is_result(files)) - self.ended
        )

    def after_the_end(self) -> int:
        """Messages that were edited after they showed their result."""
        return sum(not _is_result(each[-1][1]) for each in self.edits)

    def previews(self) -> int:
        """Edits with a preview."""
        return sum(PREVIEW in files for each in self.edits for _, files in each)


def _is_result(files: Sequence[str]) -> bool:
    return bool(files) and PREVIEW not in files


@asynccontextmanager
async def _open(
    models: Catalog, executors: Sequence[Executor]
) -> AsyncIterator[tuple[Discord, Notes]]:
    """The real app, connected to a Discord in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="atelier-progress-") as folder:
        config = Config(
            storage=StorageConfig(folder=Path(folder)),
            limits=LimitsConfig(waiting_per_member=len(executors) + 4),
            gpu=GpuConfig(preload=False),
            models=models,
        )
        async with open_discord() as discord:
            with point_discord_at(discord.base):
                app = await App.open(config, executors=executors)
                notes = Notes()
                app.events.subscribe(notes.hear)
                serving = asyncio.create_task(app.serve(discord.token))
                yield discord, notes
                serving.cancel()
                with suppress(asyncio.CancelledError):
                    await serving


async def watch(jobs: int, steps: int, step_seconds: float) -> Watched:
    """Have so many jobs run and be watched at once."""
    studio = Studio(steps=steps, step_seconds=step_seconds)
    executors = [light_executor(studio) for _ in range(jobs)]
    told: list[dict[str, Any]] = []
    async with _open(light_catalog(), executors) as (discord, notes):

        async def type_all() -> None:
            commands = [("imagine", {"prompt": f"star {n}", "seed": n}) for n in range(jobs)]
            told.extend(await discord.type(*commands))

        lags = await lag_while(asyncio.create_task(type_all()))
    assert notes.started == jobs
    return Watched([each["edits"] for each in told], min(notes.ends), lags)


async def lag_with_previews(rounds: int = ROUNDS) -> tuple[list[float], int]:
    """Milliseconds by which timers were late while real models paint; how many previews came."""
    models = _long(load_config(DEMO / "config.toml").models)
    with tempfile.NamedTemporaryFile(suffix=".png") as drawing:
        draw_sample().save(drawing.name)
        async with _open(models, [WatchedExecutor(models)]) as (discord, notes):

            async def paint() -> None:
                for seed in range(rounds):
                    await discord.type(
                        ("sketch", {"drawing": drawing.name, "seed": seed}),
                        ("imagine", {"prompt": "a red star on a blue background", "seed": seed}),
                    )

            lags = await lag_while(asyncio.create_task(paint()))
    return lags, notes.previews


def _long(models: Catalog) -> Catalog:
    assert models.sketch is not None
    assert models.imagine is not None
    return models.model_copy(
        update={
            "sketch": models.sketch.model_copy(update={"steps": LONG}),
            "imagine": models.imagine.model_copy(update={"steps": LONG}),
        }
    )


async def main() -> bool:
    """Measure, print a line for each figure and return whether all goals were met."""
    watched = await watch(WATCHED, STEPS, STEP_SECONDS)
    lags, previews = await lag_with_previews()
    edits = watched.in_a_minute()
    paced = report(
        "edits",
        f"{edits} in a minute at the most, of {WATCHED} jobs watched at once, "
        f"{watched.previews()} of all with a preview",
        f"≤ {BUDGET:g}",
        met=0 < edits <= BUDGET and watched.previews() > 0,
    )
    wait, late = watched.longest_wait(), watched.after_the_end()
    prompt = report(
        "final edit",
        f"at most {wait * 1000:.0f} ms after the end, {WATCHED} at once; {late} edited after it",
        f"≤ {FINAL_GOAL * 1000:g} ms, none",
        met=wait <= FINAL_GOAL and late == 0,
    )
    return _report_lag(sorted([*watched.lags, *lags]), previews) and paced and prompt


def _report_lag(lags: list[float], previews: int) -> bool:
    p99 = lags[int(len(lags) * 0.99)]
    return report(
        "loop lag",
        f"p99 {p99:.1f} ms (median {statistics.median(lags):.2f} ms, most {lags[-1]:.1f} ms, "
        f"{len(lags)} timers, {previews} previews of the demo's models)",
        f"≤ {LAG_GOAL:g} ms",
        met=p99 <= LAG_GOAL and previews > 0,
    )


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
