"""What torch reads from the environment when it is imported, and never again. No torch."""

import os
import sys
from pathlib import Path

from pipelines.visible import nearest


def prepare_torch(compiled: Path | None = None) -> None:
    """Set what the models are run with; call it before torch is imported.

    `compiled` is the folder for what is compiled; if it cannot be written, torch's own is used,
    which is cleared when the machine restarts. What the owner has set stays as it is.
    """
    if compiled is not None and os.access(nearest(compiled), os.W_OK | os.X_OK):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled))
    if sys.platform == "linux":  # a small card cannot spare what lies between allocations
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
