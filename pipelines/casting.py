"""Weights kept in fp8, each cast to what the network computes in for as long as its layer computes.

It imports diffusers, which takes seconds: import it where weights are cast, and not before.
"""

import re
from typing import Any

import torch
from diffusers.hooks import HookRegistry, ModelHook
from torch import nn

_KEPT_WHOLE = re.compile(r"^(pos_embed|time_text_embed|norm_out|proj_out)\b")


def keep_in_eight_bits(transformer: Any) -> None:
    """Keep the weights of an SD3 transformer's layers in fp8, but for the first and the last ones.

    In the place of diffusers' `enable_layerwise_casting`, which leaves out whatever is called a
    norm, and with it the modulations, a third of the weights; and which casts back after each
    layer, into memory of its own: the blocks of `pipelines.weights` would be held beside it.
    """
    compute = transformer.dtype
    for name, layer in transformer.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and not _KEPT_WHOLE.match(name):
            layer.to(torch.float8_e4m3fn)
            registry = HookRegistry.check_if_exists_or_initialize(layer)
            registry.register_hook(_Cast(compute), "layerwise_casting")  # as diffusers calls it


class _Cast(ModelHook):  # type: ignore[misc]
    """Lends a layer its weights in another type; `compute_dtype` is what diffusers asks for."""

    def __init__(self, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.compute_dtype = compute_dtype

    def new_forward(self, layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Compute, and let go of the copies even where that fails."""
        kept = [(parameter, parameter.data) for parameter in layer.parameters()]
        try:
            for parameter, data in kept:
                parameter.data = data.to(self.compute_dtype)
            return self.fn_ref.original_forward(*args, **kwargs)
        finally:
            for parameter, data in kept:
                parameter.data = data
