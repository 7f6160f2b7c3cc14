"""A sheet of paper in a photo, taken out as a scanner would see it.

If a drawing was photographed on a table, the table is no part of it, nor is the paper's edge a
line. A sheet is a bright area of one tint, with four straight sides, on something else. If that is
in doubt, there is none, and the whole photo is the drawing.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.tones import Bytes, Floats, closed, dilated, eroded, luma

Mask = NDArray[np.bool_]
Points = NDArray[np.floating[Any]]  # n × 2: x and y, y downwards
Corners = Sequence[Sequence[float]]

SIDE = 256  # pixels of the long side of what is searched; lengths below are in such pixels
STROKE = 5  # half of the widest stroke
EDGE = 6  # a sheet's edge and its shadow
STEP = 0.06  # in the logarithm of brightness, between neighbours: where something or a shadow ends
PAINT = 0.25  # likewise, where something painted begins
SMALLEST, LARGEST = 0.15, 0.96  # a sheet's share of the photo
MOST = 16  # corners of a hull that are looked at
STRAIGHT = (
    0.955  # the least share of a sheet that a quadrangle in it covers: less has round corners
)
CONVEX = 1.08  # the most that a sheet's convex hull covers, in sheets: more has a dent
SAME_TINT = 0.05  # the largest difference, in shares of red, green and blue
INK = 0.12  # how much darker it is than the paper around it, as a share
SHADE = 0.45  # of the paper's brightness: paper in a shadow is at least so bright


def straightened(photo: Image.Image) -> Image.Image | None:
    """The sheet that is seen whole in `photo` (RGB) and has something drawn on it, else None."""
    small = photo.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    colours = np.asarray(small)
    light = luma(colours)
    bare = _without_strokes(light)
    area = _brightest_area(bare)
    corners = None if area is None else _corners(area)
    if corners is None or not _is_sheet(colours, light, bare, _inside(corners, small.size)):
        return None
    return _taken_out(photo, (corners + 0.5) * np.divide(photo.size, small.size))


# --- what is bright -------------------------------------------------------------------------


def _without_strokes(light: Floats) -> Floats:
    """Tones without what is dark and thin. Beyond the photo's edge all is dark."""
    room = STROKE + 1
    tones = closed(np.pad(light.round().astype(np.uint8), room), STROKE)
    return tones[room:-room, room:-room].astype(np.float32)


def _brightest_area(bare: Floats) -> Mask | None:
    """The brightest of the large areas without a step in brightness, with all that it encloses."""
    left = ~_steps(bare, STEP)
    best, brightest = None, 0.0
    for seed in _grid(left.shape):
        if not left[seed]:
            continue
        found = _flooded(left, seed)
        left &= ~found
        if found.mean() >= SMALLEST and (tone := float(np.median(bare[found]))) > brightest:
            best, brightest = found, tone
    return None if best is None else _filled(best)


def _steps(bare: Floats, least: float) -> Mask:
    """Where brightness changes by so much from one pixel to the next."""
    near = sliding_window_view(np.pad(np.log(bare + 8), 1, mode="edge"), (3, 3))
    steps: Mask = near.max(axis=(2, 3)) - near.min(axis=(2, 3)) > least
    return steps


def _filled(area: Mask) -> Mask:
    """`area` with its holes."""
    around = _flooded(np.pad(~area, 1, constant_values=True), (0, 0))
    filled: Mask = ~around[1:-1, 1:-1]
    return filled


