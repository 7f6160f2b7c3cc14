"""Linear layers whose weights are kept in eight bits (fp8) or in four (nf4).

Before each product the weights are cast back to the type that the layer computes in, which saves
memory but no time. Layers in fp8 can also multiply in fp8, on cards that have units for it, which
are twice as quick; then the activations are rounded to fp8 as well. Scales are buffers, so they go
wherever weights go.
"""

import logging
import math
import re
from collections.abc import Iterator
from itertools import chain
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

FP8 = torch.float8_e4m3fn
_LARGEST = torch.finfo(FP8).max
_SMALLEST = torch.finfo(torch.float32).tiny  # of a scale: a tensor of zeros has to have one
_BLOCK = 64  # weights in nf4 that have one scale
_NEGATIVE = [-1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004]
_POSITIVE = [0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0]
_NF4 = torch.tensor([*_NEGATIVE, 0.0, *_POSITIVE])  # what its sixteen codes stand for
_NOT_QUANTISED = re.compile(r"^(pos_embed|time_text_embed|norm_out|proj_out)\b")
_UNITS = (8, 9)  # the compute capability from which on cards have units for it
_TOLERANCE = 0.1  # of a product's norm, where an error of 0.04 is expected


class Fp8Linear(nn.Linear):
    """A linear layer made of an nn.Linear by `quantise_to_fp8`.

    `kept` are its weights in fp8, out × in, to be multiplied by `scale`, a number in float32:
    unscaled, most weights of a network are smaller than what fp8 can tell apart. `weight` is None,
    or T5 would round its activations to the type of that.

    `compute_dtype` is the type that the weights had: the network's, except in layers of T5 whose
    products are too large for float16, so that transformers keeps them in float32.
    """

    kept: Tensor
    scale: Tensor
    compute_dtype: torch.dtype
    multiplies: bool

    def forward(self, input: Tensor) -> Tensor:
        """… × in to … × out, in `compute_dtype`."""
        input = input.to(self.compute_dtype)
        if self.multiplies:
            rows = multiply(input.flatten(0, -2), self.kept, self.scale, self.bias)
            return rows.view(*input.shape[:-1], self.out_features)
        weight = self.kept.to(input.dtype).mul_(self.scale)
        return nn.functional.linear(input, weight, self.bias)


class Nf4Linear(nn.Linear):
    """A linear layer made of an nn.Linear by `quantise_to_nf4`.

    `kept` are its weights, two to a byte, and `scales` a column of float32, one for each block of
    64, both in the order of out × in, with the last block filled up. `pairs`, 256 × 2 in
    `compute_dtype`, are the two numbers that a byte stands for. `weight` is None, as in Fp8Linear.
    """

    kept: Tensor
    scales: Tensor
    pairs: Tensor
    compute_dtype: torch.dtype

    def forward(self, input: Tensor) -> Tensor:
        """… × in to … × out, in `compute_dtype`."""
        blocks = self.pairs[self.kept.int()].view(-1, _BLOCK).mul_(self.scales)
        shape = self.out_features, self.in_features
        weight = blocks.view(-1)[: math.prod(shape)].view(shape)
        return nn.functional.linear(input.to(self.compute_dtype), weight, self.bias)


def quantise_to_fp8(network: nn.Module, *, multiplying: bool = False) -> None:
    """Keep the weights of a network's layers in fp8, but for an SD3 transformer's first and last.

    `multiplying` has them multiply in fp8, too. diffusers' own `enable_layerwise_casting` has no
    scales, and leaves out whatever is called a norm, and with it the modulations, a third of the
    weights. It also casts back into memory of its own, beside the blocks of `pipelines.weights`.
    """
    for layer in _layers(network):
        kept, scale = to_fp8(layer.weight.data)
        _keeping(layer, Fp8Linear, kept=kept, scale=scale).multiplies = multiplying


def quantise_to_nf4(network: nn.Module, device: torch.device) -> None:
    """Keep the weights of a network's layers in nf4, but for an SD3 transformer's first and last.

    `device` quantises, one layer after the other, for a CPU takes minutes; the results stay in RAM.
    diffusers' own way, with bitsandbytes, would put the whole network on the card, keep the scales
    where neither `pipelines.weights` nor streaming finds them, and take seconds to import in every
    process, since peft imports bitsandbytes wherever it is installed.
    """
    for layer in _layers(network):
        pairs = _pairs(layer.weight.dtype)
        kept, scales = to_nf4(layer.weight.data.to(device))
        _keeping(layer, Nf4Linear, kept=kept.cpu(), scales=scales.cpu(), pairs=pairs)


