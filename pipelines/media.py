"""Pictures in, pictures and videos out: every byte of media passes through here.

What people upload is vetted once (`vet`) and is a plain PNG from then on. What the models make
is encoded here, and made smaller here where a channel does not take it. Everything is
deterministic: the same input gives the same bytes.
"""

import io
import json
import math
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import (
    AvifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.PngImagePlugin import PngInfo

from pipelines.contract.artifact import Facts, MediaType
from pipelines.contract.errors import BadInput, TooLarge

FORMATS = (
    "PNG",
    "JPEG",  # and MPO, which is a JPEG with more pictures behind it
    "GIF",
    "BMP",
    WebPImagePlugin.WebPImageFile.format,
    TiffImagePlugin.TiffImageFile.format,
    AvifImagePlugin.AvifImageFile.format,
)
OURS = ("PNG", "JPEG", WebPImagePlugin.WebPImageFile.format)
MAX_FACTS = 64  # that are read from a file, ours or not
MAX_SIDE = 2048
MIN_SIDE = 8
PREVIEW_SIDE = 256
MAX_ASPECT = 20
MAX_SCANS = 500  # of a JPEG, each over all its pixels: what is good for anything has some ten
MAX_EXIF = 100  # parts of it in a JPEG: Pillow copies all before each

PngImagePlugin.MAX_TEXT_CHUNK = 2**24  # in bytes: profiles of screens are larger than one MiB
# Pillow alone makes an object of each strip, of which a file may name millions, all the same one.
TiffImagePlugin.READ_LIBTIFF = True


def vet(
    data: bytes,
    *,
    max_megapixels: float,
    larger: Callable[[int, int], object] | None = None,
) -> bytes:
    """An upload as an upright sRGB PNG, RGB or RGBA, of MAX_SIDE pixels a side at most.

    Whole, where it is to become larger: `larger` is told its size, and may raise BadInput.
    Of an animation the first frame is taken. Raises BadInput with a sentence for a file that is
    no picture, is damaged, or has too many, too few or too oddly arranged pixels; nothing is
    decoded before the header has been found reasonable.
    """
    image = _identify(data, max_megapixels)
    _check_size(*image.size, max_megapixels)
    if larger is not None:
        larger(*image.size)
    try:
        return _png(_normalised(image, whole=larger is not None), PngInfo())
    except Exception as error:  # a damaged file makes decoders raise anything
        raise BadInput(
            "This picture is damaged or incomplete. Please save it again and send the new file."
        ) from error


def open_picture(path: Path, *, whole: bool = False) -> Image.Image:
    """The picture in a file of `vet` or a result, decoded: mode RGB or RGBA.

    `whole`, or of MAX_SIDE pixels a side at most.
    """
    with Image.open(path, formats=["PNG"]) as image:
        image.load()
        return image if whole else _within_max_side(image)


def encode_png(image: Image.Image, facts: Facts) -> bytes:
    """`image` as PNG, with each fact as a text chunk of its own."""
    text = PngInfo()
    for key, value in facts.items():
        text.add_text(key, str(value))
    return _png(image, text)


def encode_preview(image: Image.Image) -> bytes:
    """A picture that is not done, as a JPEG of a few kB."""
    small = image.copy()
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return _lossy(small, MediaType.JPEG, 80, b"")


def encode_mp4(frames: Sequence[Image.Image], fps: int, facts: Facts) -> bytes:
    """`frames` (RGB, of one size) as H.264 that plays everywhere; facts as JSON in the comment."""
    return _encode_h264(frames, Fraction(fps), json.dumps(dict(facts), ensure_ascii=False), _GOOD)


def read_facts(data: bytes) -> dict[str, str]:
    """How a file of ours says it was made, whichever type it has; of any other file nothing.

    No pixel is decoded, and FFmpeg, which some files crash, is not asked: anyone may send these.
    """
    try:
        if data[4:8] == b"ftyp":
            return _told(_comment_of_mp4(data))
        with _begun(data, OURS) as image:
            if image.format == "PNG":  # which decodes when it is asked for more than this
                texts = {str(k): str(v) for k, v in image.info.items() if isinstance(v, str)}
                return dict(islice(texts.items(), MAX_FACTS))
            comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    except Exception:  # noqa: BLE001 - a damaged file makes decoders raise anything
        return {}
    if not isinstance(comment, bytes):
        return {}
    return _told(comment.removeprefix(_UNICODE).decode("utf-16-be", errors="replace"))


def _comment_of_mp4(data: bytes) -> str:
    """What an mp4 of ours says of itself (ISO/IEC 14496-12; the tag is Apple's)."""
    inside = memoryview(data)
    for name, skipped in ((b"moov", 0), (b"udta", 0), (b"meta", 4), (b"ilst", 0), (b"\xa9cmt", 0)):
        inside = next((body for kind, body in _boxes(inside) if kind == name), inside[:0])[skipped:]
    text = next((body for kind, body in _boxes(inside) if kind == b"data"), inside[:0])
    return bytes(text[8:]).decode("utf-8", errors="replace")


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The kind and the content of each box that is whole."""
    at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4]), bytes(data[at + 4 : at + 8])
        begin = 8
        if size == 1:  # the size follows, in eight bytes
            size, begin = int.from_bytes(data[at + 8 : at + 16]), 16
        end = at + size if size else len(data)
        if end > len(data) or end < at + begin:
            return
        yield kind, data[at + begin : end]
        at = end


def _told(comment: str) -> dict[str, str]:
    """The facts that a comment holds as JSON."""
    try:
        facts = json.loads(comment)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(facts, dict):
        return {}
    return {str(key): str(value) for key, value in islice(facts.items(), MAX_FACTS)}


def convert(data: bytes, media_type: MediaType) -> bytes:
    """A picture as WebP or JPEG that nobody can tell from it, its facts inside."""
    image, exif = _opened(data)
    return _lossy(image, media_type, 95, exif)


def join(pictures: Sequence[bytes]) -> bytes:
    """Pictures of one size side by side, as one JPEG, counted from the top left.

    Four are two by two. What they say of themselves is inside, the values that differ in a row.
    """
    images = [on_white(_opened(data)[0]) for data in pictures]
    width, height = images[0].size
    columns = 2 if len(images) == 4 else len(images) if width <= height else 1
    gap = max(2, min(width, height) // 64)
    rows = math.ceil(len(images) / columns)
    size = columns * (width + gap) - gap, rows * (height + gap) - gap
    grid = Image.new("RGB", size, "white")
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        grid.paste(image, (column * (width + gap), row * (height + gap)))
    told = [read_facts(data) for data in pictures]
    facts = {key: ", ".join(dict.fromkeys(f.get(key, "") for f in told)) for key in told[0]}
    return _lossy(grid, MediaType.JPEG, 92, _as_exif(facts))


def thumbnail(data: bytes, side: int = 256) -> bytes:
    """A picture, or how a video begins, as a small WebP of at most `side` pixels a side.

    It says nothing of itself. Raises BadInput where it cannot be read.
    """
    try:
        image = _beginning(data) if data[4:8] == b"ftyp" else _opened(data)[0]
    except Exception as error:  # a damaged file makes decoders raise anything
        raise BadInput("This picture cannot be read.") from error
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _lossy(image, MediaType.WEBP, 80, b"")


def shrink(data: bytes, media_type: MediaType, limit: int) -> tuple[bytes, MediaType]:
    """`data`, or the best version of it that has at most `limit` bytes, and what type that is.

    Pictures become WebP, then JPEG, then smaller; videos lose bits, then pixels. The facts stay
    inside. Raises TooLarge when nothing worth looking at is small enough.
    """
    if len(data) <= limit:
        return data, media_type
    smaller = _smaller_videos(data, limit) if media_type.is_video else _smaller_pictures(data)
    for candidate, its_type in smaller:
        if len(candidate) <= limit:
            return candidate, its_type
    raise TooLarge(
        "The result has {size} MiB, and no version of it fits the {limit} MiB that can be sent "
        "here.",
        size=_mib(len(data)),
        limit=_mib(limit),
    )


# --- what people upload ---------------------------------------------------------------------


def _identify(data: bytes, max_megapixels: float) -> Image.Image:
    """`data` with its header read and nothing decoded."""
    try:
        image = _begun(data, FORMATS)
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


def _begun(data: bytes, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    """`data` from anyone with its header read. Raises ValueError for what would take hours."""
    if data.startswith(b"\xff\xd8") and (
        len(_SCAN.findall(data)) > MAX_SCANS or data.count(b"Exif\0\0") > MAX_EXIF
    ):
        raise ValueError("a JPEG that says the same time and again")
    return Image.open(io.BytesIO(data), formats=formats)


_SCAN = re.compile(rb"\xff\xda\0[\x08\x0a\x0c\x0e]")
"""Where a scan of one to four components begins. Two bytes alone would be in any video, too, as
phones hang them on to pictures."""


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


def _normalised(image: Image.Image, *, whole: bool) -> Image.Image:
    """`image` decoded, upright, in sRGB, `whole` or at most MAX_SIDE a side, without metadata."""
    if not whole:
        image.draft(None, (MAX_SIDE, MAX_SIDE))  # a large JPEG is decoded at half, a quarter …
    image.load()
    turn = _TURNS.get(_orientation(image))
    profile = image.info.get("icc_profile")
    image = _eight_bits(image)
    if not whole:
        image = _within_max_side(image)
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


def _within_max_side(image: Image.Image) -> Image.Image:
    scale = MAX_SIDE / max(image.size)
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


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


# --- pictures -------------------------------------------------------------------------------


def _png(image: Image.Image, text: PngInfo) -> bytes:
    """Level 1: smaller files cost more time than a person would wait for them."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1, pnginfo=text)
    return out.getvalue()


_PICTURE_TRIES = (
    (1.0, MediaType.WEBP, 95),
    (1.0, MediaType.WEBP, 85),
    (1.0, MediaType.JPEG, 80),
    (1.0, MediaType.WEBP, 65),
    *((scale, MediaType.WEBP, 75) for scale in (0.75, 0.5, 0.35, 0.25, 0.18, 0.125)),
)
_WEBP_MAX_SIDE = 16383


def _smaller_pictures(data: bytes) -> Iterator[tuple[bytes, MediaType]]:
    """Ever smaller versions of a picture, the best first."""
    image, exif = _opened(data)
    for scale, media_type, quality in _PICTURE_TRIES:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        if media_type is MediaType.WEBP and max(size) > _WEBP_MAX_SIDE:
            media_type = MediaType.JPEG
        scaled = image if scale == 1.0 else image.resize(size, Image.Resampling.LANCZOS)
        yield _lossy(scaled, media_type, quality, exif), media_type


def _opened(data: bytes) -> tuple[Image.Image, bytes]:
    """A picture as RGB or RGBA, and its facts as EXIF."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as file:
        file.load()
    image = file.convert("RGBA" if file.has_transparency_data else "RGB")
    return image, _facts_as_exif(file)


def _lossy(image: Image.Image, media_type: MediaType, quality: int, exif: bytes) -> bytes:
    out = io.BytesIO()
    if media_type is MediaType.WEBP:
        image.save(out, "WEBP", quality=quality, method=4, exif=exif)
    else:
        on_white(image).save(out, "JPEG", quality=quality, optimize=True, exif=exif)
    return out.getvalue()


def on_white(image: Image.Image) -> Image.Image:
    """`image` (RGB or RGBA) as RGB, on white paper where it is transparent."""
    if image.mode == "RGB":
        return image
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image.convert("RGBA"))
    return paper.convert("RGB")


_USER_COMMENT = 0x9286
_EXIF_IFD = 0x8769
_UNICODE = b"UNICODE\0"  # how a comment in UTF-16 begins


def _facts_as_exif(image: Image.Image) -> bytes:
    """A PNG's facts as JSON in EXIF's UserComment; another picture's EXIF as it is."""
    text = getattr(image, "text", None)
    if not text:
        return bytes(image.info.get("exif", b""))
    return _as_exif(text)


def _as_exif(facts: Mapping[str, str]) -> bytes:
    exif = Image.Exif()
    comment = json.dumps(dict(facts), ensure_ascii=False)
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _UNICODE + comment.encode("utf-16-be")
    return exif.tobytes()


def _mib(size: int) -> float:
    return float(f"{size / 2**20:.3g}")


# --- videos ---------------------------------------------------------------------------------

# mbtree's vector code lets memory that it does not own into its sums: the same frames then give
# one of several files.
_GOOD = {"preset": "fast", "crf": "18", "x264-params": "no-mbtree=1"}
_BT709 = 1  # in each of H.264's tables of colour spaces
_THREADS = 4  # x264 gives the same bytes for the same number of threads


def _encode_h264(
    frames: Sequence[Image.Image], fps: Fraction, comment: str, quality: dict[str, str]
) -> bytes:
    """`frames` as an mp4 whose index comes first; an odd last row or column is cut off."""
    width, height = (side - side % 2 for side in frames[0].size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "video.mp4")  # faststart reads its file again, so it must be real
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(path), "w", format="mp4", options=options) as container:
            container.metadata["comment"] = comment
            stream = container.add_stream("libx264", rate=fps, options=quality)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            context = stream.codec_context
            context.thread_count = _THREADS
            context.color_range = ColorRange.MPEG
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            for frame in frames:
                container.mux(stream.encode(_as_yuv(frame.crop((0, 0, width, height)))))
            container.mux(stream.encode(None))
        return path.read_bytes()


