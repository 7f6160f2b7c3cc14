"""The lines printed on ruled or squared paper, taken off a drawing.

They are thin and follow each other at one distance, from edge to edge, as nothing does that is
drawn by hand. A polynomial of the place numbers them: it is 1 on one of them, 2 on the next, and
goes on beneath strokes, and where the page is held aslant or bends.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from pipelines.tones import Bytes, Floats, closed, dilated, luma

SIDE = 1024  # pixels of the long side of what is searched; lengths below are in such pixels
THIN = 4  # half of the widest line, a little out of focus
STRIP = 16  # the width of the strips in which lines are looked for
NEAREST, FARTHEST = 9, 90  # the distance from one line to the next
FEWEST = 6  # lines on a page
PARTS = 3  # of a page's sides, in which the distance is looked for
COMPLETE = 0.6  # of the page, what lines reach over, and of the lines, what is seen of them
REPEATED = 0.35  # how well marks agree with themselves, moved by the distance: 1 is exactly
BEND, UNBROKEN = 0.1, 0.8  # of a line across a ruling: its bend, and what is seen of it
NUMBERED = 0.5  # how well the polynomial is whole on them: 1 is exactly
NEAR = 0.2  # of the distance: so far from its place a line may be
DEGREE = 3  # of polynomials
LENGTH = 96  # of the parts of a line that have one tone
DARKER = 0.1  # than lines usually are: what is more was drawn along one

Mask = NDArray[np.bool_]


def without_ruling(picture: Image.Image) -> Image.Image:
    """`picture` (RGB) as if its paper were plain; itself if it is."""
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
    """How far down each line of a ruling is on the way across `ink` (0 to 1), if there is one.

    Lines × places on the way; 0 is the page's upper edge and 1 its lower one.
    """
    marks = _marks(ink)
    gaps = _gaps(marks)
    if gaps is None:
        return None
    rows, strips = np.nonzero(marks)
    y, x = _on_page(rows, strips, marks.shape)
    numbers = _numbers(_terms(y, x), *_changes(marks, gaps))
    if abs(_agreement(numbers)) < NUMBERED:
        return None
    on_one = np.abs(numbers - np.round(numbers)) < NEAR
    y, x, numbers = y[on_one], x[on_one], np.round(numbers[on_one])
    count = np.ptp(numbers) + 1
    seen = len(set(zip(numbers, x, strict=True)))
    if count < FEWEST or np.ptp(y) < COMPLETE or seen < COMPLETE * count * marks.shape[1]:
        return None
    line = np.arange(numbers.min() - 1, numbers.max() + 2)  # one may lie half beyond an edge
    way = np.linspace(0, 1, marks.shape[1])
    down: Floats = _terms(line[:, None] / count, way) @ _fitted(_terms(numbers / count, x), y)
    return down


def _numbers(terms: Floats, changes: Floats, by: Floats) -> Floats:
    """The polynomial's values at marks with these `terms`, knowing by how much it changes where."""
    numbers: Floats = terms @ _fitted(changes, by)
    numbers -= np.angle(_agreement(numbers)) / (2 * np.pi)
    return terms @ _fitted(terms, np.round(numbers))


def _marks(ink: Floats) -> Mask:
    """Where something thin crosses a strip: rows × strips."""
    tones = ink.reshape(len(ink), -1, STRIP).mean(axis=2)
    around = sliding_window_view(np.pad(tones, ((2, 2), (0, 0))), 5, axis=0)
    usual = np.median(tones, axis=0)
    grain = np.median(np.abs(tones - usual), axis=0)
    marks: Mask = (tones == around.max(axis=-1)) & (tones > usual + 5 * grain + 0.01)
    return marks


