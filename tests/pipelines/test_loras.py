"""LoRAs by name, beside the real pipelines: in, swapped, and out again."""

import io
import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pipelines import adapting, imagine, loras, sketch
from pipelines.adapting import REMEMBERED, Adapters, read_changes
from pipelines.catalog import Catalog, ModelKey, Style
from pipelines.contract.context import Phase, Progress, RunContext
from pipelines.contract.errors import BadInput, ModelUnavailable
from pipelines.contract.requests import ImagineRequest, Request, SketchRequest
from pipelines.fitting import modules_of, stream, streamable
from pipelines.loading import Loader
from pipelines.loras import Lora
from pipelines.models import Models
from pipelines.plan import PAINTER, Card
from pipelines.runner import LOADERS, Runner
from pipelines.weights import Weights
from tests.pipelines.adapters import imagine_lora, sketch_lora
from tests.pipelines.painting import PROMPT, painted
from tests.tensors import SD3_LAYER, SDXL_LAYER, lora, of_names

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    for seed, name in enumerate(("ink", "gold")):
        sketch_lora(models, folder / "sketch" / f"{name}.safetensors", seed)
        imagine_lora(models, folder / "imagine" / f"{name}.safetensors", seed)
    return folder


@pytest.fixture
def offering(catalog: Catalog, folder: Path, tmp_path: Path) -> Catalog:
    """A catalogue with a folder of LoRAs of its own."""
    shutil.copytree(folder, tmp_path / "loras")
    return catalog.model_copy(update={"loras": tmp_path / "loras"})


def asked(kind: str, drawing: Path, lora: str | None = None) -> Request:
    if kind == "sketch":
        return SketchRequest(drawing=drawing, prompt="a heart", lora=lora, seed=1)
    return ImagineRequest(prompt=PROMPT, lora=lora, seed=1)


def made(runner: Runner, request: Request) -> bytes:
    ((artifact,),) = runner.run([request], RunContext())
    assert artifact.facts.get("lora") == getattr(request, "lora", None)
    return Image.open(io.BytesIO(artifact.data)).tobytes()


@pytest.mark.parametrize("kind", ["sketch", "imagine"])
def test_a_lora_changes_the_picture_and_leaves_nothing_behind(
    kind: str, offering: Catalog, drawing: Path
) -> None:
    runner = Runner(offering, device="cpu")
    plain = made(runner, asked(kind, drawing))
    ink, gold = (made(runner, asked(kind, drawing, name)) for name in ("ink", "gold"))
    assert len({plain, ink, gold}) == 3
    assert made(runner, asked(kind, drawing)) == plain
    assert made(runner, asked(kind, drawing, "ink")) == ink  # swapped back


@pytest.mark.parametrize("kind", ["sketch", "imagine"])
def test_it_computes_what_diffusers_does(
    kind: str, offering: Catalog, drawing: Path, folder: Path
) -> None:
    ours, theirs = (pipeline_of(offering, kind) for _ in range(2))
    file = folder / kind / "ink.safetensors"
    with beside(ours, file):
        here = painted(ours)
    theirs.load_lora_weights(str(file.parent), weight_name=file.name, local_files_only=True)
    assert np.array_equal(here, painted(theirs))


@pytest.mark.parametrize("kind", ["sketch", "imagine"])
def test_it_works_while_the_network_is_streamed(kind: str, offering: Catalog, folder: Path) -> None:
    pipeline = pipeline_of(offering, kind)
    plain = painted(pipeline)
    with beside(pipeline, folder / kind / "ink.safetensors"):
        whole = painted(pipeline)
    stream(streamable(modules_of(pipeline, PAINTER)), CPU)
    with beside(pipeline, folder / kind / "ink.safetensors"):
        streamed = painted(pipeline)
    assert np.abs(streamed - whole).max() < 1e-5 < np.abs(whole - plain).max()
    assert np.abs(painted(pipeline) - plain).max() < 1e-5


