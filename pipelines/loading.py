"""From a checkpoint on disk to a model in RAM."""

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.catalog import Checkpoint, Dtype
from pipelines.checkpoints import locate, of_transformers, require_whole
from pipelines.contract.errors import AtelierError
from pipelines.contract.text import Text
from pipelines.device import DTYPES, dtype_on, ran_out
from pipelines.layout import unusable
from pipelines.plan import Precision

log = logging.getLogger(__name__)

BUILDING = threading.RLock()
"""Held while a model is built, by whichever card's thread of this process.

While diffusers and transformers build a model, they change for all threads:

- `nn.Module.register_parameter`, which strands new parameters on `meta` (accelerate's
  `init_empty_weights`);
- `torch.nn.init`, `PreTrainedModel.init_weights` and `tie_weights`, which do nothing;
- torch's default type.

So models are built one at a time, and whatever registers parameters, or computes in the default
type, takes the lock too. Moving weights and denoising do neither, and go on meanwhile.
"""


@contextmanager
def _timed(place: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    log.info("loaded models.%s in %.1f s", place, time.perf_counter() - begun)


@dataclass(frozen=True, slots=True)
class Loader:
    """Reads checkpoints for one device: safetensors only, no code of theirs, never the network.

    `precision` is for the denoiser, and `text_precision` for the largest text encoder, of models
    that can be quantised.
    """

    device: torch.device
    models_folder: Path | None = None
    precision: Precision = Precision.FULL
    text_precision: Precision = Precision.FULL

    @property
    def quantised_parts(self) -> list[str]:
        """The parts of SD3.5 that are to be quantised."""
        precisions = {"text_encoder_3": self.text_precision, "transformer": self.precision}
        return [part for part, each in precisions.items() if each is not Precision.FULL]

    def load(self, cls: Any, place: str, checkpoint: Checkpoint, dtype: Dtype) -> Any:
        """A model of diffusers or transformers, in RAM. Raises ModelUnavailable."""
        with _timed(place), self._explained(place, checkpoint) as folder:
            return self._read_model(cls, folder, dtype_on(self.device, dtype), checkpoint.variant)

    def load_pipeline(
        self, cls: Any, place: str, checkpoint: Checkpoint, dtype: Dtype, **parts: object
    ) -> Any:
        """A pipeline of diffusers, in RAM. Raises ModelUnavailable.

        `parts` replace or add to the checkpoint's own. `quantised_parts` are read in `dtype` even
        for a CPU, which computes in float32.
        """
        import transformers

        wide = dtype_on(self.device, dtype)
        types = {"default": wide} | dict.fromkeys(self.quantised_parts, DTYPES[dtype])
        with _timed(place), self._explained(place, checkpoint) as folder:
            # Read here, because diffusers does not ask transformers which weights were missing.
            for part in of_transformers(place, checkpoint, self.models_folder):
                model = getattr(transformers, part.class_name)
                parts[part.name] = self._read_model(
                    model, folder / part.name, types.get(part.name, wide), part.variant
                )
            pipeline = _read(
                cls,
                folder,
                dtype=types,
                variant=checkpoint.variant,
                use_safetensors=True,
                **parts,
            )
            for part in pipeline.components.values():
                if isinstance(part, torch.nn.Module):
                    _require_all(_on_meta(part), type(part).__name__)
            return pipeline

    def load_processor(self, cls: Any, place: str, checkpoint: Checkpoint) -> Any:
        """What prepares a model's input, and has no weights. Raises ModelUnavailable."""
        with self._explained(place, checkpoint) as folder:
            return _read(cls, folder)

    def _read_model(self, cls: Any, folder: Path, dtype: torch.dtype, variant: str | None) -> Any:
        """Raises as the libraries do, and _Lacks for weights that they would make up at random."""
        import diffusers

        of_diffusers = issubclass(cls, diffusers.ModelMixin)  # they raise for another shape
        model, info = _read(
            cls,
            folder,
            dtype=dtype,
            variant=variant,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=not of_diffusers,
        )
        _require_all(info["missing_keys"], cls.__name__)
        _require_all((name for name, *_ in info["mismatched_keys"]), cls.__name__)
        return model

    @contextmanager
    def _explained(self, place: str, checkpoint: Checkpoint) -> Iterator[Path]:
        """The folder of a checkpoint, and a ModelUnavailable for what is wrong in it."""
        folder = locate(place, checkpoint, self.models_folder)
        setting = f"models.{place}.source"
        try:
            yield folder
        except _Lacks as lacks:
            why = Text(
                "lacks weights that {reader} needs, or has them in another shape: for instance "
                "{weight}. Correct {setting}.",
                reader=lacks.reader,
                weight=lacks.weight,
                setting=setting,
            )
            raise unusable(place, checkpoint, why) from None
        except ImportError as error:  # some samplers need a library that is not installed
            why = Text(
                "cannot be loaded: {why} Install that, or correct {setting}.",
                why=_in_a_sentence(error, folder),
                setting=setting,
            )
            raise unusable(place, checkpoint, why) from error
        except AtelierError:
            raise
        except Exception as error:  # each library has its own for settings that it cannot follow
            if (full := ran_out(error)) is not None:  # diffusers says that the file is damaged
                raise full from None
            require_whole(place, checkpoint, self.models_folder)  # which names the file
            log.debug("models.%s cannot be loaded", place, exc_info=error)
            why = Text(
                "cannot be loaded: {why} Correct {setting}.",
                why=_in_a_sentence(error, folder),
                setting=setting,
            )
            raise unusable(place, checkpoint, why) from error


def _read(cls: Any, folder: Path, **kwargs: object) -> Any:
    default = torch.get_default_dtype()
    try:
        return cls.from_pretrained(str(folder), local_files_only=True, **kwargs)
    finally:
        torch.set_default_dtype(default)  # diffusers does not, where a model cannot be built


class _Lacks(Exception):
    """A checkpoint has no numbers for a weight, which a library would draw at random."""

    def __init__(self, reader: str, weight: str) -> None:
        super().__init__(f"{reader}: {weight}")
        self.reader, self.weight = reader, weight


def _require_all(lacking: Iterable[str], reader: str) -> None:
    """Raise _Lacks where any weight is lacking."""
    if names := sorted(lacking):
        raise _Lacks(reader, names[0])


def _on_meta(model: torch.nn.Module) -> list[str]:
    """The weights that diffusers found in no file: they have a shape only."""
    return [name for name, weight in model.state_dict().items() if weight.is_meta]


def _in_a_sentence(error: Exception, folder: Path) -> str:
    """The first sentence of what a library says, files of `folder` by their names there."""
    said, kind = str(error).strip(), type(error).__name__
    if isinstance(error, LookupError | TypeError | AttributeError):
        said = f"{kind}: {said}"  # which says little alone
    line = next(iter(said.replace(":\n", ": ").splitlines()), kind)
    line = " ".join(line.split()).replace(f"{folder}{os.sep}", "").partition(". ")[0]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def quiet_libraries() -> None:
    """Keep progress bars and advice meant for programmers out of the log."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
