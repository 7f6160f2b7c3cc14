"""How much work a request is: calls of networks and bytes moved, for which no clock is needed."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from demo.sample import draw_sample
from pipelines.catalog import Catalog, ModelKey
from pipelines.checkpoints import weigh
from pipelines.contract.context import RunContext
from pipelines.contract.requests import (
    AnimateRequest,
    DescribeRequest,
    ImagineRequest,
    Request,
    SketchRequest,
    UpscaleRequest,
)
from pipelines.placement import plan_model
from pipelines.plan import GIB, PAINTER, Card
from pipelines.runner import Runner
from pipelines.weights import Weights
from tests.pipelines.catalogs import changed, conditioner_of


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each group of weights that was moved to where it computes, in their order."""
    sizes: list[int] = []
    whole = Weights.move_in

    def move_in(weights: Weights) -> None:
        sizes.append(weights.size)
        whole(weights)

    monkeypatch.setattr(Weights, "move_in", move_in)
    return sizes


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("drawings")
    paths = [folder / f"{side}.png" for side in (256, 300, 340)]
    for path in paths:
        draw_sample(int(path.stem)).save(path)
    return paths


def run(runner: Runner, request: Request, *coming: Request) -> None:
    runner.run([request], RunContext(coming=coming))


@pytest.mark.parametrize("kind", ["t2i-adapter", "controlnet", None])
def test_between_two_pictures_nobody_looks_through_the_layers_of_what_paints(
    kind: str | None,
    catalog: Catalog,
    models: Path,
    drawings: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full-size one has 2,000, and the card waits meanwhile."""
    steering = kind and conditioner_of(models, kind)
    runner = Runner(changed(catalog, sketch={"conditioner": steering}), device="cpu")
    requests = (
        SketchRequest(drawing=drawings[0], prompt="a heart", seed=1),
        ImagineRequest(prompt="a heart", seed=1),
        AnimateRequest(image=drawings[0], seed=1),
    )
    wanted = requests if kind == "t2i-adapter" else requests[:1]
    for request in wanted:
        run(runner, request)
    walked: list[str] = []
    walk = nn.Module.named_modules

    def watched(
        module: nn.Module, memo: Any = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Any:
        if not prefix:
            walked.append(type(module).__name__)
        return walk(module, memo, prefix, remove_duplicate)

    monkeypatch.setattr(nn.Module, "named_modules", watched)
    for request in wanted:
        run(runner, request)
    assert "AutoencoderKL" in walked  # small, and asked for its type
    assert not [name for name in walked if name.endswith(("ConditionModel", "Transformer2DModel"))]


READING = {"CLIPTextModelWithProjection": 1}  # once: no negative prompt is not read at all


def test_a_sketch(catalog: Catalog, drawings: list[Path], calls: Counter[str]) -> None:
    runner = Runner(catalog, device="cpu")
    run(runner, SketchRequest(drawing=drawings[0], prompt="a heart", seed=1))
    painting = {"UNet2DConditionModel": 4, "T2IAdapter": 1, "AutoencoderKL": 1}
    assert calls == {"BlipVisionModel": 1, **READING, **painting}
    calls.clear()
    run(runner, SketchRequest(drawing=drawings[0], prompt="a heart", seed=2))
    assert calls == painting
    calls.clear()
    run(runner, SketchRequest(drawing=drawings[0], prompt="a star", seed=2))
    assert calls == READING | painting


def test_a_reviewed_sketch(catalog: Catalog, drawings: list[Path], calls: Counter[str]) -> None:
    review = SketchRequest(drawing=drawings[0], prompt="a heart", review=True, seed=1)
    ((seen,),) = Runner(catalog, device="cpu").run([review], RunContext())
    assert calls == {"BlipVisionModel": 1}
    calls.clear()
    caption = str(seen.facts["caption"])
    later = Runner(catalog, device="cpu")
    run(later, SketchRequest(drawing=drawings[0], prompt="a heart", caption=caption, seed=1))
    assert not calls["BlipVisionModel"] and calls["AutoencoderKL"] == 1


def test_an_imagination(catalog: Catalog, calls: Counter[str]) -> None:
    runner = Runner(catalog, device="cpu")
    run(runner, ImagineRequest(prompt="a red heart", count=3, seed=1))
    reading = {"CLIPTextModelWithProjection": 4, "T5EncoderModel": 2}
    assert calls == reading | {"SD3Transformer2DModel": 3 * 4, "AutoencoderKL": 3}
    calls.clear()
    run(runner, ImagineRequest(prompt="a red heart", seed=5))
    assert calls == {"SD3Transformer2DModel": 4, "AutoencoderKL": 1}


def test_an_animation(catalog: Catalog, drawings: list[Path], calls: Counter[str]) -> None:
    runner = Runner(catalog, device="cpu")
    run(runner, AnimateRequest(image=drawings[0], seed=1))
    assert calls == {
        "CLIPVisionModelWithProjection": 1,
        "UNetSpatioTemporalConditionModel": 3,
        "AutoencoderKLTemporalDecoder": 2,  # four frames, two at a time
    }


@pytest.mark.parametrize(("scale", "tile", "parts"), [(2, 64, 9), (4, 64, 9), (4, 128, 1)])
def test_an_upscale(
    catalog: Catalog, tmp_path: Path, calls: Counter[str], scale: int, tile: int, parts: int
) -> None:
    assert catalog.upscale is not None
    model = catalog.upscale.model_copy(update={"tile": tile})
    draw_sample(100).save(tmp_path / "heart.png")
    runner = Runner(catalog.model_copy(update={"upscale": model}), device="cpu")
    run(runner, UpscaleRequest(image=tmp_path / "heart.png", scale=scale))
    assert calls == {"Swin2SRForImageSuperResolution": parts}


def test_what_waits_is_read_on_the_way(
    catalog: Catalog, drawings: list[Path], calls: Counter[str]
) -> None:
    runner = Runner(catalog, device="cpu")
    sketches = [SketchRequest(drawing=path, prompt="a heart", seed=1) for path in drawings]
    painted = ImagineRequest(prompt="a red heart", negative="dots", seed=1)
    moving = AnimateRequest(prompt="a blue moon", seed=1)
    described = DescribeRequest(image=drawings[0])
    gone = SketchRequest(drawing=drawings[0].with_name("gone.png"), seed=1)
    run(runner, sketches[0], painted, *sketches[1:], described, moving, gone)
    run(runner, ImagineRequest(prompt="a star", seed=1), painted, moving, *sketches[1:])
    calls.clear()
    again: list[Request] = [*sketches, described, painted, moving]
    for request in again:
        run(runner, request)
    assert not {"BlipVisionModel", *READING, "T5EncoderModel"} & set(calls)


def test_a_job_that_comes_and_cannot_be_read_harms_nobody(
    catalog: Catalog, drawings: list[Path], tmp_path: Path, calls: Counter[str]
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing of the kind")
    runner = Runner(catalog, device="cpu")
    own = SketchRequest(drawing=drawings[0], seed=1)
    run(runner, own, SketchRequest(drawing=bad, seed=1), own)
    assert calls["BlipVisionModel"] == 1


def test_a_job_that_comes_with_a_style_that_is_gone_harms_nobody(
    catalog: Catalog, drawings: list[Path], calls: Counter[str]
) -> None:
    runner = Runner(catalog, device="cpu")
    gone = SketchRequest(drawing=drawings[1], style="cubist", seed=1)
    run(runner, SketchRequest(drawing=drawings[0], seed=1), gone)
    assert calls["UNet2DConditionModel"] == 4


def test_on_a_roomy_card_each_weight_is_moved_once(
    catalog: Catalog, drawings: list[Path], moved: list[int]
) -> None:
    runner = Runner(catalog, device="cpu")
    for seed in range(2):
        run(runner, SketchRequest(drawing=drawings[0], seed=seed))
        run(runner, ImagineRequest(prompt=f"heart {seed}", seed=seed))
        run(runner, AnimateRequest(image=drawings[0], seed=seed))
    # a captioner, SDXL's and SD3.5's encoders and painters, the video model
    assert len(moved) == 6


def test_on_a_card_for_the_painter_alone_only_its_encoders_come_and_go(
    catalog: Catalog, moved: list[int]
) -> None:
    assert catalog.imagine is not None
    weights = weigh(ModelKey.IMAGINE, catalog.imagine)
    plan = plan_model(ModelKey.IMAGINE, catalog.imagine, Card("cpu"), weights)
    runner = Runner(catalog, device="cpu", vram_gib=plan.groups[PAINTER].peak / GIB)
    coming = [ImagineRequest(prompt=f"heart {seed}", seed=seed) for seed in range(3)]
    for at, request in enumerate(coming):
        run(runner, request, *coming[at + 1 :])
    encoders, painter = moved  # and never again: all prompts were read on the first way
    assert encoders < painter
    run(runner, ImagineRequest(prompt="a moon", seed=1))
    assert moved[2:] == [encoders]
