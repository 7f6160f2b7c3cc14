"""Weights in two places: one copy in RAM that stays, another on the card while it is needed.

Weights never change, so nothing is ever copied back: to leave the card is to forget the copy there.

The copy in RAM is packed into blocks of pinned memory, which cross the bus in a few large
asynchronous copies. Torch's allocator of pinned memory rounds every request up to a power of two:
blocks have such sizes and lose nothing, while SD3.5's weights pinned one by one would take half as
much again. A Mac's GPU computes in RAM, where both places are one.
"""

import logging
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import psutil
import torch
from torch import Tensor, nn

from pipelines.device import is_out_of_memory
from pipelines.plan import has_unified_memory

log = logging.getLogger(__name__)

BLOCK = 2**29  # bytes
_ALIGNED = 256  # bytes: where a tensor may begin, for kernels that read sixteen at a time


@dataclass(slots=True)
class _Block:
    """Memory in RAM that tensors share.

    `members` are the first byte of each, the tensor, and an empty one of its shape, strides and
    type.
    """

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

    def place(self, memory: Tensor, only: Container[int] | None = None) -> None:
        """Point members, or only those with these ids, to `memory`, a copy of `home` or `home`."""
        for begin, tensor, like in self.members:
            if only is None or id(tensor) in only:
                tensor.data = _view(memory, begin, like)


class Weights:
    """The parameters and buffers of modules, in RAM until `move_in`.

    Those of `streamed` modules are packed too but never moved: their layers visit the card one by
    one (`pipelines.fitting.stream`). `device` is where weights visit. On a CPU they are there
    already, and nothing is packed or moved, unless `packed` says so.
    """

    def __init__(
        self,
        modules: Iterable[nn.Module],
        device: torch.device,
        *,
        streamed: Iterable[nn.Module] = (),
        packed: bool | None = None,
        block: int = BLOCK,
    ) -> None:
        self._device = device
        visit, stay = list(_tensors(modules)), list(_tensors(streamed))
        self.size = sum(map(_padded, _distinct(visit)))
        self._visiting: list[_Block] = []
        self._staying: list[_Block] = []
        self._there: list[Tensor] = []  # the copies of those that visit
        if packed or (packed is None and device.type != "cpu"):
            self._visiting = [self._pack(share) for share in _shares(visit, block)]
            self._staying = [self._pack(share) for share in _shares(stay, block)]

    @property
    def in_ram(self) -> int:
        """The bytes that they take of RAM, in whole blocks if they are packed."""
        return sum(len(each.home) for each in chain(self._visiting, self._staying)) or self.size

    def _pack(self, tensors: list[Tensor]) -> _Block:
        length = _power_of_two(sum(map(_padded, tensors)))
        block = _Block(self._home(length))
        for tensor in tensors:
            block.add(tensor)
        return block

    def _home(self, length: int) -> Tensor:
        if self._device.type == "cuda":
            return _pinned(length)
        return _plain(length, self._device if has_unified_memory(self._device.type) else None)

    def move_in(self) -> None:
        """Copy to the device, asynchronously on its current stream. All, or none if it raises."""
        copy = not has_unified_memory(self._device.type)
        try:
            for block in self._visiting:
                there = block.home[: block.used].to(self._device, non_blocking=True, copy=copy)
                block.place(there)
                self._there.append(there)
        except BaseException:  # memory ran out: what is there already would stay for good
            self.move_out()
            raise

    def settle(self, modules: Iterable[nn.Module]) -> None:
        """Point the tensors of `modules` to where `move_in` put them, once more.

        Those that were cast and cast back have the same values, but in memory of their own.
        """
        theirs = {id(tensor) for tensor in _tensors(modules)}
        for block, there in zip(self._visiting, self._there, strict=True):
            block.place(there, theirs)

    def move_out(self) -> None:
        """Forget the copy on the device."""
        self._there.clear()
        for block in chain(self._visiting, self._staying):
            block.place(block.home)


def _plain(length: int, device: torch.device | None = None) -> Tensor:
    return torch.empty(length, dtype=torch.uint8, device=device)


def _pinned(length: int) -> Tensor:
    """So many bytes of pinned memory, or, where no more can be pinned, of plain memory.

    Windows pins no more than half of RAM, and WSL less. Copies from plain memory take longer.
    """
    try:
        return torch.empty(length, dtype=torch.uint8, pin_memory=True)
    except RuntimeError as error:
        if not is_out_of_memory(error) or psutil.virtual_memory().available < length:
            raise
        log.warning("no more RAM can be pinned, so a model will move in more slowly: %s", error)
        return _plain(length)


def _tensors(modules: Iterable[nn.Module]) -> Iterator[Tensor]:
    for module in modules:
        yield from module.parameters()
        yield from module.buffers()


def _distinct(tensors: Iterable[Tensor]) -> Iterable[Tensor]:
    return {id(tensor): tensor for tensor in tensors}.values()


def _shares(tensors: Iterable[Tensor], block: int) -> list[list[Tensor]]:
    """Which tensors share a block of `block` bytes: the largest first, each where there is room."""
    shares: list[list[Tensor]] = []
    free: list[int] = []
    for tensor in sorted(_distinct(tensors), key=_padded, reverse=True):
        size = _padded(tensor)
        at = next((at for at, room in enumerate(free) if room >= size), len(shares))
        if at == len(shares):
            shares.append([])
            free.append(max(block, _power_of_two(size)))
        shares[at].append(tensor)
        free[at] -= size
    return shares


def _power_of_two(size: int) -> int:
    """The next one that is not smaller."""
    return 1 << (size - 1).bit_length() if size else 0


def _padded(tensor: Tensor) -> int:
    return -(-tensor.numel() * tensor.element_size() // _ALIGNED) * _ALIGNED


def _view(memory: Tensor, begin: int, like: Tensor) -> Tensor:
    size = like.numel() * like.element_size()
    flat = memory[begin : begin + size].view(like.dtype)
    return flat.as_strided(like.shape, like.stride(), flat.storage_offset())