def _as_yuv(picture: Image.Image) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.asarray(picture.convert("RGB")), format="rgb24")
    return frame.reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )


def _beginning(data: bytes) -> Image.Image:
    """The first frame of an mp4."""
    with av.open(io.BytesIO(data)) as container:
        return _as_picture(next(container.decode(video=0)))


def _as_picture(frame: av.VideoFrame) -> Image.Image:
    picture: Image.Image = frame.to_image(
        src_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    return picture


_VIDEO_TRIES = ((1.0, 0.92), (1.0, 0.75), (0.75, 0.85), (0.5, 0.85), (0.35, 0.8), (0.25, 0.8))


def _smaller_videos(data: bytes, limit: int) -> Iterator[tuple[bytes, MediaType]]:
    """Versions of an mp4 that aim at `limit` bytes, the best first."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        fps = stream.average_rate or Fraction(7)
        comment = container.metadata.get("comment", "")
        frames = [_as_picture(frame) for frame in container.decode(stream)]
    seconds = float(len(frames) / fps)
    for scale, share in _VIDEO_TRIES:
        bits = max(1000, math.floor(limit * 8 * share / seconds))
        quality = {"preset": "medium", "b": str(bits), "maxrate": str(bits), "bufsize": str(bits)}
        width, height = (max(2, round(side * scale)) for side in frames[0].size)
        scaled = [frame.resize((width, height), Image.Resampling.LANCZOS) for frame in frames]
        yield _encode_h264(scaled, fps, comment, quality), MediaType.MP4
