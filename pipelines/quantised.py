"""Linear layers whose weights are kept in eight bits (fp8) or in four (nf4).

Before each product the weights are cast to what the network computes in, which saves memory and
no time. Those in fp8 can also multiply so, where cards have units for it that are twice as quick;
that rounds what goes into each layer, too. The scales are buffers: they go wherever weights go.
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
_BELOW = [-1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004]
_ABOVE = [0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0]
_NF4 = torch.tensor([*_BELOW, 0.0, *_ABOVE])
_KEPT_WHOLE = re.compile(r"^(pos_embed|time_text_embed|norm_out|proj_out)\b")
_UNITS = (8, 9)  # the compute capability from which on cards have units for it
_OFF = 0.1  # that a product may be off, of its norm, where 0.04 is expected


class Fp8Linear(nn.Linear):
    """A linear layer that is made of one by `keep_in_fp8`.

    `kept` are its weights in fp8, out × in, and `scale`, a number in float32, is what they have to
    be multiplied by: without one, most weights of a network are smaller than what fp8 can tell
    apart. `weight` is None, or T5 would round its activations to that type.

    It computes in the type that its weights had. That is the network's, but of some layers of T5,
    whose products are too large for float16 and which transformers therefore keeps in float32.
    """

    kept: Tensor
    scale: Tensor
    computes: torch.dtype
    multiplies: bool

    def forward(self, input: Tensor) -> Tensor:
        """… × in to … × out, in the type that the weights had."""
        input = input.to(self.computes)
        if self.multiplies:
            rows = multiply(input.flatten(0, -2), self.kept, self.scale, self.bias)
            return rows.view(*input.shape[:-1], self.out_features)
        weight = self.kept.to(input.dtype).mul_(self.scale)
        return nn.functional.linear(input, weight, self.bias)


class Nf4Linear(nn.Linear):
    """A linear layer that is made of one by `keep_in_nf4`.

    `kept` are its weights, two to a byte, and `scales` a column of float32, one for each 64 of
    them, both in the order of out × in, filled up to whole blocks. `pairs`, 256 × 2 in the type
    that it computes in, are the numbers that a byte stands for. `weight` is None, as in Fp8Linear.
    """

    kept: Tensor
    scales: Tensor
    pairs: Tensor
    computes: torch.dtype

    def forward(self, input: Tensor) -> Tensor:
        """… × in to … × out, in the type that the weights had."""
        blocks = self.pairs[self.kept.int()].view(-1, _BLOCK).mul_(self.scales)
        shape = self.out_features, self.in_features
        weight = blocks.view(-1)[: math.prod(shape)].view(shape)
        return nn.functional.linear(input.to(self.computes), weight, self.bias)


def keep_in_fp8(network: nn.Module, *, multiplying: bool = False) -> None:
    """Keep the weights of a network's layers in fp8, but for an SD3 transformer's first and last.

    In the place of diffusers' `enable_layerwise_casting`, which has no scales; leaves out whatever
    is called a norm, and with it the modulations, a third of the weights; and casts back after
    each layer, into memory of its own: the blocks of `pipelines.weights` would be held beside it.
    """
    for layer in _layers(network):
        kept, scale = in_fp8(layer.weight.data)
        _keeping(layer, Fp8Linear, kept=kept, scale=scale).multiplies = multiplying


def keep_in_nf4(network: nn.Module, device: torch.device) -> None:
    """Keep the weights of a network's layers in nf4, but for an SD3 transformer's first and last.

    They are made so on `device`, one layer after the other, for a CPU takes minutes, and stay in
    RAM. In the place of diffusers' way by bitsandbytes, which puts the whole network on the card to
    make it, keeps the scales where neither `pipelines.weights` nor streaming finds them, and takes
    seconds to import, in every process: peft imports it wherever it is there.
    """
    for layer in _layers(network):
        pairs = _pairs(layer.weight.dtype)
        kept, scales = in_nf4(layer.weight.data.to(device))
        _keeping(layer, Nf4Linear, kept=kept.cpu(), scales=scales.cpu(), pairs=pairs)


def compute_in(network: nn.Module, dtype: torch.dtype) -> None:
    """Let a network that was read in half its width, to be kept in less, compute in `dtype`."""
    for layer in network.modules():
        if isinstance(layer, Fp8Linear | Nf4Linear):
            layer.computes = dtype
        if isinstance(layer, Nf4Linear):
            layer.pairs = _pairs(dtype)
    for tensor in chain(network.parameters(), network.buffers()):
        if tensor.dtype in (torch.float16, torch.bfloat16):
            tensor.data = tensor.data.to(dtype)


def _pairs(dtype: torch.dtype) -> Tensor:
    return torch.cartesian_prod(_NF4, _NF4).to(dtype)


def _layers(network: nn.Module) -> Iterator[nn.Linear]:
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear) and not _KEPT_WHOLE.match(name):
            yield layer


_Kept = TypeVar("_Kept", Fp8Linear, Nf4Linear)


def _keeping(layer: nn.Linear, cls: type[_Kept], **buffers: Tensor) -> _Kept:
    """A layer as one of `cls`, with these in the place of its weights."""
    computes = layer.weight.dtype
    layer.register_parameter("weight", None)
    for name, tensor in buffers.items():
        layer.register_buffer(name, tensor)
    layer.__class__ = cls
    made = cast(_Kept, layer)
    made.computes = computes
    return made


def in_nf4(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor in nf4, two numbers to a byte, and a column of the scales of its blocks in float32.

    Each number is the nearest of sixteen that lie as those of a normal distribution do, times the
    largest of its block of 64 (https://arxiv.org/abs/2305.14314). Zeros fill the last block up.
    """
    flat = tensor.flatten().float()
    blocks = nn.functional.pad(flat, (0, -len(flat) % _BLOCK)).view(-1, _BLOCK)
    scales = blocks.abs().amax(1, keepdim=True).clamp(min=_SMALLEST)
    between = ((_NF4[1:] + _NF4[:-1]) / 2).to(tensor.device)
    codes = torch.bucketize(blocks / scales, between, out_int32=True).to(torch.uint8).view(-1, 2)
    return codes[:, 0] * len(_NF4) + codes[:, 1], scales


def in_fp8(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor in fp8, and the scale, a number in float32, that it has to be multiplied by.

    One scale serves a whole tensor: fp8 has an exponent of its own, and tells numbers apart down
    to a 30,000th of the largest.
    """
    least, most = torch.aminmax(tensor)
    scale = (torch.maximum(-least, most).float() / _LARGEST).clamp(min=_SMALLEST)
    return (tensor / scale).to(FP8), scale


def multiply(rows: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer's product, n × in to n × out, of what is rounded to fp8 first.

    The widths are multiples of 16, as cards want them.
    """
    rounded, factor = in_fp8(rows)
    apart = rows.dtype is torch.float32  # a bias in which cards do not add
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
        return is_right(device)
    except RuntimeError as error:
        log.info("torch %s does not multiply in fp8 here: %s", torch.__version__, error)
        return False


def is_right(device: torch.device) -> bool:
    """Whether a product in fp8 is about what it is in float32. Raises RuntimeError."""
    numbers = torch.Generator().manual_seed(0)
    rows, weight = (
        torch.randn(48, 64, generator=numbers, dtype=torch.float32).to(device) for _ in range(2)
    )
    kept, scale = in_fp8(weight)
    bias = torch.ones(48, dtype=torch.bfloat16, device=device)
    told = multiply(rows.bfloat16(), kept, scale, bias).float()
    true = nn.functional.linear(rows, weight, bias.float())
    return bool((told - true).norm() <= _OFF * true.norm())
