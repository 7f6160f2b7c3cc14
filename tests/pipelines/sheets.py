"""Drawings as people send them, made procedurally, each from a truth to compare with."""

import io
import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from pipelines.sheet import perspective

SIDE = 512
OVERSAMPLING = 4

Colour = tuple[int, int, int]
Corners = tuple[tuple[float, float], ...]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def heart(width: int = 7, side: int = SIDE) -> Image.Image:
    """A wobbly heart and a flower: white strokes on black, anti-aliased, `width` pixels wide."""
    strokes = [_heart_curve(), _stem(), _blossom()]
    big = side * OVERSAMPLING
    sheet = Image.new("L", (big, big))
    pen = ImageDraw.Draw(sheet)
    for stroke in strokes:
        points = [(x * big, y * big) for x, y in stroke]
        pen.line(points, fill=255, width=width * OVERSAMPLING, joint="curve")
    return sheet.resize((side, side), Image.Resampling.BOX)


def _heart_curve() -> list[tuple[float, float]]:
    wobble = np.random.default_rng(1).normal(0, 0.004, (2, 6))
    points = []
    for t in np.linspace(0, 2 * math.pi, 241):
        x = 0.45 + 0.30 * math.sin(t) ** 3
        y = 0.42 - 0.02 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t))
        x += sum(wobble[0, n] * math.sin((n + 2) * t) for n in range(6))
        y += sum(wobble[1, n] * math.cos((n + 2) * t) for n in range(6))
        points.append((x, y))
    return points


def _stem() -> list[tuple[float, float]]:
    return [(0.85 - 0.03 * math.sin(k / 4), 0.55 + k / 100) for k in range(36)]


def _blossom() -> list[tuple[float, float]]:
    return [(0.85 + 0.06 * math.cos(k / 5), 0.5 + 0.06 * math.sin(k / 5)) for k in range(33)]


def inked(truth: Image.Image, ink: Colour, paper: Colour = WHITE) -> Image.Image:
    """`truth` drawn with `ink` on `paper`."""
    sheet = Image.new("RGB", truth.size, paper)
    sheet.paste(ink, mask=truth)
    return sheet


def transparent(truth: Image.Image, ink: Colour) -> Image.Image:
    """`truth` drawn with `ink` on nothing."""
    sheet = Image.new("RGBA", truth.size, (*ink, 0))
    sheet.putalpha(truth)
    return sheet


def ruled(
    sheet: Image.Image,
    gap: float,
    line: Colour = (150, 180, 225),
    *,
    squared: bool = False,
    margin: bool = False,
) -> Image.Image:
    """`sheet` (RGB) on paper with a line printed every `gap` pixels."""
    width, height = sheet.size
    paper = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), "white")
    pen = ImageDraw.Draw(paper)
    thick = round(1.5 * OVERSAMPLING)
    for y in np.arange(2 * gap, height, gap) * OVERSAMPLING:
        pen.line([(0, y), (paper.width, y)], fill=line, width=thick)
    for x in np.arange(gap, width, gap) * OVERSAMPLING if squared else ():
        pen.line([(x, 0), (x, paper.height)], fill=line, width=thick)
    if margin:
        x = 0.15 * paper.width
        pen.line([(x, 0), (x, paper.height)], fill=(230, 120, 120), width=thick)
    return ImageChops.multiply(paper.resize(sheet.size, Image.Resampling.BOX), sheet)


def dotted(sheet: Image.Image, gap: int) -> Image.Image:
    """`sheet` (RGB) on paper with a dot printed every `gap` pixels in both directions."""
    width, height = sheet.size
    paper = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), "white")
    pen, reach = ImageDraw.Draw(paper), round(1.3 * OVERSAMPLING)
    for y in range(gap * OVERSAMPLING, paper.height, gap * OVERSAMPLING):
        for x in range(gap * OVERSAMPLING, paper.width, gap * OVERSAMPLING):
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(150, 150, 160))
    return ImageChops.multiply(paper.resize(sheet.size, Image.Resampling.BOX), sheet)


def bent(sheet: Image.Image) -> Image.Image:
    """`sheet`, its sides multiples of 32, as seen from near its lower edge, and not quite flat."""
    width, height = sheet.size

    def source(x: float, y: float) -> tuple[float, float]:
        x, y = x / width, y / height
        x, y = 0.5 + (x - 0.5) * (0.75 + 0.25 * y), y * (0.8 + 0.2 * y)
        return x * width, (0.03 + 0.94 * y + 0.03 * math.sin(3 * x)) * height

    across, down = width // 32, height // 32
    mesh = []
    for left in range(0, width, across):
        for top in range(0, height, down):
            right, bottom = left + across, top + down
            corners = ((left, top), (left, bottom), (right, bottom), (right, top))
            mesh.append(
                ((left, top, right, bottom), [at for corner in corners for at in source(*corner)])
            )
    return sheet.transform(sheet.size, Image.Transform.MESH, mesh, Image.Resampling.BICUBIC)


def tilted(sheet: Image.Image, degrees: float = 7) -> Image.Image:
    """`sheet` turned a little, as a phone is never held straight; black comes into its corners."""
    return sheet.rotate(degrees, Image.Resampling.BICUBIC)


