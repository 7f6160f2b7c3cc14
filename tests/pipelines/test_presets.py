"""Presets for few steps do as many steps as they say, without guidance where they say so."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import diffusers
import numpy as np
import pytest
import torch

from pipelines import presets, sketch
from pipelines.adapting import fuse
from pipelines.catalog import Catalog, ImagineModel, ModelKey, SketchModel
from pipelines.checkpoints import weigh, weight_files
from pipelines.contract.errors import ModelMissing, ModelUnavailable
from pipelines.contract.requests import ImagineRequest, SketchRequest
from pipelines.loading import Loader
from tests.pipelines.adapters import ATTENTION, sketch_lora
from tests.pipelines.painting import made

CPU = Loader(torch.device("cpu"))
REQUEST = ImagineRequest(prompt="a red star", negative="dark", seed=1)


@pytest.fixture(scope="module")
def folder(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA under the names that the presets have for theirs."""
    folder = tmp_path_factory.mktemp("presets")
    made = sketch_lora(models, folder / "made.safetensors", targets=(*ATTENTION, "conv1"))
    for preset in presets.SKETCH.values():
        shutil.copy(made, folder / str(preset.file))
    return folder


@pytest.fixture(scope="module")
def drawn(drawing: Path) -> SketchRequest:
    return SketchRequest(drawing=drawing, prompt="a heart", seed=1)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, int]]:
    """How often each network that paints was called with so many rows at once."""
    counter: Counter[tuple[str, int]] = Counter()
    for network in (diffusers.UNet2DConditionModel, diffusers.SD3Transformer2DModel):

        def forward(
            self: Any, sample: Any = None, *args: Any, whole: Any = network.forward, **kwargs: Any
        ) -> Any:
            given = kwargs.get("hidden_states", sample)
            counter[type(self).__name__, len(given)] += 1
            return whole(self, **kwargs) if sample is None else whole(self, sample, *args, **kwargs)

        monkeypatch.setattr(network, "forward", forward)
    return counter


def quick(catalog: Catalog, folder: Path, preset: str, **changes: object) -> Catalog:
    """The catalogue with a preset for SDXL."""
    assert catalog.sketch is not None
    given = catalog.sketch.model_dump(exclude={"steps", "guidance", "preset", "preset_lora"})
    given |= {"preset": preset, "preset_lora": {"source": str(folder)}, **changes}
    return catalog.model_copy(update={"sketch": SketchModel.model_validate(given)})


@pytest.mark.parametrize(
    ("preset", "steps", "at_once"),
    [("lightning-4", 4, 1), ("lightning-8", 8, 1), ("hyper-8", 8, 2)],
)
def test_a_sketch_in_few_steps(
    preset: str,
    steps: int,
    at_once: int,
    catalog: Catalog,
    folder: Path,
    drawn: SketchRequest,
    rows: Counter[tuple[str, int]],
) -> None:
    picture = made(quick(catalog, folder, preset), drawn)
    assert rows == {("UNet2DConditionModel", at_once): steps}
    assert (picture.facts["preset"], picture.facts["steps"]) == (preset, steps)
    assert "preset" not in made(catalog, drawn).facts


def test_an_imagination_in_few_steps(
    models: Path, catalog: Catalog, rows: Counter[tuple[str, int]]
) -> None:
    turbo = ImagineModel.model_validate(
        {"source": f"{models}/sd3", "preset": "turbo", "size": 256, "text_tokens": 32}
    )
    picture = made(catalog.model_copy(update={"imagine": turbo}), REQUEST)
    assert rows == {("SD3Transformer2DModel", 1): 4}
    assert (picture.facts["preset"], picture.facts["steps"]) == ("turbo", 4)


def test_steps_that_are_given_win(
    catalog: Catalog, folder: Path, drawn: SketchRequest, rows: Counter[tuple[str, int]]
) -> None:
    made(quick(catalog, folder, "lightning-4", steps=3, guidance=2.0), drawn)
    assert rows == {("UNet2DConditionModel", 2): 3}


