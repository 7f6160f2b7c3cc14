"""The noise that a picture begins as, and noise close to it, which becomes a variation of it."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pipelines.device import send
from pipelines.fitting import denoiser_of
from pipelines.models import Embeddings

ANGLE = 0.2 * math.pi / 2
"""How far a variation turns towards noise of its own: a fifth of the way to another picture."""


def initial_latents(
    pipeline: Any,
    size: tuple[int, int],
    generator: torch.Generator,
    variations: Sequence[int],
    embeddings: Embeddings,
) -> Tensor:
    """The noise that diffusers would draw, turned towards that of each seed in `variations`.

    `size` is width and height in pixels. The result is 1 × channels × height × width of latents, of
    the type and on the device of the prompt's `embeddings`. Independent noises, summed with a
    cosine and a sine, are noise of the same strength.
    """
    words = embeddings["prompt_embeds"]
    assert words is not None
    channels = denoiser_of(pipeline).config.in_channels
    width, height = (side // pipeline.vae_scale_factor for side in size)

    def draw(generator: torch.Generator) -> Tensor:
        return torch.randn((1, channels, height, width), generator=generator, dtype=words.dtype)

    noise = draw(generator)
    for number in variations:
        other = draw(torch.Generator().manual_seed(number))
        noise = math.cos(ANGLE) * noise + math.sin(ANGLE) * other
    return send(noise, words.device)  # diffusers would have the processor wait here
