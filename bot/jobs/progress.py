"""From the GPU thread to the event loop: how far a run is, and how long it has kept the GPU."""

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Callable

from pipelines.contract.context import Phase, Progress


class Meter:
    """Listens to one run. Made on the event loop; `report` is called on the GPU thread.

    `publish` is called on the loop. While the loop is busy reports pile up to one: the latest.
    """

    def __init__(self, publish: Callable[[Progress], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # the run's; the GPU thread has none of its own
        self._publish = publish
        self._latest: Progress | None = None
        self._under_way = False
        self._seconds = 0.0
        self._since = time.monotonic()

    def report(self, progress: Progress) -> None:
        """Take note of a run's progress."""
        self._count()
        self._latest = progress
        if not self._under_way:
            self._under_way = True
            with contextlib.suppress(RuntimeError):  # the loop was closed before the run's end
                self._loop.call_soon_threadsafe(self._arrive, context=self._context)

    def gpu_seconds(self) -> float:
        """What the run took from its first report to now, less what it spent on loading.

        Without any report, all the time since the meter was made.
        """
        if self._latest is None:
            return time.monotonic() - self._since
        self._count()
        return self._seconds

    def _count(self) -> None:
        """The time up to now belongs to the phase that was reported last."""
        now = time.monotonic()
        if self._latest is not None and self._latest.phase is not Phase.LOADING:
            self._seconds += now - self._since
        self._since = now

    def _arrive(self) -> None:
        self._under_way = False
        if self._latest is not None:
            self._publish(self._latest)
