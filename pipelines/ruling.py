"""The lines printed on ruled or squared paper, taken off a drawing.

Printed lines are thin and equally far apart, from edge to edge, as nothing is that a hand draws.
Their spacing is found by autocorrelation. Then a polynomial of the place is fitted that is 1 on
one line, 2 on the next, and so on: it follows a page that is held aslant or bends, and goes on
beneath strokes. Last, each line is divided by its transmittance, so that what is drawn over it
keeps its tone.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from pipelines.tones import Bytes, Floats, closed, dilated, luma

SIDE = 1024  # pixels of the long side of what is searched; lengths below are in such pixels
THIN = 4  # half of the widest line, a little out of focus
STRIP = 16  # the width of the strips in which lines are looked for
NEAREST, FARTHEST = 6, 90  # the spacing of lines
LEVELS = 3  # of spacing: every fifth line may be a darker one
FEWEST = 6  # lines on a page
PARTS = 3  # of each side of a page, in which the spacing is looked for
COMPLETE = 0.6  # of the page, over which lines reach; and of the lines, what can be seen
DARK = 0.5  # of the darkest marks' tone: where a mark begins to be dark
PERIODIC = 0.35  # the least autocorrelation at the spacing; at random it is 0
IN_PHASE = 0.5  # the least agreement of marks with the numbering; at random it is 0
NEAR = 0.2  # of the spacing: as far from its line a mark may be
DEGREE = 3  # of polynomials
BEND, UNBROKEN = 0.1, 0.8  # of a margin's line: how much it may bend, and what has to be seen
LENGTH = 96  # of the parts of a line whose transmittance is measured
DARKER = 0.1  # than lines usually are: what is darker still was drawn along one
OPAQUE = 0.05  # what lets less light through is not taken off, as nothing can be seen beneath

Mask = NDArray[np.bool_]


def without_ruling(picture: Image.Image) -> Image.Image:
    """`picture` (RGB) as if its paper were plain; itself if it is.

    On dotted paper dots stay, as what is printed on ruled paper may leave traces: specks.
    """
    for _ in range(LEVELS):
        wiped = _without_lines(picture)
        if wiped is picture:
            break
        picture = wiped
    return picture


def _without_lines(picture: Image.Image) -> Image.Image:
    """`picture` without lines of one spacing across it, and of one spacing down it."""
    unit = max(1.0, max(picture.size) / SIDE)
    size = [max(1, int(side / unit / STRIP)) * STRIP for side in picture.size]
    light = luma(np.asarray(picture.resize((size[0], size[1]), Image.Resampling.BOX)))
    ink = 1 - light / np.maximum(closed(light.round().astype(np.uint8), THIN), 1)
    lying, standing = _lines(ink), _lines(ink.T)
    if lying is standing is None:
        return picture
    lying, standing = (
        _margin(tones) if lines is None else lines
        for tones, lines in ((ink, lying), (ink.T, standing))
    )
    pixels = np.asarray(picture)
    if lying is not None:
        pixels = _wiped(pixels, lying, unit)
    if standing is not None:
        pixels = _wiped(pixels.transpose(1, 0, 2), standing, unit).transpose(1, 0, 2)
    return Image.fromarray(np.ascontiguousarray(pixels))


# --- where lines are ------------------------------------------------------------------------


def _lines(ink: Floats) -> Floats | None:
    """The lines of a ruling that run across `ink` (0 to 1), or None where there is none.

    Lines × places from left to right; each value says how far down the line is there, from 0 at
    the page's upper edge to 1 at its lower one. Where not all marks are of a ruling the darker ones
    may be: of graph paper, a photo shows every fifth line well, and the others here and there.
    """
    marks, tones = _marks(ink)
    lines = _lines_of(marks)
    if lines is None and marks.any():
        lines = _lines_of(marks & (tones > DARK * np.percentile(tones[marks], 90)))
    return lines


def _lines_of(marks: Mask) -> Floats | None:
    """As `_lines`, of these marks alone."""
    gaps = _gaps(marks)
    if gaps is None:
        return None
    rows, strips = np.nonzero(marks)
    y, x = _on_page(rows, strips, marks.shape)
    numbers = _numbers(_terms(y, x), *_changes(marks, gaps))
    if abs(_phase(numbers)) < IN_PHASE:
        return None
    on_one = np.abs(numbers - np.round(numbers)) < NEAR
    y, x, numbers = y[on_one], x[on_one], np.round(numbers[on_one])
    count = np.ptp(numbers) + 1
    seen = len(set(zip(numbers, x, strict=True)))
    if count < FEWEST or np.ptp(y) < COMPLETE or seen < COMPLETE * count * marks.shape[1]:
        return None
    line = np.arange(numbers.min() - 1, numbers.max() + 2)  # one may lie half beyond an edge
    way = np.linspace(0, 1, marks.shape[1])
    polynomial = np.linalg.lstsq(_terms(numbers / count, x), y)[0]
    down: Floats = _terms(line[:, None] / count, way) @ polynomial
    return down


def _numbers(terms: Floats, changes: Floats, by: Floats) -> Floats:
    """The polynomial's values at marks with these `terms`, from what `_changes` says."""
    numbers: Floats = terms @ _fitted(changes, by)
    numbers -= np.angle(_phase(numbers)) / (2 * np.pi)
    return terms @ _fitted(terms, np.round(numbers))


