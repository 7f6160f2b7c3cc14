"""What a checkpoint is made of, and which of its files are needed, by their names alone. Pure.

A `place` is a checkpoint's place in the configuration, as `Catalog.checkpoints` yields it:
`sketch.vae`. `names` are the files of a repository, relative to it. The *first file* is the list of
a pipeline's parts, a single model's settings, or the only file of a LoRA.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

Settings = dict[str, Any]
"""What a JSON file of a checkpoint holds."""


@dataclass(frozen=True, slots=True)
class Family:
    """Pipelines of a kind: how their classes' names begin, and parts that they cannot lack."""

    name: str
    denoiser: str
    encoders: frozenset[str]


_CLIPS = frozenset({"text_encoder", "text_encoder_2"})
FAMILIES: dict[type[Checkpoint], Family] = {
    SketchModel: Family("StableDiffusionXL", "unet", _CLIPS),
    ImagineModel: Family("StableDiffusion3", "transformer", _CLIPS),  # T5 may be left out
    AnimateModel: Family("StableVideoDiffusion", "unet", frozenset({"image_encoder"})),
}
"""The models that are pipelines."""
_CONDITIONERS = {"t2i-adapter": "T2IAdapter", "controlnet": "ControlNetModel"}
_REPLACEMENTS = {"vae": "AutoencoderKL", PREVIEW: "AutoencoderTiny"}
_LIBRARIES = {"diffusers", "transformers"}
_TEXTS = (".json", ".txt", ".model")  # settings, vocabularies, sentencepiece models
_SHARD_LIST = re.compile(r".*\.index(\.\w+)?\.json")
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


def first_file(checkpoint: Checkpoint) -> str:
    """The name of a checkpoint's first file."""
    if isinstance(checkpoint, LoraFile):
        return checkpoint.file
    return "model_index.json" if type(checkpoint) in FAMILIES else "config.json"


# --- what can be wrong --------------------------------------------------------------------------


def unusable(place: str, checkpoint: Checkpoint, why: str | Text) -> ModelUnavailable:
    """A checkpoint is there and cannot serve; `why` goes on from its name and says what to do."""
    return ModelUnavailable(
        "models.{place}: {source} {why}", place=place, source=checkpoint.source, why=why
    )