def compute_in(network: nn.Module, dtype: torch.dtype) -> None:
    """Let a quantised network that was read in a half type compute in `dtype`."""
    for layer in network.modules():
        if isinstance(layer, Fp8Linear | Nf4Linear):
            layer.compute_dtype = dtype
        if isinstance(layer, Nf4Linear):
            layer.pairs = _pairs(dtype)
    for tensor in chain(network.parameters(), network.buffers()):
        if tensor.dtype in (torch.float16, torch.bfloat16):
            tensor.data = tensor.data.to(dtype)


def _pairs(dtype: torch.dtype) -> Tensor:
    return torch.cartesian_prod(_NF4, _NF4).to(dtype)


def _layers(network: nn.Module) -> Iterator[nn.Linear]:
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear) and not _NOT_QUANTISED.match(name):
            yield layer


_Kept = TypeVar("_Kept", Fp8Linear, Nf4Linear)


def _keeping(layer: nn.Linear, cls: type[_Kept], **buffers: Tensor) -> _Kept:
    """Turn a layer into one of `cls`, with these buffers in the place of its weights."""
    compute_dtype = layer.weight.dtype
    layer.register_parameter("weight", None)
    for name, tensor in buffers.items():
        layer.register_buffer(name, tensor)
    layer.__class__ = cls
    made = cast(_Kept, layer)
    made.compute_dtype = compute_dtype
    return made


def to_nf4(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor in nf4, two numbers to a byte, and a column of the scales of its blocks in float32.

    Each number becomes the nearest of sixteen that are spaced as a normal distribution is, times
    the largest of its block of 64 (https://arxiv.org/abs/2305.14314). Zeros fill up the last block.
    """
    flat = tensor.flatten().float()
    blocks = nn.functional.pad(flat, (0, -len(flat) % _BLOCK)).view(-1, _BLOCK)
    scales = blocks.abs().amax(1, keepdim=True).clamp(min=_SMALLEST)
    between = ((_NF4[1:] + _NF4[:-1]) / 2).to(tensor.device)
    codes = torch.bucketize(blocks / scales, between, out_int32=True).to(torch.uint8).view(-1, 2)
    return codes[:, 0] * len(_NF4) + codes[:, 1], scales


def to_fp8(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor in fp8, and the scale, a number in float32, that it has to be multiplied by.

    One scale serves a whole tensor: fp8 has an exponent, and tells numbers apart down to a 30,000th
    of the largest.
    """
    least, most = torch.aminmax(tensor)
    scale = (torch.maximum(-least, most).float() / _LARGEST).clamp(min=_SMALLEST)
    return (tensor / scale).to(FP8), scale


def multiply(rows: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer in fp8: n × in to n × out, in the type of `rows`, which are rounded first.

    `weight` is out × in, in fp8, with its `scale`. Cards want multiples of 16 for both widths.
    """
    rounded, factor = to_fp8(rows)
    apart = rows.dtype is torch.float32  # the product adds no bias of this type
    product = torch._scaled_mm(
        rounded,
        weight.t(),
        scale_a=factor,
        scale_b=scale,
        bias=None if apart else bias,
        out_dtype=rows.dtype,
        use_fast_accum=True,
    )
    return product.add_(bias) if apart and bias is not None else product


def can_multiply(device: torch.device) -> bool:
    """Whether a card, and torch there, multiply in fp8: tried with a small product."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < _UNITS:
        return False
    try:
        return is_accurate(device)
    except RuntimeError as error:
        log.info("torch %s does not multiply in fp8 here: %s", torch.__version__, error)
        return False


def is_accurate(device: torch.device) -> bool:
    """Whether a product in fp8 is about what it is in float32. Raises RuntimeError."""
    numbers = torch.Generator().manual_seed(0)
    rows, weight = (
        torch.randn(48, 64, generator=numbers, dtype=torch.float32).to(device) for _ in range(2)
    )
    kept, scale = to_fp8(weight)
    bias = torch.ones(48, dtype=torch.bfloat16, device=device)
    told = multiply(rows.bfloat16(), kept, scale, bias).float()
    true = nn.functional.linear(rows, weight, bias.float())
    return bool((told - true).norm() <= _TOLERANCE * true.norm())
