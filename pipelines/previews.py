"""What a picture looks like while it is painted: small, rough, and only when somebody looks.

A tiny decoder (AutoencoderTiny) is on the card with the painter. Where a classifier is configured,
it looks at each preview before that leaves: one in which it finds something is not shown, nor any
later one of the same picture; and where there is no room for it beside the painter, none is made.
"""

import logging
from collections.abc import Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from pipelines.catalog import ModelKey
from pipelines.contract.context import RunContext, Viewer
from pipelines.contract.errors import AtelierError
from pipelines.media import encode_preview
from pipelines.models import Models
from pipelines.pixels import pictures
from pipelines.safety import are_sensitive

log = logging.getLogger(__name__)

STRAIGHT = {"EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"}
"""Samplers whose steps follow a straight line, at whose end is what the network predicts: that is
shown. Of other samplers, what they have made so far is shown, with the noise still in it."""


class Previews:
    """Shows the pictures of one call of a pipeline to `viewers`, one for each; None wants nothing.

    It draws no random number and changes no tensor: results are the same with and without it.
    """

    def __init__(
        self, models: Models, key: ModelKey, pipeline: Any, viewers: Sequence[Viewer | None]
    ) -> None:
        self._models = models
        self._key = key
        self._scheduler = pipeline.scheduler
        self._decoder = models.decoder(key)
        self._viewers = [] if self._decoder is None else list(viewers)
        self._before: Tensor | None = None
        self._is_straight = type(self._scheduler).__name__ in STRAIGHT

    def after_step(self, index: int, latents: Tensor) -> None:
        """Show the latents after step `index` to those who want to see them."""
        before, self._before = self._before if index else None, latents
        if not self._is_straight:
            before = None
        elif before is None:
            return  # a line needs two points
        for row, viewer in enumerate(self._viewers):
            if viewer is None or not viewer.wants():
                continue
            try:
                clean = latents if before is None else self._without_noise(index, before, latents)
                self._show(row, viewer, clean[row : row + 1])
            except Exception as error:
                told = isinstance(error, AtelierError)  # in full, by its sentence
                log.warning(
                    "previews do not work; this one goes on without: %s", error, exc_info=not told
                )
                self._viewers = []
                return

    def _show(self, row: int, viewer: Viewer, latents: Tensor) -> None:
        picture = self._decode(latents)
        safety = self._models.safety
        if safety is not None and not self._models.fits(ModelKey.SAFETY):
            self._viewers[row] = None
        elif any(are_sensitive(self._models, RunContext(), [picture])):
            self._viewers[row] = None
            viewer.show(None)
        else:
            viewer.show(encode_preview(picture))

    def _without_noise(self, index: int, before: Tensor, after: Tensor) -> Tensor:
        """Where the line through the latents before and after a step ends."""
        begin, end = (float(self._scheduler.sigmas[i]) for i in (index, index + 1))
        return after.float() - end * (after.float() - before.float()) / (end - begin)

    def _decode(self, latents: Tensor) -> Image.Image:
        decoder = self._decoder
        pixels = decoder.decode(latents.to(decoder.device, decoder.dtype)).sample[0]
        return pictures(((pixels.float() + 1) / 2).clamp(0, 1)[None], self._key)[0]