def gated(place: str, checkpoint: Checkpoint) -> ModelGated:
    """The Hub refuses a checkpoint until its licence is accepted."""
    return ModelGated(
        "models.{place}: {source} is gated. Accept its licence at https://huggingface.co/{source}, "
        "log in with `hf auth login` or set HF_TOKEN, then run `python -m bot fetch`.",
        place=place,
        source=checkpoint.source,
    )


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint and its place, and the errors of what can be wrong with it.

    `on_hub` says that the files are those of the repository, and not what is here of it.
    """

    place: str
    checkpoint: Checkpoint
    on_hub: bool = False

    def missing(self, file: str = "") -> ModelUnavailable:
        """It is not there, or lacks `file`."""
        if self.on_hub:  # to fetch it again would not help
            key = "file" if isinstance(self.checkpoint, LoraFile) else "source"
            return self.wrong(Text("has no file {file}.", file=file), key)
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

    def hidden(self, file: str) -> ModelUnavailable:
        """`file` is there, but may not be read: it is neither missing nor damaged."""
        why = Text(
            "cannot be used: {file} may not be read by the user that the bot runs as. Give "
            "that user the right to read it.",
            file=file,
        )
        return unusable(self.place, self.checkpoint, why)

    def unsafe(self, why: Text) -> UnsafeModel:
        """It cannot be read without running code that it brings."""
        return UnsafeModel(
            "models.{place}: {source} {why}, which is never run. Choose a checkpoint in the "
            "safetensors format, then run `python -m bot fetch`.",
            **self._named(),
            why=why,
        )

    def damaged(self, file: str) -> ModelUnavailable:
        """`file` is cut short, or not what its name says."""
        if self.on_hub:  # to fetch it again would not help
            return self.wrong(Text("is not whole: {file} is cut short or damaged.", file=file))
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
        """It is a whole pipeline in one file, as other programs have it."""
        why = Text(
            "is one file ({file}), where a folder in the format of diffusers is needed. Make one "
            "in Python with `{call}`.",
            file=file.name,
            call=f"diffusers.StableDiffusionXLPipeline.from_single_file({str(file)!r})"
            ".save_pretrained('FOLDER')",
        )
        return self.wrong(why)

    def other(self, found: str, needed: str, key: str = "source") -> ModelUnavailable:
        """It is another model than the one that is needed."""
        why = Text("holds {found}, where {needed} is needed.", found=found, needed=needed)
        return self.wrong(why, key)

    def wrong(self, why: Text, key: str = "source") -> ModelUnavailable:
        """It cannot serve, and the owner should correct the setting `key` of its table."""
        mend = Text("{why} Correct {setting}.", why=why, setting=f"models.{self.place}.{key}")
        return unusable(self.place, self.checkpoint, mend)

    def _named(self) -> dict[str, str]:
        return {"place": self.place, "source": self.checkpoint.source}


# --- parts --------------------------------------------------------------------------------------

_CONFIG = (("config.json",),)
_TOKENIZER = (("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model"),)
_OF_PAIRS = {"tokenizer.json", "vocab.json", "merges.txt"}  # the first alone, or both others
_PROCESSOR = (("preprocessor_config.json", "processor_config.json"),)
_SCHEDULER = (("scheduler_config.json",),)


@dataclass(frozen=True, slots=True)
class Part:
    """A folder of a checkpoint that the loader reads, "" being the checkpoint itself.

    Of each group in `settings` one file must exist. `stem` is how the names of its weights' files
    begin, or None where it has no weights.
    """

    folder: str
    settings: tuple[tuple[str, ...], ...]
    stem: str | None = None

    def path(self, name: str) -> str:
        """A file of this part, relative to the checkpoint."""
        return f"{self.folder}/{name}" if self.folder else name

    def holds(self, path: str) -> bool:
        """Whether a file of the checkpoint is in this part's folder."""
        return path.rpartition("/")[0] == self.folder

    def texts(self, names: Collection[str]) -> Iterator[str]:
        """Its files that are not weights, nor lists of their shards.

        Those lists come with the shards: diffusers asks for shards wherever it finds one.
        """
        for name in names:
            if self.holds(name) and name.endswith(_TEXTS) and not _SHARD_LIST.fullmatch(name):
                yield name

    def weights(self, names: Collection[str], variant: str | None) -> list[str]:
        """The files of its weights, every shard named whether it is there or not. Empty: none.

        As in diffusers, a part that lacks the variant gives its plain weights.
        """
        if self.stem is None:
            return []
        stem = self.path(self.stem)
        for mark in (f".{variant}", "") if variant else ("",):
            if (whole := f"{stem}{mark}.safetensors") in names:
                return [whole]
            for template in (f"{stem}{mark}-{{}}.safetensors", f"{stem}-{{}}{mark}.safetensors"):
                if shards := _shards(template, names):
                    return [*shards, f"{stem}.safetensors.index{mark}.json"]
        return []

    def variants(self, names: Collection[str]) -> list[str]:
        """The variants in which there are weights of it. Sorted."""
        pattern = re.compile(
            rf"{re.escape(self.path(self.stem or ''))}"
            r"(\.(?P<first>\w+))?(-\d{5}-of-\d{5})?(\.(?P<last>\w+))?\.safetensors"
        )
        found = filter(None, map(pattern.fullmatch, names))
        return sorted({variant for match in found if (variant := match["first"] or match["last"])})

    def read(self, names: Collection[str], variant: str | None) -> Iterator[str]:
        """The files of which the loader reads those that are there."""
        for group in self.settings:
            yield from map(self.path, group)
        if self.settings is _TOKENIZER:
            yield self.path("tokenizer_config.json")
        if self.stem == "model":
            yield self.path("generation_config.json")
        yield from self.weights(names, variant)


def _shards(template: str, names: Collection[str]) -> list[str]:
    """All shards of the set that has a member among `names`."""
    before, after = map(re.escape, template.split("{}"))
    pattern = re.compile(rf"{before}\d{{5}}-of-(\d{{5}}){after}")
    for name in names:
        if found := pattern.fullmatch(name):
            count = found[1]
            return [template.format(f"{i:05}-of-{count}") for i in range(1, int(count) + 1)]
    return []


def are_of(variant: str | None, weights: Iterable[str]) -> bool:
    """Whether any file of weights is the variant's."""
    return variant is not None and any(f".{variant}" in name for name in weights)


def parts_of(source: Source, first: Settings) -> list[Part]:
    """The parts that the loader reads, by what the first file says ({} for a LoRA's).

    Raises ModelUnavailable for another model than the one that is needed.
    """
    checkpoint = source.checkpoint
    if isinstance(checkpoint, LoraFile):
        return []
    if (family := FAMILIES.get(type(checkpoint))) is None:
        _check_class(source, first)
        return [_single(checkpoint)]
    replaced = {"vae"} if getattr(checkpoint, "vae", None) is not None else set()
    _check_family(source, family, first, replaced)
    return [
        _part(source, name, *words)
        for name, words in _named_parts(source, first)
        if name not in replaced
    ]


def _named_parts(source: Source, first: Settings) -> Iterator[tuple[str, list[str]]]:
    """The parts that a pipeline's list names, each with its library and its class."""
    for name, value in first.items():
        if isinstance(value, list) and len(value) == 2 and any(value):
            if not all(isinstance(word, str) for word in value):
                raise source.damaged(first_file(source.checkpoint))
            yield name, value


