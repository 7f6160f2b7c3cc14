"""Pictures and videos as files: what the models make is encoded here, and made smaller where a
channel does not take it. No torch.

Everything is deterministic: the same input gives the same bytes.
"""

import io
import math
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import AvifImagePlugin, Image, TiffImagePlugin, WebPImagePlugin
from PIL.PngImagePlugin import PngInfo

from pipelines.contract.artifact import Facts, MediaType
from pipelines.contract.errors import BadInput, TooLarge
from pipelines.facts import as_exif, as_json, exif_of, read_facts

FORMATS = (
    "PNG",
    "JPEG",  # and MPO, which is a JPEG with more pictures behind it
    "GIF",
    "BMP",
    WebPImagePlugin.WebPImageFile.format,
    TiffImagePlugin.TiffImageFile.format,
    AvifImagePlugin.AvifImageFile.format,
)
MAX_SIDE = 2048
PREVIEW_SIDE = 256


def open_picture(path: Path, *, whole: bool = False) -> Image.Image:
    """The picture in a vetted upload or a result (PNG): mode RGB or RGBA.

    Of MAX_SIDE pixels a side at most, unless it is wanted `whole`.
    """
    with Image.open(path, formats=["PNG"]) as image:
        image.load()
        return image if whole else within_max_side(image)


def within_max_side(image: Image.Image) -> Image.Image:
    """`image` with its sides in proportion, none longer than MAX_SIDE."""
    scale = MAX_SIDE / max(image.size)
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def encode_png(image: Image.Image, facts: Facts) -> bytes:
    """`image` as PNG, with each fact as a text chunk of its own."""
    text = PngInfo()
    for key, value in facts.items():
        text.add_text(key, str(value))
    out = io.BytesIO()
    # smaller files cost more time than a person would wait for them
    image.save(out, "PNG", compress_level=1, pnginfo=text)
    return out.getvalue()


def encode_preview(image: Image.Image) -> bytes:
    """A picture that is not done, as a JPEG of a few kB."""
    small = image.copy()
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return _lossy(small, MediaType.JPEG, 80, b"")


def encode_mp4(frames: Sequence[Image.Image], fps: int, facts: Facts) -> bytes:
    """`frames` (RGB, of one size) as H.264 that plays everywhere; facts as JSON in the comment."""
    return _encode_h264(frames, Fraction(fps), as_json(facts), _GOOD)


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
    return _lossy(grid, MediaType.JPEG, 92, as_exif(facts))


def thumbnail(data: bytes, side: int = 256) -> bytes:
    """A picture, or how a video begins, as a small WebP of at most `side` pixels a side.

    It says nothing of itself. Raises BadInput where it cannot be read.
    """
    try:
        image = _beginning(data) if _is_video(data) else _opened(data)[0]
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


# --- pictures -----------------------------------------------------------------------------------

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
    return image, exif_of(file)


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


def _mib(size: int) -> float:
    return float(f"{size / 2**20:.3g}")


# --- videos -------------------------------------------------------------------------------------

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


def _is_video(data: bytes) -> bool:
    """Whether a file is an mp4, and not an AVIF picture, which begins in the same way."""
    return data[4:8] == b"ftyp" and data[8:12] not in (b"avif", b"avis")


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
