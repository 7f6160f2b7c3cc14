"""What torch reads from the environment when it is imported, and never again. No torch."""

import os
import sys
from pathlib import Path


def prepare_torch(compiled: Path | None = None) -> None:
    """Set what the models are run with; call it before torch is imported.

    `compiled` is the folder that keeps what is compiled: torch's own is cleared by a restart of
    the machine, and does where nothing can be written there. What the owner has set stays as it is.
    """
    if compiled is not None and _is_writable(compiled):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled))
    if sys.platform == "linux":  # a small card cannot spare what lies between allocations
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
