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

Bytes = NDArray[np.uint8]


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

    @property
    def is_out_of_time(self) -> bool:
        """Whether to save and stop."""
        return time.monotonic() > self.deadline

    def array(
        self,
        name: str,
        shape: tuple[int, ...],
        make: Callable[[int], Any],
        *,
        modules: tuple[ModuleType, ...] = (geometry, scene, paint),
        depends: str = "",
        dtype: type[np.generic] = np.uint8,
    ) -> NDArray[Any]:
        """An array on disk whose row i is `make(i)`, made once and continued where it stopped.

        It is made anew when the source of `modules`, or `depends`, changes.
        """
        facts = f"{_source(*modules)} {self.seed} {shape} {depends}"
        stamp = hashlib.sha256(facts.encode()).hexdigest()
        path = self.state / "cache" / f"{name}-{stamp[:12]}.npy"
        mark = path.with_suffix(".rows")
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = "r+" if path.exists() else "w+"
        rows = np.lib.format.open_memmap(path, mode, dtype, None if mode == "r+" else shape)
        done = int(mark.read_text()) if mark.exists() else 0
        for i in range(done, shape[0]):
            rows[i] = make(i)
            if (i + 1) % 100 == 0 or i + 1 == shape[0]:
                rows.flush()
                mark.write_text(str(i + 1))
        return rows


def _source(*modules: ModuleType) -> str:
    """A fingerprint of modules' source."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()
