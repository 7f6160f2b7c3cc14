"""Drawings as people send them, made procedurally, each with the truth beside it."""

import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 512


def heart(side: int = SIDE, width: int = 7, seed: int = 1) -> Image.Image:
    """The truth: a wobbly heart and a stick flower, white strokes on black, anti-aliased."""
    rng = np.random.default_rng(seed)
    wobble = rng.normal(0, 0.004, (2, 6))
    strokes = []
    outline = []
    for k in range(241):
        t = 2 * math.pi * k / 240
        x = 0.45 + 0.30 * math.sin(t) ** 3
        y = 0.42 - 0.02 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t))
        x += sum(wobble[0, n] * math.sin((n + 2) * t) for n in range(6))
        y += sum(wobble[1, n] * math.cos((n + 2) * t) for n in range(6))
        outline.append((x, y))
    strokes.append(outline)
    strokes.append([(0.85 - 0.03 * math.sin(k / 4), 0.55 + k / 100) for k in range(36)])
    strokes.append([(0.85 + 0.06 * math.cos(k / 5), 0.5 + 0.06 * math.sin(k / 5)) for k in range(33)])
    big = Image.new("L", (side * 4, side * 4))
    pen = ImageDraw.Draw(big)
    for stroke in strokes:
        points = [(x * side * 4, y * side * 4) for x, y in stroke]
        pen.line(points, fill=255, width=width * 4, joint="curve")
        for x, y in (points[0], points[-1]):
            r = width * 2
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
    return big.resize((side, side), Image.Resampling.BOX)


def inked(truth: Image.Image, ink: object, paper: object) -> Image.Image:
    """`truth` drawn with `ink` on `paper`."""
    return Image.composite(
        Image.new("RGB", truth.size, ink), Image.new("RGB", truth.size, paper), truth
    )


def transparent(truth: Image.Image, ink: tuple[int, int, int]) -> Image.Image:
    """`truth` drawn with `ink` on nothing."""
    sheet = Image.new("RGBA", truth.size, (*ink, 0))
    sheet.putalpha(truth)
    return sheet


def photographed(sheet: Image.Image, *, light=(0.95, 0.45), noise=6.0, tint=(1.0, 0.93, 0.8), seed=3) -> Image.Image:
    """`sheet` in warm light that falls off to one corner, out of focus, noisy, as a JPEG."""
    rng = np.random.default_rng(seed)
    paper = np.asarray(sheet.convert("RGB").filter(ImageFilter.GaussianBlur(0.8)), np.float32)
    height, width = paper.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    fall = light[0] + (light[1] - light[0]) * (0.6 * x / width + 0.4 * y / height)
    shadow = 1 - 0.25 / (1 + np.exp(-((x - 0.7 * width) + (y - 0.4 * height)) / (0.03 * width)))
    lit = paper * (fall * shadow)[..., None] * np.array(tint)
    lit += rng.normal(0, noise, lit.shape)
    out = io.BytesIO()
    Image.fromarray(lit.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=85)
    return Image.open(out).convert("RGB")


def tilted(truth: Image.Image, degrees: float, paper: object) -> Image.Image:
    """`truth` turned, as a phone is never held straight."""
    return truth.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=paper)
