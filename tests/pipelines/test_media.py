import io
import json
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from pipelines.contract.artifact import MediaType
from pipelines.contract.errors import BadInput, TooLarge
from pipelines.facts import MAX_EXIF, MAX_FACTS, MAX_SCANS, read_facts
from pipelines.media import (
    MAX_SIDE,
    convert,
    encode_mp4,
    encode_png,
    join,
    open_picture,
    shrink,
    thumbnail,
)
from pipelines.uploads import vet

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning"
)

FACTS: dict[str, str | int | float] = {"prompt": "a café in 東京", "seed": 7, "strength": 0.5}


def quadrants(width: int = 60, height: int = 40) -> Image.Image:
    """Red and green above, blue and white below: every turn and mirroring shows."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    image.paste((220, 20, 20), (0, 0, width // 2, height // 2))
    image.paste((20, 200, 20), (width // 2, 0, width, height // 2))
    image.paste((20, 20, 220), (0, height // 2, width // 2, height))
    return image


def busy(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture with large shapes and fine grain, as a model paints them."""
    rng = np.random.default_rng(seed)
    rough = Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8))
    smooth = np.asarray(rough.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-10, 11, (height, width, 3))
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def vetted(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(vet(data, max_megapixels=50)))
    assert image.format == "PNG"
    image.load()
    return image


def near(image: Image.Image, other: Image.Image, tolerance: float = 12) -> bool:
    difference = np.asarray(image, np.int16) - np.asarray(other, np.int16)
    return image.size == other.size and float(np.abs(difference).mean()) < tolerance


