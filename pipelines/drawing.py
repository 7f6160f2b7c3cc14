"""Drawings as people make them, turned into what the models were trained on.

A drawing may be transparent, white on black, coloured, or a photo of paper in poor light. What
comes out is always a dark-on-white picture for the captioner, and white lines on black for the
model that follows lines. Everything is deterministic and needs no GPU.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from pipelines.contract.errors import BadInput
from pipelines.media import on_white
from pipelines.ruling import without_ruling
from pipelines.sheet import straightened
from pipelines.tones import Bytes, Floats, closed, dilated, eroded, luma, opened

REFERENCE_SIDE = 1024  # lengths below are pixels of a drawing whose long side has this many
WIDEST_STROKE = 40  # what is wider is a filled shape, and its outline is the line
TILE = 8  # in which the paper's tone is looked for
BLANK = 5e-5  # of all pixels: less than this on a line, and nothing is drawn
BLANK_PHOTO = 5e-4  # likewise of a photo, in which a few grains of noise may pass for ink


@dataclass(frozen=True, slots=True)
class Drawing:
    """One drawing, read. Both pictures have the size of the image, or of the sheet found in it.

    `picture` (RGB) is dark or coloured on white paper; `lines` (L) are soft white strokes on
    black, like those of an edge detector: strokes as they are, filled shapes as outlines.
    """

    picture: Image.Image
    lines: Image.Image


def read_drawing(image: Image.Image) -> Drawing:
    """Read `image` (RGB or RGBA, as `vet` leaves it). Raises BadInput when nothing is drawn.

    Of a photo in which a sheet lies on something else, the sheet is read; what is printed on ruled
    paper is not.
    """
    if image.mode == "RGB":
        if _is_photographed(np.asarray(image)):
            image = straightened(image) or image
        plain = without_ruling(image)
        return _read(plain, specked=plain is not image)
    return _read(image)


def fitted(lines: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`lines` scaled to fit `size` (width, height), on black. Before they are reduced they are
    thickened, so that thin ones do not fade."""
    times = max(lines.width / size[0], lines.height / size[1])
    firm = Image.fromarray(dilated(np.asarray(lines), round(times / 3)))
    return ImageOps.pad(firm, size, color=0)


def _read(image: Image.Image, *, specked: bool = False) -> Drawing:
    """Read `image`, which may be `specked` like a photo, by what is left of a ruling or of dots."""
    picture = _upright_tones(_on_paper(image))
    photographed = specked or _is_photographed(picture)
    picture = _photo_on_white(picture) if photographed else _canvas_on_white(picture)
    lines = _lines(picture, noisy=photographed)
    if (lines > 128).mean() < (BLANK_PHOTO if photographed else BLANK):
        raise BadInput("The drawing is blank, or too faint to read. Please draw with firmer lines.")
    return Drawing(Image.fromarray(picture), Image.fromarray(lines))


# --- tones ----------------------------------------------------------------------------------


def _on_paper(image: Image.Image) -> Bytes:
    """`image` on a background that its strokes can be seen on, height × width × 3."""
    if image.mode != "RGBA":
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image)
    solid = np.where(rgba[..., 3] > 32, 255, 0).astype(np.uint8)
    rim = rgba[solid > eroded(solid, 2)][:, :3]  # white inside a dark outline is seen on white, too
    if (rim.min(axis=1, initial=255) > 215).sum() > 0.5 * len(rim):
        on_black = Image.new("RGBA", image.size, "black")
        on_black.alpha_composite(image)
        return np.asarray(on_black.convert("RGB"))
    return np.asarray(on_white(image))


def _upright_tones(picture: Bytes) -> Bytes:
    """`picture` dark on light: of chalk on a board, lightness is inverted and hues are kept."""
    if not _is_light_on_dark(luma(picture)):
        return picture
    values = picture.astype(np.int16)
    brightest, darkest = values.max(axis=2, keepdims=True), values.min(axis=2, keepdims=True)
    turned: Bytes = (values + 255 - brightest - darkest).astype(np.uint8)
    return turned


