"""How long the bot took from its start to its first result. Only listens to the jobs' events."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from bot.jobs.events import Event, Events, FirstResult, JobEnded
from bot.jobs.job import Status
from bot.tasks import Tasks
from pipelines.contract.requests import Kind

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FirstWait:
    """The seconds to the first result of a start, and when that was (Unix time)."""

    seconds: float
    kind: Kind
    at: float

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What the latest start left in the storage folder; None where none got so far."""
        try:
            told = json.loads(_file(folder).read_text())
            return cls(float(told["seconds"]), Kind(told["kind"]), float(told["at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Leave it there, for `doctor`."""
        _file(folder).write_text(json.dumps(asdict(self)))


def _file(folder: Path) -> Path:
    return folder / "first-result.json"


class StartWatch:
    """Publishes FirstResult once, and leaves it in `folder`.

    The wait begins with the process, or with the job where that came later: libraries and models
    load behind the commands, and who asks a bot that has nothing to do yet is not kept waiting.
    """

    def __init__(
        self, events: Events, folder: Path, *, now: Callable[[], float] = time.time
    ) -> None:
        self._events = events
        self._folder = folder
        self._now = now
        self._began = psutil.Process().create_time()
        self._done = False
        self._tasks = Tasks()
        events.subscribe(self._on_event)

    async def stop(self) -> None:
        """Let what is being written be written."""
        await self._tasks.join()

    def _on_event(self, event: Event) -> None:
        match event:
            case JobEnded(job) if job.status is Status.RENDERED and not self._done:
                self._done = True
                at = self._now()
                wait = FirstWait(at - max(self._began, job.queued_at), job.kind, at)
                self._events.publish(FirstResult(wait.seconds))
                self._tasks.start(self._keep(wait), name="keep the first wait")

    async def _keep(self, wait: FirstWait) -> None:
        try:
            await asyncio.to_thread(wait.write, self._folder)
        except OSError as error:
            log.warning("how long the start took cannot be kept: %s", error)
