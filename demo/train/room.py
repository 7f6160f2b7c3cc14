"""Where training happens: the device, the seed, the folders, and what was computed before."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from demo.shapes import geometry, paint, scene

WORLD = (geometry, scene, paint)  # what pictures depend on
CHUNK = 48  # rows of an array that are made at a time


class OutOfTimeError(Exception):
    """The deadline came first; the state is saved, and the same command goes on from it."""


@dataclass(frozen=True, slots=True)
class Room:
    """What every stage is given. `state` outlives a run, `weights` is what the demo loads."""

    state: Path
    weights: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 1
    deadline: float = float("inf")
    """When to stop for now, in `time.monotonic` seconds."""
    scale: float = 1.0
    """Multiplies every stage's steps and data: 0.01 to try it out, 4 on a GPU."""
    compiled: bool = False
    """Whether networks are compiled first: minutes, for steps that take about a quarter less."""
    onwards: bool = False
    """Whether to begin with what `weights` holds already, rather than with nothing."""

    @property
    def is_out_of_time(self) -> bool:
        """Whether to save and stop."""
        return time.monotonic() > self.deadline

    def amount(self, count: int) -> int:
        """How many examples of a stage to use: fewer than `count` to try it out, never more."""
        return max(CHUNK, round(count * min(self.scale, 1)))

    def array(
        self,
        name: str,
        shape: tuple[int, ...],
        make: Callable[[range], Any],
        *,
        modules: tuple[ModuleType, ...] = WORLD,
        depends: str = "",
        dtype: type[np.generic] = np.uint8,
    ) -> NDArray[Any]:
        """An array on disk, made by `make` some rows at a time, continued where that stopped.

        It is made anew when the source of `modules`, or `depends`, changes. Raises OutOfTimeError.
        """
        facts = f"{_source(*modules)} {shape} {depends}"
        stamp = hashlib.sha256(facts.encode()).hexdigest()
        path = self.state / "cache" / f"{name}-{stamp[:12]}.npy"
        mark = path.with_suffix(".rows")
        path.parent.mkdir(parents=True, exist_ok=True)
        done = int(mark.read_text()) if mark.exists() else 0
        if done:
            rows = np.lib.format.open_memmap(path, "r+")
        else:
            rows = np.lib.format.open_memmap(path, "w+", dtype, shape)
        for begin in range(done, shape[0], CHUNK):
            chunk = range(begin, min(begin + CHUNK, shape[0]))
            rows[chunk.start : chunk.stop] = make(chunk)
            rows.flush()
            mark.write_text(str(chunk.stop))
            if self.is_out_of_time:
                raise OutOfTimeError(name)
        return rows


def _source(*modules: ModuleType) -> str:
    """A fingerprint of modules' source."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()
