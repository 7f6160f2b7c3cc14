"""What people upload: vetted once, and a plain PNG from then on. No torch.

Files come from anyone, so nothing is decoded before its header has been found reasonable.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms, ImageFile, TiffImagePlugin

from pipelines.contract.errors import BadInput
from pipelines.facts import read_header
from pipelines.media import FORMATS, MAX_SIDE, encode_png, within_max_side

MIN_SIDE = 8
MAX_ASPECT = 20


def vet(
    data: bytes,
    *,
    max_megapixels: float,
    larger: Callable[[int, int], object] | None = None,
) -> bytes:
    """An upload as an upright sRGB PNG, RGB or RGBA, of MAX_SIDE pixels a side at most.

    A picture that is to become larger keeps its size: `larger` is given its width and height, and
    may raise BadInput. Of an animation the first frame is taken. Raises BadInput with a sentence
    for a file that is no picture, is damaged, or has too many, too few or too oddly arranged
    pixels.
    """
    image = _identify(data, max_megapixels)
    _check_size(*image.size, max_megapixels)
    if larger is not None:
        larger(*image.size)
    try:
        return encode_png(_normalised(image, whole=larger is not None), {})
    except Exception as error:  # a damaged file makes decoders raise anything
        raise BadInput(
            "This picture is damaged or incomplete. Please save it again and send the new file."
        ) from error


# --- before anything is decoded -----------------------------------------------------------------


def _identify(data: bytes, max_megapixels: float) -> Image.Image:
    """`data` with its header read and nothing decoded."""
    try:
        image = read_header(data, FORMATS)
        _refuse_large_tiles(image, max_megapixels)
        _scale_clear_colour(image)
        return image
    except Image.DecompressionBombError as error:
        raise BadInput(
            "This picture is too large. Please send one of at most {most} megapixels.",
            most=max_megapixels,
        ) from error
    except Exception as error:  # a hostile header makes parsers raise anything
        raise BadInput(
            "This file is not a picture that can be read. Please send a PNG, JPEG, WebP or GIF."
        ) from error


def _refuse_large_tiles(image: Image.Image, max_megapixels: float) -> None:
    """A TIFF's tile is decoded whole, however little of it is in the picture."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        width, height = (image.tag_v2.get(tag, 0) for tag in _TILE)
        if width * height > max_megapixels * 1e6:
            raise Image.DecompressionBombError


_TILE = (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH)
_TO_EIGHT_BITS = {"L;2": 255 / 3, "L;4": 255 / 15, "RGB;16B": 1 / 256}


def _scale_clear_colour(image: ImageFile.ImageFile) -> None:
    """Have a PNG's transparent colour in as many bits as its pixels will be.

    Pillow makes eight of their 2, 4 or 3 × 16 bits, and leaves that colour as it is in the file.
    """
    clear = image.info.get("transparency")
    packed = image.tile[0].args if image.tile else None
    if image.format != "PNG" or clear is None or not isinstance(packed, str):
        return
    scale = _TO_EIGHT_BITS.get(packed, 1)
    if isinstance(clear, tuple):
        image.info["transparency"] = tuple(int(value * scale) for value in clear)
    elif isinstance(clear, int):
        image.info["transparency"] = int(clear * scale)


def _check_size(width: int, height: int, max_megapixels: float) -> None:
    if width * height > max_megapixels * 1e6:
        raise BadInput(
            "This picture has {width} × {height} pixels, which is too large. Please send one of at "
            "most {most} megapixels.",
            width=width,
            height=height,
            most=max_megapixels,
        )
    if min(width, height) < MIN_SIDE:
        raise BadInput(
            "This picture is only {width} × {height} pixels. Please send one with at least {least} "
            "pixels a side.",
            width=width,
            height=height,
            least=MIN_SIDE,
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise BadInput(
            "This picture is too long and narrow ({width} × {height} pixels). Please crop it: the "
            "long side may be {times} times the short one.",
            width=width,
            height=height,
            times=MAX_ASPECT,
        )


# --- decoded ------------------------------------------------------------------------------------


def _normalised(image: Image.Image, *, whole: bool) -> Image.Image:
    """`image` decoded, upright, in sRGB, `whole` or at most MAX_SIDE a side, without metadata."""
    if not whole:
        image.draft(None, (MAX_SIDE, MAX_SIDE))  # a large JPEG is decoded at half, a quarter …
    image.load()
    turn = _TURNS.get(_orientation(image))
    profile = image.info.get("icc_profile")
    image = _eight_bits(image)
    if not whole:
        image = within_max_side(image)
    image = _in_srgb(image, profile)
    if turn is not None:
        image = image.transpose(turn)
    image.info.clear()
    return image


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where the EXIF data is broken or absent."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001 - the picture is good even where its metadata is not
        return 1


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _eight_bits(image: Image.Image) -> Image.Image:
    """`image` in a mode with 8 bits a channel: L, RGB, RGBA or CMYK."""
    if image.mode.startswith(("I", "F")):
        return _grey(image)
    if image.has_transparency_data:
        return _opaque_if_it_is(image.convert("RGBA"))
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    return image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """A picture with one wide number for each pixel, as L, or as RGBA where one number is clear."""
    values = np.nan_to_num(np.asarray(image, np.float32), posinf=0.0, neginf=0.0)
    top = 65535.0 if image.mode.startswith("I;16") else max(float(values.max()), 1.0)
    grey = Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return grey
    alpha = Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
    return _opaque_if_it_is(Image.merge("LA", (grey, alpha)).convert("RGBA"))


def _opaque_if_it_is(image: Image.Image) -> Image.Image:
    """`image` (RGBA) without its alpha where nothing is transparent."""
    return image.convert("RGB") if image.getchannel("A").getextrema() == (255, 255) else image


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """`image` as RGB or RGBA; its colours are read with `profile` where that can be used."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if not profile:
        return image.convert(mode)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image.convert(mode)
        colours = image.convert("RGB") if mode == "RGBA" else image
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(colours, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image.convert(mode)  # a broken profile, or one for other colours than these
    if converted is None:
        return image.convert(mode)
    if mode == "RGBA":
        converted.putalpha(image.getchannel("A"))
    return converted