def _marks(ink: Floats) -> tuple[Mask, Floats]:
    """Where something thin crosses a strip, and how dark each strip is there: rows × strips."""
    tones = ink.reshape(len(ink), -1, STRIP).mean(axis=2)
    around = sliding_window_view(np.pad(tones, ((2, 2), (0, 0))), 5, axis=0)
    usual = np.median(tones, axis=0)
    grain = np.median(np.abs(tones - usual), axis=0)
    marks: Mask = (tones == around.max(axis=-1)) & (tones > usual + 5 * grain + 0.01)
    return marks, tones


def _margin(ink: Floats) -> Floats | None:
    """The one line, as `_lines` has them, that crosses a ruling from edge to edge beside a margin.

    It is a parabola: of those through three marks, the one that most marks are on.
    """
    marks, _ = _marks(ink)
    strips = np.arange(marks.shape[1])
    three = len(strips) * np.array([1, 8, 15]) // 16
    ends = np.stack(np.meshgrid(*(np.flatnonzero(marks[:, at]) for at in three)), -1).reshape(-1, 3)
    ends = ends[np.abs(ends @ [1, -2, 1]) < BEND * len(marks)]
    rows = ends @ np.linalg.inv(np.vander(three, 3)).T @ np.vander(strips, 3).T
    wide = dilated(np.where(marks, 255, 0).astype(np.uint8), 2) > 0
    seen = wide[rows.round().astype(int).clip(0, len(marks) - 1), strips].mean(axis=1)
    if seen.max(initial=0) < UNBROKEN:
        return None
    return (rows[[seen.argmax()]] + 0.5) / len(marks)


def _gaps(marks: Mask) -> Floats | None:
    """The spacing of lines around each place, like `marks`; None if they are not periodic."""
    found = [
        [_gap(part) for part in np.array_split(row, PARTS, axis=1)]
        for row in np.array_split(marks, PARTS)
    ]
    gaps = np.array(found, np.float32)
    usual = np.nanmedian(gaps) if np.isfinite(gaps).any() else np.nan
    odd = ~(np.abs(gaps / usual - 1) < 0.5)
    if odd.mean() > 1 - COMPLETE:
        return None
    gaps[odd] = usual
    size = (marks.shape[1], marks.shape[0])
    return np.asarray(Image.fromarray(gaps).resize(size, Image.Resampling.BILINEAR))


def _gap(marks: Mask) -> float:
    """The spacing of marks in rows: the first high peak of their autocorrelation, or else NaN."""
    height = len(marks)
    farthest = min(FARTHEST, height // 3)
    if farthest <= NEAREST or not marks.any():
        return np.nan
    wide = marks | np.roll(marks, 1, axis=0) | np.roll(marks, -1, axis=0)
    waves = np.fft.rfft(wide - wide.mean(axis=0), n=2 * height, axis=0)
    shared = np.fft.irfft((np.abs(waves) ** 2).sum(axis=1))[: farthest + 2]
    shared *= height / (height - np.arange(len(shared))) / shared[0]
    peaks = [
        gap
        for gap in range(NEAREST, farthest + 1)
        if shared[gap] > PERIODIC and shared[gap] == shared[gap - 1 : gap + 2].max()
    ]
    highest = shared[peaks].max(initial=0)
    return next((gap for gap in peaks if shared[gap] > 0.8 * highest), np.nan)


def _changes(marks: Mask, gaps: Floats) -> tuple[Floats, Floats]:
    """By how much the terms, and the number, change from a mark to its neighbours.

    The number changes by 1 to the mark below, and by 0 to the one beside it. Some marks are
    neighbours by chance, and most are not, so whoever fits leaves those out that do not fit.
    """
    height, strips = marks.shape
    terms, numbers = [], []
    for down, right, change in (
        *((down, 0, 1.0) for down in range(int(gaps.min() * 2 / 3), int(gaps.max() * 4 / 3) + 1)),
        *((down, 1, 0.0) for down in range(-int(gaps.max() / 3), int(gaps.max() / 3) + 1)),
    ):
        up = max(-down, 0)
        here = marks[up : height - max(down, 0), : strips - right]
        there = marks[max(down, 0) : height - up, right:]
        is_near = np.abs(down / gaps[up : height - max(down, 0), : strips - right] - change) < 1 / 3
        rows, columns = np.nonzero(here & there & is_near)
        begins = _on_page(rows + up, columns, marks.shape)
        ends = _on_page(rows + up + down, columns + right, marks.shape)
        terms.append(_terms(*ends) - _terms(*begins))
        numbers.append(np.full(len(rows), change))
    return np.concatenate(terms), np.concatenate(numbers)


def _on_page(
    rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...]
) -> tuple[Floats, Floats]:
    """How far down and across the page the middles of pixels are, from 0 to 1."""
    return (rows + 0.5) / shape[0], (columns + 0.5) / shape[1]


