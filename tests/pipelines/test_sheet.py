"""A sheet on a table is read as if it had been scanned; what is no sheet is left as it is."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipelines.drawing import read_drawing
from pipelines.sheet import straightened
from tests.pipelines.sheets import (
    BLACK,
    SIDE,
    WHITE,
    coloured_house,
    heart,
    inked,
    lying,
    overlap,
    photographed,
    tilted,
    wood,
)

TABLE = (640, 720)
PLACES = {
    "straight": ((60, 100), (570, 100), (570, 610), (60, 610)),
    "aslant": ((110, 90), (540, 130), (600, 640), (40, 590)),
    "turned": ((200, 60), (600, 250), (430, 660), (30, 470)),
    "cut off": ((60, 260), (570, 250), (590, 780), (40, 780)),
}
TABLES = {
    "dark wood": wood(TABLE, (92, 60, 38)),
    "light wood": wood(TABLE, (190, 150, 110)),
    "black": Image.new("RGB", TABLE, (28, 24, 22)),
    "grey": Image.new("RGB", TABLE, (120, 120, 125)),
    "blue": Image.new("RGB", TABLE, (40, 70, 140)),
    "nearly white": Image.new("RGB", TABLE, (222, 222, 220)),
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("place", ["straight", "aslant", "turned"])
def test_a_drawing_on_a_table_is_read_straight_and_without_the_table(
    table: str, place: str
) -> None:
    truth = heart(9)
    photo = photographed(lying(inked(truth, BLACK), TABLES[table], PLACES[place]))
    lines = read_drawing(photo).lines.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    assert (
        overlap(lines, truth, reach=8) >= 0.7
    )  # a hundredth of the sheet is left out at each edge


def test_a_sheet_that_the_photo_cuts_off_at_one_side_is_found() -> None:
    photo = photographed(lying(inked(heart(), BLACK), TABLES["dark wood"], PLACES["cut off"]))
    sheet = straightened(photo)
    assert sheet is not None
    assert sheet.width < 0.95 * photo.width and sheet.height < 0.75 * photo.height


def test_something_brighter_beside_a_sheet_is_not_taken_for_it() -> None:
    table = TABLES["dark wood"].copy()
    ImageDraw.Draw(table).rectangle((0, 0, 60, 60), fill=WHITE)
    assert straightened(photographed(lying(inked(heart(), BLACK), table, PLACES["straight"])))


def test_a_painted_page_keeps_its_colours() -> None:
    margin = 24
    page = Image.new("RGB", (SIDE + 2 * margin, SIDE + 2 * margin), WHITE)
    page.paste(coloured_house(outlined=True), (margin, margin))
    photo = photographed(lying(page, TABLES["dark wood"], PLACES["aslant"]))
    picture = read_drawing(photo).picture.resize((SIDE, SIDE))
    grass = np.median(np.asarray(picture)[-60:-30, 60:-60], axis=(0, 1))
    assert grass[1] > grass[0] + 40 and grass[1] > grass[2] + 40


def a_shadow() -> Image.Image:
    """That falls over a sheet which is all of the photo; there is something drawn in it."""
    sheet = np.asarray(inked(heart(), BLACK), float)
    y, x = np.mgrid[:SIDE, :SIDE]
    return Image.fromarray(
        (sheet * np.where(0.3 * x + y > 330, 0.5, 1)[..., None]).astype(np.uint8)
    )


def two_sheets() -> Image.Image:
    table = wood((1280, 720), (92, 60, 38))
    places = PLACES["straight"], tuple((x + 620, y) for x, y in PLACES["straight"])
    for place in places:
        table = lying(inked(heart(), BLACK), table, place)
    return table


def a_landscape() -> Image.Image:
    scene = wood(TABLE, (70, 90, 50))
    pen = ImageDraw.Draw(scene)
    pen.rectangle((0, 0, 640, 360), fill=(205, 215, 230))
    pen.ellipse((120, 60, 220, 160), fill=(250, 240, 200))
    pen.rectangle((400, 250, 520, 500), outline=BLACK, fill=(120, 60, 50), width=4)
    return scene


def a_blank_sheet() -> Image.Image:
    table = ImageDraw.Draw(scene := TABLES["black"].copy())
    table.line((40, 660, 600, 680), fill=WHITE, width=8)
    return lying(Image.new("RGB", (SIDE, SIDE), WHITE), scene, PLACES["straight"])


def a_hexagon() -> Image.Image:
    scene = TABLES["dark wood"].copy()
    pen = ImageDraw.Draw(scene)
    pen.polygon([(320, 80), (560, 220), (560, 500), (320, 640), (80, 500), (80, 220)], fill=WHITE)
    pen.line((200, 300, 440, 420), fill=BLACK, width=8)
    return scene


def a_triangle() -> Image.Image:
    scene = TABLES["black"].copy()
    pen = ImageDraw.Draw(scene)
    pen.polygon([(60, 60), (580, 60), (60, 580)], fill=WHITE)
    pen.line((140, 140, 200, 240), fill=BLACK, width=8)
    return scene


def at(*corners: tuple[int, int]) -> Image.Image:
    return lying(inked(heart(), BLACK), TABLES["dark wood"], corners)


def a_road() -> Image.Image:
    return at((240, 100), (400, 100), (580, 640), (60, 640))


def a_sheet_under_a_hand() -> Image.Image:
    scene = at(*PLACES["straight"])
    ImageDraw.Draw(scene).rectangle((400, 250, 640, 400), fill=(120, 70, 50))
    return scene


def a_sheet_beyond_the_first_corner() -> Image.Image:
    return at((-200, -200), (440, -200), (440, 500), (-200, 500))


def a_sheet_beyond_the_last_corner() -> Image.Image:
    return at((200, 200), (840, 200), (840, 900), (200, 900))


@pytest.mark.parametrize(
    "scene",
    [
        a_shadow,
        two_sheets,
        a_landscape,
        a_blank_sheet,
        a_hexagon,
        a_triangle,
        a_road,
        a_sheet_under_a_hand,
        a_sheet_beyond_the_first_corner,
        a_sheet_beyond_the_last_corner,
        lambda: inked(heart(), BLACK),
    ],
)
def test_where_it_is_in_doubt_there_is_no_sheet(scene: Callable[[], Image.Image]) -> None:
    assert straightened(photographed(scene())) is None


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (16, 16)])
def test_the_smallest_photos_have_none(size: tuple[int, int]) -> None:
    assert straightened(Image.new("RGB", size, WHITE)) is None


def test_a_drawing_that_no_camera_made_is_left_whole() -> None:
    scene = lying(inked(heart(), BLACK), TABLES["black"], PLACES["straight"])
    assert read_drawing(scene).lines.size == scene.size
    assert read_drawing(tilted(inked(heart(), BLACK))).lines.size == (SIDE, SIDE)
