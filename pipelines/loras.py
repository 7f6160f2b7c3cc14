"""The LoRAs that members choose by name: `sketch/*.safetensors` and `imagine/*.safetensors` in the
folder `models.loras`. No torch.

The folder is looked at whenever somebody asks: a file that comes or goes needs no restart.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipelines.catalog import ModelKey, offered
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import MAX_NAME

ENDING = ".safetensors"
MODELS = (ModelKey.SKETCH, ModelKey.IMAGINE)


@dataclass(frozen=True, slots=True)
class Lora:
    """A file as it is now. One that is written anew is another."""

    name: str
    file: Path
    written_ns: int


def names(folder: Path | None, key: ModelKey) -> list[str]:
    """What members may choose for a model, sorted."""
    return [file.stem for file in _files(folder, key) if _serves(file)]


def ignored(folder: Path | None, key: ModelKey) -> list[str]:
    """The files beside them that nobody can choose: pickles, and what else is no LoRA."""
    return [file.name for file in _files(folder, key) if not _serves(file)]


def find(folder: Path | None, key: ModelKey, name: str) -> Lora:
    """The LoRA of that name. Raises BadInput where there is none."""
    for file in _files(folder, key):
        if file.stem == name and _serves(file):
            with suppress(OSError):  # it may go in this moment
                return Lora(name, file, file.stat().st_mtime_ns)
    raise BadInput(
        "There is no LoRA “{name}” for /{command}. {choice}",
        name=name[:60],
        command=str(key),
        choice=offered(names(folder, key)),
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
