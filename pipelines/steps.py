"""Denoising steps: each is reported, and each is where a run can be cancelled."""

from collections.abc import Callable
from typing import Any

import torch

from pipelines.contract.context import Phase, RunContext
from pipelines.previews import Previews


class _Pace:
    """Keeps the processor at most a step ahead of a CUDA card.

    The card's queue holds many steps of a compiled or recorded network. Without this, progress and
    previews would be of steps that are only launched, and Cancel would come too late. The card has
    the next step to do meanwhile, so that it never waits.
    """

    def __init__(self) -> None:
        self._before: Any = None

    def keep(self, latents: torch.Tensor) -> None:
        """A step that ends with `latents` was launched: wait until the one before it is done."""
        if not latents.is_cuda:
            return
        # blocking: the thread sleeps, and leaves its processor to others
        launched = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        launched.record(torch.cuda.current_stream(latents.device))
        before, self._before = self._before, launched
        if before is not None:
            before.synchronize()


class Steps:
    """Counts the steps of one phase over its `calls` of a pipeline, of `steps` each.

    Its methods are diffusers' callbacks after each step. They report progress, and raise Cancelled,
    which is the one way to stop that every pipeline has: Stable Video Diffusion knows no
    `_interrupt`. `begun` is called after every step. `previews` are of the current call.
    """

    def __init__(
        self,
        context: RunContext,
        phase: Phase,
        steps: int,
        *,
        calls: int = 1,
        begun: Callable[[], None] = lambda: None,
        previews: Previews | None = None,
    ) -> None:
        self.previews = previews
        self._context = context
        self._phase = phase
        self._steps = steps
        self._total = steps * calls
        self._done = self._before = 0
        self._begun = begun
        self._pace = _Pace()
        context.step(phase, 0, self._total)

    def on_step_end(
        self, pipeline: Any, index: int, timestep: object, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """diffusers' `callback_on_step_end`. Changes no tensor.

        diffusers calls it after each timestep: some samplers have more of them than steps.
        """
        if index == 0:
            self._before = self._done
        done = self._before + (index + 1) * self._steps // pipeline.num_timesteps
        self._advance(index, done, tensors.get("latents"))
        return {}

    def callback(self, index: int, timestep: object, latents: Any) -> None:
        """diffusers' older `callback`, once a step: all that the adapter pipeline has."""
        self._advance(index, self._done + 1, latents)

    def _advance(self, index: int, done: int, latents: Any) -> None:
        self._begun()
        if latents is not None:
            self._pace.keep(latents)
            if self.previews is not None:
                self.previews.after_step(index, latents)
        self._done = done
        self._context.step(self._phase, done, self._total)
