import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.catalog import (
    AnimateModel,
    CaptionModel,
    Catalog,
    Checkpoint,
    Conditioner,
    ImagineModel,
    SafetyModel,
    SketchModel,
    UpscaleModel,
)
from pipelines.checkpoints import (
    count_parameters,
    damaged_files,
    locate,
    needed_files,
    require_whole,
)
from pipelines.contract.errors import ModelMissing, ModelUnavailable, UnsafeModel
from pipelines.layout import gated
from tests.strangers import locked, visible_folder

FETCH = "python -m bot fetch"
HEAVY = {"torch", "diffusers", "transformers", "accelerate"}
REPLACEABLE = {  # what these classes can do without, or have another file for
    "README.md",
    "generation_config.json",
    "tokenizer_config.json",
    "stamp",
}


def test_every_model_is_found(catalog: Catalog) -> None:
    for place, checkpoint in catalog.checkpoints():
        assert locate(place, checkpoint) == Path(checkpoint.source)


@pytest.mark.parametrize(
    ("name", "checkpoint"),
    [
        ("blip", CaptionModel(source=".")),
        ("sdxl", SketchModel(source=".")),
        ("sdxl-adapter", Conditioner(source=".", type="t2i-adapter")),
        ("sd3", ImagineModel(source=".")),
        ("svd", AnimateModel(source=".")),
        ("upscaler", UpscaleModel(source=".")),
    ],
)
def test_half_a_download_is_named_by_the_file_that_lacks(
    name: str, checkpoint: Checkpoint, models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / name
    shutil.copytree(models / name, folder)
    checkpoint = checkpoint.model_copy(update={"source": str(folder)})
    locate("here", checkpoint)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if file.name in REPLACEABLE:
            continue
        aside = file.rename(tmp_path / "aside")
        with pytest.raises(ModelMissing) as raised:
            locate("here", checkpoint)
        named = file.relative_to(folder).as_posix()
        if named != "processor_config.json":  # which older checkpoints call otherwise
            assert named in raised.value.sentence
        assert FETCH in raised.value.sentence
        aside.rename(file)


@pytest.mark.parametrize("inside", [False, True])
def test_a_checkpoint_in_one_file_is_to_be_converted(inside: bool, tmp_path: Path) -> None:
    file = tmp_path / "dream.safetensors"
    file.write_bytes(b"")
    with pytest.raises(ModelUnavailable) as raised:
        locate("sketch", SketchModel(source=str(tmp_path if inside else file)))
    sentence = raised.value.sentence
    assert "is one file (dream.safetensors), where a folder" in sentence
    assert f"StableDiffusionXLPipeline.from_single_file('{file}').save_pretrained(" in sentence
    assert sentence.endswith("Correct models.sketch.source.")


def test_a_missing_repository_is_to_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing) as raised:
        locate("imagine", ImagineModel(source="acme/painter"), tmp_path)
    assert raised.value.sentence == (
        f"models.imagine: acme/painter is not on this machine. Run `{FETCH}`."
    )


def cached(cache: Path, model: Path, name: str, commit: str = "c0ffee") -> Path:
    """`model` as the Hub's cache would hold it. Returns the snapshot."""
    entry = cache / f"models--{name.replace('/', '--')}"
    snapshot = entry / "snapshots" / commit
    shutil.copytree(model, snapshot)
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text(commit)
    return snapshot


def test_a_fetched_repository_is_found_by_branch_and_by_commit(
    models: Path, tmp_path: Path
) -> None:
    snapshot = cached(tmp_path, models / "sd3", "acme/painter")
    for revision in (None, "main", "c0ffee"):
        model = ImagineModel(source="acme/painter", revision=revision)
        assert locate("imagine", model, tmp_path) == snapshot
    with pytest.raises(ModelMissing):
        locate("imagine", ImagineModel(source="acme/painter", revision="v2"), tmp_path)


def test_a_link_whose_target_is_gone_is_missing(models: Path, tmp_path: Path) -> None:
    snapshot = cached(tmp_path, models / "sdxl" / "vae", "acme/vae")
    weights = snapshot / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    weights.symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(ModelMissing, match=r"diffusion_pytorch_model\.safetensors is missing"):
        locate("sketch.vae", Checkpoint(source="acme/vae"), tmp_path)


def test_a_part_may_be_a_link_to_a_folder(models: Path, tmp_path: Path) -> None:
    """As where several checkpoints share a text encoder."""
    folder, shared = tmp_path / "sd3", tmp_path / "t5"
    shutil.copytree(models / "sd3", folder)
    (folder / "text_encoder_3").rename(shared)
    (folder / "text_encoder_3").symlink_to(shared)
    model = ImagineModel(source=str(folder))
    assert require_whole("imagine", model) == folder
    assert count_parameters("imagine", model)["text_encoder_3"] > 0


