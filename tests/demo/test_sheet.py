"""The models' contact sheet: that it can be read, and shows what its rows are about."""

import pytest
from PIL import Image, ImageChops

from demo.shapes.scene import Colour, Look
from demo.sheet import CELL, COLUMNS, PAPER, _told, drawn_scenes


@pytest.mark.parametrize("words", ["neon", "a yellow background", "jug gipsy background " * 4])
def test_no_letter_is_cut_off(words: str) -> None:
    told = _told(Image.new("RGB", (CELL, CELL), "red"), words)
    text = told.crop((0, CELL, *told.size))
    box = ImageChops.difference(text, Image.new("RGB", text.size, PAPER)).getbbox()
    assert box is not None
    assert box[0] > 0 and box[1] > 0 and box[2] < text.width and box[3] < text.height


def test_strengths_and_styles_are_shown_on_one_figure_that_can_be_seen_in_each() -> None:
    scenes = drawn_scenes()
    assert len({scene.figures[0].shape for scene in scenes}) == COLUMNS
    for scene in scenes:
        (figure,) = scene.figures
        assert Colour.BLACK not in (figure.colour, scene.ground.colour)
        assert scene.look is Look.FLAT
