"""Networks made quicker without changing what they compute, but for the last bits."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipelines.catalog import Acceleration
from pipelines.fitting import denoiser_of
from pipelines.placement import PAINTER, Held, Plan

_REPEATED = {
    "SD3Transformer2DModel": ["JointTransformerBlock"],
    "UNetSpatioTemporalConditionModel": [
        "BasicTransformerBlock",
        "TemporalBasicTransformerBlock",
        "SpatioTemporalResBlock",
    ],
}
"""The blocks that make up most of a denoiser, where diffusers does not name them itself. Compiling
one of a kind serves all of its kind, and takes a fraction of the time that the whole would."""
_KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}


def accelerate(pipeline: Any, settings: Acceleration, plan: Plan) -> None:
    """Prepare the networks of a pipeline that was just loaded. What is compiled is when it runs."""
    if settings.channels_last:
        for weights in _of_convolutions(pipeline):
            weights.data = weights.data.contiguous(memory_format=torch.channels_last)
    if settings.compile and plan.groups[PAINTER].held is Held.CARD:
        _compile_blocks(denoiser_of(pipeline))
        if not plan.tiled and plan.decode_chunk is None:
            pipeline.vae.decoder.compile()


def _of_convolutions(pipeline: Any) -> Iterator[nn.Parameter]:
    """The weights of all convolutions of pictures; those of videos have one dimension more."""
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            yield from (weights for weights in part.parameters() if weights.ndim == 4)


def _compile_blocks(denoiser: Any) -> None:
    """Have the repeated blocks compiled when they are first called; where that fails, they run as
    they are, and the log says why."""
    torch._dynamo.config.suppress_errors = True
    if blocks := _REPEATED.get(type(denoiser).__name__):
        denoiser._repeated_blocks = blocks
    denoiser.compile_repeated_blocks()


@contextmanager
def attention(settings: Acceleration) -> Iterator[None]:
    """The attention kernel that is configured, for as long as the context lasts.

    diffusers' own `set_attention_backend` does nothing to these three denoisers. The choice is the
    whole process's, and the same for all cards: it lasts until the last of them leaves.
    """
    if settings.attention == "auto":
        yield
        return
    _CHOSEN.enter(_KERNELS[settings.attention])
    try:
        yield
    finally:
        _CHOSEN.leave()


class _Chosen:
    """The kernel that all threads use which are in the context of `attention`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._kernel = ExitStack()

    def enter(self, kernel: SDPBackend) -> None:
        with self._lock:
            if not self._users:
                self._kernel.enter_context(sdpa_kernel(kernel))
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._kernel.close()


_CHOSEN = _Chosen()