def test_compiled_blocks_run_as_they_are_meanwhile(offering: Catalog, folder: Path) -> None:
    pipeline = pipeline_of(offering, "imagine")
    with beside(pipeline, folder / "imagine" / "ink.safetensors"):
        uncompiled = painted(pipeline)
    for block in pipeline.transformer.transformer_blocks:
        block.compile(backend="eager")
    plain = painted(pipeline)
    with beside(pipeline, folder / "imagine" / "ink.safetensors"):
        assert np.array_equal(painted(pipeline), uncompiled)
    assert np.array_equal(painted(pipeline), plain)
    assert not np.array_equal(plain, uncompiled)


@pytest.mark.parametrize("precision", ["fp8", "nf4"])
def test_it_works_on_weights_that_are_kept_in_less(
    offering: Catalog, drawing: Path, precision: str
) -> None:
    assert offering.imagine is not None
    less = offering.imagine.model_copy(update={"precision": precision})
    runner = Runner(offering.model_copy(update={"imagine": less}), device="cpu")
    plain, ink, again = (
        made(runner, asked("imagine", drawing, name)) for name in (None, "ink", None)
    )
    assert plain == again != ink


def test_a_style_may_be_a_look_from_a_lora(offering: Catalog, drawing: Path) -> None:
    styles = {"inky": Style(lora="ink")}
    runner = Runner(offering.model_copy(update={"styles": styles}), device="cpu")
    request = SketchRequest(drawing=drawing, prompt="a heart", style="inky", seed=1)
    ((styled,),) = runner.run([request], RunContext())
    assert (styled.facts["style"], styled.facts["lora"]) == ("inky", "ink")
    picture = Image.open(io.BytesIO(styled.data))
    assert picture.tobytes() == made(runner, asked("sketch", drawing, "ink"))


def as_kohya_has_it(
    file: Path, *, alpha: float, spelt: Mapping[str, str] | None = None
) -> dict[str, torch.Tensor]:
    """The tensors of a LoRA of SDXL, as kohya's trainer names them; `spelt` names its layers."""
    tensors = {}
    for name, tensor in load_file(file).items():
        layer, _, side = name.removeprefix("unet.").partition(".lora_")
        stem = f"lora_unet_{spelt[layer] if spelt else layer.replace('.', '_')}"
        tensors[f"{stem}.lora_{ {'A': 'down', 'B': 'up'}[side[0]] }.weight"] = tensor
        tensors[f"{stem}.alpha"] = torch.tensor(alpha)
    return tensors


def test_the_format_of_other_trainers_is_read_but_for_its_text_encoders(
    offering: Catalog, drawing: Path
) -> None:
    assert offering.loras is not None
    file = offering.loras / "sketch" / "ink.safetensors"
    runner = Runner(offering, device="cpu")
    before = made(runner, asked("sketch", drawing, "ink"))
    tensors = as_kohya_has_it(file, alpha=4.0)
    text = "lora_te1_text_model_encoder_layers_0_self_attn_q_proj"
    tensors[f"{text}.lora_down.weight"] = torch.ones(4, 8)
    tensors[f"{text}.lora_up.weight"] = torch.ones(8, 4)
    tensors[f"{text}.alpha"] = torch.tensor(4.0)
    save_file(tensors, file.with_stem("other"))
    assert loras.names(offering.loras, ModelKey.SKETCH) == ["gold", "ink", "other"]
    assert made(runner, asked("sketch", drawing, "other")) == before


def test_the_layers_whose_names_trainers_do_not_agree_on_are_read_by_either(
    offering: Catalog, models: Path, tmp_path: Path
) -> None:
    targets = ("add_embedding.linear_1", "add_embedding.linear_2", "mid_block.resnets.0.conv1")
    plain = sketch_lora(models, tmp_path / "plain.safetensors", targets=targets)
    names = {
        "diffusers": [target.replace(".", "_") for target in targets],
        "stability": ["label_emb_0_0", "label_emb_0_2", "middle_block_0_in_layers_2"],
    }
    pipeline = pipeline_of(offering, "sketch")
    wanted = read_changes(pipeline, plain, ModelUnavailable)
    assert set(wanted) == set(targets)
    for spelling, spelt in names.items():
        spelt_so = dict(zip(targets, spelt, strict=True))
        file = tmp_path / "loras" / "sketch" / f"{spelling}.safetensors"
        save_file(as_kohya_has_it(plain, alpha=2.0, spelt=spelt_so), file)
        assert spelling in loras.names(offering.loras, ModelKey.SKETCH)
        read = read_changes(pipeline, file, ModelUnavailable)
        assert read.keys() == wanted.keys()
        for name, change in wanted.items():
            assert torch.allclose(change.of_weights() / 2, read[name].of_weights()), name


