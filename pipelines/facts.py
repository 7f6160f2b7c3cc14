"""How pictures and videos say that they were made: written into files of ours, read from any.

A PNG has each fact in a text chunk of its own; WebP and JPEG have JSON in EXIF's UserComment, an
mp4 in its comment. Anyone may send the files that are read here, so what parses them is guarded.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice

from PIL import Image, ImageFile, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from pipelines.contract.artifact import Facts

OURS = ("PNG", "JPEG", WebPImagePlugin.WebPImageFile.format)
MAX_FACTS = 64  # that are read from a file, ours or not
MAX_SCANS = 500  # of a JPEG, each over all its pixels: what is good for anything has some ten
MAX_EXIF = 100  # parts of it in a JPEG: Pillow copies all before each

PngImagePlugin.MAX_TEXT_CHUNK = 2**24  # in bytes: profiles of screens are larger than one MiB
# Pillow alone makes an object of each strip, of which a file may name millions, all the same one.
TiffImagePlugin.READ_LIBTIFF = True

_SCAN = re.compile(rb"\xff\xda\0[\x08\x0a\x0c\x0e]")
"""Where a scan of one to four components begins. Two bytes alone would be in any video, too, as
phones hang them on to pictures."""
_USER_COMMENT = 0x9286
_EXIF_IFD = 0x8769
_UNICODE = b"UNICODE\0"  # how a comment in UTF-16 begins


def read_header(data: bytes, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    """A picture of which nothing is decoded yet. Safe for files from anyone.

    Raises ValueError for a file that would take hours, and whatever Pillow does.
    """
    if data.startswith(b"\xff\xd8") and (
        len(_SCAN.findall(data)) > MAX_SCANS or data.count(b"Exif\0\0") > MAX_EXIF
    ):
        raise ValueError("a JPEG that says the same time and again")
    return Image.open(io.BytesIO(data), formats=formats)


# --- read ---------------------------------------------------------------------------------------


def read_facts(data: bytes) -> dict[str, str]:
    """What a file of ours says, whichever type it has; of any other file nothing.

    No pixel is decoded, and FFmpeg, which some files crash, is not asked.
    """
    try:
        if data[4:8] == b"ftyp":
            return _from_json(_comment_of_mp4(data))
        with read_header(data, OURS) as image:
            if image.format == "PNG":  # which decodes when it is asked for more than this
                texts = {str(k): str(v) for k, v in image.info.items() if isinstance(v, str)}
                return dict(islice(texts.items(), MAX_FACTS))
            comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    except Exception:  # noqa: BLE001 - a damaged file makes decoders raise anything
        return {}
    if not isinstance(comment, bytes):
        return {}
    return _from_json(comment.removeprefix(_UNICODE).decode("utf-16-be", errors="replace"))


def _from_json(comment: str) -> dict[str, str]:
    """The facts that a comment holds as JSON, if it does."""
    try:
        facts = json.loads(comment)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(facts, dict):
        return {}
    return {str(key): str(value) for key, value in islice(facts.items(), MAX_FACTS)}


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


# --- write --------------------------------------------------------------------------------------


def as_json(facts: Facts) -> str:
    """Facts as the comment of a file."""
    return json.dumps(dict(facts), ensure_ascii=False)


def as_exif(facts: Mapping[str, str]) -> bytes:
    """Facts as the EXIF data of a WebP or JPEG."""
    exif = Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _UNICODE + as_json(facts).encode("utf-16-be")
    return exif.tobytes()


def exif_of(image: Image.Image) -> bytes:
    """A PNG's facts as EXIF; another picture's EXIF as it is."""
    text = getattr(image, "text", None)
    return as_exif(text) if text else bytes(image.info.get("exif", b""))
