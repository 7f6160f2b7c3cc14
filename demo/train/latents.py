"""What the latents of a picture are: here they are designed, and the autoencoders are taught them.

A latent pixel is a cell of 16 × 16 picture pixels. It holds the cell's mean colour and how much
goes on in it; with sixteen channels also how the colour of its quarters differs. Such latents look
like the picture itself, which a small model learns to paint sooner than those that an autoencoder
finds on its own (docs/demo-models.md).
"""

import torch
from torch import Tensor, nn

CELL = 16  # picture pixels a side
SCALE = 1.6
"""What latents are multiplied by for the models that paint them, to have a deviation of about 1."""


def latents_of(pictures: Tensor, channels: int) -> Tensor:
    """The unscaled latents of pictures: n × 3 × h × w, -1 to 1, to n × channels × h/16 × w/16.

    `channels` is 4 or 16.
    """
    if channels == 4:
        return torch.cat([_mean(pictures, CELL), _spread(pictures, CELL)], dim=1)
    quarters = _mean(pictures, CELL // 2)
    detail = nn.functional.pixel_unshuffle(_spread(pictures, CELL // 2), 2)
    return torch.cat([_haar(quarters), detail], dim=1)


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
