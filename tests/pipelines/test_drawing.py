import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipelines.contract.errors import BadInput
from pipelines.drawing import fitted, read_drawing
from pipelines.uploads import vet
from tests.pipelines.sheets import (
    BLACK,
    SIDE,
    WHITE,
    coloured_house,
    heart,
    house_outlines,
    inked,
    overlap,
    photographed,
    shadowed,
    tilted,
    transparent,
)

CHALKBOARD = (30, 60, 45)


def fence() -> Image.Image:
    """Strokes that are nearer to each other than to anything else: white on black."""
    sheet = Image.new("L", (SIDE, SIDE))
    for x in range(20, 490, 14):
        ImageDraw.Draw(sheet).line([(x, 200 + x % 9), (x, 350 - x % 7)], 255, 3)
    return sheet


HEARTS = {
    "pen on white": (inked(heart(), BLACK), heart(), 0.95),
    "a hairline": (inked(heart(2), BLACK), heart(2), 0.9),
    "a broad brush": (inked(heart(16), BLACK), heart(16), 0.9),
    "white on black": (inked(heart(), WHITE, BLACK), heart(), 0.95),
    "black on nothing": (transparent(heart(), BLACK), heart(), 0.95),
    "white on nothing": (transparent(heart(), WHITE), heart(), 0.95),
    "pale yellow on nothing": (transparent(heart(), (255, 240, 120)), heart(), 0.9),
    "purple on cream": (inked(heart(), (60, 30, 90), (245, 238, 225)), heart(), 0.95),
    "faint grey": (inked(heart(), (220, 220, 220)), heart(), 0.95),
    "a photo": (photographed(inked(tilted(heart()), (40, 40, 50))), tilted(heart()), 0.9),
    "a photo of pencil": (photographed(inked(heart(4), (170, 170, 170))), heart(4), 0.85),
    "a photo of pencil in a shadow": (
        photographed(shadowed(inked(heart(5), (150, 150, 150)))),
        heart(5),
        0.85,
    ),
    "a photo of chalk": (
        photographed(inked(tilted(heart()), WHITE, CHALKBOARD), 4),
        tilted(heart()),
        0.9,
    ),
    "a photo of a fence": (photographed(inked(fence(), (40, 40, 50))), fence(), 0.75),
    "a photo of a fence in chalk": (
        photographed(inked(fence(), WHITE, CHALKBOARD), 4),
        fence(),
        0.85,
    ),
}


@pytest.mark.parametrize("name", HEARTS)
def test_the_lines_of_every_sort_of_drawing_are_found(name: str) -> None:
    sheet, truth, least = HEARTS[name]
    drawing = read_drawing(sheet)
    assert overlap(drawing.lines, truth) >= least


@pytest.mark.parametrize("name", HEARTS)
def test_the_picture_is_dark_on_white_paper(name: str) -> None:
    sheet, truth, _ = HEARTS[name]
    tones = np.asarray(read_drawing(sheet).picture.convert("L"))
    paper, ink = np.asarray(truth) == 0, np.asarray(truth) > 250
    assert np.median(tones[paper]) >= 250
    assert np.percentile(tones[paper], 5) >= 225
    if ink.any():
        assert np.median(tones[ink]) < np.median(tones[paper]) - 20


def test_a_photo_held_sideways_is_read_upright_after_it_was_vetted() -> None:
    truth = heart()
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me a quarter clockwise"
    held = photographed(inked(truth, BLACK)).transpose(Image.Transpose.ROTATE_90)
    file = io.BytesIO()
    held.save(file, "JPEG", quality=90, exif=exif)
    upright = Image.open(io.BytesIO(vet(file.getvalue(), max_megapixels=50)))
    assert overlap(read_drawing(upright).lines, truth) >= 0.9


def test_sizes_and_modes_are_kept() -> None:
    drawing = read_drawing(inked(heart(), BLACK).crop((0, 0, 400, 211)))
    assert (drawing.picture.mode, drawing.picture.size) == ("RGB", (400, 211))
    assert (drawing.lines.mode, drawing.lines.size) == ("L", (400, 211))


def test_lines_are_smooth_not_jagged() -> None:
    tones = np.asarray(read_drawing(inked(heart(), BLACK)).lines)
    between = ((tones > 20) & (tones < 235)).sum()
    assert between > 0.05 * (tones >= 235).sum()