@pytest.mark.parametrize("kind", ["sketch", "imagine"])
def test_each_layer_counts_by_its_own_alpha_and_rank(
    kind: str, offering: Catalog, folder: Path, tmp_path: Path
) -> None:
    """As in files whose ranks were reduced, and in those that train convolutions less."""
    plain, scaled = tmp_path / "plain.safetensors", tmp_path / "scaled.safetensors"
    tensors = load_file(folder / kind / "ink.safetensors")
    counted: dict[str, torch.Tensor] = {}
    given: dict[str, torch.Tensor] = {}
    for number, name in enumerate(sorted(n for n in tensors if n.endswith("lora_A.weight"))):
        layer, rank, alpha = name.removesuffix(".lora_A.weight"), 2 + number % 3, 1.0 + number % 4
        down, up = tensors[name][:rank], tensors[f"{layer}.lora_B.weight"][:, :rank]
        counted |= {name: down.clone(), f"{layer}.lora_B.weight": up * alpha / rank}
        if kind == "sketch":
            layer = f"lora_unet_{layer.removeprefix('unet.').replace('.', '_')}"
        sides = ("lora_down", "lora_up") if kind == "sketch" else ("lora_A", "lora_B")
        given |= {f"{layer}.{sides[0]}.weight": down.clone()}
        given |= {f"{layer}.{sides[1]}.weight": up.clone(), f"{layer}.alpha": torch.tensor(alpha)}
    save_file(counted, plain)
    save_file(given, scaled)
    pipeline = pipeline_of(offering, kind)
    one, other = (read_changes(pipeline, file, ModelUnavailable) for file in (plain, scaled))
    assert one.keys() == other.keys()
    for name, change in one.items():
        assert torch.allclose(change.of_weights(), other[name].of_weights(), atol=1e-6), name


# --- the folder ---------------------------------------------------------------------------------


def test_files_come_and_go_without_a_restart(
    offering: Catalog, drawing: Path, folder: Path
) -> None:
    assert offering.loras is not None
    assert all(loras.names(offering.loras, key) == ["gold", "ink"] for key in loras.MODELS)
    here = offering.loras / "imagine"
    runner = Runner(offering, device="cpu")
    ink, gold = (made(runner, asked("imagine", drawing, name)) for name in ("ink", "gold"))
    shutil.copy(here / "ink.safetensors", here / "later.safetensors")
    assert made(runner, asked("imagine", drawing, "later")) == ink
    (here / "gold.safetensors").unlink()
    with pytest.raises(BadInput, match=r"no LoRA “gold” for /imagine.*one of: ink, later\."):
        made(runner, asked("imagine", drawing, "gold"))
    shutil.copy(folder / "imagine" / "gold.safetensors", here / "ink.safetensors")
    os.utime(here / "ink.safetensors", ns=(1, 1))
    assert made(runner, asked("imagine", drawing, "ink")) == gold


def test_only_safetensors_are_offered(tmp_path: Path) -> None:
    here = tmp_path / "sketch"
    (here / "folder.safetensors").mkdir(parents=True)
    for name in ("b.safetensors", "a.safetensors", ".c.safetensors", "d.bin", "e.pt"):
        (here / name).write_bytes(lora())
    assert loras.names(tmp_path, ModelKey.SKETCH) == ["a", "b"]
    assert list(loras.unfit(tmp_path, ModelKey.SKETCH)) == []
    assert loras.ignored(tmp_path, ModelKey.SKETCH) == [".c.safetensors", "d.bin", "e.pt"]
    assert loras.names(tmp_path, ModelKey.IMAGINE) == loras.names(None, ModelKey.SKETCH) == []
    with pytest.raises(BadInput, match="no LoRA “d” for /sketch"):
        loras.find(tmp_path, ModelKey.SKETCH, "d")
    with pytest.raises(BadInput, match="None has been set up"):
        loras.find(None, ModelKey.SKETCH, "a")


