"""A scene becomes a picture: anti-aliased, of any size, the same for the same scene.

A `Size` is width and height in pixels. Lengths in a scene are fractions of the shorter side.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.shapes.geometry import Size, distances
from demo.shapes.scene import Colour, Figure, Ground, Look, Pattern, Scene

Floats = NDArray[np.floating[Any]]

SIDE = 256
SQUARE = (SIDE, SIDE)
RGB: dict[Colour, tuple[int, int, int]] = {
    Colour.RED: (222, 52, 52),
    Colour.GREEN: (46, 160, 84),
    Colour.BLUE: (44, 104, 220),
    Colour.YELLOW: (250, 206, 56),
    Colour.PURPLE: (138, 70, 192),
    Colour.ORANGE: (244, 130, 36),
    Colour.WHITE: (250, 250, 247),
    Colour.BLACK: (30, 30, 34),
}
NIGHT = ((16, 20, 52), (46, 40, 98))  # its top and bottom
DARK = np.array([20, 20, 25], np.float32) / 255  # what neon shines on


def paint(scene: Scene, size: Size = SQUARE) -> Image.Image:
    """`scene` as an RGB picture."""
    rng = np.random.default_rng(scene.seed)
    canvas = _ground(scene.ground, size, rng)
    canvas = _GROUND_LOOKS.get(scene.look, _as_it_is)(canvas, rng)
    for figure in scene.figures:
        away = _away(figure, size)
        canvas = _FIGURE_LOOKS[scene.look](canvas, away, figure, size, rng)
    return Image.fromarray((canvas.clip(0, 1) * 255).round().astype(np.uint8))


def silhouette(scene: Scene, size: Size = SQUARE) -> NDArray[np.bool_]:
    """Where the figures of `scene` are, whatever its look; height × width."""
    inside: NDArray[np.bool_] = np.any([_away(f, size) < 0 for f in scene.figures], axis=0)
    return inside


def _away(figure: Figure, size: Size) -> Floats:
    """Pixels from the figure's edge, negative inside."""
    return distances(
        figure.shape,
        figure.x * size[0] - 0.5,
        figure.y * size[1] - 0.5,
        figure.radius * min(size),
        figure.tilt,
        size,
    )


def _unit(size: Size) -> float:
    """How many pixels one pixel of a picture of the usual size is."""
    return min(size) / SIDE


def _rgb(colour: Colour) -> Floats:
    return np.array(RGB[colour], np.float32) / 255


def _cover(away: Floats) -> Floats:
    """How much of each pixel lies inside an edge, with one more axis for colours."""
    return (0.5 - away).clip(0, 1)[..., None]


def _mix(below: Floats, above: Floats, cover: Floats) -> Floats:
    return below + (above - below) * cover


# --- grounds ------------------------------------------------------------------------------------


def _ground(ground: Ground, size: Size, rng: np.random.Generator) -> Floats:
    if ground.colour is None:
        return _night(size)
    base = _rgb(ground.colour)
    canvas = np.broadcast_to(base, (size[1], size[0], 3)).astype(np.float32)
    if ground.pattern is Pattern.PLAIN:
        return canvas
    marks = _stripes(size, rng) if ground.pattern is Pattern.STRIPES else _dots(size)
    return _mix(canvas, _tint(ground.colour, base), _cover(marks))


def _tint(colour: Colour, base: Floats) -> Floats:
    """The second tone of a pattern: lighter, but darker for white."""
    if colour is Colour.WHITE:
        return np.array([0.83, 0.84, 0.87], np.float32)
    return base + (1 - base) * (0.2 if colour is Colour.BLACK else 0.32)


def _stripes(size: Size, rng: np.random.Generator) -> Floats:
    """Pixels from the edges of straight stripes as wide as their gaps, upright or slanting."""
    width = _unit(size) * 24
    angle = np.radians(rng.choice([0, 45]))
    ys, xs = np.mgrid[: size[1], : size[0]]
    across = xs * np.cos(angle) + ys * np.sin(angle)
    stripes: Floats = np.abs(across % (2 * width) - width) - width / 2
    return stripes


def _dots(size: Size) -> Floats:
    """Pixels from the edges of round dots in even rows, every other row shifted."""
    apart = _unit(size) * 48
    ys, xs = np.mgrid[: size[1], : size[0]]
    row = ys // apart
    x = (xs + row % 2 * apart / 2) % apart - apart / 2
    dots: Floats = np.hypot(x, ys % apart - apart / 2) - apart * 0.2
    return dots


def _night(size: Size) -> Floats:
    """A dark sky with some small stars, spread evenly: the same ones every night."""
    rng = np.random.default_rng(4)
    top, bottom = (np.array(tone, np.float32) / 255 for tone in NIGHT)
    width, height = size
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    canvas = np.broadcast_to(top + (bottom - top) * down, (height, width, 3)).astype(np.float32)
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    light = np.zeros((height, width), np.float32)
    for cell in range(16):
        row, column = np.array(divmod(cell, 4)) + rng.uniform(0.15, 0.85, 2)
        y, x = row * height / 4, column * width / 4
        radius = _unit(size) * rng.uniform(2.2, 3.8)
        light = np.maximum(light, (radius + 0.5 - np.hypot(ys - y, xs - x)).clip(0, 1))
    return _mix(canvas, np.array([1.0, 0.97, 0.86], np.float32), light[..., None])


