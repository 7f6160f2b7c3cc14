"""The eight figures as outlines and as distance fields, in units of a figure's own radius.

x points right, y down, the origin is a figure's middle. No figure reaches beyond 1.1.
"""

import math
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.floating[Any]]
Size = tuple[int, int]  # width and height in pixels

REACH = 2.0  # a distance field knows this far from the middle
GRID = 320  # and has so many samples a side
CORNER = 0.05  # the radius of a figure's corners


class Shape(StrEnum):
    """What can be in a picture."""

    CIRCLE = "circle"
    SQUARE = "square"
    TRIANGLE = "triangle"
    STAR = "star"
    HEART = "heart"
    CROSS = "cross"
    MOON = "moon"
    ARROW = "arrow"


@cache
def outline(shape: Shape) -> Floats:
    """The corners of a figure in drawing order, n × 2. The last joins the first."""
    points: Floats = np.array(_OUTLINES[shape](), np.float32)
    return points


def placed(shape: Shape, x: float, y: float, radius: float, tilt: float) -> Floats:
    """`outline` turned clockwise by `tilt` degrees, scaled and moved, n × 2."""
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    turned = outline(shape) @ np.array([[cos, sin], [-sin, cos]], np.float32)
    return turned * np.float32(radius) + np.array([x, y], np.float32)


def distances(shape: Shape, x: float, y: float, radius: float, tilt: float, size: Size) -> Floats:
    """How far each pixel of a picture of `size` is from a figure's edge, in pixels.

    Negative inside. `x`, `y` and `radius` are pixels. Pixels beyond REACH radii get the distance
    of the nearest that is not, or about that.
    """
    per_pixel = GRID / (2 * REACH * radius)
    cos = math.cos(math.radians(tilt)) * per_pixel
    sin = math.sin(math.radians(tilt)) * per_pixel
    middle = GRID / 2
    sampled = _field(shape).transform(
        size,
        Image.Transform.AFFINE,
        (cos, sin, middle - cos * x - sin * y, -sin, cos, middle + sin * x - cos * y),
        Image.Resampling.BILINEAR,
        fillcolor=REACH - 1,
    )
    return np.asarray(sampled) * np.float32(radius)


@cache
def _field(shape: Shape) -> Image.Image:
    """The signed distance to a figure's edge over the square from -REACH to REACH."""
    at = ((np.arange(GRID, dtype=np.float32) + 0.5) / GRID * 2 - 1) * REACH
    points = np.stack(np.meshgrid(at, at), axis=-1)
    corners = outline(shape)
    nearest = np.full((GRID, GRID), np.inf, np.float32)
    inside = np.zeros((GRID, GRID), bool)
    for begin, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge, to = end - begin, points - begin
        along = ((to @ edge) / max(float(edge @ edge), 1e-9)).clip(0, 1)
        nearest = np.minimum(nearest, ((to - along[..., None] * edge) ** 2).sum(axis=-1))
        crosses = (begin[1] > points[..., 1]) != (end[1] > points[..., 1])
        slope = edge[0] / edge[1] if edge[1] else 0.0
        inside ^= crosses & (points[..., 0] < begin[0] + slope * to[..., 1])
    signed = np.sqrt(nearest) * np.where(inside, -1, 1) - CORNER
    return Image.fromarray(signed.astype(np.float32))


# --- outlines -----------------------------------------------------------------------------------

Points = list[tuple[float, float]]


def _arc(radius: float, begin: float, end: float, x: float = 0.0, y: float = 0.0) -> Points:
    """Points on a circle from one angle to another, in degrees; -90 is up."""
    count = max(2, round(abs(end - begin) / 6))
    angles = [math.radians(begin + (end - begin) * i / count) for i in range(count + 1)]
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def _circle() -> Points:
    return _arc(0.85, 0, 354)


def _square() -> Points:
    return [(-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75)]


def _triangle() -> Points:
    return [(x, y + 0.1) for x, y in ((0.0, -1.0), (0.9, 0.6), (-0.9, 0.6))]


def _star() -> Points:
    radii = (1.0, 0.46)
    angles = [math.radians(36 * i - 90) for i in range(10)]
    return [(radii[i % 2] * math.cos(a), radii[i % 2] * math.sin(a)) for i, a in enumerate(angles)]


def _heart() -> Points:
    points = []
    for i in range(60):
        a = math.tau * i / 60
        x = 16 * math.sin(a) ** 3
        y = 13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)
        points.append((x / 17.5, -(y + 2.5) / 17.5))
    return points


def _cross() -> Points:
    arm, half = 0.9, 0.27
    quarter = [(half, -half), (arm, -half), (arm, half), (half, half)]
    turns = ((1, 0), (0, 1), (-1, 0), (0, -1))
    return [
        (x * c - y * s, x * s + y * c) for c, s in turns for x, y in (quarter[0], *quarter[1:3])
    ]


def _moon() -> Points:
    """A crescent, open to the right: the outer arc, then the bite back."""
    tip = 62.0
    x, y = 0.9 * math.cos(math.radians(tip)), 0.9 * math.sin(math.radians(tip))
    bite = 0.82
    middle = x + math.sqrt(bite**2 - y**2)
    inner = math.degrees(math.asin(y / bite))
    outer = _arc(0.9, tip, 360 - tip)
    back = _arc(bite, 180 + inner, 180 - inner, middle)
    return [(px + 0.18, py) for px, py in (*outer, *back[1:-1])]


def _arrow() -> Points:
    upper = [(-0.95, -0.24), (0.1, -0.24), (0.1, -0.68), (0.98, 0.0)]
    return [*upper, *((x, -y) for x, y in reversed(upper[:-1]))]


_OUTLINES = {
    Shape.CIRCLE: _circle,
    Shape.SQUARE: _square,
    Shape.TRIANGLE: _triangle,
    Shape.STAR: _star,
    Shape.HEART: _heart,
    Shape.CROSS: _cross,
    Shape.MOON: _moon,
    Shape.ARROW: _arrow,
}
