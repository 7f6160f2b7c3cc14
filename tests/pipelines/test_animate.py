import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.animate import MOST_CROPPED, fill, shape_for
from pipelines.catalog import AnimateModel

SVD = AnimateModel(source="acme/svd")
sides = st.integers(8, 2048)


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((1920, 1080), (1024, 576)),
        ((1080, 1920), (576, 1024)),
        ((512, 512), (768, 768)),
        ((1200, 900), (960, 640)),
        ((900, 1200), (640, 960)),
        ((2000, 100), (1024, 576)),
    ],
)
def test_the_shape_is_the_models_own_or_the_nearest_of_as_many_pixels(
    size: tuple[int, int], shape: tuple[int, int]
) -> None:
    assert shape_for(size, SVD) == shape


@given(sides, sides)
def test_every_shape_can_be_made_and_is_about_as_large(width: int, height: int) -> None:
    wide, high = shape_for((width, height), SVD)
    assert wide % 64 == high % 64 == 0
    assert wide * high == pytest.approx(1024 * 576, rel=0.1)
    assert wide == high or (wide > high) == (width > height)


def test_a_picture_of_nearly_the_shape_is_cropped_at_its_edges() -> None:
    picture = Image.new("RGB", (110, 100), "blue")
    picture.paste("red", (0, 0, 2, 100))
    filled = fill(picture, (200, 200))
    assert filled.size == (200, 200)
    assert filled.getcolors() == [(200 * 200, (0, 0, 255))]


def test_a_strip_is_shown_whole_before_its_own_blurred_copy() -> None:
    picture = Image.new("RGB", (400, 100), "blue")
    picture.paste("red", (0, 0, 4, 100))
    filled = np.asarray(fill(picture, (200, 200)))
    assert filled.shape == (200, 200, 3)
    assert tuple(filled[100, 0]) == (255, 0, 0)  # the edge is there
    assert (filled[[0, 199], :, 2] > 200).all()  # and so is something above and below it


@given(sides, sides)
def test_everything_is_filled_and_little_is_lost(width: int, height: int) -> None:
    shape = shape_for((width, height), SVD)
    ratio = width * shape[1] / (height * shape[0])
    if 1 / 2 < width / height < 2:
        assert 1 - min(ratio, 1 / ratio) <= MOST_CROPPED