def test_pickled_weights_are_refused(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sdxl"
    shutil.copytree(models / "sdxl", folder)
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_suffix(".bin"))
    with pytest.raises(UnsafeModel) as raised:
        locate("sketch", SketchModel(source=str(folder)))
    assert "unet/diffusion_pytorch_model.bin" in raised.value.sentence
    assert "models.sketch" in raised.value.sentence
    assert FETCH in raised.value.sentence


def test_code_of_its_own_is_refused(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sd3"
    shutil.copytree(models / "sd3", folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["transformer"] = ["my_transformer", "MyTransformer"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UnsafeModel, match="code of its own for its transformer"):
        locate("imagine", ImagineModel(source=str(folder)))


def test_another_kind_of_pipeline_is_refused(models: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"holds StableDiffusion3Pipeline.*models\.sketch"):
        locate("sketch", SketchModel(source=str(models / "sd3")))


@pytest.mark.parametrize(
    ("name", "place", "checkpoint", "found", "needed", "key"),
    [
        ("blip", "safety", SafetyModel(source="."), "Blip", "ViTForImage", "source"),
        ("classifier", "caption", CaptionModel(source="."), "ViT", "BlipForCond", "source"),
        ("blip", "upscale", UpscaleModel(source="."), "Blip", "Swin2SRForImage", "source"),
        (
            "sdxl/vae",
            "sketch.preview",
            Checkpoint(source="."),
            "AutoencoderKL",
            "AutoencoderTiny",
            "source",
        ),
        (
            "preview",
            "sketch.vae",
            Checkpoint(source="."),
            "AutoencoderTiny",
            "AutoencoderKL",
            "source",
        ),
        (
            "sdxl-adapter",
            "sketch.conditioner",
            Conditioner(source=".", type="controlnet"),
            "T2IAdapter",
            "ControlNetModel",
            "type",
        ),
        (
            "sdxl/unet",
            "sketch.conditioner",
            Conditioner(source=".", type="t2i-adapter"),
            "UNet2DConditionModel",
            "T2IAdapter",
            "source",
        ),
    ],
)
def test_a_model_of_another_class_is_refused(
    name: str, place: str, checkpoint: Checkpoint, found: str, needed: str, key: str, models: Path
) -> None:
    checkpoint = checkpoint.model_copy(update={"source": str(models / name)})
    with pytest.raises(
        ModelUnavailable, match=rf"{found}.* where {needed}.*models\.{place}\.{key}"
    ):
        locate(place, checkpoint)


@pytest.mark.parametrize(
    ("name", "place", "kind", "part", "takes", "needed"),
    [
        ("sdxl", "sketch", SketchModel, "unet", 33, "StableDiffusionXLPipeline (16)"),
        ("sd3", "imagine", ImagineModel, "transformer", 33, "StableDiffusion3Pipeline (16)"),
        ("svd", "animate", AnimateModel, "unet", 16, "StableVideoDiffusionPipeline (32)"),
    ],
)
def test_a_pipeline_for_another_task_is_refused(
    name: str,
    place: str,
    kind: type[SketchModel | ImagineModel | AnimateModel],
    part: str,
    takes: int,
    needed: str,
    models: Path,
    tmp_path: Path,
) -> None:
    """As SDXL's for inpainting is, whose UNet is given the picture and its mask as well."""
    folder = tmp_path / name
    shutil.copytree(models / name, folder)
    model = kind(source=str(folder))
    assert locate(place, model) == folder
    settings = json.loads((folder / part / "config.json").read_text())
    settings["in_channels"] = takes
    (folder / part / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelUnavailable) as raised:
        locate(place, model)
    said = raised.value.sentence
    assert f"({part}.in_channels = {takes}), where {needed} is needed." in said
    assert said.endswith(f"Correct models.{place}.source.")


def test_the_refiner_of_sdxl_is_refused_before_it_is_fetched() -> None:
    index = {
        **SDXL_INDEX,
        "_class_name": "StableDiffusionXLImg2ImgPipeline",
        "text_encoder": [None, None],
    }
    with pytest.raises(ModelUnavailable) as raised:
        needed_files("sketch", SketchModel(source="acme/refiner"), SDXL_NAMES, index)
    assert raised.value.sentence == (
        "models.sketch: acme/refiner holds StableDiffusionXLImg2ImgPipeline "
        "(text_encoder = null), where StableDiffusionXLPipeline is needed. "
        "Correct models.sketch.source."
    )


def test_an_older_model_does_not_say_its_class(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "classifier"
    shutil.copytree(models / "classifier", folder)
    settings = json.loads((folder / "config.json").read_text())
    del settings["architectures"]
    (folder / "config.json").write_text(json.dumps(settings))
    assert locate("safety", SafetyModel(source=str(folder))) == folder


def test_a_variant_that_is_not_there_is_refused(models: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"no variant 'fp16'.*models\.imagine\.variant"):
        locate("imagine", ImagineModel(source=str(models / "sd3"), variant="fp16"))


@pytest.mark.parametrize("source", ["not a repository", "a/b/c", "--"])
def test_what_is_neither_a_folder_nor_a_repository(source: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"models\.caption\.source"):
        locate("caption", CaptionModel(source=source), tmp_path)


def test_an_index_that_cannot_be_read(models: Path, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "Stable')
    with pytest.raises(ModelUnavailable, match=r"model_index\.json is cut short or damaged"):
        locate("imagine", ImagineModel(source=str(tmp_path)))


def test_a_gated_repository_says_how_it_is_opened() -> None:
    sentence = gated("imagine", ImagineModel(source="acme/painter")).sentence
    for part in ("models.imagine", "https://huggingface.co/acme/painter", "hf auth login", FETCH):
        assert part in sentence


# --- what is damaged ----------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["nothing", "half", "garbage", "more"])
@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ],
)
def test_a_damaged_file_is_named(name: str, harm: str, models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sd3"
    shutil.copytree(models / "sd3", folder)
    model = ImagineModel(source=str(folder))
    assert require_whole("imagine", model) == folder
    whole = (folder / name).read_bytes()
    harmed = {
        "nothing": b"",
        "half": whole[: len(whole) // 2],
        "garbage": b"\xff\x80" * 5000,
        "more": whole + b"}",
    }
    (folder / name).write_bytes(harmed[harm])
    with pytest.raises(ModelUnavailable) as raised:
        require_whole("imagine", model)
    assert raised.value.sentence == (
        f"models.imagine: {folder} is not whole: {name} is cut short or damaged. Copy it there "
        "again."
    )
    assert damaged_files("imagine", model) == [folder / name]


def test_a_damaged_file_of_a_repository_is_fetched(models: Path, tmp_path: Path) -> None:
    snapshot = cached(tmp_path, models / "blip", "acme/blip")
    (snapshot / "model.safetensors").write_bytes(b"a pickle")
    with pytest.raises(ModelUnavailable) as raised:
        require_whole("caption", CaptionModel(source="acme/blip"), tmp_path)
    assert raised.value.sentence == (
        "models.caption: acme/blip is not whole: model.safetensors is cut short or damaged. Run "
        f"`{FETCH}`, which downloads it again."
    )


@pytest.mark.parametrize(
    "hidden", ["", "model_index.json", "unet", "unet/diffusion_pytorch_model.safetensors"]
)
def test_what_may_not_be_read_is_neither_missing_nor_damaged(hidden: str, models: Path) -> None:
    with visible_folder() as folder:
        shutil.copytree(models / "sdxl", folder / "sdxl")
        _open_to_all(folder)
        checkpoint = SketchModel(source=str(folder / "sdxl"))
        require_whole("sketch", checkpoint)
        for look in (require_whole, damaged_files, count_parameters):
            with (
                locked(folder / "sdxl" / hidden),
                pytest.raises(ModelUnavailable, match="may not be read") as raised,
            ):
                look("sketch", checkpoint)
            assert not isinstance(raised.value, ModelMissing)
            assert str(folder / "sdxl" / hidden) in raised.value.sentence


def test_a_cache_that_may_not_be_read_is_not_fetched_again() -> None:
    with visible_folder() as folder:
        (folder / "hub" / "below").mkdir(parents=True)
        for cache in (folder / "hub", folder / "hub" / "below"):
            with (
                locked(folder / "hub"),
                pytest.raises(ModelUnavailable, match=f"{cache} may not be read") as raised,
            ):
                locate("imagine", ImagineModel(source="acme/painter"), cache)
            assert FETCH not in raised.value.sentence


def _open_to_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_every_model_is_whole(catalog: Catalog) -> None:
    for place, checkpoint in catalog.checkpoints():
        assert require_whole(place, checkpoint) == Path(checkpoint.source)


# --- what is fetched ----------------------------------------------------------------------------


def files(*texts: str) -> set[str]:
    """File names, a folder's as `folder/{a,b}`."""
    names = set()
    for text in texts:
        folder, _, inside = text.partition("{")
        names |= {folder + name for name in inside.rstrip("}").split(",")} if inside else {text}
    return names


SDXL_INDEX = {
    "_class_name": "StableDiffusionXLPipeline",
    "force_zeros_for_empty_prompt": True,
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
SDXL_NAMES = files(
    "README.md",
    "model_index.json",
    "sd_xl_base_1.0.safetensors",
    "scheduler/scheduler_config.json",
    "text_encoder/{config.json,model.fp16.safetensors,model.safetensors,openvino_model.bin}",
    "text_encoder_2/{config.json,model.fp16.safetensors,model.safetensors}",
    "tokenizer/{merges.txt,vocab.json,tokenizer_config.json,special_tokens_map.json}",
    "unet/{config.json,diffusion_pytorch_model.fp16.safetensors,model.onnx}",
    "unet/{diffusion_pytorch_model.safetensors,openvino_model.xml}",
    "vae/{config.json,diffusion_pytorch_model.fp16.safetensors,diffusion_pytorch_model.safetensors}",
    "vae_1_0/{config.json,diffusion_pytorch_model.safetensors}",
)
SDXL_TEXTS = files(
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder_2/config.json",
    "tokenizer/{merges.txt,vocab.json,tokenizer_config.json,special_tokens_map.json}",
    "unet/config.json",
)


def test_of_a_variant_only_its_weights_and_no_part_that_is_replaced() -> None:
    vae = Checkpoint(source="acme/vae")
    model = SketchModel(source="acme/sdxl", variant="fp16", vae=vae)
    assert set(needed_files("sketch", model, SDXL_NAMES, SDXL_INDEX)) == SDXL_TEXTS | files(
        "text_encoder/model.fp16.safetensors",
        "text_encoder_2/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
    )


def test_without_a_variant_the_plain_weights() -> None:
    model = SketchModel(source="acme/sdxl")
    assert set(needed_files("sketch", model, SDXL_NAMES, SDXL_INDEX)) == SDXL_TEXTS | files(
        "text_encoder/model.safetensors",
        "text_encoder_2/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/{config.json,diffusion_pytorch_model.safetensors}",
    )


def test_a_part_without_the_variant_gives_its_plain_weights() -> None:
    names = SDXL_NAMES - {"vae/diffusion_pytorch_model.fp16.safetensors"}
    model = SketchModel(source="acme/sdxl", variant="fp16")
    needed = needed_files("sketch", model, names, SDXL_INDEX)
    assert "vae/diffusion_pytorch_model.safetensors" in needed
    assert "unet/diffusion_pytorch_model.safetensors" not in needed


def test_a_variant_that_is_only_pickled_is_said_to_be_in_no_format_that_is_read() -> None:
    names = {name.replace(".fp16.safetensors", ".fp16.bin") for name in SDXL_NAMES}
    with pytest.raises(ModelUnavailable) as raised:
        needed_files("sketch", SketchModel(source="acme/sdxl", variant="fp16"), names, SDXL_INDEX)
    assert raised.value.sentence == (
        "models.sketch: acme/sdxl has no variant 'fp16' in the safetensors format. Correct "
        "models.sketch.variant."
    )


@pytest.mark.parametrize("plain", [set(), files("unet/diffusion_pytorch_model.bin")])
@pytest.mark.parametrize(
    "weights",
    [
        {"unet/diffusion_pytorch_model.fp16.safetensors"},
        {"unet/diffusion_pytorch_model-00001-of-00001.fp16.safetensors"},
        {"unet/diffusion_pytorch_model.fp16-00001-of-00001.safetensors"},
    ],
)
def test_a_variant_that_is_all_there_is_is_named(weights: set[str], plain: set[str]) -> None:
    names = {n for n in SDXL_NAMES if not n.startswith("unet/diffusion")} | weights | plain
    with pytest.raises(ModelUnavailable) as raised:
        needed_files("sketch", SketchModel(source="acme/sdxl"), names, SDXL_INDEX)
    assert raised.value.sentence == (
        "models.sketch: acme/sdxl has the weights of unet/diffusion_pytorch_model only in a "
        'variant. Set models.sketch.variant to "fp16".'
    )


SD3_INDEX = {
    "_class_name": "StableDiffusion3Pipeline",
    "feature_extractor": [None, None],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_3": ["transformers", "T5EncoderModel"],
    "tokenizer_3": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "SD3Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
SD3_WEIGHTS = files(
    "text_encoder/model.safetensors",
    "text_encoder_2/model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder_3/{model-00001-of-00002.safetensors,model-00002-of-00002.safetensors}",
    "text_encoder_3/model.safetensors.index.json",
    "transformer/{diffusion_pytorch_model-00001-of-00002.safetensors}",
    "transformer/{diffusion_pytorch_model-00002-of-00002.safetensors}",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
)
SD3_TEXTS = files(
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder_2/config.json",
    "text_encoder_3/config.json",
    "vae/config.json",
    "tokenizer_3/{spiece.model,tokenizer.json,tokenizer_config.json}",
    "transformer/config.json",
)
SD3_OTHERS = files(
    "sd3.5_large.safetensors",
    "SD3.5L_example_workflow.json",
    "text_encoder_3/{model.fp16-00001-of-00002.safetensors,model.fp16-00002-of-00002.safetensors}",
    "text_encoders/{clip_g.safetensors,t5xxl_fp16.safetensors}",
)


def test_of_shards_all_and_of_other_formats_none() -> None:
    needed = needed_files(
        "imagine",
        ImagineModel(source="acme/sd3"),
        SD3_TEXTS | SD3_WEIGHTS | SD3_OTHERS,
        SD3_INDEX,
    )
    assert set(needed) == SD3_TEXTS | SD3_WEIGHTS


def test_of_whole_weights_no_list_of_shards() -> None:
    """It may be left from before, and diffusers would ask for the shards."""
    whole = files(
        "text_encoder/model.safetensors",
        "text_encoder_2/model.safetensors",
        "text_encoder_3/model.safetensors",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    )
    lists = files(
        "text_encoder_3/{model.safetensors.index.fp16.json,pytorch_model.bin.index.json}",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
    )
    model = ImagineModel(source="acme/sd3")
    needed = needed_files("imagine", model, SD3_TEXTS | whole | lists, SD3_INDEX)
    assert set(needed) == SD3_TEXTS | whole


@pytest.mark.parametrize(
    "lacking",
    [
        "transformer/config.json",
        "tokenizer_3/tokenizer.json",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
    ],
)
def test_what_a_repository_lacks_is_not_to_be_fetched(lacking: str) -> None:
    names = (SD3_TEXTS | SD3_WEIGHTS) - {lacking, "tokenizer_3/spiece.model"}
    with pytest.raises(ModelUnavailable) as raised:
        needed_files("imagine", ImagineModel(source="acme/sd3"), names, SD3_INDEX)
    assert raised.value.sentence == (
        f"models.imagine: acme/sd3 has no file {lacking}. Correct models.imagine.source."
    )


def test_a_vocabulary_of_pairs_needs_the_pairs() -> None:
    names = SDXL_NAMES - {"tokenizer/merges.txt"}
    with pytest.raises(ModelUnavailable, match=r"has no file tokenizer/merges\.txt"):
        needed_files("sketch", SketchModel(source="acme/sdxl"), names, SDXL_INDEX)
    whole = names | {"tokenizer/tokenizer.json"}
    assert needed_files("sketch", SketchModel(source="acme/sdxl"), whole, SDXL_INDEX)


@pytest.mark.parametrize("lacking", sorted(SD3_WEIGHTS))
def test_a_shard_or_its_index_that_lacks_is_named(lacking: str, tmp_path: Path) -> None:
    for name in (SD3_TEXTS | SD3_WEIGHTS) - {lacking}:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(SD3_INDEX))
    with pytest.raises(ModelMissing, match=lacking):
        locate("imagine", ImagineModel(source=str(tmp_path)))


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("fp16", "diffusion_pytorch_model.fp16.safetensors"),
        (None, "diffusion_pytorch_model.safetensors"),
    ],
)
def test_of_a_single_model_its_settings_and_one_file_of_weights(
    variant: str | None, expected: str
) -> None:
    names = files(
        "README.md",
        "config.json",
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.bin",
    )
    adapter = Conditioner(source="acme/adapter", type="t2i-adapter", variant=variant)
    needed = needed_files("sketch.conditioner", adapter, names, {})
    assert needed == ["config.json", expected]


# --- what they stand on -------------------------------------------------------------------------


def test_what_the_bot_imports_of_the_pipelines_brings_no_torch() -> None:
    modules = (
        "catalog",
        "checkpoints",
        "contract.runner",
        "media",
        "drawing",
        "driver",
        "loras",
        "placement",
    )
    imports = "; ".join(f"import pipelines.{module}" for module in modules)
    code = f"import sys; {imports}; sys.exit(', '.join({HEAVY} & set(sys.modules)) or 0)"
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
