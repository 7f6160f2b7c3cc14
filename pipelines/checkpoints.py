"""Where a checkpoint's files are, whether they may be loaded, and how large it is. No torch.

`fetch`, `doctor` and the loader all ask here, so they cannot disagree. What files a checkpoint
needs is `pipelines.layout`'s. `models_folder` is a Hugging Face cache; without it, the user's own.
"""

import json
import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from pipelines.catalog import (
    PREVIEW,
    Checkpoint,
    ImagineModel,
    LoraFile,
    Model,
    ModelKey,
    SafetyModel,
    SketchModel,
)
from pipelines.contract.errors import ModelMissing, ModelUnavailable
from pipelines.contract.text import Text
from pipelines.estimates import VAE_CAST, width_of
from pipelines.headers import NotWhole, read_shapes
from pipelines.layout import (
    FAMILIES,
    Part,
    Settings,
    Source,
    are_of,
    first_file,
    parts_of,
    require_files,
    require_labels,
    require_task,
)
from pipelines.visible import require_visible


def locate(place: str, checkpoint: Checkpoint, models_folder: Path | None = None) -> Path:
    """The folder that holds a checkpoint, complete and safe to load.

    Raises ModelMissing, UnsafeModel, or ModelUnavailable where the folder cannot serve for another
    reason, for instance because a file in it may not be read.
    """
    return _find(place, checkpoint, models_folder).folder


def require_whole(place: str, checkpoint: Checkpoint, models_folder: Path | None = None) -> Path:
    """As `locate`, and look into the files: a damaged one raises ModelUnavailable with its name."""
    folder = locate(place, checkpoint, models_folder)
    if damaged := damaged_files(place, checkpoint, models_folder):
        name = damaged[0].relative_to(folder).as_posix()
        raise Source(place, checkpoint).damaged(name)
    return folder


def damaged_files(
    place: str, checkpoint: Checkpoint, models_folder: Path | None = None
) -> list[Path]:
    """The files of a checkpoint that are there, and cut short or otherwise unreadable.

    Only headers are read of weights. Raises as `locate` does, but for files that are missing.
    """
    source = Source(place, checkpoint)
    with _readable(source):
        folder = _folder(source, models_folder)
        first = folder / first_file(checkpoint)
        if not _is_whole(first):
            return [first]
        names = set(_files(folder))
        return [
            folder / name
            for part in parts_of(source, _read_first(source, folder))
            for name in part.read(names, checkpoint.variant)
            if name in names and not _is_whole(folder / name)
        ]


def needed_files(
    place: str, checkpoint: Checkpoint, names: Collection[str], first: Settings
) -> list[str]:
    """Which files of a repository the loader reads, and `fetch` therefore downloads.

    `names` are the repository's files; `first` is what `read_first` read. Raises as `locate` does
    when the repository cannot serve.
    """
    source = Source(place, checkpoint, on_hub=True)
    parts = parts_of(source, first)
    if isinstance(checkpoint, LoraFile) and checkpoint.file not in names:
        raise source.missing(checkpoint.file)
    require_files(source, parts, names)
    needed = {first_file(checkpoint)}
    for part in parts:
        needed.update(part.weights(names, checkpoint.variant))
        needed.update(part.texts(names))
    return sorted(needed & set(names))


def read_first(place: str, checkpoint: Checkpoint, folder: Path) -> Settings:
    """What the first file of a repository says, fetched into `folder`: {} for a LoRA's.

    Raises ModelUnavailable for what is no file of settings.
    """
    return _read_first(Source(place, checkpoint, on_hub=True), folder)


# --- how large it is ----------------------------------------------------------------------------


def weigh(key: ModelKey, model: Model, models_folder: Path | None = None) -> dict[str, int] | None:
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
    sizes = {part: width_of(model) * count for part, count in counts.items()}
    if isinstance(model, SketchModel) and model.dtype == "float16":
        of = (f"{key}.vae", model.vae) if model.vae else (str(key), model)
        if _is_cast(*of, models_folder):
            sizes[VAE_CAST] = 4 * counts["vae"]
    return sizes


def _is_cast(place: str, checkpoint: Checkpoint, models_folder: Path | None) -> bool:
    """Whether diffusers casts an autoencoder in float16 to decode: unless that says it need not."""
    folder = locate(place, checkpoint, models_folder)
    if isinstance(checkpoint, SketchModel):
        folder /= "vae"
    with _readable(Source(place, checkpoint)):
        settings = _read_settings(folder / "config.json") or {}
    return bool(settings.get("force_upcast", True))