def _terms(y: Floats, x: Floats) -> Floats:
    """The terms of a polynomial at places: … × terms."""
    powers = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    return np.stack([y**i * x**j for i, j in powers], axis=-1)


def _fitted(terms: Floats, values: Floats) -> Floats:
    """The polynomial with these values; in turns, those that it is not near to are left out."""
    fit = np.full(len(values), True)
    for _ in range(4):
        polynomial: Floats = np.linalg.lstsq(terms[fit], values[fit])[0]
        fit = np.abs(terms @ polynomial - values) < NEAR
    return polynomial


def _phase(numbers: Floats) -> complex:
    """The circular mean of their fractions: on the unit circle if all of them are the same."""
    return complex(np.exp(2j * np.pi * numbers).mean())


# --- taken off ------------------------------------------------------------------------------


def _wiped(pixels: Bytes, lines: Floats, unit: float) -> Bytes:
    """`pixels` (height × width × 3) without the `lines` across them.

    `unit` is how many pixels one pixel of the searched size is.
    """
    height, width = pixels.shape[:2]
    spacing = height * np.diff(lines, axis=0).min(initial=1)
    reach = max(1, int(min((THIN + 1) * unit, 0.4 * spacing)))
    parts = max(1, round(width / (LENGTH * unit)))
    across = np.arange(width)
    way = np.linspace(0, width - 1, lines.shape[1])
    bands = [_Band(np.interp(across, way, line) * height - 0.5, reach) for line in lines]
    transmitted = np.stack([band.transmittance(pixels, parts) for band in bands])
    usual = np.median(transmitted.min(axis=1), axis=(0, 1))
    wiped = pixels.astype(np.float32)
    for band, shares in zip(bands, transmitted.clip((usual - DARKER).clip(OPAQUE), 1), strict=True):
        band.divide(wiped, shares)
    return wiped.clip(0, 255).round().astype(np.uint8)


class _Band:
    """The pixels around a line: of each column, those up to `reach` from its middle.

    The middle is a row, and need not be a whole one: interpolated, the band is straight.
    """

    def __init__(self, middle: Floats, reach: int) -> None:
        above = np.floor(middle).astype(int)
        self._below = (middle - above)[:, None]
        self._rows = above + np.arange(-reach, reach + 2)[:, None]
        self._columns = np.arange(len(middle))

    def transmittance(self, pixels: Bytes, parts: int) -> Floats:
        """The share of light that a line lets through: straight rows × its `parts` × colours.

        It is the median over a part, so that strokes across the line do not matter.
        """
        near = pixels[self._rows.clip(0, len(pixels) - 1), self._columns].astype(np.float32)
        straight = near[:-1] * (1 - self._below) + near[1:] * self._below
        bare = (straight[0] + straight[-1]) / 2
        shares = np.array_split(straight / np.maximum(bare, 1), parts, axis=1)
        return np.stack([np.median(part, axis=1) for part in shares], axis=1)

    def divide(self, pixels: Floats, transmittance: Floats) -> None:
        """Divide `pixels` by it, in place."""
        width, parts = len(self._columns), transmittance.shape[1]
        straight = transmittance[:, self._columns * parts // width]
        shares = straight[1:] * (1 - self._below) + straight[:-1] * self._below
        rows = self._rows[1:-1]
        at, column = np.nonzero((rows >= 0) & (rows < len(pixels)))
        pixels[rows[at, column], column] /= shares[at, column]
