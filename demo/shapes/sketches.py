"""Scenes as people draw them: wobbly open strokes, hatching, on paper, boards and nothing."""

import math
import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from demo.shapes.geometry import Size, placed
from demo.shapes.paint import RGB
from demo.shapes.scene import Colour, Figure, Scene

Floats = NDArray[np.floating[Any]]
Rgb = tuple[int, int, int]

FINE = 2  # strokes are drawn so much larger, for smooth edges


class Medium(StrEnum):
    """What is drawn on, with what."""

    PEN = "pen"
    CHALK = "chalk"
    CLEAR = "clear"  # a canvas of full transparency, as drawing programs export it
    PHOTO = "photo"


class Filling(StrEnum):
    """What is inside the outline."""

    NOTHING = "nothing"
    HATCHING = "hatching"
    COLOUR = "colour"


@dataclass(frozen=True, slots=True)
class Sketch:
    """A drawing (RGB, or RGBA on a clear canvas) and the scene whose figures it shows.

    The scene is turned as the paper is.
    """

    image: Image.Image
    scene: Scene


def sketch(
    scene: Scene,
    seed: int,
    *,
    medium: Medium | None = None,
    filling: Filling | None = None,
    tilted: bool = True,
    size: Size = (384, 384),
) -> Sketch:
    """A drawing of `scene`'s figures, of `size`, the same for the same arguments.

    The paper of a photo lies a little turned if `tilted`.
    """
    rng = random.Random(f"{seed} sketch")
    medium = medium or rng.choice(list(Medium))
    filling = filling or rng.choices(list(Filling), weights=(6, 2, 2))[0]
    if medium is Medium.PHOTO and tilted:
        scene = turned(scene, rng.uniform(-6, 6), size)
    marks = [_drawn(figure, filling, size, rng) for figure in scene.figures]
    image = _MEDIA[medium](marks, [_ink(f, filling, medium, rng) for f in scene.figures], rng)
    return Sketch(image, scene)


