"""`python -m benchmarks.web`: what watching and asking over HTTP cost the bot.

The bot is this process: the real app and its server, and an executor's thread whose runner sleeps
where a graphics card would work. Those who ask are a process of their own.

**lag** is how late the event loop comes back to a sleeper while fifty clients watch a job as
server-sent events, of whom ten never read what they are sent; **growth** is what the process's
memory gained meanwhile. **slowdown** is how much longer a job takes while `/health` is asked 200
times a second than alone, by the medians of turns. What a browser sees is in `benchmarks.page`.
"""

import asyncio
import gc
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil

from benchmarks import page
from benchmarks._report import report
from bot.app import App
from bot.jobs.events import JobEnded
from pipelines.contract.requests import ImagineRequest
from tests.integration.apps import Heard
from tests.loopback.runner import Studio
from tests.web.serving import opened, web_config

WATCHERS, STALLED = 50, 10
RATE = 200  # requests a second
LAG_GOAL, GROWTH_GOAL, SLOWDOWN_GOAL = 0.015, 8 * 2**20, 0.02
STEP = 0.02  # seconds
WARM = 1.0  # seconds in which connections are made


@dataclass(frozen=True, slots=True)
class Watched:
    """What a time with watchers cost."""

    lags: list[float]
    growth: int


async def watch(seconds: float = 10.0, watchers: int = WATCHERS, stalled: int = STALLED) -> Watched:
    """Have a job watched, and look at loop and memory meanwhile."""
    async with _app(Studio(steps=int((seconds + WARM + 2) / STEP), step_seconds=STEP)) as app:
        _narrow(app)
        job_id = await _submit(app)
        async with _others("watch", str(app.studio), job_id, str(watchers), str(stalled)):
            await asyncio.sleep(WARM)
            gc.collect()
            process = psutil.Process()
            before = process.memory_info().rss
            lags = await _lags(seconds)
            gc.collect()
            growth = process.memory_info().rss - before
        await app.queue.cancel(job_id)
    return Watched(lags, growth)


async def slowdown(steps: int = 150, turns: int = 5) -> float:
    """By what share a job is slower while /health is asked."""
    alone, beside = [], []
    async with _app(Studio(steps=steps, step_seconds=STEP)) as app:
        await _took(app)
        for _ in range(turns):
            alone.append(await _took(app))
            async with _others("health", str(app.studio), str(RATE)):
                await asyncio.sleep(WARM)
                beside.append(await _took(app))
    return statistics.median(beside) / statistics.median(alone) - 1


async def look() -> page.Seen:
    """What a browser sees of the studio."""
    async with _app(Studio()) as app:
        return await asyncio.to_thread(page.look, str(app.studio))


async def main() -> bool:
    """Measure, print the lines, and return whether all goals were met."""
    watched = await watch()
    lag = statistics.quantiles(watched.lags, n=100)[98]
    slower, seen = await slowdown(), await look()
    met = [
        report(
            f"loop lag, {WATCHERS} watchers of whom {STALLED} stall",
            f"{lag * 1000:.1f} ms p99",
            f"≤ {LAG_GOAL * 1000:.0f} ms",
            met=lag <= LAG_GOAL,
        ),
        report(
            "memory meanwhile",
            f"{watched.growth / 2**20:+.1f} MiB",
            f"≤ {GROWTH_GOAL / 2**20:.0f} MiB",
            met=watched.growth <= GROWTH_GOAL,
        ),
        report(
            f"a job beside {RATE} requests of /health a second",
            f"{slower * 100:+.2f} %",
            f"< {SLOWDOWN_GOAL * 100:.0f} %",
            met=slower < SLOWDOWN_GOAL,
        ),
        report(
            "page",
            f"{seen.weight / 1000:.0f} kB",
            f"≤ {page.WEIGHT_GOAL / 1000:.0f} kB",
            met=seen.weight <= page.WEIGHT_GOAL,
        ),
        report(
            "its first paint",
            f"{seen.painted:.2f} s",
            f"≤ {page.PAINT_GOAL} s",
            met=seen.painted <= page.PAINT_GOAL,
        ),
        report(
            f"its slowest frame while {page.EVENTS} pointer events draw",
            f"{seen.slowest:.1f} ms",
            f"≤ {page.FRAME_GOAL:.0f} ms",
            met=seen.slowest <= page.FRAME_GOAL,
        ),
    ]
    return all(met)


@asynccontextmanager
async def _app(studio: Studio) -> AsyncIterator[App]:
    with tempfile.TemporaryDirectory(prefix="atelier-web-") as folder:
        async with opened(web_config(Path(folder), is_open=True), studio) as app:
            yield app


def _narrow(app: App) -> None:
    """Let the system buffer little of what is sent, so that who does not read is soon felt."""
    assert app.web is not None
    for site in app.web.runner.sites:
        listening: Any = site._server
        for each in listening.sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


async def _submit(app: App) -> str:
    request = ImagineRequest(prompt="fox " * 200, seed=7)
    return (await app.queue.submit(request, owner=1, origin={})).id


async def _took(app: App) -> float:
    """The seconds of one job, from its start to its end."""
    heard = Heard(app.events)
    await _submit(app)
    job = (await heard.of(JobEnded, timeout=600)).job
    return (job.ended_at or 0.0) - (job.started_at or 0.0)


async def _lags(seconds: float, every: float = 0.005) -> list[float]:
    lags, end = [], time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        await asyncio.sleep(every)
        lags.append(time.perf_counter() - now - every)
    return lags


# -- the other process -----------------------------------------------------------------------


@asynccontextmanager
async def _others(*words: str) -> AsyncIterator[None]:
    """Those who ask, until the end of the block."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.web", *words)
    try:
        await asyncio.sleep(WARM)
        yield
    finally:
        process.kill()
        await process.wait()


async def _watchers(url: str, job_id: str, watchers: int, stalled: int) -> None:
    parts = urlsplit(url)
    path = f"/v1/jobs/{job_id}"
    asked = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: text/event-stream\r\n\r\n"
    async with AsyncExitStack() as stack:
        for _ in range(stalled):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((parts.hostname, parts.port))
            deaf.send(asked.encode())
        session = await stack.enter_async_context(aiohttp.ClientSession(url, timeout=FOREVER))
        await asyncio.gather(*(_read(session, path) for _ in range(watchers - stalled)))
        await asyncio.Event().wait()


async def _read(session: aiohttp.ClientSession, path: str) -> None:
    async with session.get(path, headers={"Accept": "text/event-stream"}) as answer:
        async for _ in answer.content:
            pass


async def _ask(url: str, rate: int) -> None:
    async with aiohttp.ClientSession(url) as session:
        due = time.perf_counter()
        while True:
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            async with session.get("/health") as answer:
                await answer.read()


FOREVER = aiohttp.ClientTimeout(total=None)

if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        match sys.argv[1:]:
            case ["watch", url, job_id, watchers, stalled]:
                asyncio.run(_watchers(url, job_id, int(watchers), int(stalled)))
            case ["health", url, rate]:
                asyncio.run(_ask(url, int(rate)))
            case _:
                sys.exit(0 if asyncio.run(main()) else 1)
