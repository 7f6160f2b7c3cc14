"""How a model fits a card. Pure: sizes in, a choice out."""

from dataclasses import dataclass
from enum import StrEnum

GIB = 2**30


class Fit(StrEnum):
    """Whether a model is on the GPU as a whole or part by part."""

    WHOLE = "whole"
    OFFLOADED = "offloaded"
    """In RAM; each part visits the GPU for its turn. Slower, but it needs room for one part."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How a model is held, and the bytes that the GPU reserves for it while it is resident."""

    fit: Fit
    size: int


def place(vram_gib: float, budget: float, *, divisible: bool = True) -> Placement:
    """The placement of a model that takes `vram_gib` as a whole on a card of `budget` bytes.

    Budgets may be infinite: a CPU's is. A model that exceeds the budget takes all of it, so that
    nothing else is resident beside it. What is not `divisible` is tried as a whole all the same.
    """
    size = int(vram_gib * GIB)
    if size <= budget:
        return Placement(Fit.WHOLE, size)
    return Placement(Fit.OFFLOADED if divisible else Fit.WHOLE, int(budget))