# --- looks --------------------------------------------------------------------------------------


def _as_it_is(canvas: Floats, rng: np.random.Generator) -> Floats:
    return canvas


def _washed(canvas: Floats, rng: np.random.Generator) -> Floats:
    """A ground as thin paint on paper: lighter here and there, dark paint less so."""
    height, width = canvas.shape[:2]
    wash = 0.04 + 0.16 * _clouds((width, height), rng, cells=5)[..., None]
    wash = wash * canvas.max(axis=2, keepdims=True)
    return _mix(canvas, np.ones(3, np.float32), wash)


def _dimmed(canvas: Floats, rng: np.random.Generator) -> Floats:
    """Neon shines in the dark: a little of the ground remains."""
    return DARK + canvas * np.float32(0.05)


def _flat(
    canvas: Floats, away: Floats, figure: Figure, size: Size, rng: np.random.Generator
) -> Floats:
    return _mix(canvas, _rgb(figure.colour), _cover(away))


def _outlined(
    canvas: Floats, away: Floats, figure: Figure, size: Size, rng: np.random.Generator
) -> Floats:
    """A firm line inside the edge, and the ground within it."""
    line = _line_width(figure, size)
    return _mix(canvas, _rgb(figure.colour), _cover(np.abs(away + line / 2) - line / 2))


def _watercolour(
    canvas: Floats, away: Floats, figure: Figure, size: Size, rng: np.random.Generator
) -> Floats:
    """An edge that wanders, paint that pools at it and is thin elsewhere."""
    unit = _unit(size)
    wander = away + unit * 5 * (_clouds(size, rng, cells=12) - 0.5)
    thin = 0.3 * _clouds(size, rng, cells=6)[..., None]
    colour = _rgb(figure.colour)
    pigment = colour + (1 - colour) * thin
    pooled = pigment * (1 - 0.22 * np.exp(-np.abs(wander / (3.5 * unit))))[..., None]
    return _mix(canvas, pooled.astype(np.float32), _cover(wander / (1.2 * unit)))


def _neon(
    canvas: Floats, away: Floats, figure: Figure, size: Size, rng: np.random.Generator
) -> Floats:
    """A bright tube along the edge, and its glow on what is around."""
    line = _line_width(figure, size)
    tube = np.abs(away + line / 2) - line / 2
    colour = _rgb(figure.colour)
    glow = 0.45 * np.exp(-tube.clip(0) / (_unit(size) * 5))[..., None]
    lit = 1 - (1 - canvas) * (1 - colour * glow)
    core = (-tube / line).clip(0, 1)[..., None]
    return _mix(lit, colour + (1 - colour) * 0.7 * core, _cover(tube))


def _shaded(
    canvas: Floats, away: Floats, figure: Figure, size: Size, rng: np.random.Generator
) -> Floats:
    """Light from the upper left, and a soft shadow on the ground."""
    shift = max(2, round(_unit(size) * 7))
    fallen = np.roll(away, (shift, shift), axis=(0, 1)) + shift / 2
    shadow = 0.38 / (1 + np.exp((fallen / (_unit(size) * 3)).clip(-20, 20)))
    ground = canvas * (1 - shadow[..., None])
    ys, xs = np.mgrid[: size[1], : size[0]]
    lit = figure.x * size[0] - xs + figure.y * size[1] - ys
    light = lit / (2 * figure.radius * min(size))
    colour = _rgb(figure.colour)
    tone = np.where(
        light[..., None] > 0,
        colour + (1 - colour) * 0.3 * light[..., None],
        colour * (1 + 0.3 * light[..., None]),
    )
    return _mix(ground, tone.astype(np.float32), _cover(away))


def _line_width(figure: Figure, size: Size) -> float:
    return min(size) * (0.024 + 0.06 * figure.radius)


def _clouds(size: Size, rng: np.random.Generator, cells: int) -> Floats:
    """Smooth noise from 0 to 1 with about `cells` hills a side."""
    grid = Image.fromarray(rng.random((cells, cells), np.float32))
    return np.asarray(grid.resize(size, Image.Resampling.BICUBIC)).clip(0, 1)


_GROUND_LOOKS: dict[Look, Callable[[Floats, np.random.Generator], Floats]] = {
    Look.WATERCOLOUR: _washed,
    Look.NEON: _dimmed,
}
_FIGURE_LOOKS: dict[Look, Callable[[Floats, Floats, Figure, Size, np.random.Generator], Floats]] = {
    Look.FLAT: _flat,
    Look.OUTLINE: _outlined,
    Look.WATERCOLOUR: _watercolour,
    Look.NEON: _neon,
    Look.SHADED: _shaded,
}
