"""The LoRAs that members choose by name: `sketch/*.safetensors` and `imagine/*.safetensors` in the
folder `models.loras`. No torch.

The folder is looked at whenever somebody asks: a file that comes or goes needs no restart. Offered
is what can be read and was made for the model, as far as the names in a file's header tell.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipelines.catalog import ModelKey, alternatives
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import MAX_NAME
from pipelines.headers import NotWhole, Shapes, read_shapes

ENDING = ".safetensors"
MODELS = (ModelKey.SKETCH, ModelKey.IMAGINE)


@dataclass(frozen=True, slots=True)
class Lora:
    """A file as it is now: when it is written anew, it is another LoRA."""

    name: str
    file: Path
    written_ns: int


@dataclass(frozen=True, slots=True)
class Unfit:
    """A file that is not offered; `why` says to its owner what is wrong, and what to do."""

    name: str
    why: str
    is_damaged: bool


def names(folder: Path | None, key: ModelKey) -> list[str]:
    """What members may choose for a model, sorted."""
    return [file.stem for file in _files(folder, key) if _serves(file) and not _flaw(file, key)]


def unfit(folder: Path | None, key: ModelKey) -> Iterator[Unfit]:
    """The files that a model cannot use, and that are therefore not offered. Sorted."""
    for file in _files(folder, key):
        if _serves(file) and (flaw := _flaw(file, key)):
            yield Unfit(
                file.stem,
                f"{file} {flaw} Members are not offered it.",
                is_damaged=flaw is _DAMAGED,
            )


def ignored(folder: Path | None, key: ModelKey) -> list[str]:
    """The other files in the folder, which nobody can choose: pickles, and what else is no LoRA."""
    return [file.name for file in _files(folder, key) if not _serves(file)]


def find(folder: Path | None, key: ModelKey, name: str) -> Lora:
    """The LoRA of that name, offered or not. Raises BadInput where there is none."""
    for file in _files(folder, key):
        if file.stem == name and _serves(file):
            with suppress(OSError):  # it may go in this moment
                return Lora(name, file, file.stat().st_mtime_ns)
    raise BadInput(
        "There is no LoRA “{name}” for /{command}. {choice}",
        name=name[:60],
        command=str(key),
        choice=alternatives(names(folder, key)),
    )


def _files(folder: Path | None, key: ModelKey) -> list[Path]:
    """A folder that is not there, or cannot be read, holds none."""
    if folder is None:
        return []
    try:
        return sorted(file for file in (folder / key).iterdir() if file.is_file())
    except OSError:
        return []


def _serves(file: Path) -> bool:
    return file.suffix == ENDING and len(file.stem) <= MAX_NAME and not file.name.startswith(".")


# --- what is in a file --------------------------------------------------------------------------

_DAMAGED = (
    "cannot be read: it is cut short, or no safetensors file. Copy it there again, or delete it."
)
_HIDDEN = "may not be read by the user that the bot runs as. Give that user the right to read it."
_DORA = "is a DoRA, which is not supported. Delete it."
_OTHER_KIND = (
    "is no plain LoRA, as its {name} shows: LoHa, LoKr and their like are not supported. Delete it."
)
_FOREIGN = "is for another model. Delete it."
_UNKNOWN = (
    "is for another model, or in another format than diffusers' or, for SDXL, kohya's. Replace or "
    "delete it."
)
_MISPLACED = "is for /{other}. Move it to {folder}."

_LAYERS = {
    ModelKey.SKETCH: re.compile(r"unet\.|lora_unet_(down|mid|up|input|middle|output)_block"),
    ModelKey.IMAGINE: re.compile(r"transformer\.(?!single_)"),
}
"""The names of the denoiser's layers in files that `pipelines.adapting` accepts."""
_PLAIN = re.compile(r"text_encoder|lora_te|.*(lora[._](A|B|down|up)\.(weight|bias)|\.alpha)$")
"""What `pipelines.adapting` reads, or leaves aside, of such files."""
_OTHERS = re.compile(r"transformer\.single_")  # of Flux, whose other layers have SD3's names
_TEXT_LAYER = re.compile(r"attn2.*to_k.*(down|lora_A)")
_WIDTHS = {768, 1024}  # of what Stable Diffusion 1 and 2 read there; SDXL's is 2048


def _flaw(file: Path, key: ModelKey) -> str | None:
    """What keeps a file from serving a model, if anything does."""
    try:
        stat = file.stat()
    except OSError:
        return None  # it went in this moment
    if not os.access(file, os.R_OK):
        return _HIDDEN
    return _flaw_of(file, key, stat.st_mtime_ns, stat.st_size)


@lru_cache(1024)
def _flaw_of(file: Path, key: ModelKey, written_ns: int, size: int) -> str | None:
    """The same, remembered until the file is written anew."""
    try:
        shapes = read_shapes(file)
    except NotWhole:
        return _DAMAGED
    if is_dora(shapes):
        return _DORA
    if _is_for(key, shapes):
        strange = next((name for name in sorted(shapes) if not _PLAIN.match(name)), None)
        return strange and _OTHER_KIND.format(name=strange)
    other = next((other for other in MODELS if _is_for(other, shapes)), None)
    if other is None:
        return _FOREIGN if any(_LAYERS[key].match(name) for name in shapes) else _UNKNOWN
    return _MISPLACED.format(other=other, folder=file.parent.with_name(str(other)))


def is_dora(names: Iterable[str]) -> bool:
    """Whether a file with tensors of these names is a DoRA, which also changes magnitudes."""
    return any("dora_scale" in name or "magnitude" in name for name in names)


def _is_for(key: ModelKey, shapes: Shapes) -> bool:
    if not any(_LAYERS[key].match(name) for name in shapes):
        return False
    if key is ModelKey.IMAGINE:
        return not any(_OTHERS.match(name) for name in shapes)
    widths = {shape[-1] for name, shape in shapes.items() if shape and _TEXT_LAYER.search(name)}
    return not widths & _WIDTHS
