"""Checkpoints as they are published are read whole, and paint what they paint."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image, ImageDraw

from pipelines.catalog import Catalog, Checkpoint, SafetyModel
from pipelines.checkpoints import require_whole
from pipelines.contract.context import RunContext
from pipelines.contract.requests import AnimateRequest, ImagineRequest, Request, SketchRequest
from pipelines.loading import Loader
from pipelines.runner import Runner
from tests.pipelines import published

VARIANTS = {"sketch": "fp16", "animate": "fp16"}


@pytest.fixture(scope="module")
def safe(catalog: Catalog, models: Path) -> Catalog:
    """The catalogue, and a classifier."""
    return catalog.model_copy(update={"safety": SafetyModel(source=str(models / "classifier"))})


@pytest.fixture(scope="module")
def large(safe: Catalog, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The catalogue, of checkpoints in other layouts."""
    folder = tmp_path_factory.mktemp("published")
    vae = published.sdxl(models / "sdxl", folder / "sdxl") / "vae"
    sources = {
        "safety": published.classifier(models / "classifier", folder / "classifier"),
        "caption": published.blip(models / "blip", folder / "blip"),
        "sketch": vae.parent,
        "imagine": published.sd3(models / "sd3", folder / "sd3"),
        "animate": published.svd(models / "svd", folder / "svd"),
    }
    entries = safe.model_dump()
    for name, source in sources.items():
        entries[name] |= {"source": str(source), "variant": VARIANTS.get(name)}
    entries["sketch"]["vae"] = {"source": str(vae), "variant": "fp16"}
    return Catalog.model_validate(entries)


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    picture = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(picture).ellipse((60, 60, 200, 200), outline="black", width=8)
    file = tmp_path_factory.mktemp("drawings") / "drawing.png"
    picture.save(file)
    return file


def test_they_are_whole(large: Catalog) -> None:
    for place, checkpoint in large.checkpoints():
        require_whole(place, checkpoint)


@pytest.mark.parametrize("kind", ["sketch", "imagine", "animate"])
def test_they_paint_what_they_paint(
    kind: str, safe: Catalog, large: Catalog, drawing: Path
) -> None:
    requests: dict[str, Request] = {
        "sketch": SketchRequest(drawing=drawing, seed=5),
        "imagine": ImagineRequest(prompt="a red star, isn't it?", seed=5),
        "animate": AnimateRequest(image=drawing, seed=5),
    }
    made = []
    for each in (safe, large):
        runner = Runner(each.model_copy(update={"metadata": False}), "cpu")
        [[artifact]] = runner.run([requests[kind]], RunContext())
        made.append(artifact)
        runner.close()
    assert made[0].facts.get("caption") == made[1].facts.get("caption")
    assert made[0].data == made[1].data


def test_an_autoencoder_with_its_attention_as_it_was_named_at_first(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    AutoencoderKL(block_out_channels=(8,), norm_num_groups=2).save_pretrained(new)
    published.vae(new, old)
    read = [
        Loader(torch.device("cpu"))
        .load(AutoencoderKL, "sketch.vae", Checkpoint(source=str(folder)), "float32")
        .state_dict()
        for folder in (new, old)
    ]
    assert list(read[0]) == list(read[1])
    assert all(map(torch.equal, read[0].values(), read[1].values()))