def _is_light_on_dark(light: Floats) -> bool:
    """Whether strokes are lighter than what they are on.

    The border says so, or else the strokes: where they are dark, what is left when all that is
    dark and thin is filled in is more even than what is left without what is light and thin.
    """
    edge = max(2, min(light.shape) // 25)
    border = np.concatenate(
        [part.ravel() for part in (light[:edge], light[-edge:], light[:, :edge], light[:, -edge:])]
    )
    level = float(np.median(border))
    if level < 50:
        return float(np.median(light)) < 128  # else it is a table round the paper, or black bars
    if level > 190:
        return False
    small = Image.fromarray(light.astype(np.uint8))
    small.thumbnail((256, 256), Image.Resampling.BOX)
    tones = np.asarray(small)
    return _unevenness(closed(tones, 4)) > 1.5 * _unevenness(opened(tones, 4))


def _unevenness(tones: Bytes) -> int:
    """By how much neighbours differ, in all."""
    return sum(int(np.abs(np.diff(tones.astype(int), axis=axis)).sum()) for axis in (0, 1))


def _is_photographed(picture: Bytes) -> bool:
    """Whether a camera or scanner made it: then few neighbouring pixels are quite equal."""
    down = (picture[1:, :-1] == picture[:-1, :-1]).all(axis=2)
    right = (picture[:-1, 1:] == picture[:-1, :-1]).all(axis=2)
    return bool((down & right).mean() < 0.4)


def _canvas_on_white(picture: Bytes) -> Bytes:
    """A digital drawing, its canvas white if that is one pale colour."""
    packed = picture.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    colours, counts = np.unique(packed, return_counts=True)
    common = int(colours[counts.argmax()])
    canvas = np.array([common >> 16, common >> 8 & 255, common & 255], np.float32)
    if canvas.min() < 160 or counts.max() < 0.2 * packed.size:
        return picture
    return _scaled(picture, canvas)


def _scaled(picture: Bytes | Floats, white: Floats) -> Bytes:
    """`picture` with `white` (a colour, or one for each pixel) made white."""
    scaled: Bytes = (picture * (255 / np.maximum(white, 1))).clip(0, 255).round().astype(np.uint8)
    return scaled


# --- photos of paper ------------------------------------------------------------------------


def _photo_on_white(picture: Bytes) -> Bytes:
    """A photo of a drawing without the room's light, the camera's noise and the paper's tint."""
    blur = ImageFilter.GaussianBlur(max(0.7, _unit(picture)))
    calm = np.asarray(Image.fromarray(picture).filter(blur))
    paper = _paper(calm)
    flat = _scaled(calm, paper)
    light = luma(flat)
    bare = light[light > 0.8 * 255]
    grain = 1.5 * float(np.median(np.abs(bare - np.median(bare)))) if bare.size else 0.0
    shine = luma(paper)[..., None]
    white = 255 - np.maximum(4 * grain * np.median(shine) / shine, 6)  # noise is worse in the dark
    black = np.minimum(np.percentile(light, 0.2), white - 110)
    return _scaled((flat - black).clip(0), white - black)


def _paper(picture: Bytes) -> Floats:
    """The colour that bare paper has at each pixel, from the bright tiles around it."""
    height, width = picture.shape[:2]
    side = max(4, round(TILE * _unit(picture)))
    reach = math.ceil(WIDEST_STROKE / 2 * _unit(picture) / side)
    tiles = _without_strokes(_tiles(picture, side), reach)
    light = luma(tiles)
    usual = np.median(tiles[light >= np.median(light)], axis=0)
    tint = np.abs(tiles / tiles.sum(axis=2, keepdims=True) - usual / usual.sum()).max(axis=2)
    bare = ((tint < 0.04) & (light > 0.22 * luma(usual))).astype(np.float32)
    smooth = _spread(tiles * bare[..., None]) / _spread(bare)[..., None]
    channels = [
        Image.fromarray(smooth[..., c]).resize((width, height), Image.Resampling.BICUBIC)
        for c in range(3)
    ]
    return np.dstack([np.asarray(channel) for channel in channels])


def _tiles(picture: Bytes, side: int) -> Floats:
    """The colour near the bright end of each square of about `side` pixels."""
    rows, columns = (_cut(length, side) for length in picture.shape[:2])
    tiles = picture[rows[:, None, :, None], columns[:, None, :]]
    tiles = tiles.reshape(len(rows), len(columns), -1, 3)
    bright = np.argsort(luma(tiles), axis=2)[:, :, round(0.7 * (tiles.shape[2] - 1)) :]
    middle = np.median(np.take_along_axis(tiles, bright[..., None], axis=2), axis=2)
    paper: Floats = middle.clip(1).astype(np.float32)
    return paper


def _without_strokes(tiles: Floats, reach: int) -> Floats:
    """`tiles`, where fewer than 2 · `reach` + 1 dark ones in a row are as light as those around.

    A shadow is wider, so its edge stays where it is.
    """
    channels = [closed(tiles[..., channel].astype(np.uint8), reach) for channel in range(3)]
    return np.dstack(channels).astype(np.float32)


def _cut(length: int, side: int) -> NDArray[np.intp]:
    """The indices of `length` pixels cut into parts of about `side`: parts × pixels."""
    parts = max(1, length // side)
    begins = np.arange(parts) * length // parts
    return begins[:, None] + np.arange(length // parts)


def _spread(values: Floats) -> Floats:
    """A blur of the first two axes, 1.5 tiles wide, that reaches far and never quite zero."""
    near, far = (_blurred(values, reach) for reach in (1.5, 36.0))
    spread: Floats = near + 1e-3 * far + 1e-9 * values.mean(axis=(0, 1))
    return spread


def _blurred(values: Floats, sigma: float) -> Floats:
    for axis in (0, 1):
        at = np.arange(values.shape[axis])
        weights = np.exp(-((at[:, None] - at) ** 2) / (2 * sigma**2)).astype(np.float32)
        weights /= weights.sum(axis=1, keepdims=True)
        values = np.moveaxis(np.tensordot(weights, values, axes=(1, axis)), 0, axis)
    return values


# --- lines ----------------------------------------------------------------------------------


def _lines(picture: Bytes, *, noisy: bool) -> Bytes:
    """Soft white lines on black: thin ink as it is, the edges of what is wide."""
    unit = _unit(picture)
    reach = max(2, round(WIDEST_STROKE / 2 * unit))
    marks = np.zeros(picture.shape[:2], np.uint8)
    for channel in range(3):  # a pale yellow shows in blue alone
        ink = 255 - picture[..., channel]
        wide = np.minimum(dilated(opened(ink, reach), reach), ink)
        np.maximum(marks, ink - wide, out=marks)
        np.maximum(marks, _edges(wide, max(1, round(unit)) + noisy), out=marks)
    grain = float(np.median(marks))
    firm = marks[marks > 12 + 4.5 * grain]
    full = 0.55 * float(np.percentile(firm, 90)) if firm.size else 255.0
    faintest = (24 if noisy else 8) + 4.5 * grain
    lines = _ramp(marks, faintest, min(max(full, faintest + 20), 130.0))
    if noisy:
        lines *= _ramp(_box(lines, max(3, round(8 * unit))), 0.02, 0.06)
    return (lines * 255).round().astype(np.uint8)


def _edges(wide: Bytes, reach: int) -> Bytes:
    """How steeply tones change: bright where filled shapes end, on a line about 3 pixels wide."""
    steep = Image.fromarray(dilated(wide, reach) - eroded(wide, reach))
    soft = np.asarray(steep.filter(ImageFilter.GaussianBlur(0.8)))
    firm: Bytes = np.minimum(soft, np.uint8(127)) * np.uint8(2)
    return firm


def _ramp(values: Bytes | Floats, low: float, high: float) -> Floats:
    """0 up to `low`, 1 from `high`, smooth in between."""
    x: Floats = ((values.astype(np.float32) - low) / (high - low)).clip(0, 1)
    return x * x * (3 - 2 * x)


def _box(values: Floats, radius: int) -> Floats:
    """The mean of `values` (0 to 1) over squares."""
    image = Image.fromarray((values * 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(radius))
    return np.asarray(image) / np.float32(255)


def _unit(picture: Bytes) -> float:
    """How many pixels of `picture` one pixel of the reference size is."""
    return float(max(picture.shape[:2])) / REFERENCE_SIDE