def test_a_thin_line_does_not_fade_where_the_painter_is_smaller_than_the_drawing() -> None:
    lines = fitted(read_drawing(inked(heart(2, 2048), BLACK)).lines, (256, 256))
    assert overlap(lines, heart(2, 256)) >= 0.85


@pytest.mark.parametrize("outlined", [True, False])
def test_filled_shapes_become_their_outlines(outlined: bool) -> None:
    lines = read_drawing(coloured_house(outlined=outlined)).lines
    assert overlap(lines, house_outlines(), reach=4) >= 0.75


def test_colours_are_kept_also_in_a_photo() -> None:
    sheet = coloured_house(outlined=True)
    roof, sun, grass = (256, 230), (115, 105), (60, 450)
    for picture in (read_drawing(sheet).picture, read_drawing(photographed(sheet)).picture):
        assert _pixel(picture, roof)[0] > _pixel(picture, roof)[2] + 80
        assert _pixel(picture, sun)[0] > _pixel(picture, sun)[2] + 25
        assert _pixel(picture, grass)[1] > _pixel(picture, grass)[2] + 50


def test_a_pale_sun_in_a_photo_is_not_lost() -> None:
    lines = read_drawing(photographed(coloured_house(outlined=True), 3)).lines
    sun = (40, 30, 190, 180)
    assert overlap(lines.crop(sun), house_outlines().crop(sun), reach=4) >= 0.6


def test_a_large_black_disc_stays_black_on_white() -> None:
    sheet = Image.new("RGB", (400, 400), "white")
    ImageDraw.Draw(sheet).ellipse((20, 20, 380, 380), fill="black")
    drawing = read_drawing(sheet)
    assert _pixel(drawing.picture, (200, 200)) == BLACK
    assert drawing.lines.getpixel((200, 200)) == 0
    assert drawing.lines.crop((190, 10, 210, 30)).getextrema()[1] == 255


def test_a_dark_outline_around_white_is_not_taken_for_chalk() -> None:
    truth = heart(12)
    figure = Image.new("RGBA", truth.size, (255, 255, 255, 0))
    ImageDraw.Draw(figure).ellipse((100, 100, 400, 400), fill="white", outline="black", width=6)
    picture = read_drawing(figure).picture
    assert _pixel(picture, (250, 250)) == WHITE
    assert _pixel(picture, (250, 102)) == BLACK


def test_white_strokes_with_a_coloured_or_black_detail_are_not_lost() -> None:
    truth = heart(12)
    for detail in ((220, 40, 40), BLACK):
        figure = transparent(truth, WHITE)
        ImageDraw.Draw(figure).ellipse((200, 180, 260, 240), fill=detail)
        assert overlap(read_drawing(figure).lines, truth, reach=4) >= 0.7


BLANKS = {
    "white": Image.new("RGB", (300, 200), "white"),
    "black": Image.new("RGB", (300, 200), "black"),
    "transparent": Image.new("RGBA", (300, 200), (0, 0, 0, 0)),
    "one colour": Image.new("RGB", (300, 200), (90, 140, 60)),
    "a photo of paper": photographed(Image.new("RGB", (512, 512), "white")),
    "a noisy photo of paper": photographed(Image.new("RGB", (512, 512), "white"), 12),
}


@pytest.mark.parametrize("name", BLANKS)
def test_a_blank_drawing_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=r"^The drawing is blank"):
        read_drawing(BLANKS[name])


def test_the_smallest_pictures_do_not_break_it() -> None:
    sheet = Image.new("RGB", (8, 8), "white")
    sheet.putpixel((4, 4), BLACK)
    assert read_drawing(sheet).lines.size == (8, 8)


def test_the_same_drawing_is_read_the_same_way() -> None:
    sheet = photographed(inked(heart(), BLACK))
    first, second = read_drawing(sheet), read_drawing(sheet)
    assert first.lines.tobytes() == second.lines.tobytes()
    assert first.picture.tobytes() == second.picture.tobytes()


def _pixel(image: Image.Image, at: tuple[int, int]) -> tuple[int, ...]:
    pixel = image.getpixel(at)
    assert isinstance(pixel, tuple)
    return tuple(int(value) for value in pixel)
