from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import CLIPTokenizer

from demo.tokenizers import CLIP_TOKENS
from pipelines import sketch
from pipelines.catalog import Catalog, Conditioner, SketchModel, Style
from pipelines.contract.context import RunContext
from pipelines.loading import Loader
from pipelines.models import Embeddings
from tests.pipelines.catalogs import changed, conditioner_of
from tests.pipelines.sheets import heart

CPU = Loader(torch.device("cpu"))


@pytest.fixture(scope="module")
def tokenizer(models: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(models / "sdxl" / "tokenizer")


def test_a_prompt_is_what_was_asked_then_what_is_seen_in_the_frame(
    tokenizer: CLIPTokenizer,
) -> None:
    style = Style(frame="oil painting of {prompt}, on canvas")
    assert sketch.write_prompt(tokenizer, "a red boat", "a boat at sea", style) == (
        "oil painting of a red boat, a boat at sea, on canvas"
    )
    assert sketch.write_prompt(tokenizer, "", "a boat at sea", Style()) == "a boat at sea"
    assert sketch.write_prompt(tokenizer, "a red boat", "", Style()) == "a red boat"


def test_a_long_prompt_loses_its_end_and_not_the_style(tokenizer: CLIPTokenizer) -> None:
    style = Style(frame="{prompt}, watercolour painting")
    text = sketch.write_prompt(tokenizer, " ".join(["red"] * 200), "a boat", style)
    assert len(tokenizer(text).input_ids) == CLIP_TOKENS
    assert text.endswith("red, watercolour painting")


@pytest.mark.parametrize(
    "prompt",
    ["夕焼けの海に浮かぶ赤い帆船、" * 6, "一艘红色的帆船，" * 10, "⭐" * 100, "boat,sea," * 40],
    ids=["Japanese", "Chinese", "emoji", "commas"],
)
@pytest.mark.parametrize("frame", ["{prompt}, watercolour painting", "{prompt}"])
def test_so_does_one_without_spaces(tokenizer: CLIPTokenizer, prompt: str, frame: str) -> None:
    before, after = frame.split("{prompt}")
    text = sketch.write_prompt(tokenizer, prompt, "a boat", Style(frame=frame))
    asked = text.removeprefix(before).removesuffix(after)
    assert asked
    assert prompt.startswith(asked)
    assert CLIP_TOKENS - 4 < len(tokenizer(text).input_ids) <= CLIP_TOKENS


@pytest.fixture(params=["t2i-adapter", "controlnet"])
def steered(request: pytest.FixtureRequest, catalog: Catalog, models: Path) -> SketchModel:
    steering = {"conditioner": conditioner_of(models, request.param)}
    model = changed(catalog, sketch=steering).sketch
    assert model is not None
    return model


def embeddings(pipeline: Any, model: SketchModel, negative: str = "") -> Embeddings:
    with torch.inference_mode():
        return sketch.encode(pipeline, CPU.device, model, prompt="a heart", negative=negative)


def painter(model: SketchModel) -> Callable[[Image.Image, int], bytes]:
    pipeline = sketch.load(model, CPU)
    pipeline.set_progress_bar_config(disable=True)

    def paint(lines: Image.Image, strength: int) -> bytes:
        image = sketch.paint(
            pipeline,
            model,
            RunContext(),
            embeddings=embeddings(pipeline, model),
            lines=lines,
            strength=strength,
            seed=1,
        )
        return image.image().tobytes()

    return paint


def test_lines_steer_by_their_strength_and_not_at_all_at_0(steered: SketchModel) -> None:
    one, other = heart(), heart(width=12).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    paint = painter(steered)
    free = painter(steered.model_copy(update={"conditioner": None}))(one, 70)
    assert paint(one, 0) == paint(other, 0) == free
    assert len({free, paint(one, 50), paint(one, 100), paint(other, 100)}) == 4


def test_a_negative_prompt_has_an_effect(catalog: Catalog) -> None:
    assert catalog.sketch is not None
    model = catalog.sketch
    pipeline = sketch.load(model, CPU)
    pipeline.set_progress_bar_config(disable=True)
    pictures = {
        sketch.paint(
            pipeline,
            model,
            RunContext(),
            embeddings=embeddings(pipeline, model, negative),
            lines=heart(),
            strength=50,
            seed=1,
        )
        .image()
        .tobytes()
        for negative in ("", "a dark forest")
    }
    assert len(pictures) == 2


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_an_adapter_is_given_as_many_channels_as_it_reads(channels: int, mode: str) -> None:
    from diffusers import T2IAdapter

    class Pipeline:
        adapter = T2IAdapter(
            in_channels=channels,
            channels=[8, 8, 8, 8],
            num_res_blocks=1,
            downscale_factor=32,
            adapter_type="full_adapter_xl",
        )

    conditioner = Conditioner(source="./here", type="t2i-adapter", full_scale=0.8)
    arguments = sketch._steering(Pipeline(), conditioner, heart(), (320, 192), 50)
    assert (arguments["image"].mode, arguments["image"].size) == (mode, (320, 192))
    assert arguments["adapter_conditioning_scale"] == pytest.approx(0.4)
