"""The noise that a picture begins as, and noise a little beside it, which becomes one like it."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pipelines.fitting import denoiser_of

ANGLE = 0.2 * math.pi / 2
"""How far a variation turns towards noise of its own: a fifth of the way to another picture."""


def begin(
    pipeline: Any,
    size: tuple[int, int],
    seed: int,
    variations: Sequence[int],
    dtype: torch.dtype,
) -> Tensor | None:
    """What diffusers would begin `seed` with, turned towards the seeds `variations` one by one.

    None without variations: diffusers draws it itself. `size` is width and height in pixels;
    given back is 1 × channels × height × width of latents. A sum of independent noise with a
    cosine and a sine is noise of the same strength.
    """
    if not variations:
        return None
    channels = denoiser_of(pipeline).config.in_channels
    width, height = (side // pipeline.vae_scale_factor for side in size)

    def draw(number: int) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        return torch.randn((1, channels, height, width), generator=generator, dtype=dtype)

    noise = draw(seed)
    for number in variations:
        noise = math.cos(ANGLE) * noise + math.sin(ANGLE) * draw(number)
    return noise
