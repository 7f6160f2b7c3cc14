"""The lightness of pictures, and morphology: tones (height × width, 0 to 255) grown and shrunk."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
LIGHT = np.array([0.299, 0.587, 0.114], np.float32)


def luma(colours: Bytes | Floats) -> Floats:
    """How light `colours` are, whose last axis is R, G, B."""
    light: Floats = colours.astype(np.float32) @ LIGHT
    return light


def dilated(tones: Bytes, reach: int) -> Bytes:
    """At each pixel the brightest tone within about `reach` pixels: the window is an octagon."""
    slant = round(reach / 3.414)
    straight = reach - 2 * slant
    tones = np.pad(tones, reach)
    for half, step in ((straight, (0, 1)), (straight, (1, 0)), (slant, (1, 1)), (slant, (1, -1))):
        tones = _running_max(tones, half, step)
    return tones


def _running_max(tones: Bytes, half: int, step: tuple[int, int]) -> Bytes:
    """The maximum over 2 · `half` + 1 tones in a row along `step`, where all of them exist.

    The result is smaller than `tones` by 2 · `half` in each direction that `step` goes.
    """
    have = 1
    while have < 2 * half + 1:
        far = min(have, 2 * half + 1 - have)
        down, across = far * step[0], far * step[1]
        height, width = tones.shape[0] - down, tones.shape[1] - abs(across)
        left = max(-across, 0)
        tones = np.maximum(
            tones[:height, left : left + width],
            tones[down:, left + across : left + across + width],
        )
        have += far
    return tones


def eroded(tones: Bytes, reach: int) -> Bytes:
    """At each pixel the darkest tone in the same window."""
    return 255 - dilated(255 - tones, reach)


def opened(tones: Bytes, reach: int) -> Bytes:
    """`tones` without what is bright and narrower than 2 · `reach` + 1."""
    return dilated(eroded(tones, reach), reach)


def closed(tones: Bytes, reach: int) -> Bytes:
    """`tones` without what is dark and that narrow."""
    return eroded(dilated(tones, reach), reach)
