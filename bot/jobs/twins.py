"""What is asked for once more while it is under way, and would come out the same."""

from collections.abc import Iterator
from contextlib import contextmanager

from bot.errors import Repeated
from bot.jobs.events import Event, Events, JobEnded, JobQueued
from bot.jobs.job import Job
from pipelines.contract.requests import Request, UpscaleRequest


class Twins:
    """Knows the upscales that wait or run, in which nothing is left to chance, by their owners.

    Listens to the jobs' events.
    """

    def __init__(self, events: Events) -> None:
        self._live: set[tuple[int, Request]] = set()
        events.subscribe(self._hear)

    @contextmanager
    def without(self, job: Job) -> Iterator[None]:
        """Around the way of `job` into the queue. Raises Repeated where its like is under way."""
        if not isinstance(job.request, UpscaleRequest):
            yield
            return
        if _key(job) in self._live:
            raise Repeated("You have asked for this already: it is being made larger.")
        self._live.add(_key(job))
        try:
            yield
        except BaseException:
            self._live.discard(_key(job))
            raise

    def _hear(self, event: Event) -> None:
        match event:
            case JobQueued(job) if isinstance(job.request, UpscaleRequest):
                self._live.add(_key(job))
            case JobEnded(job):
                self._live.discard(_key(job))


def _key(job: Job) -> tuple[int, Request]:
    return job.owner, job.request