def photographed(sheet: Image.Image, noise: float = 5.0) -> Image.Image:
    """`sheet` in warm light that falls off, half in a shadow, out of focus, noisy, as a JPEG."""
    paper = np.asarray(sheet.convert("RGB").filter(ImageFilter.GaussianBlur(0.8)), np.float32)
    height, width = paper.shape[:2]
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    fall = 0.95 - 0.5 * (0.6 * x + 0.4 * y)
    shadow = 1 - 0.25 / (1 + np.exp(-(x + y - 1.1) / 0.03))
    lit = paper * (fall * shadow)[..., None] * np.array([1.0, 0.93, 0.8])
    lit += np.random.default_rng(3).normal(0, noise, lit.shape)
    out = io.BytesIO()
    Image.fromarray(lit.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=85)
    return Image.open(out).convert("RGB")


def shadowed(sheet: Image.Image) -> Image.Image:
    """`sheet` (RGB) in the shadow of the phone that photographs it."""
    width, height = sheet.size
    shadow = Image.new("L", sheet.size, 255)
    phone = [(0.3, 1), (0.4, 0.5), (0.75, 0.5), (0.8, 1)]
    ImageDraw.Draw(shadow).polygon([(x * width, y * height) for x, y in phone], fill=140)
    soft = shadow.filter(ImageFilter.GaussianBlur(0.008 * width))
    return ImageChops.multiply(sheet, soft.convert("RGB"))


def wood(size: tuple[int, int], colour: Colour) -> Image.Image:
    """A table with grain."""
    width, height = size
    rng = np.random.default_rng(2)
    knots = Image.fromarray(rng.normal(size=(height // 16, width // 64)).astype(np.float32))
    drift = np.asarray(knots.resize(size, Image.Resampling.BICUBIC))
    grain = np.sin(np.arange(height)[:, None] / 7 + 3 * drift) * 9 + 9 * drift
    table = np.array(colour) + grain[..., None] * np.array([1, 0.8, 0.6])
    return Image.fromarray(table.clip(0, 255).astype(np.uint8))


def lying(sheet: Image.Image, table: Image.Image, corners: Corners) -> Image.Image:
    """`sheet` on `table`, its corners (clockwise from the upper left one) there; with a shadow."""
    width, height = sheet.size
    way = perspective(corners, ((0, 0), (width, 0), (width, height), (0, height)))
    how = (table.size, Image.Transform.PERSPECTIVE, way, Image.Resampling.BICUBIC)
    place = Image.new("L", sheet.size, 255).transform(*how)
    shadow = place.filter(ImageFilter.GaussianBlur(6)).point(lambda tone: tone * 0.4)
    scene = table.copy()
    scene.paste(BLACK, (4, 5), shadow)
    scene.paste(sheet.transform(*how), mask=place)
    return scene


def coloured_house(*, outlined: bool) -> Image.Image:
    """Filled shapes: a pale yellow sun, a red roof, a blue wall, green grass."""
    big = SIDE * OVERSAMPLING
    sheet = Image.new("RGB", (big, big), "white")
    pen = ImageDraw.Draw(sheet)

    def at(*shares: float) -> list[float]:
        return [share * big for share in shares]

    pen.rectangle(at(0, 0.7, 1, 1), fill=(120, 200, 90))
    pen.ellipse(at(*SUN), fill=(255, 250, 190))
    pen.polygon(at(*ROOF), fill=(200, 60, 40))
    pen.rectangle(at(*WALL), fill=(150, 170, 220))
    if outlined:
        pen.line(at(*ROOF, *ROOF[:2]), fill=BLACK, width=24)
        pen.rectangle(at(*WALL), outline=BLACK, width=24)
    return sheet.resize((SIDE, SIDE), Image.Resampling.BOX)


SUN = (0.1, 0.08, 0.35, 0.33)
ROOF = (0.5, 0.3, 0.3, 0.5, 0.7, 0.5)
WALL = (0.35, 0.5, 0.65, 0.8)


def house_outlines() -> Image.Image:
    """Where the coloured house's shapes end: the truth for its lines."""
    big = SIDE * OVERSAMPLING
    sheet = Image.new("L", (big, big))
    pen = ImageDraw.Draw(sheet)
    for box, draw in ((SUN, pen.ellipse), (WALL, pen.rectangle)):
        draw([share * big for share in box], outline=255, width=12)
    pen.line([share * big for share in (*ROOF, *ROOF[:2])], fill=255, width=12)
    for start, end in ((0.0, WALL[0]), (WALL[2], 1.0)):
        pen.line([start * big, 0.7 * big, end * big, 0.7 * big], fill=255, width=12)
    return sheet.resize((SIDE, SIDE), Image.Resampling.BOX)


def overlap(lines: Image.Image, truth: Image.Image, reach: int = 2) -> float:
    """Intersection over union of two line drawings, each grown by `reach` pixels."""
    grown = [
        np.asarray(image.filter(ImageFilter.MaxFilter(2 * reach + 1))) > 100
        for image in (lines, truth)
    ]
    return float((grown[0] & grown[1]).sum() / (grown[0] | grown[1]).sum())