def test_what_a_model_cannot_use_is_not_offered_and_its_owner_is_told(tmp_path: Path) -> None:
    whole, kohya = lora(), "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    files = {
        "disguised": pickle.dumps({"unet": 1}),
        "dora": of_names(f"{SDXL_LAYER}.lora_A.weight", f"{SDXL_LAYER}.dora_scale"),
        "empty": b"",
        "flux": lora("lora_unet_double_blocks_0_img_attn_proj"),
        "half": whole[:-1],
        "ink": whole,
        "kohya": of_names(f"{kohya}.lora_down.weight", f"{kohya}.alpha", width=2048),
        "old": of_names(f"{kohya}.lora_down.weight", width=768),
        "sd3": lora(SD3_LAYER),
        "text": b"nothing of the kind",
    }
    for key in loras.MODELS:
        (tmp_path / key).mkdir()
        for name, data in files.items():
            (tmp_path / key / f"{name}.safetensors").write_bytes(data)
    assert loras.names(tmp_path, ModelKey.SKETCH) == ["ink", "kohya"]
    assert loras.names(tmp_path, ModelKey.IMAGINE) == ["sd3"]
    unfit = {each.name: each for each in loras.unfit(tmp_path, ModelKey.SKETCH)}
    assert set(unfit) == set(files) - {"ink", "kohya"}
    damaged = {name for name, each in unfit.items() if each.is_damaged}
    assert damaged == {"disguised", "empty", "half", "text"}
    here = tmp_path / "sketch"
    assert unfit["half"].why == (
        f"{here}/half.safetensors cannot be read: it is cut short, or no safetensors file. Copy "
        "it there again, or delete it. Members are not offered it."
    )
    assert f"is for /imagine. Move it to {tmp_path}/imagine." in unfit["sd3"].why
    assert "is a DoRA, which is not supported" in unfit["dora"].why
    assert all("is for another model" in unfit[name].why for name in ("flux", "old"))


@pytest.mark.parametrize(
    "strange",
    ["hada_w1_a", "lokr_w1", "diff", "oft_blocks", "a1.weight", "lora_mid.weight", "w_norm"],
)
def test_what_is_no_plain_lora_is_not_offered(strange: str, tmp_path: Path) -> None:
    """The kinds of LyCORIS, alone and beside a LoRA of other layers."""
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    plain = [f"{layer}.{end}" for end in ("alpha", "lora_down.weight", "lora_up.weight")]
    (tmp_path / "sketch").mkdir()
    for name, names in {
        "plain": [*plain, "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha"],
        "alone": [f"{layer}.alpha", f"{layer}.{strange}"],
        "beside": [*plain, f"{layer}_.{strange}"],
    }.items():
        (tmp_path / "sketch" / f"{name}.safetensors").write_bytes(of_names(*names))
    assert loras.names(tmp_path, ModelKey.SKETCH) == ["plain"]
    for each in loras.unfit(tmp_path, ModelKey.SKETCH):
        assert f"{strange} shows: LoHa, LoKr and their like are not supported" in each.why


def test_a_format_that_is_not_read_is_not_said_to_be_another_model_for_sure(tmp_path: Path) -> None:
    (tmp_path / "imagine").mkdir()
    names = ("base_model.model.transformer_blocks.0.attn.to_q", "lora_unet_joint_blocks_0_x_block")
    for number, layer in enumerate(names):
        file = tmp_path / "imagine" / f"{number}.safetensors"
        file.write_bytes(lora(layer))
    for each in loras.unfit(tmp_path, ModelKey.IMAGINE):
        assert "or in another format than diffusers'" in each.why


def test_flux_calls_its_layers_as_sd3_does(tmp_path: Path) -> None:
    (tmp_path / "imagine").mkdir()
    single = "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight"
    data = of_names(f"{SD3_LAYER}.lora_A.weight", single)
    (tmp_path / "imagine" / "flux.safetensors").write_bytes(data)
    [flux] = loras.unfit(tmp_path, ModelKey.IMAGINE)
    assert "is for another model" in flux.why