def count_parameters(
    place: str, checkpoint: Checkpoint, models_folder: Path | None = None
) -> dict[str, int]:
    """The number of parameters of each part that has weights; a single model's part is "model".

    Read from the files' headers, which also tells a file that is not whole. Raises as `locate`
    does, and ModelUnavailable for a damaged file.
    """
    found = _find(place, checkpoint, models_folder)
    counts: dict[str, int] = {}
    for part in found.parts:
        key = part.folder or "model"
        for file in found.tensors(part):
            with _readable(found.source):
                try:
                    shapes = read_shapes(file).values()
                except NotWhole:
                    name = file.relative_to(found.folder).as_posix()
                    raise found.source.damaged(name) from None
            counts[key] = counts.get(key, 0) + sum(map(math.prod, shapes))
    return counts


# --- what is in it ------------------------------------------------------------------------------


def weight_files(place: str, checkpoint: Checkpoint, models_folder: Path | None) -> list[Path]:
    """The files that hold a checkpoint's weights. Raises as `locate` does."""
    found = _find(place, checkpoint, models_folder)
    if isinstance(checkpoint, LoraFile):
        return [found.folder / checkpoint.file]
    return [file for part in found.parts for file in found.tensors(part)]


@dataclass(frozen=True, slots=True)
class PartOfTransformers:
    """A model in a folder of a pipeline that transformers reads, and the variant that it has."""

    name: str
    class_name: str
    variant: str | None


def of_transformers(
    place: str, checkpoint: Checkpoint, models_folder: Path | None = None
) -> list[PartOfTransformers]:
    """The models of a pipeline that are not of diffusers. Raises as `locate` does."""
    located = _find(place, checkpoint, models_folder)
    found = []
    for part in located.parts:
        weights = part.weights(located.names, checkpoint.variant)
        library, class_name = located.first[part.folder]
        if weights and library == "transformers":
            variant = checkpoint.variant if are_of(checkpoint.variant, weights) else None
            found.append(PartOfTransformers(part.folder, class_name, variant))
    return found


def check_preview(
    key: ModelKey, model: SketchModel | ImagineModel, models_folder: Path | None = None
) -> None:
    """Raise ModelUnavailable where a model's preview decodes other latents than it paints in."""
    if (preview := model.preview) is None:
        return
    place = f"{key}.{PREVIEW}"
    decodes = _setting(locate(place, preview, models_folder) / "config.json", "latent_channels")
    folder = locate(key, model, models_folder) / FAMILIES[type(model)].denoiser
    paints = _setting(folder / "config.json", "in_channels")
    if decodes != paints:
        raise Source(place, preview).wrong(
            Text(
                "decodes latents of {decodes} channels, and {model} paints in {paints}.",
                decodes=decodes or 0,
                model=f"models.{key}",
                paints=paints or 0,
            )
        )


# --- what is on disk ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Located:
    """A checkpoint that is complete and safe to load: its folder, files, first file and parts."""

    source: Source
    folder: Path
    names: set[str]
    first: Settings
    parts: list[Part]

    def tensors(self, part: Part) -> Iterator[Path]:
        """The files of a part's weights, without the lists of shards."""
        for name in part.weights(self.names, self.source.checkpoint.variant):
            if name.endswith(".safetensors"):
                yield self.folder / name


def _find(place: str, checkpoint: Checkpoint, models_folder: Path | None) -> _Located:
    """Raises as `locate` does."""
    source = Source(place, checkpoint)
    with _readable(source):
        folder = _folder(source, models_folder)
        names, first = set(_files(folder)), _read_first(source, folder)
        parts = parts_of(source, first)
        require_files(source, parts, names)
        if (family := FAMILIES.get(type(checkpoint))) is not None:
            settings = _read_settings(folder / family.denoiser / "config.json") or {}
            require_task(source, str(first.get("_class_name")), settings)
        labels = first.get("id2label")  # the loader knows them where the settings do not name them
        if isinstance(checkpoint, SafetyModel) and isinstance(labels, dict):
            require_labels(checkpoint, [str(label).casefold() for label in labels.values()])
    return _Located(source, folder, names, first, parts)


@contextmanager
def _readable(source: Source) -> Iterator[None]:
    """Raise ModelUnavailable for a file that may not be read."""
    try:
        yield
    except PermissionError as error:
        raise source.hidden(str(error.filename)) from None


def _folder(source: Source, models_folder: Path | None) -> Path:
    """The folder with a checkpoint's first file."""
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
        raise source.wrong(
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


def _read_first(source: Source, folder: Path) -> Settings:
    """What the first file says; {} for a LoRA's."""
    if isinstance(source.checkpoint, LoraFile):
        return {}
    name = first_file(source.checkpoint)
    if (settings := _read_settings(folder / name)) is None:
        raise source.damaged(name)
    return settings


def _setting(file: Path, name: str) -> int | None:
    """The number that a file of settings has for one of them, if it can be read."""
    number: int | None = (_read_settings(file) or {}).get(name)
    return number


def _read_settings(file: Path) -> Settings | None:
    """What a file of settings holds; None for one that is damaged. Raises PermissionError."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None


def _is_whole(file: Path) -> bool:
    """Whether a file can be read, as far as its kind tells. Raises PermissionError."""
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