class TestVet:
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO"])
    def test_accepts_what_people_have(self, kind: str) -> None:
        image = vetted(saved(quadrants(), kind))
        assert image.mode == "RGB"
        assert near(image, quadrants())

    @pytest.mark.parametrize("turn", range(1, 9))
    def test_turns_a_photo_upright(self, turn: int) -> None:
        undo = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }
        exif = Image.Exif()
        exif[0x0112] = turn
        held = quadrants().transpose(undo[turn]) if turn in undo else quadrants()
        image = vetted(saved(held, "JPEG", exif=exif, quality=95, subsampling=0))
        assert near(image, quadrants())
        assert not image.getexif()

    def test_broken_exif_does_not_spoil_a_good_picture(self) -> None:
        data = saved(quadrants(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff garbage")
        assert near(vetted(data), quadrants())

    @pytest.mark.parametrize(
        "mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"]
    )
    def test_accepts_every_mode(self, mode: str) -> None:
        grey = Image.linear_gradient("L").resize((64, 64))
        if mode in ("I;16", "I"):
            deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
            data = saved(deep if mode == "I;16" else deep.convert("I"), "TIFF")
        elif mode in ("CMYK", "YCbCr", "F"):
            data = saved(grey.convert("RGB" if mode == "YCbCr" else "L").convert(mode), "TIFF")
        else:
            data = saved(grey.convert(mode), "PNG")
        image = vetted(data).convert("L")
        assert image.size == grey.size
        assert near(image.reduce(16), grey.reduce(16), 3)

    def test_keeps_transparency_only_where_there_is_some(self) -> None:
        clear = quadrants().convert("RGBA")
        assert vetted(saved(clear, "PNG")).mode == "RGB"
        clear.putpixel((0, 0), (0, 0, 0, 0))
        assert vetted(saved(clear, "PNG")).mode == "RGBA"

    def test_a_palette_with_a_transparent_colour(self) -> None:
        image = quadrants().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
        data = saved(image, "PNG", transparency=image.getpixel((0, 0)))
        alpha = vetted(data).getchannel("A")
        assert (alpha.getpixel((0, 0)), alpha.getpixel((59, 39))) == (0, 255)

    def test_takes_the_first_frame_of_an_animation(self) -> None:
        frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue", "green")]
        for kind in ("GIF", "PNG", "WEBP"):
            data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
            assert near(vetted(data), frames[0], 2)

    def test_a_large_picture_is_made_smaller(self) -> None:
        assert vetted(saved(busy(3000, 1500), "JPEG")).size == (MAX_SIDE, MAX_SIDE // 2)
        assert vetted(saved(quadrants(1000, 3000), "PNG")).size == (683, MAX_SIDE)

    def test_colours_are_converted_to_srgb(self) -> None:
        green = Image.new("RGB", (32, 32), (10, 200, 30))
        image = vetted(saved(green, "PNG", icc_profile=_exchanged_primaries()))
        assert near(image, Image.new("RGB", (32, 32), (200, 10, 30)), 2)
        assert "icc_profile" not in image.info
        green.putalpha(90)
        image = vetted(saved(green, "PNG", icc_profile=_exchanged_primaries()))
        assert near(image, Image.new("RGBA", (32, 32), (200, 10, 30, 90)), 2)

    def test_a_broken_profile_is_ignored(self) -> None:
        assert near(vetted(saved(quadrants(), "PNG", icc_profile=b"not a profile")), quadrants())

    def test_the_same_upload_gives_the_same_bytes(self) -> None:
        data = saved(busy(900, 700), "JPEG")
        assert vet(data, max_megapixels=50) == vet(data, max_megapixels=50)

    @pytest.mark.parametrize(
        "data",
        [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7", b"GIF89a", b"<svg/>", bytes(5000)],
        ids=["empty", "text", "png signature", "pdf", "gif signature", "svg", "zeros"],
    )
    def test_what_is_no_picture_is_refused(self, data: bytes) -> None:
        with pytest.raises(BadInput, match=r"not a picture .*Please send a PNG"):
            vet(data, max_megapixels=50)

    def test_formats_that_nobody_asked_for_are_not_opened(self) -> None:
        for kind in ("PPM", "TGA", "ICO", "PDF", "EPS"):
            with pytest.raises(BadInput, match="not a picture"):
                vet(saved(quadrants(), kind), max_megapixels=50)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
    def test_a_truncated_picture_is_refused(self, kind: str) -> None:
        data = saved(busy(300, 200), kind)
        with pytest.raises(BadInput, match=r"damaged or incomplete|not a picture"):
            vet(data[: len(data) * 6 // 10], max_megapixels=50)

    def test_a_bomb_is_refused_by_its_header(self) -> None:
        header = struct.pack(">IIBBBBB", 12000, 12000, 8, 6, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"not even zlib")
        with pytest.raises(BadInput, match=r"12000 × 12000 pixels.* at most 50 megapixels"):
            vet(bomb, max_megapixels=50)

    def test_a_bomb_beyond_pillows_own_limit_gets_the_same_sentence(self) -> None:
        header = struct.pack(">IIBBBBB", 60000, 60000, 8, 6, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"")
        with pytest.raises(BadInput, match=r"too large.* at most 50 megapixels"):
            vet(bomb, max_megapixels=50)

    def test_a_tiff_is_refused_by_the_size_of_its_tiles(self) -> None:
        tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: 40000, 323: 40000, 324: 8}
        with pytest.raises(BadInput, match=r"too large.* at most 50 megapixels"):
            vet(_tiff({**tags, 325: 9}), max_megapixels=50)

    def test_a_tiff_that_names_a_strip_time_and_again_is_no_bomb(self) -> None:
        tags = {256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1}
        data = _tiff(tags, {273: [8] * 999, 279: [64] * 999})
        assert vetted(data).size == (64, 64)
        with Image.open(io.BytesIO(data)) as image:
            assert len(image.tile) == 1

    def test_a_tiff_of_sixteen_bits_one_channel_after_the_other(self) -> None:
        planes = [bytes([value, 0]) * 64 * 64 for value in (200, 30, 60)]
        tags = {256: 64, 257: 64, 259: 1, 262: 2, 277: 3, 278: 64, 284: 2}
        lists = {258: [16] * 3, 273: [200 + len(planes[0]) * n for n in range(3)]}
        lists[279] = [len(planes[0])] * 3
        data = _tiff(tags, lists, ">").ljust(200, b"\0") + b"".join(planes)
        assert near(vetted(data), Image.new("RGB", (64, 64), (200, 30, 60)), 1)

    def test_a_jpeg_that_goes_over_its_pixels_time_and_again_is_refused(self) -> None:
        data = saved(busy(64, 64), "JPEG", progressive=True)
        assert vetted(data + b"\xff\xda in a video" * 2 * MAX_SCANS)  # that a phone hung on
        scan = data[data.rindex(b"\xff\xda") : -2]
        with pytest.raises(BadInput, match="not a picture"):
            vet(data[:-2] + scan * MAX_SCANS + data[-2:], max_megapixels=50)

    def test_a_jpeg_with_exif_in_very_many_parts_is_refused(self) -> None:
        data = saved(quadrants(), "JPEG")
        part = b"\xff\xe1\0\x0cExif\0\0what"
        assert near(vetted(data[:2] + part * 9 + data[2:]), quadrants())
        endless = data[:2] + part * (MAX_EXIF + 1) + data[2:]
        with pytest.raises(BadInput, match="not a picture"):
            vet(endless, max_megapixels=50)
        assert read_facts(endless) == {}

    @pytest.mark.parametrize(
        "chunk", [b"zTXtworkflow\0\0", b"iTXtXML:com.adobe.xmp\0\1\0\0\0", b"iCCPscreen\0\0"]
    )
    def test_what_is_said_at_length_beside_a_picture_is_no_harm(self, chunk: bytes) -> None:
        data = saved(quadrants(), "PNG")
        told = _chunk(chunk[:4], chunk[4:] + zlib.compress(bytes(2**21)))
        assert near(vetted(data[:33] + told + data[33:]), quadrants(), 1)

    def test_the_limit_is_the_owners(self) -> None:
        data = saved(quadrants(1100, 1000), "PNG")
        assert vet(data, max_megapixels=1.1)
        with pytest.raises(BadInput, match=r"at most 1 megapixels"):
            vet(data, max_megapixels=1)

    @pytest.mark.parametrize("size", [(1, 1), (1, 50), (300, 7)])
    def test_a_picture_of_a_few_pixels_is_refused(self, size: tuple[int, int]) -> None:
        with pytest.raises(BadInput, match="only"):
            vet(saved(Image.new("RGB", size), "PNG"), max_megapixels=50)

    def test_a_ribbon_is_refused(self) -> None:
        assert vet(saved(Image.new("RGB", (400, 20)), "PNG"), max_megapixels=50)
        with pytest.raises(BadInput, match="too long and narrow"):
            vet(saved(Image.new("RGB", (421, 20)), "PNG"), max_megapixels=50)

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_damage_anywhere_is_a_sentence_or_a_picture(self, data: st.DataObject) -> None:
        original = bytearray(data.draw(st.sampled_from(_ORIGINALS)))
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(original) - 1))
            original[at] = data.draw(st.integers(0, 255))
        end = data.draw(st.integers(0, len(original)))
        try:
            result = vet(bytes(original[:end]), max_megapixels=1)
        except BadInput as error:
            assert error.sentence.startswith("This ")
        else:
            assert Image.open(io.BytesIO(result)).mode in ("RGB", "RGBA")


class TestPng:
    def test_facts_are_in_the_file_as_text(self) -> None:
        image = Image.open(io.BytesIO(encode_png(busy(64, 48), FACTS)))
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert image.text == {key: str(value) for key, value in FACTS.items()}

    def test_pixels_are_exact_and_bytes_repeat(self) -> None:
        picture = busy(64, 48)
        data = encode_png(picture, FACTS)
        assert data == encode_png(picture, FACTS)
        assert near(Image.open(io.BytesIO(data)), picture, 1e-9)

    def test_a_vetted_file_opens(self, tmp_path: Path) -> None:
        path = tmp_path / "drawing.png"
        path.write_bytes(vet(saved(quadrants(), "GIF"), max_megapixels=50))
        assert near(open_picture(path), quadrants())


class TestMp4:
    def test_plays_everywhere(self) -> None:
        data = encode_mp4([busy(96, 64, seed) for seed in range(9)], 7, FACTS)
        with av.open(io.BytesIO(data)) as video:
            stream = video.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.codec_context.pix_fmt == "yuv420p"
            assert (stream.width, stream.height) == (96, 64)
            assert stream.average_rate == Fraction(7)
            assert len(list(video.decode(stream))) == 9
        assert [name for name, _ in _boxes(data)][:2] == [b"ftyp", b"moov"]

    def test_facts_are_in_the_comment_and_nothing_tells_the_time(self) -> None:
        data = encode_mp4([busy(32, 32)] * 2, 7, FACTS)
        with av.open(io.BytesIO(data)) as video:
            assert json.loads(video.metadata["comment"]) == FACTS
            assert "creation_time" not in video.metadata

    def test_bytes_repeat(self) -> None:
        frames = [busy(320, 192, seed) for seed in range(12)]
        assert encode_mp4(frames, 7, FACTS) == encode_mp4(frames, 7, FACTS)

    def test_an_odd_row_and_column_are_cut_off(self) -> None:
        with av.open(io.BytesIO(encode_mp4([busy(65, 47)] * 2, 7, {}))) as video:
            assert (video.streams.video[0].width, video.streams.video[0].height) == (64, 46)

    def test_colours_are_those_of_the_frames(self) -> None:
        data = encode_mp4([Image.new("RGB", (64, 64), (200, 30, 60))] * 3, 7, {})
        with av.open(io.BytesIO(data)) as video:
            context = video.streams.video[0].codec_context
            assert (context.colorspace, context.color_range) == (1, 1)
            frame = next(video.decode(video=0))
            y, u, v = (np.frombuffer(bytes(plane), np.uint8)[0] for plane in frame.planes)
        assert (int(y), int(u), int(v)) == (75, 124, 201)  # BT.709, limited range


class TestShrink:
    def test_what_fits_is_left_alone(self) -> None:
        data = encode_png(busy(64, 64), FACTS)
        assert shrink(data, MediaType.PNG, len(data)) == (data, MediaType.PNG)

    @pytest.mark.parametrize("share", [0.9, 0.3, 0.1, 0.03, 0.01])
    def test_a_picture_fits_its_limit(self, share: float) -> None:
        data = encode_png(busy(512, 384), FACTS)
        limit = int(len(data) * share)
        smaller, media_type = shrink(data, MediaType.PNG, limit)
        assert len(smaller) <= limit
        image = Image.open(io.BytesIO(smaller))
        assert Image.MIME[image.format or ""] == media_type
        assert abs(image.width / image.height - 4 / 3) < 0.05

    def test_the_first_step_keeps_every_pixel(self) -> None:
        picture = busy(512, 384)
        data = encode_png(picture, FACTS)
        smaller, media_type = shrink(data, MediaType.PNG, len(data) - 1)
        assert media_type is MediaType.WEBP
        assert near(Image.open(io.BytesIO(smaller)).convert("RGB"), picture, 7)

    @pytest.mark.parametrize("share", [0.9, 0.08])
    def test_facts_stay_in_the_picture(self, share: float) -> None:
        data = encode_png(busy(512, 384), FACTS)
        smaller, media_type = shrink(data, MediaType.PNG, int(len(data) * share))
        assert _exif_facts(smaller) == {key: str(value) for key, value in FACTS.items()}
        again, _ = shrink(smaller, media_type, len(smaller) // 2)
        assert _exif_facts(again) == _exif_facts(smaller)

    def test_a_picture_too_large_for_webp_becomes_a_jpeg(self) -> None:
        data = encode_png(busy(17000, 40), FACTS)
        smaller, media_type = shrink(data, MediaType.PNG, len(data) - 1)
        assert media_type is MediaType.JPEG
        assert Image.open(io.BytesIO(smaller)).size == (17000, 40)

    def test_transparency_survives_or_becomes_white(self) -> None:
        picture = busy(256, 256).convert("RGBA")
        picture.paste((0, 0, 0, 0), (0, 0, 128, 256))
        data = encode_png(picture, FACTS)
        for limit in (len(data) - 1, len(data) // 12, len(data) // 40):
            smaller, _ = shrink(data, MediaType.PNG, limit)
            image = Image.open(io.BytesIO(smaller))
            corner = image.convert("RGBA").getpixel((5, 5))
            assert isinstance(corner, tuple)
            assert corner[3] == 0 or min(corner[:3]) > 240

    @pytest.mark.parametrize("share", [0.99, 0.4, 0.1, 0.03])
    def test_a_video_fits_its_limit_and_keeps_time(self, share: float) -> None:
        data = encode_mp4([busy(512, 288, seed // 4) for seed in range(14)], 7, FACTS)
        limit = int(len(data) * share)
        smaller, media_type = shrink(data, MediaType.MP4, limit)
        assert media_type is MediaType.MP4
        assert len(smaller) <= limit
        assert [name for name, _ in _boxes(smaller)][:2] == [b"ftyp", b"moov"]
        with av.open(io.BytesIO(smaller)) as video:
            stream = video.streams.video[0]
            assert (stream.average_rate, stream.frames) == (Fraction(7), 14)
            assert json.loads(video.metadata["comment"]) == FACTS

    def test_a_video_keeps_its_colours(self) -> None:
        frames = [busy(256, 256, seed) for seed in range(7)]
        for frame in frames:
            frame.paste((200, 30, 60), (0, 0, 256, 128))
        data = encode_mp4(frames, 7, FACTS)
        smaller, _ = shrink(data, MediaType.MP4, len(data) // 2)
        with av.open(io.BytesIO(smaller)) as video:
            luma = np.frombuffer(bytes(next(video.decode(video=0)).planes[0]), np.uint8)[5 * 256]
        assert abs(int(luma) - 75) <= 2

    @pytest.mark.parametrize(
        "make",
        [
            lambda: encode_png(busy(256, 256), FACTS),
            lambda: encode_mp4([busy(64, 64)] * 3, 7, FACTS),
        ],
    )
    def test_the_impossible_is_said_with_the_size(self, make: Callable[[], bytes]) -> None:
        data = make()
        media_type = MediaType.PNG if data.startswith(b"\x89PNG") else MediaType.MP4
        with pytest.raises(TooLarge, match=rf"{len(data) / 2**20:.3g} MiB"):
            shrink(data, media_type, 200)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _tiff(
    tags: dict[int, int], lists: dict[int, list[int]] | None = None, order: str = "<"
) -> bytes:
    """What is before the pixels of a TIFF: tags with one LONG each, and those with several."""
    entries = tags | dict.fromkeys(lists or {}, 0)
    free = 8 + 2 + 12 * len(entries) + 4
    head = struct.pack(order + "HHIH", 0x4949 if order == "<" else 0x4D4D, 42, 8, len(entries))
    behind = b""
    for tag in sorted(entries):
        values = (lists or {}).get(tag, [entries[tag]])
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            packed, behind = struct.pack(order + "I", free + len(behind)), behind + packed
        head += struct.pack(order + "HHI", tag, 4, len(values)) + packed
    return head + bytes(4) + behind


def _boxes(mp4: bytes) -> list[tuple[bytes, int]]:
    boxes, at = [], 0
    while at < len(mp4):
        (size,) = struct.unpack_from(">I", mp4, at)
        boxes.append((mp4[at + 4 : at + 8], size))
        at += size
    return boxes


def _exif_facts(data: bytes) -> dict[str, str]:
    comment = Image.open(io.BytesIO(data)).getexif().get_ifd(0x8769)[0x9286]
    assert comment.startswith(b"UNICODE\0")
    facts: dict[str, str] = json.loads(comment[8:].decode("utf-16-be"))
    return facts


def _exchanged_primaries() -> bytes:
    """A profile like sRGB in which red and green have changed places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    renamed = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ", b"desc": b"none"}
    (count,) = struct.unpack_from(">I", profile, 128)
    for at in range(132, 132 + 12 * count, 12):
        name = bytes(profile[at : at + 4])
        profile[at : at + 4] = renamed.get(name, name)
    return bytes(profile)


_ORIGINALS = [saved(busy(24, 16), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")]


# -- what a file says of itself ---------------------------------------------------------------

SAYS: dict[str, str | int | float] = {"prompt": "ein Füchschen, 狐", "seed": 7}


@pytest.mark.parametrize("media_type", [MediaType.PNG, MediaType.WEBP, MediaType.JPEG])
def test_a_picture_says_how_it_was_made_in_every_type(media_type: MediaType) -> None:
    data = encode_png(Image.effect_noise((96, 64), 80).convert("RGB"), SAYS)
    if media_type is not MediaType.PNG:
        data = convert(data, media_type)
    assert read_facts(data) == {"prompt": "ein Füchschen, 狐", "seed": "7"}


def test_a_video_says_how_it_was_made_also_when_it_was_shrunk() -> None:
    frames = [Image.effect_noise((160, 96), 90).convert("RGB") for _ in range(8)]
    data = encode_mp4(frames, 7, SAYS)
    small, _ = shrink(data, MediaType.MP4, len(data) // 2)
    assert len(small) < len(data)
    for each in (data, small):
        assert read_facts(each) == {"prompt": "ein Füchschen, 狐", "seed": "7"}


# --- several as one -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "size", "joined"),
    [
        (2, (128, 64), (128, 130)),  # what is wide goes below
        (2, (64, 128), (130, 128)),
        (3, (64, 64), (196, 64)),
        (4, (128, 64), (258, 130)),
    ],
)
def test_pictures_are_joined_in_the_order_in_which_they_are_counted(
    count: int, size: tuple[int, int], joined: tuple[int, int]
) -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)][:count]
    pictures = [
        encode_png(Image.new("RGB", size, colour), {"prompt": "a fox", "seed": 7 + i})
        for i, colour in enumerate(colours)
    ]
    grid = join(pictures)
    with Image.open(io.BytesIO(grid)) as picture:
        assert (picture.format, picture.size) == ("JPEG", joined)
        seen = np.asarray(picture).astype(int)
    columns = round(joined[0] / size[0])
    for number, colour in enumerate(colours):
        row, column = divmod(number, columns)
        middle = seen[int((row + 0.5) * size[1]), int((column + 0.5) * joined[0] / columns)]
        assert np.abs(middle - colour).max() < 12
    seeds = ", ".join(str(7 + i) for i in range(count))
    assert read_facts(grid) == {"prompt": "a fox", "seed": seeds}


def test_a_thumbnail_is_of_a_picture_or_of_how_a_video_begins() -> None:
    frames = [Image.new("RGB", (320, 160), colour) for colour in ("red", "blue", "blue")]
    for data in (encode_png(frames[0], {"prompt": "a"}), encode_mp4(frames, 7, {"prompt": "a"})):
        small = thumbnail(data, 64)
        image = Image.open(io.BytesIO(small))
        assert (image.format, image.size) == ("WEBP", (64, 32))
        assert near(image.convert("RGB"), Image.new("RGB", (64, 32), "red"))
        assert read_facts(small) == {}
    for damaged in (b"", b"\0\0\0\x20ftypisom", encode_mp4(frames, 7, {})[:200]):
        with pytest.raises(BadInput, match="cannot be read"):
            thumbnail(damaged)


def test_a_picture_in_avif_is_not_taken_for_a_video() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (64, 32), (255, 0, 0, 0)).save(file, "AVIF")
    with Image.open(io.BytesIO(thumbnail(file.getvalue()))) as image:
        assert image.convert("RGBA").getchannel("A").getextrema() == (0, 0)


def test_nothing_is_decoded_to_read_what_a_picture_says() -> None:
    data = encode_png(Image.effect_noise((96, 64), 80).convert("RGB"), SAYS)
    at = data.index(b"IDAT") + 10
    damaged = data[:at] + bytes(40) + data[at + 40 :]
    assert read_facts(damaged) == read_facts(data) != {}


def test_a_damaged_video_or_one_of_another_kind_says_nothing() -> None:
    data = encode_mp4([Image.effect_noise((64, 48), 90).convert("RGB")] * 3, 7, SAYS)
    whole = read_facts(data)
    assert all(read_facts(data[:end]) in ({}, whole) for end in range(0, len(data), 7))
    assert not read_facts(data.replace(b"\xa9cmt", b"\xa9nam"))
    at = data.index(b"moov") - 4
    assert not read_facts(data[:at] + (2**32 - 1).to_bytes(4) + data[at + 4 :])
    crashed_ffmpeg = io.BytesIO()
    Image.new("RGBA", (64, 48), (255, 0, 0, 128)).save(crashed_ffmpeg, "AVIF")
    avif = bytearray(crashed_ffmpeg.getvalue())
    avif[avif.index(b"iloc") + 11] = 0
    assert read_facts(bytes(avif)) == {}


def test_of_a_file_that_says_too_much_only_the_beginning_is_read() -> None:
    told = PngImagePlugin.PngInfo()
    for number in range(MAX_FACTS + 9):
        told.add_text(f"key {number}", "x")
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "PNG", pnginfo=told)
    assert len(read_facts(png.getvalue())) == MAX_FACTS
    nested = Image.Exif()
    nested.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + ("[" * 20_000).encode("utf-16-be")
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG", exif=nested.tobytes())
    assert read_facts(jpeg.getvalue()) == {}


@pytest.mark.parametrize("height", [400, 2 * MAX_SIDE])  # which would be decoded at half
def test_what_is_to_become_larger_keeps_its_size(height: int) -> None:
    wide = saved(Image.new("RGB", (2 * MAX_SIDE, height), "red"), "JPEG")
    asked: list[tuple[int, int]] = []
    for larger, width in ((None, MAX_SIDE), (lambda *size: asked.append(size), 2 * MAX_SIDE)):
        png = vet(wide, max_megapixels=50, larger=larger)
        assert Image.open(io.BytesIO(png)).width == width
    assert asked == [(2 * MAX_SIDE, height)]


def test_a_large_result_is_read_smaller(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (2 * MAX_SIDE, 400), "red").save(path)
    assert open_picture(path).width == MAX_SIDE
    assert open_picture(path, whole=True).width == 2 * MAX_SIDE


def test_grey_of_sixteen_bits_with_one_that_is_clear() -> None:
    grey = np.full((32, 32), 30000, np.uint16)
    grey[:8], grey[8:16] = 65535, 0
    data = io.BytesIO()
    Image.fromarray(grey).save(data, "PNG", transparency=65535)
    picture = Image.open(io.BytesIO(vet(data.getvalue(), max_megapixels=1)))
    assert [picture.getpixel((3, y)) for y in (12, 20)] == [(0, 0, 0, 255), (117, 117, 117, 255)]
    clear = picture.getpixel((3, 3))
    assert isinstance(clear, tuple) and clear[3] == 0


@pytest.mark.parametrize(
    ("depth", "kind", "clear", "line"),
    [
        (2, 0, 3, 1),
        (2, 0, 1, 3),
        (4, 0, 15, 0),
        (4, 0, 7, 15),
        (16, 2, 0x12FF_34FF_56FF, 0xFFFF_FFFF_FFFF),
        (16, 2, 0xFFFF_FFFF_FFFF, 0x12FF_34FF_56FF),
    ],
)
def test_the_colour_that_is_clear_in_other_bits_than_eight(
    depth: int, kind: int, clear: int, line: int
) -> None:
    channels = 3 if kind == 2 else 1
    width, bits = 16, depth * channels
    rows = b""
    for value in (*[clear] * 8, *[line] * 8):
        row = sum(value << bits * x for x in range(width))
        rows += b"\0" + row.to_bytes(width * bits // 8)
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, 16, depth, kind, 0, 0, 0)),
            _chunk(b"tRNS", clear.to_bytes(2 * channels)),
            _chunk(b"IDAT", zlib.compress(rows)),
            _chunk(b"IEND", b""),
        ]
    )
    picture = vetted(png)
    assert picture.mode == "RGBA"
    alpha = picture.getchannel("A")
    assert [alpha.getpixel((5, y)) for y in (3, 12)] == [0, 255]
