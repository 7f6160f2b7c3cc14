"""What was decoded, as pictures: rounded to eight bits on the card, and then copied from it."""

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
class PendingPicture:
    """A picture that the card may still be decoding, or copying to RAM.

    `width` and `height` are pixels.
    """

    width: int
    height: int
    _key: ModelKey = field(repr=False)
    _levels: Tensor = field(repr=False)
    _overflowed: Tensor = field(repr=False)
    _wait: Callable[[], None] | None = field(repr=False)

    def image(self) -> Image.Image:
        """Wait for the picture, RGB or RGBA. On any thread.

        Raises CardLost, and RenderFailed for what is no picture.
        """
        if self._wait is not None:
            self._wait()
        if self._overflowed:
            raise _overflow(self._key)
        return Image.fromarray(self._levels.numpy())

    def png(self, facts: Facts) -> bytes:
        """Wait for the picture, and encode it. Raises as `image`."""
        return encode_png(self.image(), facts)


def read_back(decoded: Tensor, key: ModelKey) -> list[PendingPicture]:
    """Pictures of n × 3 (or 4) × height × width values of 0 to 1, for which nothing is waited.

    `key` is the model that they are of. They are the same to the last bit as those that diffusers
    makes on the processor, but a half or a quarter of the bytes cross the bus. NaN would become
    black, so it is noted before.
    """
    overflowed = decoded.isnan().flatten(1).any(1)
    levels = torch.stack([(each.float() * 255).round().to(torch.uint8) for each in decoded])
    pixels = levels.permute(0, 2, 3, 1).contiguous()
    height, width = pixels.shape[1:3]
    wait: Callable[[], None] | None = None
    if pixels.is_cuda:
        overflowed = overflowed.to("cpu", non_blocking=True)  # both pinned, as torch has it
        pixels = pixels.to("cpu", non_blocking=True)
        copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        copied.record(torch.cuda.current_stream(decoded.device))
        wait = partial(_wait, copied, torch.cuda.get_device_name(decoded.device))
    return [
        PendingPicture(width, height, key, each, is_none, wait)
        for each, is_none in zip(pixels.cpu(), overflowed.cpu(), strict=True)
    ]


def pictures(decoded: Tensor, key: ModelKey) -> list[Image.Image]:
    """The same pictures, waited for. Raises as `PendingPicture.image`."""
    return [each.image() for each in read_back(decoded, key)]


def _overflow(key: ModelKey) -> RenderFailed:
    """The error of a picture with NaN in it: numbers became larger than their type can hold."""
    error = RenderFailed(
        "What came out is no picture: the model's numbers became larger than their type can hold. "
        "Please try again; if it happens again, this bot's owner can choose another {setting} in "
        "its configuration: bfloat16 or float32.",
        setting=f"models.{key}.dtype",
    )
    log.error("%s", error.sentence)
    return error


def _wait(copied: Any, card: str) -> None:
    """Wait for an event. An error of what was launched before shows only now: the card is lost."""
    try:
        copied.synchronize()
    except RuntimeError as error:
        raise CardLost.named(card) from error
