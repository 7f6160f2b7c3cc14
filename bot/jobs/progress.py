"""From the GPU thread to the event loop: how far a run is, and how long it has kept the GPU.

And back: when somebody will look at it next.
"""

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Callable
from dataclasses import replace
from math import inf

from pipelines.contract.context import Phase, Progress

LEAD = 1.0  # seconds before a look in which its preview is made


class Look:
    """When somebody next looks at a run: for that a preview is made, and none before.

    Written by the event loop, read by the GPU thread.
    """

    def __init__(self) -> None:
        self._at = inf

    def expect(self, at: float) -> None:
        """Somebody will look at `at`, by the monotonic clock."""
        self._at = at

    def is_near(self) -> bool:
        """Whether what is made now would be fresh then."""
        return time.monotonic() >= self._at - LEAD

    def is_provided_for(self) -> None:
        """A preview was made for it: make none until the next look is expected."""
        self._at = inf


class Meter:
    """Listens to one run, and is its Viewer. Made on the event loop, called on the GPU thread.

    `publish` is called on the loop, with the latest report where several came while it was busy.
    """

    def __init__(self, publish: Callable[[Progress], None], look: Look) -> None:
        self._look = look
        self._preview: bytes | None = None
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # the run's; the GPU thread has none of its own
        self._publish = publish
        self._latest: Progress | None = None
        self._under_way = False
        self._seconds = 0.0
        self._since = time.monotonic()
        self._counts = False  # whether the time since then is the run's

    def begin(self) -> None:
        """The card is at the run, which may have waited for it."""
        self._count(from_now=True)

    def report(self, progress: Progress) -> None:
        """Take note of a run's progress."""
        self._count(from_now=progress.phase is not Phase.LOADING)
        self._latest = replace(progress, preview=self._preview) if self._preview else progress
        if not self._under_way:
            self._under_way = True
            with contextlib.suppress(RuntimeError):  # the loop was closed before the run's end
                self._loop.call_soon_threadsafe(self._arrive, context=self._context)

    def wants(self) -> bool:
        """Whether a preview made now would be looked at."""
        return self._look.is_near()

    def show(self, preview: bytes | None) -> None:
        """Take a preview, which goes with every report from now on."""
        self._preview = preview
        self._look.is_provided_for()

    def gpu_seconds(self) -> float:
        """What the run took from its beginning to now, less what it spent on loading.

        Nothing before it began, however long it waited for the card.
        """
        self._count(from_now=self._counts)
        return self._seconds

    def _count(self, *, from_now: bool) -> None:
        """Add the time up to now if it is the run's, and say whether it is from now on."""
        now = time.monotonic()
        if self._counts:
            self._seconds += now - self._since
        self._since, self._counts = now, from_now

    def _arrive(self) -> None:
        self._under_way = False
        if self._latest is not None:
            self._publish(self._latest)
