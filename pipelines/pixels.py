"""Pictures of what was decoded, in eight bits before they leave the card."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pipelines.catalog import ModelKey
from pipelines.contract.artifact import Facts
from pipelines.contract.errors import CardLost, RenderFailed
from pipelines.media import encode_png

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Leaving:
    """A picture on its way off the card, which is at the next thing meanwhile.

    `width` and `height` are pixels.
    """

    width: int
    height: int
    _key: ModelKey = field(repr=False)
    _levels: Tensor = field(repr=False)
    _overflowed: Tensor = field(repr=False)
    _wait: Callable[[], None] = field(repr=False)

    def image(self) -> Image.Image:
        """The picture, RGB or RGBA, once it is there. On any thread.

        Raises CardLost, and RenderFailed for what is no picture.
        """
        self._wait()
        if self._overflowed:
            raise _overflow(self._key)
        return Image.fromarray(self._levels.numpy())

    def png(self, facts: Facts) -> bytes:
        """The picture as `pipelines.media.encode_png` makes a file of it. Raises as `image`."""
        return encode_png(self.image(), facts)


def leave(decoded: Tensor, key: ModelKey) -> list[Leaving]:
    """Pictures of n × 3 (or 4) × height × width values of 0 to 1, which may still be computed.

    `key` is the model that they are of. To the last bit as diffusers makes them on the processor,
    which here has nothing to reckon, and of which a quarter of the bytes or half of them cross the
    bus. What is no number would be black.
    """
    overflowed = decoded.isnan().flatten(1).any(1)
    levels = torch.stack([(each.float() * 255).round().to(torch.uint8) for each in decoded])
    pixels = levels.permute(0, 2, 3, 1).contiguous()
    height, width = pixels.shape[1:3]
    wait: Callable[[], None] = _go_on
    if pixels.is_cuda:
        overflowed = overflowed.to("cpu", non_blocking=True)  # both pinned, as torch has it
        pixels = pixels.to("cpu", non_blocking=True)
        copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        copied.record(torch.cuda.current_stream(decoded.device))
        wait = partial(_wait, copied, torch.cuda.get_device_name(decoded.device))
    return [
        Leaving(width, height, key, each, is_none, wait)
        for each, is_none in zip(pixels.cpu(), overflowed.cpu(), strict=True)
    ]


def pictures(decoded: Tensor, key: ModelKey) -> list[Image.Image]:
    """The same pictures, when they are there. Raises as `Leaving.image`."""
    return [each.image() for each in leave(decoded, key)]


def _overflow(key: ModelKey) -> RenderFailed:
    """A model's numbers became none: what is larger than their type can hold is infinite."""
    error = RenderFailed(
        "What came out is no picture: the model's numbers became larger than their type can hold. "
        "Please try again; if it happens again, this bot's owner can choose another {setting} in "
        "its configuration: bfloat16 or float32.",
        setting=f"models.{key}.dtype",
    )
    log.error("%s", error.sentence)
    return error


def _go_on() -> None:
    """What is in RAM is there."""


def _wait(copied: Any, card: str) -> None:
    """Until an event is reached. What the card could not do shows only now, and it is lost."""
    try:
        copied.synchronize()
    except RuntimeError as error:
        raise CardLost.named(card) from error
