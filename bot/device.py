"""Whether the configured device can exist here, asked of the driver: torch would take seconds."""

import sys

from pipelines.contract.errors import DeviceMissing
from pipelines.driver import ask_driver, is_amd


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
    if is_amd():
        return 64
    driver = ask_driver()
    return 0 if driver is None else driver.cards