@pytest.mark.parametrize("preset", presets.SKETCH)
def test_the_sampler_is_what_the_preset_says(preset: str, catalog: Catalog, folder: Path) -> None:
    model = quick(catalog, folder, preset).sketch
    assert model is not None
    assert catalog.sketch is not None
    before = sketch.load(catalog.sketch, CPU).scheduler.config
    scheduler = sketch.load(model, CPU).scheduler
    assert type(scheduler).__name__ == presets.SKETCH[preset].sampler
    assert scheduler.config.timestep_spacing == "trailing"
    assert scheduler.config.prediction_type == before.prediction_type


@pytest.mark.parametrize("preset", presets.SKETCH)
def test_its_timesteps_are_its_own_also_on_a_finetune_that_has_others(
    preset: str, catalog: Catalog, models: Path, folder: Path, tmp_path: Path
) -> None:
    finetune = tmp_path / "finetune"
    shutil.copytree(models / "sdxl", finetune)
    sampler = "DPMSolverMultistepScheduler"
    settings: dict[str, dict[str, object]] = {
        "model_index.json": {"scheduler": ["diffusers", sampler]},
        "scheduler/scheduler_config.json": {"_class_name": sampler, "use_karras_sigmas": True},
    }
    for name, changes in settings.items():
        file = finetune / name
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    model = quick(catalog, folder, preset, source=str(finetune)).sketch
    assert model is not None
    scheduler = sketch.load(model, CPU).scheduler
    scheduler.set_timesteps(model.steps)
    apart = 1000 // model.steps
    assert scheduler.timesteps.tolist() == [1000 - apart * i - 1 for i in range(model.steps)]


def test_its_lora_becomes_part_of_the_weights_as_in_diffusers(
    catalog: Catalog, folder: Path
) -> None:
    assert catalog.sketch is not None
    ours, theirs = (sketch.load(catalog.sketch, CPU) for _ in range(2))
    plain = {name: tensor.clone() for name, tensor in ours.unet.state_dict().items()}
    fuse(ours, folder / "made.safetensors", ModelUnavailable)
    theirs.load_lora_weights(str(folder), weight_name="made.safetensors", local_files_only=True)
    theirs.fuse_lora()
    theirs.unload_lora_weights()
    expected = theirs.unet.state_dict()
    fused = ours.unet.state_dict()
    assert fused.keys() == expected.keys()
    assert max((fused[n] - expected[n]).abs().max() for n in fused) < 1e-6
    changed = {name for name in fused if not torch.equal(fused[name], plain[name])}
    assert any("conv1" in name for name in changed) and any("to_q" in name for name in changed)
    assert np.mean([name in changed for name in fused]) < 0.5


def test_it_is_read_ahead_and_takes_no_room_of_its_own(catalog: Catalog, folder: Path) -> None:
    assert catalog.sketch is not None
    model = quick(catalog, folder, "hyper-8").sketch
    assert model is not None
    assert model.preset_lora is not None
    [file] = weight_files("sketch.preset_lora", model.preset_lora, None)
    assert file.name == presets.SKETCH["hyper-8"].file
    assert weigh(ModelKey.SKETCH, model) == weigh(ModelKey.SKETCH, catalog.sketch)


def test_a_lora_that_is_not_there_or_damaged(
    catalog: Catalog, folder: Path, drawn: SketchRequest, tmp_path: Path
) -> None:
    with pytest.raises(ModelMissing, match=r"models\.sketch\.preset_lora: the folder .* does not"):
        made(quick(catalog, tmp_path, "hyper-8"), drawn)
    (tmp_path / str(presets.SKETCH["hyper-8"].file)).write_bytes(b"nothing of the kind")
    with pytest.raises(ModelUnavailable, match=r"Hyper-.* is cut short or damaged\. Copy it there"):
        made(quick(catalog, tmp_path, "hyper-8"), drawn)


def test_every_name_is_known() -> None:
    assert set(get_args(presets.SketchPreset)) == set(presets.SKETCH)
    assert set(get_args(presets.ImaginePreset)) == set(presets.IMAGINE)
