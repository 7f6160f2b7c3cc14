"""Whether the configured device can exist here, asked of the driver: torch would take seconds."""

import ctypes
import sys
from pathlib import Path

from pipelines.contract.errors import DeviceMissing


def require_device(name: str) -> None:
    """Raise DeviceMissing when this machine certainly lacks the device that `gpu.device` names.

    A device that passes may still be one that the installed torch was not built for.
    """
    kind, _, index = name.partition(":")
    if kind == "cuda" and _cuda_devices() <= int(index or 0):
        raise DeviceMissing(
            f"gpu.device is {name!r}, but this machine has no such device. Check the driver with "
            'nvidia-smi, or set gpu.device to "auto" or "cpu".'
        )
    if kind == "mps" and sys.platform != "darwin":
        raise DeviceMissing(
            "gpu.device is 'mps', which only a Mac has. Set gpu.device to \"auto\"."
        )


def _cuda_devices() -> int:
    """How many devices the CUDA driver shows; for AMD's driver, which torch also calls CUDA, 64."""
    if Path("/dev/kfd").exists():
        return 64
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
