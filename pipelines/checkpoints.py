"""Where a checkpoint's files are, which of them are needed, and whether they may be loaded.

`fetch`, `doctor` and the loader all ask here, so they cannot disagree. No torch. A `place` is a
checkpoint's place in the configuration, as `Catalog.checkpoints` yields it: `sketch.vae`.
"""

import functools
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from pipelines.catalog import (
    PREVIEW,
    AnimateModel,
    CaptionModel,
    Checkpoint,
    Conditioner,
    ImagineModel,
    LoraFile,
    ModelKey,
    SafetyModel,
    SketchModel,
    UpscaleModel,
)
from pipelines.contract.errors import ModelGated, ModelMissing, ModelUnavailable, UnsafeModel
from pipelines.contract.text import Text
from pipelines.estimates import VAE_CAST
from pipelines.headers import NotWhole, read_shapes
from pipelines.visible import require_visible

_INDEX = "model_index.json"
Settings = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")


def _explained(
    look: Callable[Concatenate[str, Checkpoint, P], T],
) -> Callable[Concatenate[str, Checkpoint, P], T]:
    """What may not be read of a checkpoint is neither missing nor damaged, and is named."""

    @functools.wraps(look)
    def looked(place: str, checkpoint: Checkpoint, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return look(place, checkpoint, *args, **kwargs)
        except PermissionError as error:
            why = Text(
                "cannot be used: {file} may not be read by the user that the bot runs as. Give "
                "that user the right to read it.",
                file=str(error.filename),
            )
            raise unusable(place, checkpoint, why) from None

    return looked


@_explained
def locate(place: str, checkpoint: Checkpoint, models_folder: Path | None = None) -> Path:
    """The folder that holds a checkpoint, complete and safe to load.

    `models_folder` is a Hugging Face cache; without it, the user's own. Raises ModelMissing,
    UnsafeModel, or ModelUnavailable where the folder cannot serve for another reason.
    """
    source = _Source(place, checkpoint)
    folder = _folder(source, models_folder)
    names = set(_files(folder))
    parts = _parts(source, _read_first(source, folder))
    for part in parts:
        _check_settings(source, part, names)
        _check_weights(source, part, names)
    _check_variant(source, parts, names)
    _check_task(source, folder)
    _check_labels(source, folder)
    return folder


def require_whole(place: str, checkpoint: Checkpoint, models_folder: Path | None = None) -> Path:
    """As `locate`, and look into the files: a damaged one raises ModelUnavailable with its name."""
    folder = locate(place, checkpoint, models_folder)
    if damaged := damaged_files(place, checkpoint, models_folder):
        name = damaged[0].relative_to(folder).as_posix()
        raise _Source(place, checkpoint).damaged(name)
    return folder


@_explained
def damaged_files(
    place: str, checkpoint: Checkpoint, models_folder: Path | None = None
) -> list[Path]:
    """The files of a checkpoint that are there, and cut short or otherwise unreadable.

    Only headers are read of weights. Raises as `locate` does, but for files that are missing.
    """
    source = _Source(place, checkpoint)
    folder = _folder(source, models_folder)
    first = folder / first_file(checkpoint)
    if not _is_whole(first):
        return [first]
    names = set(_files(folder))
    return [
        folder / name
        for part in _parts(source, _read_first(source, folder))
        for name in _read_of(part, names, checkpoint.variant)
        if name in names and not _is_whole(folder / name)
    ]


def needed_files(
    place: str, checkpoint: Checkpoint, names: Collection[str], first: Settings
) -> list[str]:
    """Which files of a repository the loader reads, and `fetch` therefore downloads.

    `names` are the repository's files; `first` is what its `first_file` says, nothing for a
    LoRA's. Raises as `locate` does when the repository cannot serve.
    """
    source = _Source(place, checkpoint, on_hub=True)
    parts = _parts(source, first)
    needed = {first_file(checkpoint)}
    if isinstance(checkpoint, LoraFile) and not needed <= set(names):
        raise source.missing(checkpoint.file)
    for part in parts:
        _check_settings(source, part, names)
        _check_weights(source, part, names)
        needed.update(_weights(part, names, checkpoint.variant))
        needed.update(n for n in names if part.holds(n) and _is_text(n))
    _check_variant(source, parts, names)
    return sorted(needed & set(names))


def first_file(checkpoint: Checkpoint) -> str:
    """The file to read first: the list of a pipeline's parts, a single model's settings, or all
    that there is."""
    if isinstance(checkpoint, LoraFile):
        return checkpoint.file
    return _INDEX if type(checkpoint) in _FAMILIES else "config.json"


def gated(place: str, checkpoint: Checkpoint) -> ModelGated:
    """The Hub refuses a checkpoint until its licence is accepted."""
    return ModelGated(
        "models.{place}: {source} is gated. Accept its licence at https://huggingface.co/{source}, "
        "log in with `hf auth login` or set HF_TOKEN, then run `python -m bot fetch`.",
        place=place,
        source=checkpoint.source,
    )


def unusable(place: str, checkpoint: Checkpoint, why: str | Text) -> ModelUnavailable:
    """A checkpoint is there and cannot serve; `why` goes on from its name and says what to do."""
    return ModelUnavailable(
        "models.{place}: {source} {why}", place=place, source=checkpoint.source, why=why
    )


def require_labels(model: SafetyModel, labels: Collection[str]) -> None:
    """Raise ModelUnavailable unless a classifier with `labels`, in lower case, has the wanted."""
    if strange := [label for label in model.labels if label.casefold() not in labels]:
        raise unusable(
            str(ModelKey.SAFETY),
            model,
            Text(
                "has no label '{label}'; it has {labels}. Correct models.safety.labels.",
                label=strange[0],
                labels=", ".join(labels),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Source:
    """A checkpoint and its place, and what can be wrong with it.

    `on_hub`: it is the repository that is looked at, and not what is here of it.
    """

    place: str
    checkpoint: Checkpoint
    on_hub: bool = False

    def missing(self, file: str = "") -> ModelUnavailable:
        if self.on_hub:  # to fetch it again would not help
            key = "file" if isinstance(self.checkpoint, LoraFile) else "source"
            return self.unusable(Text("has no file {file}.", file=file), key)
        lacks = Text(" ({file} is missing)", file=file) if file else ""
        if self.checkpoint.is_folder:
            return ModelMissing(
                "models.{place}: the folder {source} does not hold the model{lacks}. Copy the "
                "whole checkpoint there, or name a Hub repository and run `python -m bot fetch`.",
                **self._named(),
                lacks=lacks,
            )
        return ModelMissing(
            "models.{place}: {source} is not on this machine{lacks}. Run `python -m bot fetch`.",
            **self._named(),
            lacks=lacks,
        )

    def unsafe(self, why: Text) -> UnsafeModel:
        return UnsafeModel(
            "models.{place}: {source} {why}, which is never run. Choose a checkpoint in the "
            "safetensors format, then run `python -m bot fetch`.",
            **self._named(),
            why=why,
        )

    def damaged(self, file: str) -> ModelUnavailable:
        if self.checkpoint.is_folder:
            why = Text(
                "is not whole: {file} is cut short or damaged. Copy it there again.", file=file
            )
        else:
            why = Text(
                "is not whole: {file} is cut short or damaged. Run `python -m bot fetch`, which "
                "downloads it again.",
                file=file,
            )
        return unusable(self.place, self.checkpoint, why)

    def single_file(self, file: Path) -> ModelUnavailable:
        why = Text(
            "is one file ({file}), where a folder in the format of diffusers is needed. Make one "
            "in Python with `{call}`.",
            file=file.name,
            call=f"diffusers.StableDiffusionXLPipeline.from_single_file({str(file)!r})"
            ".save_pretrained('FOLDER')",
        )
        return self.unusable(why)

    def other(self, found: str, needed: str, key: str = "source") -> ModelUnavailable:
        why = Text("holds {found}, where {needed} is needed.", found=found, needed=needed)
        return self.unusable(why, key)

    def unusable(self, why: Text, key: str = "source") -> ModelUnavailable:
        mend = Text("{why} Correct {setting}.", why=why, setting=f"models.{self.place}.{key}")
        return unusable(self.place, self.checkpoint, mend)

    def _named(self) -> dict[str, str]:
        return {"place": self.place, "source": self.checkpoint.source}


# --- how large it is -------------------------------------------------------------------------


def weigh(
    key: ModelKey, model: Checkpoint, models_folder: Path | None = None
) -> dict[str, int] | None:
    """The bytes that each part of a model takes in its type, or None where it is not there.

    With VAE_CAST, where its autoencoder is cast to decode. Raises ModelUnavailable for what is
    there and cannot serve.
    """
    counts: dict[str, int] = {}
    for part, checkpoint in [("", model), *model.parts()]:
        if isinstance(checkpoint, LoraFile):
            continue  # it becomes part of the weights that are there
        place = f"{key}.{part}" if part else str(key)
        try:
            found = count_parameters(place, checkpoint, models_folder)
        except ModelUnavailable as error:
            if part == PREVIEW:
                continue  # the model does without it
            if isinstance(error, ModelMissing):
                return None
            raise
        counts |= {part: sum(found.values())} if part else found
    size = 4 if getattr(model, "dtype", "") == "float32" else 2
    sizes = {part: size * count for part, count in counts.items()}
    if isinstance(model, SketchModel) and model.dtype == "float16":
        of = (f"{key}.vae", model.vae) if model.vae else (str(key), model)
        if _is_cast(*of, models_folder):
            sizes[VAE_CAST] = 4 * counts["vae"]
    return sizes


@_explained
def _is_cast(place: str, checkpoint: Checkpoint, models_folder: Path | None) -> bool:
    """Whether diffusers casts an autoencoder in float16 to decode: unless that says it need not."""
    folder = locate(place, checkpoint, models_folder)
    if isinstance(checkpoint, SketchModel):
        folder /= "vae"
    return bool((_read_settings(folder / "config.json") or {}).get("force_upcast", True))


def check_preview(
    key: ModelKey, model: SketchModel | ImagineModel, models_folder: Path | None = None
) -> None:
    """Raise ModelUnavailable where a model's preview does not decode what it paints in."""
    preview = model.preview
    if preview is None:
        return
    place = f"{key}.{PREVIEW}"
    decodes = _setting(locate(place, preview, models_folder) / "config.json", "latent_channels")
    folder = locate(key, model, models_folder) / _DENOISERS[type(model)]
    paints = _setting(folder / "config.json", "in_channels")
    if decodes != paints:
        raise _Source(place, preview).unusable(
            Text(
                "decodes latents of {decodes} channels, and {model} paints in {paints}.",
                decodes=decodes or 0,
                model=f"models.{key}",
                paints=paints or 0,
            )
        )


def _setting(file: Path, name: str) -> int | None:
    """The number that a file of settings has for one of them, if it can be read."""
    number: int | None = (_read_settings(file) or {}).get(name)
    return number


def _read_settings(file: Path) -> Settings | None:
    """What a file of settings holds, if it can be read."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None


def _is_whole(file: Path) -> bool:
    """Whether a file can be read, as far as its kind tells."""
    if file.suffix == ".json":
        return _read_settings(file) is not None
    try:
        if file.suffix == ".safetensors":
            read_shapes(file)
        return file.stat().st_size > 0
    except PermissionError:
        raise
    except (NotWhole, OSError):
        return False


@_explained
def count_parameters(
    place: str, checkpoint: Checkpoint, models_folder: Path | None = None
) -> dict[str, int]:
    """The number of parameters of each part that has weights; a single model's part is "model".

    Read from the files' headers, which also tells a file that is not whole. Raises as `locate`
    does, and ModelUnavailable for a damaged file.
    """
    source = _Source(place, checkpoint)
    folder = locate(place, checkpoint, models_folder)
    names = set(_files(folder))
    counts: dict[str, int] = {}
    for part in _parts(source, _read_first(source, folder)):
        for file in _tensors(part, folder, names, checkpoint.variant):
            key = part.folder or "model"
            try:
                shapes = read_shapes(file).values()
            except NotWhole:
                raise source.damaged(file.relative_to(folder).as_posix()) from None
            counts[key] = counts.get(key, 0) + sum(map(math.prod, shapes))
    return counts


@dataclass(frozen=True, slots=True)
class PartOfTransformers:
    """A model in a folder of a pipeline that transformers reads, and the variant that it has."""

    name: str
    class_name: str
    variant: str | None


@_explained
def of_transformers(
    place: str, checkpoint: Checkpoint, models_folder: Path | None = None
) -> list[PartOfTransformers]:
    """The models of a pipeline that are not of diffusers. Raises as `locate` does."""
    source = _Source(place, checkpoint)
    folder = locate(place, checkpoint, models_folder)
    names, first = set(_files(folder)), _read_first(source, folder)
    found = []
    for part in _parts(source, first):
        weights = _weights(part, names, checkpoint.variant)
        library, class_name = first[part.folder]
        if weights and library == "transformers":
            variant = checkpoint.variant if _are_of(checkpoint.variant, weights) else None
            found.append(PartOfTransformers(part.folder, class_name, variant))
    return found


@_explained
def weight_files(place: str, checkpoint: Checkpoint, models_folder: Path | None) -> list[Path]:
    """The files that hold a checkpoint's weights. Raises as `locate` does."""
    source = _Source(place, checkpoint)
    folder = locate(place, checkpoint, models_folder)
    if isinstance(checkpoint, LoraFile):
        return [folder / checkpoint.file]
    names = set(_files(folder))
    return [
        file
        for part in _parts(source, _read_first(source, folder))
        for file in _tensors(part, folder, names, checkpoint.variant)
    ]


# --- what is on disk ----------------------------------------------------------------------------


def _folder(source: _Source, models_folder: Path | None) -> Path:
    checkpoint = source.checkpoint
    first = first_file(checkpoint)
    if checkpoint.is_folder:
        folder = Path(checkpoint.source)
        require_visible(folder)
        if not (folder / first).is_file():
            if isinstance(checkpoint, SketchModel) and (file := _single_file(folder)):
                raise source.single_file(file)
            raise source.missing(first)
        return folder
    require_visible(models_folder or Path(constants.HF_HUB_CACHE))
    try:
        file = try_to_load_from_cache(
            checkpoint.source, first, cache_dir=models_folder, revision=checkpoint.revision
        )
    except HFValidationError:
        raise source.unusable(
            Text("is neither a repository (owner/name) nor a folder (./name, /name, ~/name).")
        ) from None
    if not isinstance(file, str):
        raise source.missing()
    return Path(file).parent


def _single_file(source: Path) -> Path | None:
    """The file that holds a whole checkpoint, where `source` is one or holds one."""
    found = [source] if source.is_file() else sorted(source.glob("*.safetensors"))
    return next((file for file in found if file.suffix == ".safetensors"), None)


def _files(folder: Path) -> Iterator[str]:
    """The files in `folder` and in those in it, named as in a repository: parts have no others.

    Links are what they lead to, as they are to the loader; one to nothing is no file.
    """
    for path in folder.iterdir():
        if path.is_dir():
            require_visible(path)
            yield from (f"{path.name}/{file.name}" for file in path.iterdir() if file.is_file())
        elif path.is_file():
            yield path.name


def _read_first(source: _Source, folder: Path) -> Settings:
    """What `first_file` says; nothing where that is all there is."""
    if isinstance(source.checkpoint, LoraFile):
        return {}
    name = first_file(source.checkpoint)
    if (settings := _read_settings(folder / name)) is None:
        raise source.damaged(name)
    return settings


# --- what a checkpoint is made of ---------------------------------------------------------------

_FAMILIES: dict[type[Checkpoint], str] = {
    SketchModel: "StableDiffusionXL",
    ImagineModel: "StableDiffusion3",
    AnimateModel: "StableVideoDiffusion",
}
_DENOISERS: dict[type[Checkpoint], str] = {
    SketchModel: "unet",
    ImagineModel: "transformer",
    AnimateModel: "unet",
}
_ENCODERS: dict[type[Checkpoint], set[str]] = {
    SketchModel: {"text_encoder", "text_encoder_2"},
    ImagineModel: {"text_encoder", "text_encoder_2"},  # T5 may be left out
    AnimateModel: {"image_encoder"},
}
_CONDITIONERS = {"t2i-adapter": "T2IAdapter", "controlnet": "ControlNetModel"}
_REPLACEMENTS = {"vae": "AutoencoderKL", PREVIEW: "AutoencoderTiny"}
_LIBRARIES = {"diffusers", "transformers"}
_TEXTS = (".json", ".txt", ".model")  # settings, vocabularies, sentencepiece models
_LIST = re.compile(r".*\.index(\.\w+)?\.json")  # of shards
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


@dataclass(frozen=True, slots=True)
class _Part:
    """A folder that the loader reads, "" being the checkpoint itself.

    Of each group in `settings` one file must exist; `stem` is how the names of its weights'
    files begin, or None where it has no weights.
    """

    folder: str
    settings: tuple[tuple[str, ...], ...]
    stem: str | None = None

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def holds(self, path: str) -> bool:
        return path.rpartition("/")[0] == self.folder


_CONFIG = (("config.json",),)
_TOKENIZER = (("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model"),)
_OF_PAIRS = {"tokenizer.json", "vocab.json", "merges.txt"}  # the first alone, or both others
_PROCESSOR = (("preprocessor_config.json", "processor_config.json"),)
_SCHEDULER = (("scheduler_config.json",),)


def _parts(source: _Source, first: Settings) -> list[_Part]:
    checkpoint = source.checkpoint
    if isinstance(checkpoint, LoraFile):
        return []
    if (family := _FAMILIES.get(type(checkpoint))) is None:
        _check_class(source, first)
        return [_single(checkpoint)]
    replaced = {"vae"} if getattr(source.checkpoint, "vae", None) is not None else set()
    _check_family(source, family, first, replaced)
    return [
        _part(source, name, *value)
        for name, value in first.items()
        if isinstance(value, list) and len(value) == 2 and value[0] and name not in replaced
    ]


def _single(checkpoint: Checkpoint) -> _Part:
    """The only part of what is no pipeline."""
    if isinstance(checkpoint, CaptionModel):
        return _Part("", _CONFIG + _PROCESSOR + _TOKENIZER, "model")
    if isinstance(checkpoint, SafetyModel):
        return _Part("", _CONFIG + _PROCESSOR, "model")
    if isinstance(checkpoint, UpscaleModel):
        return _Part("", _CONFIG, "model")
    return _Part("", _CONFIG, "diffusion_pytorch_model")


def _class_of(source: _Source) -> str | None:
    """The class that reads a checkpoint which is no pipeline."""
    match source.checkpoint:
        case CaptionModel():
            return "BlipForConditionalGeneration"
        case SafetyModel():
            return "ViTForImageClassification"
        case UpscaleModel():
            return "Swin2SRForImageSuperResolution"
        case Conditioner(type=kind):
            return _CONDITIONERS[kind]
    return _REPLACEMENTS.get(source.place.rpartition(".")[2])


def _part(source: _Source, name: str, library: str, class_name: str) -> _Part:
    if library not in _LIBRARIES:
        raise source.unsafe(Text("brings code of its own for its {part}", part=name))
    if "Tokenizer" in class_name:
        return _Part(name, _TOKENIZER)
    if class_name.endswith("Scheduler"):
        return _Part(name, _SCHEDULER)
    if "ImageProcessor" in class_name or class_name.endswith("FeatureExtractor"):
        return _Part(name, _PROCESSOR)
    return _Part(name, _CONFIG, "model" if library == "transformers" else "diffusion_pytorch_model")


def _weights(part: _Part, names: Collection[str], variant: str | None) -> list[str]:
    """The files of a part's weights, every shard named whether it is there or not.

    As in diffusers, a part that lacks the variant gives its plain weights. Empty: no weights.
    """
    if part.stem is None:
        return []
    stem = part.path(part.stem)
    for mark in (f".{variant}", "") if variant else ("",):
        if (whole := f"{stem}{mark}.safetensors") in names:
            return [whole]
        for template in (f"{stem}{mark}-{{}}.safetensors", f"{stem}-{{}}{mark}.safetensors"):
            if shards := _shards(template, names):
                return [*shards, f"{stem}.safetensors.index{mark}.json"]
    return []


def _variants(part: _Part, names: Collection[str]) -> list[str]:
    """In which variants there are weights of a part. Sorted."""
    pattern = re.compile(
        rf"{re.escape(part.path(part.stem or ''))}"
        r"(\.(?P<first>\w+))?(-\d{5}-of-\d{5})?(\.(?P<last>\w+))?\.safetensors"
    )
    found = filter(None, map(pattern.fullmatch, names))
    return sorted({variant for match in found if (variant := match["first"] or match["last"])})


def _is_text(name: str) -> bool:
    """Whether a file is no weights, nor the list of their shards.

    Those come with the shards: diffusers would ask for shards wherever it finds a list.
    """
    return name.endswith(_TEXTS) and not _LIST.fullmatch(name)


def _are_of(variant: str | None, weights: Iterable[str]) -> bool:
    """Whether any file of weights is the variant's."""
    return variant is not None and any(f".{variant}" in name for name in weights)


def _read_of(part: _Part, names: Collection[str], variant: str | None) -> Iterator[str]:
    """The files of a part of which the loader reads those that are there."""
    for group in part.settings:
        yield from map(part.path, group)
    if part.settings is _TOKENIZER:
        yield part.path("tokenizer_config.json")
    yield from _weights(part, names, variant)


def _tensors(
    part: _Part, folder: Path, names: Collection[str], variant: str | None
) -> Iterator[Path]:
    """The files of a part's weights that are in `folder`, without the lists of shards."""
    for name in _weights(part, names, variant):
        if name.endswith(".safetensors"):
            yield folder / name


def _shards(template: str, names: Collection[str]) -> list[str]:
    """All shards of the set that has a member among `names`."""
    before, after = map(re.escape, template.split("{}"))
    pattern = re.compile(rf"{before}\d{{5}}-of-(\d{{5}}){after}")
    for name in names:
        if found := pattern.fullmatch(name):
            count = found[1]
            return [template.format(f"{i:05}-of-{count}") for i in range(1, int(count) + 1)]
    return []


# --- what is wrong with it ----------------------------------------------------------------------


def _check_family(source: _Source, family: str, first: Settings, replaced: set[str]) -> None:
    """A pipeline of the family may be for another task: SDXL's refiner has one text encoder."""
    found = str(first.get("_class_name"))
    if not found.startswith(family):
        raise source.other(found, f"{family}Pipeline")
    kind = type(source.checkpoint)
    for part in sorted((_ENCODERS[kind] | {_DENOISERS[kind], "vae"}) - replaced):
        if not (isinstance(named := first.get(part), list) and any(named)):
            raise source.other(f"{found} ({part} = null)", f"{family}Pipeline")


def _check_task(source: _Source, folder: Path) -> None:
    """A denoiser that takes more than noise, and a video's first frame, is for another task:
    inpainting, or editing by instructions."""
    kind = type(source.checkpoint)
    if kind not in _DENOISERS:
        return
    settings = _read_settings(folder / _DENOISERS[kind] / "config.json") or {}
    takes, gives = (settings.get(f"{end}_channels") for end in ("in", "out"))
    if takes is None or gives is None:
        return  # as the class has them
    if takes != (wanted := 2 * gives if kind is AnimateModel else gives):
        found = _read_first(source, folder).get("_class_name")
        raise source.other(
            f"{found} ({_DENOISERS[kind]}.in_channels = {takes})",
            f"{_FAMILIES[kind]}Pipeline ({wanted})",
        )


def _check_labels(source: _Source, folder: Path) -> None:
    """Where a classifier's settings name its classes; the loader knows them for the others too."""
    if isinstance(source.checkpoint, SafetyModel):
        named = (_read_settings(folder / "config.json") or {}).get("id2label")
        if isinstance(named, dict):
            require_labels(source.checkpoint, [str(label).casefold() for label in named.values()])


def _check_class(source: _Source, settings: Settings) -> None:
    """Read as another class, most of a model would be random numbers."""
    needed = _class_of(source)
    found = settings.get("_class_name") or settings.get("architectures") or needed
    named = found if isinstance(found, list) else [found]
    if needed not in named:
        is_kind = isinstance(source.checkpoint, Conditioner) and found in _CONDITIONERS.values()
        raise source.other(", ".join(map(str, named)), str(needed), "type" if is_kind else "source")


def _check_settings(source: _Source, part: _Part, names: Collection[str]) -> None:
    for group in part.settings:
        if not any(part.path(name) in names for name in group):
            raise source.missing(part.path(group[0]))
    there = {name for name in _OF_PAIRS if part.path(name) in names}
    if part.settings is _TOKENIZER and there == {"vocab.json"}:
        raise source.missing(part.path("merges.txt"))


def _check_weights(source: _Source, part: _Part, names: Collection[str]) -> None:
    if part.stem is None:
        return
    variant = source.checkpoint.variant
    weights = _weights(part, names, variant)
    for name in weights:
        if name not in names:
            raise source.missing(name)
    if weights:
        return
    if others := _variants(part, names):
        why = Text(
            'has the weights of {file} only in a variant. Set {setting} to "{variant}".',
            file=part.path(part.stem),
            setting=f"models.{source.place}.variant",
            variant=others[0],
        )
        raise unusable(source.place, source.checkpoint, why)
    pickles = sorted(n for n in names if part.holds(n) and n.endswith(_PICKLES))
    if pickles:
        raise source.unsafe(Text("has only pickled weights ({file})", file=pickles[0]))
    raise source.missing(part.path(f"{part.stem}{f'.{variant}' if variant else ''}.safetensors"))


def _check_variant(source: _Source, parts: list[_Part], names: Collection[str]) -> None:
    """A variant that no part has is a mistake in the configuration."""
    variant = source.checkpoint.variant
    if variant is None:
        return
    chosen = [name for part in parts for name in _weights(part, names, variant)]
    if not _are_of(variant, chosen):
        why = Text("has no variant '{name}' in the safetensors format.", name=variant)
        raise source.unusable(why, key="variant")
