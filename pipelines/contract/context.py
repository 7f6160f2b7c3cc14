"""How a run reports back and how it is stopped."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, Self

from pipelines.contract.errors import Cancelled
from pipelines.contract.requests import Request


class Phase(StrEnum):
    """What the GPU is doing for a job."""

    LOADING = "loading"
    CAPTIONING = "captioning"
    PAINTING = "painting"
    ANIMATING = "animating"
    UPSCALING = "upscaling"
    ENCODING = "encoding"


@dataclass(frozen=True, slots=True)
class Progress:
    """`step` of `of` denoising steps are done in `phase`; both are 0 where a phase has no steps.

    `preview` is what it looks like so far, as a small JPEG, where that is known.
    """

    phase: Phase
    step: int = 0
    of: int = 0
    preview: bytes | None = field(default=None, repr=False)


class Viewer(Protocol):
    """Who would see how one request of a run comes on. Called on the GPU thread: be quick there."""

    def wants(self) -> bool:
        """Whether a preview made now would be looked at."""
        ...

    def show(self, preview: bytes | None) -> None:
        """Take a preview for the next report; None takes the last one back."""
        ...


def _nobody(progress: Progress) -> None:
    """Listens to no progress."""


def _nothing() -> None:
    """Listens to no beginning."""


def _everything(text: str) -> None:
    """Allows all words."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """Given to a run by its executor. `on_progress` is called on the GPU thread: be quick there.

    `coming` are requests that wait behind this run, the next one first. What of them can be done on
    the way is done, so that it need not be moved in again for each.

    `allow` is given the words that a model read in a picture, before anything is made of them, and
    raises an AtelierError where they are not allowed. It is called on the GPU thread too.

    `viewers` are one for each request of the run, or none at all.

    `on_begin` is called once, on the GPU thread, when the card has done what it was at before.
    """

    on_progress: Callable[[Progress], None] = _nobody
    cancel: threading.Event = field(default_factory=threading.Event)
    coming: Sequence[Request] = ()
    allow: Callable[[str], None] = _everything
    viewers: Sequence[Viewer] = ()
    on_begin: Callable[[], None] = _nothing

    def of(self, number: int) -> Self:
        """The same for one request of the run alone, of which the first is 0."""
        return replace(self, viewers=self.viewers[number : number + 1])

    def begin(self) -> None:
        """Say that the card is at this run, or raise Cancelled if a person no longer wants it."""
        if self.cancel.is_set():
            raise Cancelled
        self.on_begin()

    def step(self, phase: Phase, step: int = 0, of: int = 0) -> None:
        """Report progress, or raise Cancelled if a person wants the run to stop."""
        if self.cancel.is_set():
            raise Cancelled
        self.on_progress(Progress(phase, step, of))