def _grid(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Places (row, column) of which one lies in every large area."""
    height, width = shape
    return product(range(4, height, 8), range(4, width, 8))


def _flooded(mask: Mask, seed: tuple[int, int]) -> Mask:
    """All of `mask` that is connected with the place `seed` (row, column), but not diagonally.

    It spreads by whole rows and columns, where Pillow's floodfill goes pixel by pixel.
    """
    flooded = np.zeros_like(mask)
    flooded[seed] = True
    both = _runs(mask), _runs(mask.T).T
    before = 0
    while (reached := int(flooded.sum())) > before:
        before = reached
        for runs in both:
            touched = np.bincount(runs[flooded], minlength=runs.max() + 1) > 0
            flooded = mask & touched[runs]
    return flooded


def _runs(mask: Mask) -> NDArray[np.int64]:
    """A number for each run of neighbouring places of `mask` in a row, at each of its places."""
    begins = mask & ~np.pad(mask, ((0, 0), (1, 0)))[:, :-1]
    numbers: NDArray[np.int64] = np.cumsum(begins, dtype=np.int64).reshape(mask.shape)
    return numbers


# --- four sides -----------------------------------------------------------------------------


def _corners(area: Mask) -> Points | None:
    """The corners of an area that has four, clockwise from the upper left one."""
    size = float(area.sum())
    hull = _hull(area)
    if not SMALLEST <= size / area.size <= LARGEST or _size(hull) > CONVEX * size:
        return None
    quadrangles = (hull[list(four)] for four in combinations(range(len(hull)), 4))
    corners = max(quadrangles, key=_size, default=hull)
    if len(corners) != 4 or _size(corners) < STRAIGHT * size or not _is_whole(corners, area.shape):
        return None
    top, right, bottom, left = _lengths(corners)
    if not (0.5 < top / bottom < 2 and 0.5 < left / right < 2):
        return None  # no camera is held at such an angle
    return np.roll(corners, -int(corners.sum(axis=1).argmin()), axis=0)


def _hull(area: Mask) -> Points:
    """The corners of the convex hull of `area`, clockwise: the MOST that change it most."""
    rows = np.flatnonzero(area.any(axis=1))
    first, last = area.argmax(axis=1), area.shape[1] - 1 - area[:, ::-1].argmax(axis=1)
    ends = sorted({(int(side[row]), int(row)) for side in (first, last) for row in rows})
    hull = np.array([*_half(ends), *_half(ends[::-1])], float)
    while len(hull) > MOST:
        before, after = np.roll(hull, 1, axis=0), np.roll(hull, -1, axis=0)
        hull = np.delete(hull, int(np.abs(_turn(before, hull, after)).argmin()), axis=0)
    return hull


def _half(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of points from left to right those on one side of the hull, without the last (Andrew's)."""
    kept: list[tuple[int, int]] = []
    for point in points:
        while len(kept) > 1 and _turn(*map(np.array, (*kept[-2:], point))) <= 0:
            kept.pop()
        kept.append(point)
    return kept[:-1]


def _turn(a: Points, b: Points, c: Points) -> Any:
    """Twice the triangle's size, positive where the way from `a` over `b` to `c` turns right."""
    return (b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0]


def _size(polygon: Points) -> float:
    x, y = polygon.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _lengths(corners: Points) -> Points:
    """Of the sides, each of which begins at a corner."""
    lengths: Points = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    return lengths


def _is_whole(corners: Points, shape: tuple[int, ...]) -> bool:
    """Whether the photo cuts off one side at most: a sky or a wall goes on beyond."""
    height, width = shape
    near = 0.02 * max(shape)
    ends = np.array([corners, np.roll(corners, -1, axis=0)])
    x, y = ends[..., 0], ends[..., 1]
    cut = (x < near, y < near, x > width - 1 - near, y > height - 1 - near)
    return sum(int(both.all(axis=0).sum()) for both in cut) <= 1


# --- paper ----------------------------------------------------------------------------------


def _inside(corners: Points, size: tuple[int, int]) -> Mask:
    image = Image.new("1", size)
    ImageDraw.Draw(image).polygon([(x, y) for x, y in corners.tolist()], fill=1)
    return np.asarray(image)


def _is_sheet(colours: Bytes, light: Floats, bare: Floats, within: Mask) -> bool:
    """Whether something is drawn on paper `within`, and nothing on what may be paper around it."""
    tint = colours / np.maximum(colours.sum(axis=2, keepdims=True), 1)
    inner, near = _grown(within, -EDGE), _grown(within, EDGE)
    margin = within & ~inner
    paper, level = np.median(tint[margin], axis=0), float(np.median(bare[margin]))
    tinted = np.abs(tint - paper).max(axis=2) > SAME_TINT
    if level < 90 or np.ptp(paper) > 0.4 * paper.max() or tinted[margin].mean() > 0.2:
        return False
    strokes = bare - light > INK * bare
    drawn = strokes | tinted | _steps(bare, PAINT)
    also = ~near & ~tinted & (bare > SHADE * level)
    return bool(drawn[inner].mean() > 0.001 and (strokes & also).sum() <= 0.002 * also.sum())


def _grown(mask: Mask, reach: int) -> Mask:
    """`mask` grown by `reach` pixels, or shrunk if that is negative."""
    tones = np.where(mask, 255, 0).astype(np.uint8)
    return (dilated(tones, reach) if reach > 0 else eroded(tones, -reach)) > 0


# --- taken out ------------------------------------------------------------------------------


def _taken_out(photo: Image.Image, corners: Points) -> Image.Image:
    """What is between `corners` (pixels of `photo`), as a rectangle with sides about as long."""
    top, right, bottom, left = _lengths(corners)
    width, height = max(1, round((top + bottom) / 2)), max(1, round((left + right) / 2))
    rectangle = ((0, 0), (width, 0), (width, height), (0, height))
    way = perspective(rectangle, corners.tolist())
    return photo.transform(
        (width, height), Image.Transform.PERSPECTIVE, way, Image.Resampling.BICUBIC
    )


def perspective(here: Corners, there: Corners) -> list[float]:
    """Coefficients for Pillow's perspective transform: corners `here`, in its result, come from
    those `there`, in the picture."""
    rows, values = [], []
    for (x, y), (u, v) in zip(here, there, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        values += [u, v]
    way: list[float] = np.linalg.solve(np.array(rows, float), np.array(values, float)).tolist()
    return way
