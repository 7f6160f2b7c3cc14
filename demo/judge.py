"""Says what a picture of the small world shows, from its pixels alone: no network is asked.

Colours are the nearest of the palette, lightened or darkened; figures are what differs from the
ground, without holes; shapes are the nearest of the world's outlines, turned any way. A picture
that is none of this is given no names. `python -m demo.judge PICTURE…` prints what is seen.
"""

import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from demo.shapes.geometry import Shape, distances
from demo.shapes.paint import NIGHT, RGB, SIDE
from demo.shapes.scene import Colour, Scene

Floats = NDArray[np.floating[Any]]
Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SMALLEST = 0.005  # of the picture: what is smaller is a star in the sky, or dirt
STRANGE = 62.0  # further than this (in 8-bit RGB) from every colour of the world is no colour
FAINT = 40.0  # what differs less from the ground is glow
BORDER = 8  # pixels at the edge that say what the ground is
FITS = 0.80  # the least intersection over union with an outline for a shape to be named
TEMPLATE = 48  # pixels a side of the masks that are compared
TURNS = 48  # in so many directions


@dataclass(frozen=True, slots=True)
class Seen:
    """A figure that was found. `x`, `y` (the centroid) and `area` are fractions of the picture."""

    shape: Shape | None
    colour: Colour | None
    x: float
    y: float
    area: float
    fit: float
    mask: Mask


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a picture shows: figures from large to small, and the ground's colour.

    `ground` is None for the night sky (then `is_night`) and for what is no ground of the world.
    """

    figures: tuple[Seen, ...]
    ground: Colour | None
    is_night: bool
    size: tuple[int, int]
    """Width and height of the masks."""

    def shows(self, scene: Scene) -> bool:
        """Whether shapes and colours of figures and ground are those of `scene`."""
        return self.has_figures_of(scene) and self.has_ground_of(scene)

    def has_figures_of(self, scene: Scene) -> bool:
        """Whether the figures' shapes and colours are those of `scene`, and no others are there."""
        wanted = sorted((str(f.shape), str(f.colour)) for f in scene.figures)
        return wanted == sorted((str(f.shape), str(f.colour)) for f in self.figures)

    def has_ground_of(self, scene: Scene) -> bool:
        """Whether the ground is that of `scene`."""
        return self.ground == scene.ground.colour and self.is_night == (self.ground is None)

    @property
    def silhouette(self) -> Mask:
        """Where any figure is, holes filled."""
        masks = [figure.mask for figure in self.figures]
        empty: Mask = np.zeros(self.size[::-1], bool)
        return np.logical_or.reduce(masks) if masks else empty


def judge(image: Image.Image) -> Verdict:
    """What `image`, of any size, shows."""
    pixels = np.asarray(_resized(image.convert("RGB")).filter(ImageFilter.MedianFilter(3)))
    names = _named(pixels)
    ground = _ground(names)
    figures = []
    if ground is not None:
        figures = [_seen(part, pixels) for part in _figures(pixels, names == ground)]
        figures.sort(key=lambda seen: -seen.area)
    palette = _palette()[1]
    return Verdict(
        tuple(figures),
        ground=palette[ground] if ground is not None else None,
        is_night=ground is not None and palette[ground] is None,
        size=(pixels.shape[1], pixels.shape[0]),
    )


