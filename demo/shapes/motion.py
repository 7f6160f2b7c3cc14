"""How the figures move. Each shape has its own way, so that a picture alone says what follows."""

import math
from dataclasses import replace

from PIL import Image

from demo.shapes.geometry import Shape, Size
from demo.shapes.paint import SQUARE, paint
from demo.shapes.scene import MARGIN, Figure, Scene

FRAMES = 14
LEAST, MOST = 0.03, 0.2  # of the side: how far a figure goes at motion 1 and at 255

_WAYS: dict[Shape, tuple[float, float, float, float]] = {
    # right, down (of the way it goes), turn in degrees, growth: at the farthest point, motion 255
    Shape.CIRCLE: (0.0, -1.0, 0.0, 0.0),
    Shape.SQUARE: (1.0, 0.0, 0.0, 0.0),
    Shape.TRIANGLE: (0.0, -1.0, 20.0, 0.0),
    Shape.STAR: (0.7, -0.7, 36.0, 0.0),
    Shape.HEART: (0.0, -0.6, 0.0, 0.15),
    Shape.CROSS: (0.7, 0.0, 45.0, 0.0),
    Shape.MOON: (0.8, -0.6, -20.0, 0.0),
    Shape.ARROW: (1.0, 0.0, 0.0, 0.0),
}


def clip(scene: Scene, motion: int, frames: int = FRAMES) -> list[Scene]:
    """`scene` and what follows: its figures go off, turn and come most of the way back.

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
    """`scene` when its figures have gone `part` (0 to 1) of their ways.

    They go together, as the first of them does, and never out of the picture.
    """
    lively = motion / 255
    right, down, _, _ = _WAYS[scene.figures[0].shape]
    way = (LEAST + (MOST - LEAST) * lively) * part
    dx = _within_reach(way * right, [(f.x, f.radius) for f in scene.figures])
    dy = _within_reach(way * down, [(f.y, f.radius) for f in scene.figures])
    return replace(scene, figures=tuple(_moved(f, dx, dy, lively * part) for f in scene.figures))


def _moved(figure: Figure, dx: float, dy: float, part: float) -> Figure:
    _, _, turn, growth = _WAYS[figure.shape]
    return replace(
        figure,
        x=figure.x + dx,
        y=figure.y + dy,
        tilt=figure.tilt + turn * part,
        radius=figure.radius * (1 + growth * part),
    )


def _within_reach(way: float, spans: list[tuple[float, float]]) -> float:
    """`way`, backwards where there is more room, as far as all figures (middle, radius) can go."""
    forwards = min(1 - at - 1.1 * radius for at, radius in spans)
    backwards = min(at - 1.1 * radius for at, radius in spans)
    ahead, behind = (forwards, backwards) if way >= 0 else (backwards, forwards)
    if ahead < behind - 2 * MARGIN:
        way, ahead = -way, behind
    return math.copysign(min(abs(way), max(ahead, 0.0)), way)
