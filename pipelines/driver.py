"""What NVIDIA's driver says of itself, and why a torch may not get on with it. No torch."""

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

RIGHT_TORCH = "install the right torch: https://pytorch.org/get-started"
_OLDER_TORCH = "https://pytorch.org/get-started/previous-versions"


class Version(NamedTuple):
    """Of a CUDA, or of what a card can compute."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True)
class Driver:
    """`cuda` is the newest that it can run, None where it does not say; `cards` is how many."""

    cuda: Version | None
    cards: int


@dataclass(frozen=True, slots=True)
class Build:
    """What the installed torch was built for: a CUDA, or None, and the kernels in it (`sm_90`)."""

    name: str
    cuda: Version | None
    kernels: tuple[str, ...] = ()


def ask_driver() -> Driver | None:
    """The driver of this machine; None where there is none."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return None
    number, count = ctypes.c_int(), ctypes.c_int()
    version = None
    if driver.cuDriverGetVersion(ctypes.byref(number)) == 0 and number.value:
        version = Version(number.value // 1000, number.value % 1000 // 10)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return Driver(version, 0)
    return Driver(version, count.value)


def is_amd() -> bool:
    """Whether AMD's driver for computing is there, whose cards torch also calls CUDA."""
    return Path("/dev/kfd").exists()


def why_unseen(driver: Driver | None, build: Build) -> str | None:
    """Why torch finds no card although the driver has one, and what to do; None without a card."""
    if driver is None or driver.cards == 0:
        return None
    if build.cuda is None:
        return f"torch {build.name} was not built for CUDA; {RIGHT_TORCH}"
    if driver.cuda is not None and driver.cuda < build.cuda:
        return (
            f"the driver speaks CUDA {driver.cuda}, this torch needs {build.cuda}: update the "
            f"driver, or install a torch built for an older CUDA: {_OLDER_TORCH}"
        )
    return (
        "the driver has a card that torch cannot open; look at `nvidia-smi`, and restart the "
        "computer if the driver was updated"
    )


def why_unfit(card: str, capability: Version, build: Build) -> str | None:
    """Why this torch cannot compute on a card that it finds, and what to do; None where it can.

    Kernels run on cards of the same first number and at least the second; those for `compute_…`
    are translated for any later card.
    https://docs.nvidia.com/cuda/cuda-c-programming-guide/#binary-compatibility
    """
    if build.cuda is None or not build.kernels:
        return None  # AMD's are called otherwise
    for kernel in build.kernels:
        kind, _, number = kernel.partition("_")
        digits = number.rstrip("af")
        made_for = Version(int(digits[:-1]), int(digits[-1]))
        same = kind == "compute" or made_for.major == capability.major
        if same and made_for <= capability:
            return None
    return (
        f"torch {build.name} has no kernels for {card} (compute capability {capability}); "
        f"install a torch that has: {_OLDER_TORCH}"
    )
