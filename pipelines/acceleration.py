"""Networks made quicker without changing what they compute, but for the last bits."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
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


def attention(settings: Acceleration) -> AbstractContextManager[Any]:
    """The attention kernel that is configured, for as long as the context lasts.

    diffusers' own `set_attention_backend` does nothing to these three denoisers.
    """
    if settings.attention == "auto":
        return nullcontext()
    return sdpa_kernel(_KERNELS[settings.attention])
