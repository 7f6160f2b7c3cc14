"""From a checkpoint on disk to a model in RAM."""

import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from pipelines.catalog import Checkpoint, Dtype
from pipelines.checkpoints import locate, require_whole, unusable
from pipelines.contract.text import Text
from pipelines.device import dtype_on
from pipelines.placement import Precision

log = logging.getLogger(__name__)

BUILDING = threading.RLock()
"""Held while a model is built, by whichever card's thread of this process.

diffusers and transformers change for all threads while they build: `nn.Module.register_parameter`,
which strands new parameters on `meta` (accelerate's `init_empty_weights`); `torch.nn.init`,
`PreTrainedModel.init_weights` and `tie_weights`, which do nothing meanwhile; and torch's default
type. So models are built one at a time, and what registers parameters, or computes in the default
type, takes the lock too. Moving weights and denoising do neither, and go on beside it.
"""


@dataclass(frozen=True, slots=True)
class Loader:
    """Reads checkpoints for one device: safetensors only, no code of theirs, never the network.

    `precision` is in what the denoiser is to be kept, for the models that can be kept in less.
    """

    device: torch.device
    models_folder: Path | None = None
    precision: Precision = Precision.FULL

    def load(
        self, cls: Any, place: str, checkpoint: Checkpoint, dtype: Dtype, **parts: object
    ) -> Any:
        """A model or pipeline, `cls` being of diffusers or transformers, in RAM.

        `parts` replace or add to the checkpoint's own. Raises ModelUnavailable.
        """
        begun = time.perf_counter()
        model = self._read(
            cls,
            place,
            checkpoint,
            dtype=dtype_on(self.device, dtype),
            variant=checkpoint.variant,
            use_safetensors=True,
            **parts,
        )
        log.info("loaded models.%s in %.1f s", place, time.perf_counter() - begun)
        return model

    def load_processor(self, cls: Any, place: str, checkpoint: Checkpoint) -> Any:
        """What prepares a model's input, and has no weights. Raises ModelUnavailable."""
        return self._read(cls, place, checkpoint)

    def _read(self, cls: Any, place: str, checkpoint: Checkpoint, **kwargs: object) -> Any:
        folder = locate(place, checkpoint, self.models_folder)
        try:
            return cls.from_pretrained(str(folder), local_files_only=True, **kwargs)
        except (OSError, ValueError, SafetensorError) as error:
            require_whole(place, checkpoint, self.models_folder)  # which names the file
            why = Text(
                "cannot be loaded: {why} Correct {setting}.",
                why=_in_a_sentence(error, folder),
                setting=f"models.{place}.source",
            )
            raise unusable(place, checkpoint, why) from error


def _in_a_sentence(error: Exception, folder: Path) -> str:
    """The first line of what a library says, with the files of `folder` by their names there."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    line = line.replace(f"{folder}{os.sep}", "")
    return line if line.endswith((".", "!", "?")) else f"{line}."


def quiet_libraries() -> None:
    """Keep progress bars and advice meant for programmers out of the log."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
