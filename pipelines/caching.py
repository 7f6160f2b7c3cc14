"""Fewer calls of a denoiser than steps: some of its answers are extrapolated from those before.

    with cached(pipeline.unet, steps=30, interval=2):
        pipeline(...)

What a denoiser says changes slowly from step to step, so a straight line through its last two
answers is near the next one: TaylorSeer (Liu et al., https://arxiv.org/abs/2503.06923) with one
derivative and of the denoiser as a whole, so that it serves UNets and transformers alike. No torch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.catalog import ImagineModel, SketchModel

FIRST = 3  # steps that are always computed: what a picture becomes is decided in them


def is_computed(step: int, steps: int, interval: int) -> bool:
    """Whether a step is computed where one of `interval` is; the last always is."""
    return step < FIRST or step >= steps - 1 or (step - FIRST) % interval == interval - 1


def computed(steps: int, interval: int) -> int:
    """How many of the steps are computed."""
    return sum(is_computed(step, steps, interval) for step in range(steps))


def cache_facts(model: SketchModel | ImagineModel) -> dict[str, int]:
    """What a result says of it: nothing where all steps are computed."""
    count = computed(model.steps, model.cache_interval)
    return {} if count == model.steps else {"computed": count}


@contextmanager
def cached(denoiser: Any, steps: int, interval: int) -> Iterator[None]:
    """Compute one of `interval` steps of a run of the pipeline; with 1, all, as without this."""
    if interval == 1:
        yield
        return
    before = denoiser._compiled_call_impl
    denoiser._compiled_call_impl = _Cached(before or denoiser._call_impl, steps, interval)
    try:
        yield
    finally:
        denoiser._compiled_call_impl = before


class _Cached:
    """What is called in the place of a denoiser, once a step."""

    def __init__(self, call: Callable[..., Any], steps: int, interval: int) -> None:
        self._call = call
        self._steps = steps
        self._interval = interval
        self._step = 0
        self._answers: list[tuple[int, Any]] = []  # the last two, and their steps

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        step, self._step = self._step, self._step + 1
        if not is_computed(step, self._steps, self._interval):
            return self._extrapolated(step)
        answer = self._call(*args, **kwargs)
        self._answers = [*self._answers[-1:], (step, answer)]
        return answer

    def _extrapolated(self, step: int) -> Any:
        (first, older), (second, newer) = self._answers
        sample = newer[0] + (newer[0] - older[0]) * ((step - second) / (second - first))
        return (sample,) if isinstance(newer, tuple) else type(newer)(sample=sample)
