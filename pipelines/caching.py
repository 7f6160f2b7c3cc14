"""Fewer calls of a denoiser than steps: some of its answers are extrapolated from those before.

    with cached(pipeline.unet, pipeline.scheduler, steps=30, interval=2):
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
    """Whether a step, of which the first is 0, is computed; the last always is."""
    return step < FIRST or step >= steps - 1 or (step - FIRST) % interval == interval - 1


def computed(steps: int, interval: int) -> int:
    """How many of the steps are computed."""
    return sum(is_computed(step, steps, interval) for step in range(steps))


def cache_facts(model: SketchModel | ImagineModel) -> dict[str, int]:
    """What a result says of it: nothing where all steps are computed."""
    count = computed(model.steps, model.cache_interval)
    return {} if count == model.steps else {"computed": count}


@contextmanager
def cached(denoiser: Any, scheduler: Any, steps: int, interval: int) -> Iterator[None]:
    """Compute one step of `interval` of a run of the pipeline; with 1, all of them as usual."""
    if interval == 1:
        yield
        return
    before = denoiser._compiled_call_impl
    call = before or denoiser._call_impl
    denoiser._compiled_call_impl = _Cached(call, scheduler, steps, interval)
    try:
        yield
    finally:
        denoiser._compiled_call_impl = before


class _Cached:
    """Called in the place of a denoiser, once for each timestep.

    A sampler may have several timesteps in a step: Heun's has two. The second answer in a step is
    extrapolated from the second answers in the steps before.
    """

    def __init__(self, call: Callable[..., Any], scheduler: Any, steps: int, interval: int) -> None:
        self._call = call
        self._scheduler = scheduler
        self._steps = steps
        self._interval = interval
        self._index = 0
        self._answers: dict[int, list[tuple[int, Any]]] = {}
        """By their place in a step, the last two answers and their steps."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        index, self._index = self._index, self._index + 1
        step = self._step(index)
        place = sum(self._step(before) == step for before in range(index))
        if not is_computed(step, self._steps, self._interval):
            return _extrapolated(self._answers[place], step)
        answer = self._call(*args, **kwargs)
        self._answers[place] = [*self._answers.get(place, [])[-1:], (step, answer)]
        return answer

    def _step(self, index: int) -> int:
        """The step that a call of the denoiser belongs to."""
        return index * self._steps // len(self._scheduler.timesteps)


def _extrapolated(answers: list[tuple[int, Any]], step: int) -> Any:
    (first, older), (second, newer) = answers
    sample = newer[0] + (newer[0] - older[0]) * ((step - second) / (second - first))
    return (sample,) if isinstance(newer, tuple) else type(newer)(sample=sample)
