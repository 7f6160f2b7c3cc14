"""Weights in two places: one copy in RAM that stays, another on the card while it is needed.

Weights never change, so nothing is ever copied back: to leave the card is to forget the copy there.
The copy in RAM is packed into blocks of pinned memory. They cross the bus in a few large
asynchronous copies, and being powers of two they lose nothing to the allocator of pinned memory,
which rounds up to one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor, nn

BLOCK = 2**28  # bytes
_ALIGNED = 256  # bytes: where a tensor may begin, for kernels that read sixteen at a time


@dataclass(slots=True)
class _Block:
    """Memory in RAM, and what of it is whose: the first byte, the tensor, and what it is like."""

    home: Tensor
    members: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)
    used: int = 0

    def add(self, tensor: Tensor) -> None:
        """Move a tensor's data here. Shape, type and memory format stay."""
        like = torch.empty_like(tensor.data, device="meta")
        target = _view(self.home, self.used, like)
        target.copy_(tensor.data)
        tensor.data = target
        self.members.append((self.used, tensor, like))
        self.used += _padded(like)

    def place(self, memory: Tensor) -> None:
        """Let the tensors' data be in `memory`, which holds what `home` holds."""
        for begin, tensor, like in self.members:
            tensor.data = _view(memory, begin, like)


class Weights:
    """The parameters and buffers of modules, in RAM until `move_in`.

    `device` is where they visit; on a CPU they are there already, and nothing is moved or copied
    unless `packed` says so. Not for quantised tensors, which are more than their data.
    """

    def __init__(
        self,
        modules: Iterable[nn.Module],
        device: torch.device,
        *,
        packed: bool | None = None,
        block: int = BLOCK,
    ) -> None:
        self._device = device
        self._blocks: list[_Block] = []
        tensors = {
            id(tensor): tensor
            for module in modules
            for tensor in chain(module.parameters(), module.buffers())
        }
        self.size = sum(_padded(tensor) for tensor in tensors.values())
        if packed or (packed is None and device.type != "cpu"):
            self._pack(tensors.values(), block)

    def _pack(self, tensors: Iterable[Tensor], block: int) -> None:
        shares: list[list[Tensor]] = []
        free = 0
        for tensor in sorted(tensors, key=_padded, reverse=True):
            if _padded(tensor) > free:
                shares.append([])
                free = max(block, _padded(tensor))
            shares[-1].append(tensor)
            free -= _padded(tensor)
        for share in shares:
            length = 1 << (sum(map(_padded, share)) - 1).bit_length()
            pinned = self._device.type == "cuda"
            home = torch.empty(length, dtype=torch.uint8, pin_memory=pinned)
            self._blocks.append(_Block(home))
            for tensor in share:
                self._blocks[-1].add(tensor)

    def move_in(self) -> None:
        """Copy to the device, asynchronously on its current stream."""
        for block in self._blocks:
            there = block.home[: block.used].to(self._device, non_blocking=True, copy=True)
            block.place(there)

    def move_out(self) -> None:
        """Forget the copy on the device."""
        for block in self._blocks:
            block.place(block.home)


def _padded(tensor: Tensor) -> int:
    return -(-tensor.numel() * tensor.element_size() // _ALIGNED) * _ALIGNED


def _view(memory: Tensor, begin: int, like: Tensor) -> Tensor:
    size = like.numel() * like.element_size()
    flat = memory[begin : begin + size].view(like.dtype)
    return flat.as_strided(like.shape, like.stride(), flat.storage_offset())