def test_a_file_is_offered_when_it_has_come_whole(tmp_path: Path) -> None:
    (tmp_path / "sketch").mkdir()
    file = tmp_path / "sketch" / "ink.safetensors"
    file.write_bytes(lora()[:40])
    assert loras.names(tmp_path, ModelKey.SKETCH) == []
    file.write_bytes(lora())
    assert loras.names(tmp_path, ModelKey.SKETCH) == ["ink"]


@pytest.mark.parametrize("name", ["../a", "a/b", "a\\b", "", "x" * 101])
def test_a_name_is_a_name(name: str) -> None:
    with pytest.raises(BadInput, match="by its name alone"):
        ImagineRequest(prompt=PROMPT, lora=name, seed=1)


# --- files that cannot serve --------------------------------------------------------------------


def test_what_cannot_serve_is_said_and_the_next_job_is_as_ever(
    offering: Catalog, drawing: Path, folder: Path
) -> None:
    assert offering.loras is not None
    here = offering.loras / "imagine"
    whole = (here / "ink.safetensors").read_bytes()
    (here / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    (here / "text.safetensors").write_bytes(b"nothing of the kind")
    shutil.copy(folder / "sketch" / "ink.safetensors", here / "other.safetensors")
    runner = Runner(offering, device="cpu")
    plain, ink = (made(runner, asked("imagine", drawing, name)) for name in (None, "ink"))
    for name, says in (
        ("half", "“half” cannot be read"),
        ("text", "“text” cannot be read"),
        ("other", r"“other” does not fit this model.*replace other\.safetensors"),
    ):
        with pytest.raises(ModelUnavailable, match=says):
            made(runner, asked("imagine", drawing, name))
        assert made(runner, asked("imagine", drawing)) == plain
    assert made(runner, asked("imagine", drawing, "ink")) == ink


@pytest.mark.filterwarnings("ignore:`lora_bias=True`")  # which peft says of a bias
@pytest.mark.parametrize(
    "another", ["shapes", "layers", "kind", "names", "a bias", "no numbers", "no alpha"]
)
def test_a_lora_for_another_sdxl_or_of_another_kind_is_refused(
    another: str, offering: Catalog, drawing: Path
) -> None:
    assert offering.loras is not None
    file = offering.loras / "sketch" / "ink.safetensors"
    tensors = load_file(file)
    first = next(name for name in tensors if "lora_A" in name)
    if another == "shapes":
        tensors[first] = torch.ones(3, 3)
    elif another == "kind":
        tensors[first.replace("lora_A.weight", "dora_scale")] = torch.ones(3)
    elif another == "names":  # as peft calls them in a network
        tensors = {name.replace(".weight", ".default.weight"): t for name, t in tensors.items()}
    elif another == "a bias":  # of one layer, where peft makes one for each
        up = first.replace("lora_A", "lora_B")
        tensors[up.replace("weight", "bias")] = torch.ones(len(tensors[up]))
    elif another == "no numbers":
        tensors[first][0, 0] = torch.nan
    elif another == "no alpha":
        tensors[first.replace("lora_A.weight", "alpha")] = torch.tensor(torch.inf)
    else:
        for name in (first, first.replace("lora_A", "lora_B")):
            tensors[name.replace("unet.", "unet.nowhere.")] = tensors[name].clone()
    save_file(tensors, file)
    with pytest.raises(ModelUnavailable, match="“ink” does not fit this model"):
        made(Runner(offering, device="cpu"), asked("sketch", drawing, "ink"))


@pytest.mark.parametrize("ran_out", [RuntimeError("can't allocate memory"), MemoryError()])
def test_where_memory_runs_out_while_it_is_read_the_file_is_not_to_blame(
    ran_out: Exception, offering: Catalog, drawing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hollow, failures = adapting._without_weights, iter([ran_out])

    def once(denoiser: Any) -> Any:
        for failure in failures:
            raise failure
        return hollow(denoiser)

    monkeypatch.setattr(adapting, "_without_weights", once)
    runner = Runner(offering, device="cpu")
    ink = made(runner, asked("imagine", drawing, "ink"))  # at the second try
    assert next(failures, None) is None
    assert made(runner, asked("imagine", drawing, "ink")) == ink


# --- what it costs ------------------------------------------------------------------------------


def test_the_last_few_are_remembered(offering: Catalog, drawing: Path) -> None:
    assert offering.loras is not None
    here = offering.loras / "imagine"
    for number in range(REMEMBERED):
        shutil.copy(here / "ink.safetensors", here / f"{number}.safetensors")
    runner = Runner(offering, device="cpu")
    made(runner, asked("imagine", drawing))

    def reads(name: str) -> bool:
        seen: list[Progress] = []
        context = RunContext(on_progress=seen.append)
        runner.run([asked("imagine", drawing, name)], context)
        return Progress(Phase.LOADING) in seen

    assert [reads("gold"), reads("gold")] == [True, False]
    assert all(reads(str(number)) for number in range(REMEMBERED))
    assert reads("gold")


@pytest.mark.parametrize(
    ("share", "free", "stay"),
    [
        (1, 2, [1, 2, 2]),
        (1, 1, [1, 2, 1]),
        (1, 0, [1, 2, 0]),
        (0, 2, [1, 1, 0]),  # the one at work stays in any case
    ],
)
def test_they_take_a_small_share_of_ram_and_none_that_models_need(
    share: float, free: int, stay: list[int], offering: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first, after another, and after another model was read."""
    monkeypatch.setattr("pipelines.models._FOR_LORAS", share)
    plans = Models(offering, Card("cpu"), Loader(CPU), LOADERS).plans
    needed = sum(plans[key].in_ram for key in (ModelKey.IMAGINE, ModelKey.CAPTION))
    pipeline = pipeline_of(offering, "imagine")
    adapters = Adapters(CPU)
    file = loras.find(offering.loras, ModelKey.IMAGINE, "ink")
    with adapters.beside(pipeline, file, on_read=lambda: None, make_room=lambda _: None):
        (adapter,) = adapters._known.values()
    ram = needed + (free + 0.5) * adapter.weights.in_ram
    models = Models(offering, Card("cpu", ram=ram), Loader(CPU), LOADERS)
    counted = []
    for name in ("ink", "gold"):
        with models.use(ModelKey.IMAGINE, lora=models.lora(ModelKey.IMAGINE, name)):
            counted.append(len(models._adapters._known))
    with models.use(ModelKey.CAPTION):
        counted.append(len(models._adapters._known))
        assert models.resident() == {"caption", "imagine"}
    assert counted == stay


def test_room_is_made_for_it_and_it_is_there_for_the_run_only(
    offering: Catalog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int]] = []
    for name in ("move_in", "move_out"):
        monkeypatch.setattr(Weights, name, lambda self, name=name: told.append((name, self.size)))
    file = folder / "imagine" / "ink.safetensors"
    adapters, lora = Adapters(CPU), Lora("ink", file, 0)
    pipeline = pipeline_of(offering, "imagine")
    make_room: Callable[[int], None] = lambda size: told.append(("room", size))  # noqa: E731
    with adapters.beside(pipeline, lora, on_read=lambda: None, make_room=make_room):
        told.append(("run", told[-1][1]))
    assert [name for name, _ in told] == ["room", "move_in", "run", "move_out"]
    (size,) = {size for _, size in told}
    assert size >= sum(tensor.numel() for tensor in load_file(file).values()) * 4


# --- helpers ------------------------------------------------------------------------------------


def pipeline_of(catalog: Catalog, kind: str) -> Any:
    if kind == "sketch":
        assert catalog.sketch is not None
        plain = catalog.sketch.model_copy(update={"conditioner": None})
        pipeline = sketch.load(plain, Loader(CPU))
    else:
        assert catalog.imagine is not None
        pipeline = imagine.load(catalog.imagine, Loader(CPU))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def beside(pipeline: Any, file: Path) -> AbstractContextManager[None]:
    lora = Lora(file.stem, file, 0)
    return Adapters(CPU).beside(pipeline, lora, on_read=lambda: None, make_room=lambda size: None)
