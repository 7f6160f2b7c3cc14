"""Keeps the waiting messages up to date without wearing out Discord's patience."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bot.jobs.events import Events
from bot.jobs.queue import JobQueue
from bot.ui.roads import Roads


class ProgressBoard:
    """Listens to job events and edits the waiting messages; starts nothing until an event comes."""

    def __init__(
        self,
        roads: Roads,
        queue: JobQueue,
        events: Events,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._roads = roads
        self._queue = queue
        self._now = now
        self._sleep = sleep

    async def release(self, job_id: str) -> None:
        """Stop editing this job's message; when it returns, no edit of it is under way."""

    async def stop(self) -> None:
        """Stop editing every message."""
