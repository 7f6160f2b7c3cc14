"""Paper may be ruled; what is printed on it was not drawn."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from demo.shapes.paint import paint
from demo.shapes.scene import random_scene
from demo.shapes.sketches import sketch
from pipelines.drawing import read_drawing
from pipelines.ruling import without_ruling
from tests.pipelines.sheets import (
    BLACK,
    Colour,
    bent,
    dotted,
    heart,
    inked,
    lying,
    overlap,
    photographed,
    ruled,
    tilted,
    wood,
)

Change = Callable[[Image.Image], Image.Image]
PEN, PENCIL = (40, 40, 50), (150, 150, 150)
SIDE = 1024


def note(sheet: Image.Image) -> Image.Image:
    return ruled(sheet, 32, margin=True)


def grey_note(sheet: Image.Image) -> Image.Image:
    return ruled(sheet, 32, (185, 185, 185))


def squared(sheet: Image.Image) -> Image.Image:
    return ruled(sheet, 20, squared=True)


def seyes(sheet: Image.Image) -> Image.Image:
    """As French pupils have it: every fourth line is a darker one."""
    return ruled(ruled(sheet, 7, (190, 200, 230)), 28, (140, 140, 200))


def graph(sheet: Image.Image) -> Image.Image:
    """Every fifth line is a darker one."""
    return ruled(ruled(sheet, 17, (185, 210, 230), squared=True), 85, squared=True)


def dots(sheet: Image.Image) -> Image.Image:
    return dotted(sheet, 20)


def aslant(sheet: Image.Image) -> Image.Image:
    return photographed(bent(sheet))


def turned(sheet: Image.Image) -> Image.Image:
    return tilted(sheet, 4).crop((60, 60, 960, 960))


def photographed_turned(sheet: Image.Image) -> Image.Image:
    return photographed(turned(sheet))


def as_it_is(sheet: Image.Image) -> Image.Image:
    return sheet


@pytest.mark.parametrize(
    ("paper", "ink", "seen", "truly"),
    [
        (note, PENCIL, as_it_is, as_it_is),
        (note, PENCIL, photographed, as_it_is),
        (note, PEN, aslant, bent),
        (note, PENCIL, photographed_turned, turned),
        (grey_note, PENCIL, photographed, as_it_is),
        (grey_note, PEN, photographed_turned, turned),
        (squared, PENCIL, as_it_is, as_it_is),
        (seyes, PENCIL, photographed, as_it_is),
        (seyes, PENCIL, as_it_is, as_it_is),
        (graph, PENCIL, as_it_is, as_it_is),
        (graph, PENCIL, photographed, as_it_is),
        (dots, PEN, as_it_is, as_it_is),
        (squared, PENCIL, aslant, bent),
        (squared, PEN, photographed_turned, turned),
    ],
)
def test_only_what_was_drawn_becomes_lines(
    paper: Change, ink: Colour, seen: Change, truly: Change
) -> None:
    truth = heart(10, SIDE)
    drawing = read_drawing(seen(paper(inked(truth, ink))))
    assert overlap(drawing.lines, truly(truth), 4) >= 0.92
    bare = np.asarray(drawing.picture.convert("L"))[np.asarray(truly(truth)) == 0]
    assert np.percentile(bare, 3) >= 225


def test_a_ruled_sheet_on_a_table_is_read_like_a_plain_one() -> None:
    corners = ((150, 90), (900, 130), (980, 960), (60, 900))
    table = wood((SIDE, SIDE), (110, 70, 40))
    sheet = inked(heart(12, SIDE), PEN)
    on_note, on_plain = (
        read_drawing(photographed(lying(each, table, corners))).lines
        for each in (note(sheet), sheet)
    )
    assert on_note.width < 900  # without the table
    assert overlap(on_note.resize(on_plain.size), on_plain) >= 0.9


def test_a_line_drawn_along_a_printed_one_stays() -> None:
    truth = heart(10, SIDE)
    ImageDraw.Draw(truth).line([(100, 640), (800, 640)], fill=255, width=5)
    read = np.asarray(read_drawing(photographed(note(inked(truth, PEN)))).lines)
    assert (read[638:643, 110:790].max(axis=0) > 128).mean() > 0.95


def stripes() -> Image.Image:
    """A painted awning."""
    sheet = Image.new("RGB", (SIDE, SIDE), "white")
    for y in range(0, SIDE, 40):
        ImageDraw.Draw(sheet).rectangle((0, y, SIDE, y + 18), fill=(220, 60, 60))
    return sheet


def staves() -> Image.Image:
    """Sheet music."""
    sheet = Image.new("RGB", (SIDE, SIDE), "white")
    for y in (200, 400, 600, 800):
        for line in range(5):
            ImageDraw.Draw(sheet).line([(60, y + 14 * line), (960, y + 14 * line)], BLACK, 2)
    return sheet


def hatching() -> Image.Image:
    """Strokes side by side, all over, as evenly as a hand can."""
    sheet = Image.new("RGB", (SIDE, SIDE), "white")
    rng = np.random.default_rng(0)
    for y in np.arange(20, 1000, 20):
        ys = y + rng.normal(0, 2) + np.cumsum(rng.normal(0, 0.5, 60))
        ImageDraw.Draw(sheet).line([*zip(np.linspace(20, 1000, 60), ys, strict=True)], PEN, 3)
    return sheet


@pytest.mark.parametrize("drawn", [stripes, staves, hatching])
@pytest.mark.parametrize("seen", [as_it_is, photographed])
def test_what_repeats_in_a_drawing_is_no_ruling(
    drawn: Callable[[], Image.Image], seen: Change
) -> None:
    sheet = seen(drawn())
    assert without_ruling(sheet) is sheet


def test_no_drawing_of_the_demo_is_on_ruled_paper() -> None:
    for seed in range(15):
        scene = random_scene(seed, unseen=True, figures=1 + seed % 2)
        for picture in (sketch(scene, seed).image.convert("RGB"), paint(scene)):
            assert without_ruling(picture) is picture


@pytest.mark.filterwarnings("error")
def test_lines_as_black_as_ink_stay() -> None:
    sheet = ruled(inked(heart(10, SIDE), BLACK), 32, BLACK)
    black = np.asarray(sheet) == 0
    assert not np.asarray(without_ruling(sheet))[black].any()


@pytest.mark.parametrize("size", [(8, 8), (8, 160), (160, 8), (2048, 103), (17, 17), (64, 64)])
def test_the_smallest_pages_do_not_break_it(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    plain = Image.new("RGB", size, "white")
    for page in (plain, Image.new("RGB", size), Image.fromarray(noise), ruled(plain, 12)):
        assert without_ruling(page).size == size