def _resized(image: Image.Image) -> Image.Image:
    """`image` in a size that it can be judged at: its own, if that is about SIDE."""
    shorter = min(image.size)
    if 0.75 * SIDE <= shorter <= SIDE:
        return image
    width, height = (round(side * SIDE / shorter) for side in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def iou(one: Mask, other: Mask) -> float:
    """Intersection over union; 0 where both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 0.0


# --- colours ------------------------------------------------------------------------------------


@cache
def _palette() -> tuple[NDArray[np.float32], tuple[Colour | None, ...]]:
    """Tones (n × colours × 3) of each colour, and the colours; the last, None, is the night."""
    tones = []
    for colour in Colour:
        base = np.array(RGB[colour], np.float32)
        darkest, lightest = _range(colour)
        light = base + (255 - base) * lightest
        tones.append(np.concatenate([np.linspace(darkest, base, 4), np.linspace(base, light, 4)]))
    tones.append(np.linspace(NIGHT[0], NIGHT[1], 8))
    return np.stack(tones, axis=1).astype(np.float32), (*Colour, None)


def _range(colour: Colour) -> tuple[tuple[float, float, float], float]:
    """The darkest tone that has a colour's name, and how far towards white its lightest is."""
    if colour is Colour.WHITE:
        return (165, 165, 168), 1.0
    if colour is Colour.BLACK:
        return (0, 0, 0), 0.3
    r, g, b = RGB[colour]
    return (0.66 * r, 0.66 * g, 0.66 * b), 0.5


@cache
def _names() -> NDArray[np.int8]:
    """The place in the palette of every colour, -1 for none: 32³, by the upper bits."""
    tones, _ = _palette()
    level = np.arange(4, 256, 8, dtype=np.float32)
    colours = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1)
    far = np.full((*colours.shape[:3], tones.shape[1]), np.inf, np.float32)
    for tone in tones:
        np.minimum(far, ((colours[..., None, :] - tone) ** 2).sum(axis=-1), out=far)
    names: NDArray[np.int8] = far.argmin(axis=-1).astype(np.int8)
    names[far.min(axis=-1) > STRANGE**2] = -1
    return names


def _named(pixels: Bytes) -> NDArray[np.int8]:
    """The place in the palette of the colour of each pixel (… × 3)."""
    upper = pixels >> 3
    named: NDArray[np.int8] = _names()[upper[..., 0], upper[..., 1], upper[..., 2]]
    return named


def _ground(names: NDArray[np.int8]) -> int | None:
    """The name that most of the border has, if most of it has one."""
    inner = np.zeros(names.shape, bool)
    inner[BORDER:-BORDER, BORDER:-BORDER] = True
    counts = np.bincount(names[~inner] + 1, minlength=2)
    common = int(counts.argmax()) - 1
    return common if common >= 0 and counts.max() > 0.6 * counts.sum() else None


# --- figures ------------------------------------------------------------------------------------


def _seen(mask: Mask, pixels: Bytes) -> Seen:
    """What a connected part is; its colour is the usual one of its own pixels, not of holes."""
    name = int(_named(_usual(pixels[mask])))
    solid = _without_holes(mask)
    shape, fit = _shape_of(solid)
    ys, xs = np.nonzero(solid)
    return Seen(
        shape=shape,
        colour=_palette()[1][name] if name >= 0 else None,
        x=float(xs.mean() + 0.5) / mask.shape[1],
        y=float(ys.mean() + 0.5) / mask.shape[0],
        area=float(solid.mean()),
        fit=fit,
        mask=solid,
    )


def _figures(pixels: Bytes, ground: Mask) -> list[Mask]:
    """The parts that are not ground, without glow, shadow and soft edges: what is nearer in colour
    to the rest of its part than to the ground."""
    behind = _usual(pixels[ground]).astype(np.float32)
    kept = np.zeros_like(ground)
    for part in _parts(_calm(~ground)):
        own = pixels[part].astype(np.float32)
        bold = own[((own - behind) ** 2).sum(axis=1) > FAINT**2]
        if len(bold):
            usual = np.median(bold, axis=0)
            kept[part] = ((own - usual) ** 2).sum(axis=1) < ((own - behind) ** 2).sum(axis=1)
    return _outermost(_parts(kept))


def _calm(mask: Mask) -> Mask:
    """`mask` without specks, and without lines as thin as those where two colours meet."""
    calm = Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MedianFilter(5))
    return np.asarray(calm) > 0


def _usual(colours: Bytes) -> Bytes:
    """The median of colours (n × 3)."""
    usual: Bytes = np.median(colours, axis=0).astype(np.uint8)
    return usual


