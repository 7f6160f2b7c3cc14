"""The device that models run on: which it is, what it holds, what it can compute in."""

import gc
import logging
import math
import os
from functools import cache, partial

import torch

from pipelines.catalog import Dtype
from pipelines.contract.errors import DeviceMissing, causes
from pipelines.driver import RIGHT_TORCH, Build, Version, ask_driver, is_amd, why_unfit, why_unseen
from pipelines.memory import total_ram
from pipelines.plan import GIB, Card, has_unified_memory
from pipelines.quantised import can_multiply

log = logging.getLogger(__name__)

_RESERVE = GIB  # for the CUDA context and the desktop
_FOR_MODELS = 0.8  # of RAM


def choose_device(name: str) -> torch.device:
    """The device that `gpu.device` names; `auto` takes the best there is. Raises DeviceMissing.

    Logs why a card that is there cannot be used.
    """
    kind, _, index = name.partition(":")
    why = hindrance(int(index or 0)) if kind in ("auto", "cuda") else None
    if why is not None:
        instead = "models run on the CPU although there is a card: " if kind == "auto" else ""
        log.warning("gpu.device is %r: %s%s", name, instead, why)
    present = {
        "cuda": torch.cuda.is_available() and why is None,
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in present.items() if there))
    device = torch.device(name)
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not present[device.type] or (device.index or 0) >= count:
        raise DeviceMissing(
            "gpu.device is '{name}', but this machine has no such device. Check the driver and "
            'that torch was installed for it, or set gpu.device to "auto" or "cpu".',
            name=name,
        )
    return device


def hindrance(index: int = 0) -> str | None:
    """Why models cannot run on a card that is there, and what to do; None if they can, or there is
    none."""
    cuda = torch.version.cuda
    build = Build(
        torch.__version__,
        None if cuda is None else Version(*map(int, cuda.split(".")[:2])),
        tuple(torch.cuda.get_arch_list()),
    )
    if torch.cuda.is_available():
        if index >= torch.cuda.device_count():
            return None
        return why_unfit(
            torch.cuda.get_device_name(index),
            Version(*torch.cuda.get_device_capability(index)),
            build,
        )
    if is_amd() and torch.version.hip is None:
        return f"there is an AMD card, and torch {build.name} was not built for ROCm; {RIGHT_TORCH}"
    return why_unseen(ask_driver(), build)


def use_from_here(device: torch.device) -> None:
    """Make `device` this thread's current one, on which diffusers makes its streams."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def leave_a_core(device: torch.device) -> None:
    """On a CPU, compute on all cores but one, unless OMP_NUM_THREADS says otherwise.

    The event loop needs a core too. OpenMP's threads wait for each other in lockstep, so that on
    a machine without a core to spare a run takes five to ten times as long.
    """
    if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        spare = max(1, (os.cpu_count() or 1) - 1)
        torch.set_num_threads(min(torch.get_num_threads(), spare))


def card_of(
    device: torch.device, vram_gib: float | None, cards: int = 1, ram_gib: float | None = None
) -> Card:
    """What models may take of a card and of RAM: as configured, else all but a reserve.

    `cards` share the RAM equally: each has its own copy of the weights there. On a CPU weights
    never move, and only RAM counts. On a Mac both are one memory, and the smaller budget counts.
    """
    ram = (_FOR_MODELS * total_ram() if ram_gib is None else ram_gib * GIB) / cards
    if vram_gib is not None:
        budget = vram_gib * GIB
    elif device.type == "cpu":
        budget = math.inf
    elif device.type == "cuda":
        budget = float(torch.cuda.get_device_properties(device).total_memory - _RESERVE)
    else:
        budget = float(torch.mps.recommended_max_memory() - _RESERVE)
    if has_unified_memory(device.type):
        given = [gib * GIB for gib in (vram_gib, ram_gib) if gib is not None]
        budget = ram = min(given or (budget, ram))
    return Card(
        device.type,
        budget,
        ram=ram,
        capability=torch.cuda.get_device_capability(device) if device.type == "cuda" else None,
        multiplies_fp8=cache(partial(can_multiply, device)),  # tried only where that is configured
    )


def name_of(device: torch.device) -> str:
    """What a person calls it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def dtype_on(device: torch.device, dtype: Dtype) -> torch.dtype:
    """The type to compute in: on a CPU float32, since it is slower and less exact in half types."""
    return torch.float32 if device.type == "cpu" else DTYPES[dtype]


DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A copy on `device` of a tensor in RAM, for which the processor does not wait.

    For a tensor that is not pinned it would, until the card has done all that it was given before.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def finish(device: torch.device) -> None:
    """Wait until a card has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def free_caches(device: torch.device, *, cycles: bool = True) -> None:
    """Give memory that nobody holds any more back to the device.

    With `cycles`, also what is held in reference cycles: to find them, Python goes through all
    objects of torch and diffusers, while every other thread stands still.
    """
    if cycles:
        gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def free_ram(device: torch.device) -> None:
    """Give RAM that nobody holds any more back to the system, pinned memory included.

    torch keeps that for the next weights to be pinned, but those are read into plain memory first.
    """
    free_caches(device)
    if device.type == "cuda" and hasattr(torch.accelerator, "empty_host_cache"):  # from 2.13
        torch.accelerator.empty_host_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the GPU, in its libraries or in RAM."""
    if isinstance(error, torch.OutOfMemoryError) or is_out_of_ram(error):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def ran_out(error: BaseException) -> BaseException | None:
    """The error that says that memory ran out: this one or one that it came from; else None.

    Libraries turn it into errors of their own, which say that a file is damaged or does not fit.
    """
    return next(filter(is_out_of_memory, causes(error)), None)


def is_out_of_ram(error: BaseException) -> bool:
    """Whether an error says that memory ran out in RAM."""
    if isinstance(error, MemoryError):
        return True
    is_systems = isinstance(error, RuntimeError | OSError)
    return is_systems and any(sign in str(error) for sign in _SIGNS_OF_RAM)


def is_lost(device: torch.device) -> bool:
    """Whether a CUDA card refuses everything, as it does after some errors until the process ends.

    Asked after an error; waits for what the card is doing.
    """
    if device.type != "cuda":
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False


_SIGNS = (
    "out of memory",  # CUDA's driver, MPS
    "ALLOC_FAILED",  # cuBLAS, cuDNN
    "STATUS_NOT_INITIALIZED",  # the same two, where there is not even room for them to begin
    "unable to find an engine",  # torch, where none of cuDNN's ways had room (its issue 108645)
)
_SIGNS_OF_RAM = (
    "can't allocate memory",  # the CPU's allocator
    "not enough memory",  # the same on Windows
    "(os error 1455)",  # Windows' paging file is too small: it has to have room for files, too
)