def _single(checkpoint: Checkpoint) -> Part:
    """The only part of what is no pipeline."""
    if isinstance(checkpoint, CaptionModel):
        return Part("", _CONFIG + _PROCESSOR + _TOKENIZER, "model")
    if isinstance(checkpoint, SafetyModel):
        return Part("", _CONFIG + _PROCESSOR, "model")
    if isinstance(checkpoint, UpscaleModel):
        return Part("", _CONFIG, "model")
    return Part("", _CONFIG, "diffusion_pytorch_model")


def _part(source: Source, name: str, library: str, class_name: str) -> Part:
    """A part of a pipeline, as its list of parts names it."""
    if library not in _LIBRARIES:
        raise source.unsafe(Text("brings code of its own for its {part}", part=name))
    if "Tokenizer" in class_name:
        return Part(name, _TOKENIZER)
    if class_name.endswith("Scheduler"):
        return Part(name, _SCHEDULER)
    if "ImageProcessor" in class_name or class_name.endswith("FeatureExtractor"):
        return Part(name, _PROCESSOR)
    return Part(name, _CONFIG, "model" if library == "transformers" else "diffusion_pytorch_model")


# --- whether it can serve -----------------------------------------------------------------------


def require_files(source: Source, parts: list[Part], names: Collection[str]) -> None:
    """Raise ModelUnavailable unless all that the parts need is among `names`, and safe to load."""
    for part in parts:
        _check_settings(source, part, names)
        _check_weights(source, part, names)
    _check_variant(source, parts, names)


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


def require_task(source: Source, class_name: str, denoiser: Settings) -> None:
    """Raise ModelUnavailable for a pipeline whose denoiser, by its settings, is for another task.

    One that takes more than noise, and a video's first frame, is for inpainting, or for editing by
    instructions.
    """
    kind = type(source.checkpoint)
    family = FAMILIES[kind]
    takes, gives = (denoiser.get(f"{end}_channels") for end in ("in", "out"))
    if takes is None or gives is None:
        return  # as the class has them
    if not (isinstance(takes, int) and isinstance(gives, int)):
        raise source.damaged(f"{family.denoiser}/config.json")
    if takes != (wanted := 2 * gives if kind is AnimateModel else gives):
        raise source.other(
            f"{class_name} ({family.denoiser}.in_channels = {takes})",
            f"{family.name}Pipeline ({wanted})",
        )


def _check_family(source: Source, family: Family, first: Settings, replaced: set[str]) -> None:
    """A pipeline of the family may be for another task: SDXL's refiner has one text encoder."""
    found = str(first.get("_class_name"))
    if not found.startswith(family.name):
        raise source.other(found, f"{family.name}Pipeline")
    for part in sorted((family.encoders | {family.denoiser, "vae"}) - replaced):
        if not (isinstance(named := first.get(part), list) and any(named)):
            raise source.other(f"{found} ({part} = null)", f"{family.name}Pipeline")


def _check_class(source: Source, settings: Settings) -> None:
    """Read as another class, most of a model would be random numbers."""
    needed = _class_of(source)
    found = settings.get("_class_name") or settings.get("architectures") or needed
    named = found if isinstance(found, list) else [found]
    if needed not in named:
        is_kind = isinstance(source.checkpoint, Conditioner) and found in _CONDITIONERS.values()
        raise source.other(", ".join(map(str, named)), str(needed), "type" if is_kind else "source")


def _class_of(source: Source) -> str | None:
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


def _check_settings(source: Source, part: Part, names: Collection[str]) -> None:
    for group in part.settings:
        if not any(part.path(name) in names for name in group):
            raise source.missing(part.path(group[0]))
    there = {name for name in _OF_PAIRS if part.path(name) in names}
    if part.settings is _TOKENIZER and there == {"vocab.json"}:
        raise source.missing(part.path("merges.txt"))


def _check_weights(source: Source, part: Part, names: Collection[str]) -> None:
    if part.stem is None:
        return
    variant = source.checkpoint.variant
    if weights := part.weights(names, variant):
        if lacking := [name for name in weights if name not in names]:
            raise source.missing(lacking[0])
        return
    if others := part.variants(names):
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


def _check_variant(source: Source, parts: list[Part], names: Collection[str]) -> None:
    """A variant that no part has is a mistake in the configuration."""
    variant = source.checkpoint.variant
    if variant is None:
        return
    chosen = [name for part in parts for name in part.weights(names, variant)]
    if not are_of(variant, chosen):
        why = Text("has no variant '{name}' in the safetensors format.", name=variant)
        raise source.wrong(why, key="variant")
