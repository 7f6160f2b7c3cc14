"""Denoising steps: each is reported, and each is where a run can be cancelled."""

from collections.abc import Callable
from typing import Any

from pipelines.contract.context import Phase, RunContext
from pipelines.previews import Previews


class Steps:
    """Counts the steps of one phase over all the pipeline calls that it takes.

    Its methods are what diffusers calls after each step; they raise Cancelled. Raising is the
    one way to stop that every pipeline has: Stable Video Diffusion knows no `_interrupt`. `begun`
    is called after the first step, and may be called again. `previews` are of what is painted now,
    and may be set anew for each call.
    """

    def __init__(
        self,
        context: RunContext,
        phase: Phase,
        total: int,
        *,
        begun: Callable[[], None] = lambda: None,
        previews: Previews | None = None,
    ) -> None:
        self.previews = previews
        self._context = context
        self._phase = phase
        self._total = total
        self._done = 0
        self._begun = begun
        context.step(phase, 0, total)

    def on_step_end(
        self, pipeline: object, index: int, timestep: object, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """diffusers' `callback_on_step_end`. Changes no tensor."""
        self._advance(index, tensors.get("latents"))
        return {}

    def callback(self, index: int, timestep: object, latents: Any) -> None:
        """diffusers' older `callback`, the only one that the adapter pipeline has."""
        self._advance(index, latents)

    def _advance(self, index: int, latents: Any) -> None:
        self._begun()
        if self.previews is not None and latents is not None:
            self.previews.after_step(index, latents)
        self._done = min(self._done + 1, self._total)  # some samplers call twice a step
        self._context.step(self._phase, self._done, self._total)
