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
    """Watches one request of a run. Called on the GPU thread: be quick there."""

    def wants(self) -> bool:
        """Whether a preview made now would be looked at."""
        ...

    def show(self, preview: bytes | None) -> None:
        """Take a preview for the next report; None takes the last one back."""
        ...


@dataclass(frozen=True, slots=True)
class RunContext:
    """Given to a run by its executor. Its functions are called on the GPU thread: be quick there.

    `coming` are the requests that wait behind this run, the next one first: while a model that
    reads prompts or pictures is on the card, it reads theirs too, and need not come back for each.

    `allow` is given the words that a model read in a picture, before anything is made of them, and
    raises an AtelierError where they are not allowed.

    `viewers` are one for each request of the run, or none at all.

    `on_begin` is called once, when the card turns to this run.
    """

    on_progress: Callable[[Progress], None] = lambda progress: None
    cancel: threading.Event = field(default_factory=threading.Event)
    coming: Sequence[Request] = ()
    allow: Callable[[str], None] = lambda words: None
    viewers: Sequence[Viewer] = ()
    on_begin: Callable[[], None] = lambda: None

    def of(self, number: int) -> Self:
        """This context for one request of the run alone; the first has the number 0."""
        return replace(self, viewers=self.viewers[number : number + 1])

    def begin(self) -> None:
        """Call `on_begin`, or raise Cancelled if a person no longer wants the run."""
        if self.cancel.is_set():
            raise Cancelled
        self.on_begin()

    def step(self, phase: Phase, step: int = 0, of: int = 0) -> None:
        """Report progress, or raise Cancelled if a person wants the run to stop."""
        if self.cancel.is_set():
            raise Cancelled
        self.on_progress(Progress(phase, step, of))
