"""How the figures move: sideways and most of the way back, to where there is room.

Nothing turns or grows: a picture's latents show a place in cells of 16 pixels, and figures that
also turned lost their outlines.
"""

import math
from dataclasses import replace

from PIL import Image

from demo.shapes.geometry import Size
from demo.shapes.paint import SQUARE, paint
from demo.shapes.scene import MARGIN, Scene

FRAMES = 14
LEAST, MOST = 0.02, 0.12  # of the side: how far a figure goes at motion 1 and at 255


def clip(scene: Scene, motion: int, frames: int = FRAMES) -> list[Scene]:
    """`scene` and what follows: its figures go off and come most of the way back.

    `motion` is 1 to 255, as SVD's motion bucket. The first scene is `scene` itself.
    """
    return [
        moved(scene, motion, math.sin(0.85 * math.pi * i / (frames - 1))) for i in range(frames)
    ]


def pictures(
    scene: Scene, motion: int, frames: int = FRAMES, size: Size = SQUARE
) -> list[Image.Image]:
    """The frames of `clip`, painted."""
    return [paint(frame, size) for frame in clip(scene, motion, frames)]


def moved(scene: Scene, motion: int, part: float) -> Scene:
    """`scene` when its figures have gone `part` (0 to 1) of their way.

    They go together, to the right or where there is more room, and never out of the picture.
    """
    way = (LEAST + (MOST - LEAST) * motion / 255) * part
    aside = _within_reach(way, [(f.x, f.radius) for f in scene.figures])
    return replace(scene, figures=tuple(replace(f, x=f.x + aside) for f in scene.figures))


def _within_reach(way: float, spans: list[tuple[float, float]]) -> float:
    """`way` as far as all figures (middle, radius) can go, leftwards where there is more room."""
    right = min(1 - at - 1.1 * radius for at, radius in spans)
    left = min(at - 1.1 * radius for at, radius in spans)
    if right < left - 2 * MARGIN:
        return -min(way, max(left, 0.0))
    return min(way, max(right, 0.0))
