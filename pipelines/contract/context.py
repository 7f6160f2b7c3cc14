"""How a run reports back and how it is stopped."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pipelines.contract.errors import Cancelled
from pipelines.contract.requests import Request


class Phase(StrEnum):
    """What the GPU is doing for a job."""

    LOADING = "loading"
    CAPTIONING = "captioning"
    PAINTING = "painting"
    ANIMATING = "animating"
    ENCODING = "encoding"


@dataclass(frozen=True, slots=True)
class Progress:
    """`step` of `of` denoising steps are done in `phase`; both are 0 where a phase has no steps."""

    phase: Phase
    step: int = 0
    of: int = 0


def _nobody(progress: Progress) -> None:
    """Listens to no progress."""


def _everything(text: str) -> None:
    """Allows all words."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """Given to a run by its executor. `on_progress` is called on the GPU thread: be quick there.

    `coming` are requests that wait behind this run, the next one first. What of them can be done on
    the way is done, so that it need not be moved in again for each.

    `allow` is given the words that a model read in a picture, before anything is made of them, and
    raises an AtelierError where they are not allowed. It is called on the GPU thread too.
    """

    on_progress: Callable[[Progress], None] = _nobody
    cancel: threading.Event = field(default_factory=threading.Event)
    coming: Sequence[Request] = ()
    allow: Callable[[str], None] = _everything

    def step(self, phase: Phase, step: int = 0, of: int = 0) -> None:
        """Report progress, or raise Cancelled if a person wants the run to stop."""
        if self.cancel.is_set():
            raise Cancelled
        self.on_progress(Progress(phase, step, of))