def _margin(ink: Floats) -> Floats | None:
    """The one line from edge to edge that often crosses a ruling, like `_lines`.

    It is straight, or bends as a parabola does: of those through three marks, the one that most
    marks are on.
    """
    marks = _marks(ink)
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
    """The distance to the next line at each mark's place, if marks repeat in most of the page."""
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
    """The distance at which marks repeat: the first high peak of their autocorrelation, or NaN."""
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
        if shared[gap] > REPEATED and shared[gap] == shared[gap - 1 : gap + 2].max()
    ]
    highest = shared[peaks].max(initial=0)
    return next((gap for gap in peaks if shared[gap] > 0.8 * highest), np.nan)


def _changes(marks: Mask, gaps: Floats) -> tuple[Floats, Floats]:
    """From mark to mark, how much the terms change and the number: by 1 to the next line, or by 0.

    Some are neighbours by chance; most are not.
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
    """How far down and across the page these are, from 0 to 1."""
    return (rows + 0.5) / shape[0], (columns + 0.5) / shape[1]


def _terms(y: Floats, x: Floats) -> Floats:
    """A polynomial's terms at such places: … × terms."""
    powers = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    return np.stack([y**i * x**j for i, j in powers], axis=-1)


def _fitted(terms: Floats, values: Floats) -> Floats:
    """The polynomial that has most of these values; those that are off by more are left out."""
    fit = np.full(len(values), True)
    for _ in range(4):
        polynomial: Floats = np.linalg.lstsq(terms[fit], values[fit])[0]
        fit = np.abs(terms @ polynomial - values) < NEAR
    return polynomial


def _agreement(numbers: Floats) -> complex:
    """Of absolute value 1 if they are all as far from being whole; its angle says how far."""
    return complex(np.exp(2j * np.pi * numbers).mean())


# --- taken off ------------------------------------------------------------------------------


def _wiped(pixels: Bytes, lines: Floats, unit: float) -> Bytes:
    """`pixels` (height × width × 3) as bright as they are without the lines across them.

    A line is divided by the share of light that it leaves. So what is drawn over it keeps its
    tone: two inks on one paper swallow light one after the other.
    """
    height, width = pixels.shape[:2]
    reach = int(min((THIN + 1) * unit, 0.4 * height * np.diff(lines, axis=0).min(initial=1)))
    parts = max(1, round(width / (LENGTH * unit)))
    across = np.arange(width)
    way = np.linspace(0, width - 1, lines.shape[1])
    bands = [_Band(np.interp(across, way, line) * height - 0.5, reach) for line in lines]
    left = np.stack([band.left(pixels, parts) for band in bands])
    usual = np.median(left.min(axis=1), axis=(0, 1))
    wiped = pixels.astype(np.float32)
    for band, shares in zip(bands, left.clip(usual - DARKER, 1), strict=True):
        band.divide(wiped, shares)
    return wiped.clip(0, 255).round().astype(np.uint8)


class _Band:
    """The pixels near a line whose middle is at a row, not always a whole one, in each column."""

    def __init__(self, middle: Floats, reach: int) -> None:
        above = np.floor(middle).astype(int)
        self._below = (middle - above)[:, None]
        self._rows = above + np.arange(-reach, reach + 2)[:, None]
        self._columns = np.arange(len(middle))

    def left(self, pixels: Bytes, parts: int) -> Floats:
        """The share of light that is left by a line: places across it × its `parts` × colours."""
        near = pixels[self._rows.clip(0, len(pixels) - 1), self._columns].astype(np.float32)
        straight = near[:-1] * (1 - self._below) + near[1:] * self._below
        bare = (straight[0] + straight[-1]) / 2
        shares = np.array_split(straight / np.maximum(bare, 1), parts, axis=1)
        return np.stack([np.median(part, axis=1) for part in shares], axis=1)

    def divide(self, pixels: Floats, left: Floats) -> None:
        """Divide them by what `left` said."""
        width, parts = len(self._columns), left.shape[1]
        shares = left[:, self._columns * parts // width]
        shares = shares[1:] * (1 - self._below) + shares[:-1] * self._below
        rows = self._rows[1:-1]
        at, column = np.nonzero((rows >= 0) & (rows < len(pixels)))
        pixels[rows[at, column], column] /= shares[at, column]
