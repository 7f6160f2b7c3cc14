"""Pictures made larger in parts, of which nobody sees where they meet."""

import io
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from demo.shapes.paint import paint
from demo.shapes.scene import random_scene
from pipelines.catalog import Catalog, UpscaleModel
from pipelines.contract.artifact import MediaType
from pipelines.contract.context import Phase, Progress, RunContext
from pipelines.contract.errors import BadInput, Cancelled, ModelUnavailable, RenderFailed
from pipelines.contract.requests import UpscaleRequest
from pipelines.loading import Loader
from pipelines.media import encode_png
from pipelines.runner import Runner
from pipelines.upscale import Upscaler, cut, enlarge, load

WHOLE = 1024  # a part that any picture here fits in


@pytest.fixture(scope="module")
def upscaler(catalog: Catalog) -> Upscaler:
    assert catalog.upscale is not None
    return load(catalog.upscale, Loader(torch.device("cpu")))


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Of odd sides: neither parts nor windows divide them."""
    return paint(random_scene(5), (107, 75))


def larger(upscaler: Upscaler, picture: Image.Image, scale: int, tile: int) -> Image.Image:
    return enlarge(upscaler, picture, scale, RunContext(), tile, 32)


def scaled(upscaler: Upscaler, factor: int) -> Any:
    """A network of the same make that enlarges by another factor, untrained."""
    config = upscaler.model.config.to_dict() | {"upscale": factor}
    torch.manual_seed(0)
    return type(upscaler.model)(type(upscaler.model.config)(**config)).eval()


@pytest.mark.parametrize("scale", [2, 4])
def test_parts_make_what_the_whole_would(
    upscaler: Upscaler, picture: Image.Image, scale: int
) -> None:
    whole, parts = (larger(upscaler, picture, scale, tile) for tile in (WHOLE, 64))
    assert whole.size == parts.size == (107 * scale, 75 * scale)
    difference = np.asarray(whole, np.int16) - np.asarray(parts, np.int16)
    assert np.abs(difference).max() <= 1


@given(
    length=st.integers(8, 2100),
    tile=st.integers(8, 32).map(lambda n: 8 * n),
    overlap=st.sampled_from([8, 16, 24, 32]),
)
def test_strips_cover_a_side_and_add_up_to_one(length: int, tile: int, overlap: int) -> None:
    strips = cut(length, 2, tile, overlap, 8)
    assert strips[0].begin == 0
    assert length + 16 <= strips[-1].end < length + 24
    assert all(strip.begin % 8 == 0 for strip in strips)
    assert all(a.end - b.begin >= overlap for a, b in pairwise(strips))
    total = torch.zeros(2 * strips[-1].end)
    for strip in strips:
        total[strip.enlarged] += strip.counts
    assert torch.allclose(total, torch.ones_like(total))


def test_a_network_that_doubles_goes_twice_over_a_picture_for_four_times(
    upscaler: Upscaler, picture: Image.Image
) -> None:
    double = Upscaler(scaled(upscaler, 2), 2, 8)
    seen: list[Progress] = []
    small = picture.crop((0, 0, 50, 20))
    assert enlarge(double, small, 4, RunContext(seen.append), 64, 32).size == (200, 80)
    parts = 2 * 1 + 3 * 1  # of 72 × 40 pixels, then of 120 × 56
    assert seen == [Progress(Phase.UPSCALING, step, parts) for step in range(parts + 1)]
    assert larger(double, small, 2, 64).size == (100, 40)


def test_what_is_transparent_stays_so_and_darkens_no_edge(upscaler: Upscaler) -> None:
    picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    picture.paste((222, 52, 52, 255), (0, 0, 20, 40))
    made = np.asarray(larger(upscaler, picture, 2, WHOLE)).astype(int)
    assert made.shape == (80, 80, 4)
    assert (made[:, :32, 3] > 250).all()
    assert (made[:, 48:, 3] < 5).all()
    opaque = made[made[..., 3] > 60][:, :3]
    assert np.abs(opaque - (222, 52, 52)).max() < 40


@pytest.mark.parametrize("size", [(8, 8), (8, 150)])
def test_the_smallest_pictures_too(upscaler: Upscaler, size: tuple[int, int]) -> None:
    made = larger(upscaler, Image.new("RGB", size, "blue"), 4, 64)
    assert made.size == (4 * size[0], 4 * size[1])


def test_what_is_no_picture_is_said(upscaler: Upscaler, picture: Image.Image) -> None:
    overflow = upscaler.model.swin2sr.register_forward_hook(
        lambda *call: type(call[-1])(call[-1][0] * torch.nan)
    )
    with pytest.raises(RenderFailed, match=r"no picture: .* another models\.upscale\.dtype"):
        larger(upscaler, picture, 2, WHOLE)
    overflow.remove()


# --- through the one door -----------------------------------------------------------------------


@pytest.fixture
def result(picture: Image.Image, tmp_path: Path) -> Path:
    """A picture of ours, as the bot keeps it."""
    path = tmp_path / "result.png"
    small = picture.crop((0, 0, 60, 40))
    path.write_bytes(encode_png(small, {"prompt": "a red star", "seed": 7, "model": "sd3"}))
    return path


def test_a_result_is_larger_and_still_says_how_it_was_made(catalog: Catalog, result: Path) -> None:
    runner = Runner(catalog, device="cpu")
    seen: list[Progress] = []
    context = RunContext(on_progress=seen.append)
    ((made,),) = runner.run([UpscaleRequest(image=result, scale=2)], context)
    assert made.media_type is MediaType.PNG
    assert (made.width, made.height) == (120, 80)
    known = {"prompt": "a red star", "seed": "7", "model": "sd3"}
    assert made.facts == known | {"scale": 2, "upscaler": "upscaler"}
    parts = [Progress(Phase.UPSCALING, step, 2) for step in range(3)]
    assert seen == [Progress(Phase.LOADING), *parts, Progress(Phase.ENCODING)]
    with Image.open(io.BytesIO(made.data)) as image:
        assert image.size == (120, 80)
        assert image.info["prompt"] == "a red star"
    result.write_bytes(made.data)
    ((again,),) = runner.run([UpscaleRequest(image=result, scale=2)], RunContext())
    assert again.facts["scale"] == 4


def test_it_can_be_cancelled_between_two_parts(catalog: Catalog, result: Path) -> None:
    runner = Runner(catalog, device="cpu")
    seen: list[Progress] = []
    cancel = threading.Event()

    def listen(progress: Progress) -> None:
        seen.append(progress)
        if progress.step == 1:
            cancel.set()

    with pytest.raises(Cancelled):
        runner.run([UpscaleRequest(image=result, scale=4)], RunContext(listen, cancel))
    assert seen[-1] == Progress(Phase.UPSCALING, 1, 2)


def test_what_would_be_too_large_is_refused_before_anything_is_loaded(
    catalog: Catalog, result: Path
) -> None:
    small = UpscaleModel(source="./nowhere", max_megapixels=0.03)
    runner = Runner(catalog.model_copy(update={"upscale": small}), device="cpu")
    with pytest.raises(BadInput, match=r"240 × 160 pixels, and at most 0\.03 megapixels"):
        runner.run([UpscaleRequest(image=result, scale=4)], RunContext())


def test_only_twice_and_four_times(result: Path) -> None:
    with pytest.raises(BadInput, match="2 or 4 times as large, not 3 times"):
        UpscaleRequest(image=result, scale=3)


def test_a_network_of_another_scale_is_named(upscaler: Upscaler, tmp_path: Path) -> None:
    scaled(upscaler, 8).save_pretrained(tmp_path / "eight")
    model = UpscaleModel(source=f"{tmp_path}/eight")
    with pytest.raises(ModelUnavailable, match="makes pictures 8 times as large"):
        load(model, Loader(torch.device("cpu")))