def _parts(mask: Mask) -> list[Mask]:
    """The connected parts (by edges) of `mask` that are large enough for the line of a figure."""
    labels = _labelled(mask)
    counts = np.bincount(labels[mask])
    return [labels == label for label in np.nonzero(counts > 0.5 * SMALLEST * mask.size)[0]]


def _outermost(parts: list[Mask]) -> list[Mask]:
    """Those of `parts` that are large enough for a figure, and inside no other."""
    solids = [_without_holes(part) for part in parts]
    return [
        part
        for part, solid in zip(parts, solids, strict=True)
        if solid.mean() > SMALLEST
        and not any(other.sum() > solid.sum() and not (solid & ~other).any() for other in solids)
    ]


def _without_holes(mask: Mask) -> Mask:
    """`mask` and all that it encloses."""
    padded = np.pad(~mask, 1, constant_values=True)
    labels = _labelled(padded)
    outside: Mask = labels == labels[0, 0]
    return ~outside[1:-1, 1:-1]


def _labelled(mask: Mask) -> NDArray[np.intp]:
    """A number for each connected part of `mask`, the same for all its pixels; 0 elsewhere.

    Runs of pixels in a row are joined with the runs they touch in the row above.
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, begins = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    above = 0
    for run in range(len(rows)):
        while above < run and (
            rows[above] < rows[run] - 1
            or (rows[above] == rows[run] - 1 and ends[above] <= begins[run])
        ):
            above += 1
        other = above
        while other < run and rows[other] == rows[run] - 1 and begins[other] < ends[run]:
            parent[root(other)] = root(run)
            other += 1
    labels = np.zeros(mask.shape, np.intp)
    for run in range(len(rows)):
        labels[rows[run], begins[run] : ends[run]] = root(run) + 1
    return labels


# --- shapes -------------------------------------------------------------------------------------


def _shape_of(mask: Mask) -> tuple[Shape | None, float]:
    """The shape whose outline, turned as it may be, covers `mask` best, and how well it does."""
    templates, shapes = _templates()
    own = _normal(mask).ravel()
    common = templates @ own
    fits = common / (templates.sum(axis=1) + own.sum() - common)
    best = int(fits.argmax())
    fit = float(fits[best])
    return (shapes[best] if fit >= FITS else None), fit


@cache
def _templates() -> tuple[NDArray[np.float32], tuple[Shape, ...]]:
    masks, shapes = [], []
    for shape in Shape:
        for turn in range(TURNS):
            inside = distances(shape, 63.5, 63.5, 44, turn * 360 / TURNS, (128, 128)) < 0
            masks.append(_normal(inside).ravel())
            shapes.append(shape)
    return np.stack(masks), tuple(shapes)


def _normal(mask: Mask) -> NDArray[np.float32]:
    """`mask` moved and scaled to a common middle and area, TEMPLATE², 0 or 1."""
    ys, xs = np.nonzero(mask)
    y, x, scale = ys.mean(), xs.mean(), np.sqrt(len(ys)) * 2.2 / TEMPLATE
    left, top = x + 0.5 - scale * TEMPLATE / 2, y + 0.5 - scale * TEMPLATE / 2
    image = Image.fromarray(mask.astype(np.float32))
    small = image.transform(
        (TEMPLATE, TEMPLATE),
        Image.Transform.AFFINE,
        (scale, 0, left, 0, scale, top),
        Image.Resampling.BILINEAR,
    )
    return (np.asarray(small) > 0.5).astype(np.float32)


def main(paths: list[str]) -> bool:
    """Print what each picture shows, and say of which it cannot be seen."""
    readable = True
    for path in paths:
        try:
            with Image.open(path) as image:
                verdict = judge(image)
        except OSError as error:
            why = error.strerror or "no picture, or cut short"
            print(f"{path}: cannot be read: {why}", file=sys.stderr)
            readable = False
            continue
        ground = "night" if verdict.is_night else verdict.ground
        figures = ", ".join(
            f"{f.colour} {f.shape} at {f.x:.2f} {f.y:.2f} (fits {f.fit:.2f})"
            for f in verdict.figures
        )
        print(f"{path}: {figures or 'nothing'} on {ground}")
    return readable


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
