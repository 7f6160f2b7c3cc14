"""What the latents of a picture are: here they are designed, and the autoencoders are taught them.

A latent pixel is a cell of 16 × 16 picture pixels. It holds the cell's mean colour, how the colour
of its quarters differs, and how much goes on in each. Such latents look like the picture itself,
which a small model learns to paint sooner than those that an autoencoder finds on its own
(docs/demo-models.md).
"""

import torch
from torch import Tensor, nn

CELL = 16  # picture pixels a side
CHANNELS = 16
"""Also of SDXL and Stable Video Diffusion, where the real ones have four. Those say of a cell its
mean colour and that something goes on in it: outlines were as uneven as the cells, and a figure of
two or three cells was a blob as soon as they were a little off, and a UNet's are."""
COLOURS = 3
"""The first of the channels, which are a cell's mean colour."""
DETAIL = 0.15
"""What an error in one of the others counts: they are many, and mostly nothing."""
SCALE = 1.6
"""What latents are multiplied by for the models that paint them, to have a deviation of about 1."""


def latents_of(pictures: Tensor) -> Tensor:
    """The unscaled latents of pictures: n × 3 × h × w, -1 to 1, to n × CHANNELS × h/16 × w/16."""
    quarters = _mean(pictures, CELL // 2)
    detail = nn.functional.pixel_unshuffle(_spread(pictures, CELL // 2), 2)
    return torch.cat([_haar(quarters), detail], dim=1)


def far_from(true: Tensor, told: Tensor) -> Tensor:
    """The weighted mean square of the differences, for each of n × CHANNELS × h × w."""
    weights = torch.full((CHANNELS,), DETAIL, device=true.device)
    weights[:COLOURS] = 1.0
    errors = (told.float() - true).square().mean(dim=(2, 3))
    return (errors * weights).sum(dim=1) / weights.sum()


def _mean(pictures: Tensor, side: int) -> Tensor:
    return nn.functional.avg_pool2d(pictures, side)


def _spread(pictures: Tensor, side: int) -> Tensor:
    """The standard deviation in each cell, over all colours, as one channel; mostly -0.6 to 2."""
    variance = _mean(pictures.square(), side) - _mean(pictures, side).square()
    return 4 * variance.mean(dim=1, keepdim=True).clamp(min=0).sqrt() - 0.6


def _haar(colours: Tensor) -> Tensor:
    """Four neighbours' mean, and how left and right, top and bottom, and the diagonals differ."""
    parts = [colours[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)]
    signs = ((1, 1, 1, 1), (1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1))
    waves = [sum(s * p for s, p in zip(sign, parts, strict=True)) / 4 for sign in signs]
    return torch.cat([waves[0], *(4 * wave for wave in waves[1:])], dim=1)  # type: ignore[list-item]
