"""What is wrong with a checkpoint comes to light when it is read, and is never made up."""

import json
import re
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.catalog import Catalog, Checkpoint, ModelKey, SafetyModel, SketchModel
from pipelines.checkpoints import require_whole
from pipelines.contract.errors import ModelUnavailable
from pipelines.loading import Loader
from pipelines.runner import LOADERS

CPU = Loader(torch.device("cpu"))
Harm = Callable[[dict[str, Tensor], str], None]


def drop(weights: dict[str, Tensor], name: str) -> None:
    del weights[name]


def cut(weights: dict[str, Tensor], name: str) -> None:
    weights[name] = weights[name][:1].clone()


@pytest.mark.parametrize("harm", [drop, cut])
@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("caption", "model"),
        ("safety", "model"),
        ("upscale", "model"),
        ("sketch", "unet/diffusion_pytorch_model"),
        ("sketch", "text_encoder_2/model"),
        ("sketch.conditioner", "diffusion_pytorch_model"),
        ("imagine", "text_encoder_3/model"),
        ("imagine", "vae/diffusion_pytorch_model"),
        ("animate", "image_encoder/model"),
    ],
)
def test_weights_that_lack_or_do_not_fit_are_named(
    place: str, file: str, harm: Harm, catalog: Catalog, models: Path, tmp_path: Path
) -> None:
    classifier = SafetyModel(source=str(models / "classifier"))
    catalog = catalog.model_copy(update={"safety": classifier})
    whole = dict(catalog.checkpoints())[place]
    folder = tmp_path / "model"
    shutil.copytree(whole.source, folder)
    weights = load_file(folder / f"{file}.safetensors")
    name = max(weights, key=lambda name: (weights[name].dim(), weights[name].numel()))
    harm(weights, name)
    save_file(weights, folder / f"{file}.safetensors", {"format": "pt"})
    key, _, part = place.partition(".")
    model = getattr(catalog, key)
    here = (model if not part else whole).model_copy(update={"source": str(folder)})
    require_whole(place, here)  # each file is whole in itself
    model = here if not part else model.model_copy(update={part: here})
    with pytest.raises(ModelUnavailable) as raised:
        LOADERS[ModelKey(key)](model, CPU)
    assert f"models.{place}: {folder} " in raised.value.sentence
    assert name.rpartition(".")[0].rpartition(".")[2] in raised.value.sentence
    assert raised.value.sentence.endswith(f" Correct models.{place}.source.")


@pytest.mark.parametrize(
    ("place", "file", "settings", "said"),
    [
        ("caption", "config.json", {"projection_dim": []}, "Field 'projection_dim'"),
        ("caption", "generation_config.json", [], "generation_config.json is cut short or damaged"),
        ("caption", "tokenizer_config.json", {"bos_token": {}}, "Special token bos_token"),
        ("caption", "tokenizer.json", {"version": 1}, "expected a string"),
        ("safety", "config.json", {"id2label": ["nsfw"]}, "cannot be loaded"),
        ("safety", "config.json", {"hidden_size": -1}, "cannot be loaded"),
        ("imagine", "scheduler/scheduler_config.json", {"shift": "x"}, "TypeError"),
        ("animate", "unet/config.json", {"out_channels": {}}, "unet/config.json is cut short"),
        ("sketch", "model_index.json", {"unet": ["diffusers", 3]}, "model_index.json is cut short"),
        ("sketch", "model_index.json", {"vae": [["diffusers"], "AutoencoderKL"]}, "model_index"),
    ],
)
def test_settings_of_another_kind_are_of_the_checkpoint_and_it_is_named(
    place: str,
    file: str,
    settings: list[object] | dict[str, object],
    said: str,
    catalog: Catalog,
    models: Path,
    tmp_path: Path,
) -> None:
    classifier = SafetyModel(source=str(models / "classifier"))
    catalog = catalog.model_copy(update={"safety": classifier})
    folder = tmp_path / "model"
    shutil.copytree(dict(catalog.checkpoints())[place].source, folder)
    if isinstance(settings, dict):
        settings = json.loads((folder / file).read_text()) | settings
    (folder / file).write_text(json.dumps(settings))
    model = getattr(catalog, place).model_copy(update={"source": str(folder)})
    with pytest.raises(ModelUnavailable) as raised:
        LOADERS[ModelKey(place)](model, CPU)
    assert raised.value.sentence.startswith(f"models.{place}: {folder} ")
    assert said in raised.value.sentence


@pytest.mark.skipif(find_spec("torchsde") is not None, reason="what is to lack is installed")
def test_what_a_sampler_needs_and_is_not_here_is_named(models: Path, tmp_path: Path) -> None:
    folder, sampler = tmp_path / "finetune", "DPMSolverSDEScheduler"
    shutil.copytree(models / "sdxl", folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", sampler]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelUnavailable) as raised:
        LOADERS[ModelKey.SKETCH](SketchModel(source=str(folder)), CPU)
    assert f"cannot be loaded: {sampler} requires the torchsde library" in raised.value.sentence
    assert raised.value.sentence.endswith(" Install that, or correct models.sketch.source.")


def test_what_cannot_be_built_leaves_torch_its_default_type(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "vae"
    shutil.copytree(models / "sdxl" / "vae", folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "norm_num_groups": 7}))
    before = torch.get_default_dtype()
    with pytest.raises(ModelUnavailable, match="must be divisible by num_groups"):
        Loader(torch.device("cuda")).load(
            AutoencoderKL, "sketch.vae", Checkpoint(source=str(folder)), "float16"
        )
    assert torch.get_default_dtype() is before


@pytest.mark.parametrize(
    "opens", ["safetensors.torch.load_file", "transformers.modeling_utils.safe_open"]
)
@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Cannot allocate memory (os error 12)"),
        OSError("The paging file is too small for this operation to complete. (os error 1455)"),
    ],
)
def test_where_memory_runs_out_the_checkpoint_is_not_to_blame(
    opens: str, error: Exception, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(opens, refuse)
    with pytest.raises(type(error), match=re.escape(str(error))):
        LOADERS[ModelKey.IMAGINE](catalog.imagine, CPU)