def turned(scene: Scene, degrees: float, size: Size) -> Scene:
    """`scene` with its figures turned clockwise about the middle of a picture of `size`."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def turn(figure: Figure) -> Figure:
        x, y = (figure.x - 0.5) * size[0], (figure.y - 0.5) * size[1]
        return replace(
            figure,
            x=0.5 + (x * cos - y * sin) / size[0],
            y=0.5 + (x * sin + y * cos) / size[1],
            tilt=figure.tilt + degrees,
        )

    return replace(scene, figures=tuple(map(turn, scene.figures)))


# --- strokes ------------------------------------------------------------------------------------


def _drawn(figure: Figure, filling: Filling, size: Size, rng: random.Random) -> Image.Image:
    """The marks of one figure: L, white where there is ink."""
    width, height = (side * FINE for side in size)
    scale = min(width, height)
    marks = Image.new("L", (width, height))
    corners = placed(
        figure.shape, figure.x * width, figure.y * height, figure.radius * scale, figure.tilt
    )
    stroke = scale * rng.uniform(0.007, 0.016)
    if filling is not Filling.NOTHING:
        inside = Image.new("L", marks.size)
        ImageDraw.Draw(inside).polygon([tuple(p) for p in corners.tolist()], fill=255)
        if filling is Filling.HATCHING:
            inside = ImageChops.multiply(inside, _hatching(marks.size, stroke, rng))
        marks = inside
    pen = ImageDraw.Draw(marks)
    for _ in range(2 if rng.random() < 0.2 else 1):
        _stroke(pen, _by_hand(corners, figure.radius * scale, rng), stroke, rng)
    return marks.resize(size, Image.Resampling.BOX)


def _by_hand(corners: Floats, radius: float, rng: random.Random) -> Floats:
    """The outline as a hand goes along it: begun anywhere, wavering, not quite closed."""
    points = _along(corners, step=max(2.0, radius / 60))
    points = np.roll(points, -rng.randrange(len(points)), axis=0)
    open_end = rng.uniform(-0.03, 0.05)  # below zero the end goes over the beginning
    count = round(len(points) * (1 - open_end))
    points = np.concatenate([points, points])[:count]
    at = np.linspace(0, math.tau, count)[:, None]
    for waves in (2, 3, 5, 9):
        phase = np.array([rng.uniform(0, math.tau) for _ in range(2)])
        points = points + radius * rng.uniform(0, 0.05) / waves**0.7 * np.sin(waves * at + phase)
    return points


def _along(corners: Floats, step: float) -> Floats:
    """Points at even distances along a closed outline."""
    closed = np.concatenate([corners, corners[:1]])
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.arange(0, lengths[-1], step)
    return np.stack([np.interp(at, lengths, closed[:, axis]) for axis in (0, 1)], axis=1)


def _stroke(pen: ImageDraw.ImageDraw, points: Floats, width: float, rng: random.Random) -> None:
    waves, phase = rng.uniform(1, 3), rng.uniform(0, math.tau)
    for i, (x, y) in enumerate(points.tolist()):
        radius = width / 2 * (1 + 0.3 * math.sin(math.tau * waves * i / len(points) + phase))
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)


def _hatching(size: Size, stroke: float, rng: random.Random) -> Image.Image:
    """Slanted lines all over, L."""
    lines = Image.new("L", size)
    pen = ImageDraw.Draw(lines)
    width, height = size
    slope = rng.choice((-1, 1)) * rng.uniform(0.6, 1.4)
    apart = stroke * rng.uniform(2.5, 4.5)
    for i in range(round((height + 4 * width) / apart)):
        y = i * apart - 2 * width + rng.uniform(-0.2, 0.2) * apart
        ends = [(0, y), (width, y + slope * width)]
        pen.line(ends, fill=255, width=max(1, round(stroke * 0.6)))
    return lines


# --- media --------------------------------------------------------------------------------------


def _ink(figure: Figure, filling: Filling, medium: Medium, rng: random.Random) -> Rgb:
    light = medium is Medium.CHALK
    unseen = {Colour.BLACK} if light else {Colour.WHITE, Colour.YELLOW}
    is_coloured = filling is Filling.COLOUR or rng.random() < 0.15
    if is_coloured and figure.colour not in unseen:
        return RGB[figure.colour]
    tone = rng.randint(225, 255) if light else rng.randint(10, 60)
    return (tone, tone, min(255, tone + 8))


def _on(paper: Image.Image, marks: list[Image.Image], inks: list[Rgb]) -> Image.Image:
    for mark, ink in zip(marks, inks, strict=True):
        paper.paste(ink, (0, 0), mark)
    return paper


def _with_pen(marks: list[Image.Image], inks: list[Rgb], rng: random.Random) -> Image.Image:
    return _on(Image.new("RGB", marks[0].size, "white"), marks, inks)


def _with_chalk(marks: list[Image.Image], inks: list[Rgb], rng: random.Random) -> Image.Image:
    board = rng.choice(((0, 0, 0), (24, 26, 30), (30, 58, 46)))
    return _on(Image.new("RGB", marks[0].size, board), marks, inks)


def _on_nothing(marks: list[Image.Image], inks: list[Rgb], rng: random.Random) -> Image.Image:
    canvas = Image.new("RGBA", marks[0].size, (0, 0, 0, 0))
    for mark, ink in zip(marks, inks, strict=True):
        ink_alone = Image.new("RGBA", mark.size, (*ink, 255))
        ink_alone.putalpha(mark)
        canvas.alpha_composite(ink_alone)
    return canvas


def _photographed(marks: list[Image.Image], inks: list[Rgb], rng: random.Random) -> Image.Image:
    """Paper under a lamp: tinted, darker to one side, a little blurred, noisy."""
    width, height = marks[0].size
    drawn = _on(Image.new("RGB", marks[0].size, "white"), marks, inks)
    pixels = np.asarray(drawn.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 0.9))))
    noise = np.random.default_rng(rng.getrandbits(32))
    paper = np.array([rng.uniform(205, 240)] * 3) * (1, rng.uniform(0.95, 1), rng.uniform(0.86, 1))
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, math.tau)
    lamp = 1 - rng.uniform(0.04, 0.16) * (1 + xs * math.cos(angle) + ys * math.sin(angle)) / 2
    grain = noise.normal(0, rng.uniform(2, 6), (height, width, 1)) + noise.normal(
        0, 2, pixels.shape
    )
    seen = pixels / 255 * paper * lamp[..., None] + grain
    return Image.fromarray(seen.clip(0, 255).round().astype(np.uint8))


_MEDIA = {
    Medium.PEN: _with_pen,
    Medium.CHALK: _with_chalk,
    Medium.CLEAR: _on_nothing,
    Medium.PHOTO: _photographed,
}
