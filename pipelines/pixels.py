"""Pictures of what was decoded, in eight bits before they leave the card."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pipelines.contract.errors import CardLost
from pipelines.media import encode_png


@dataclass(frozen=True, slots=True)
class Leaving:
    """A picture on its way off the card, which is at the next thing meanwhile.

    `width` and `height` are pixels.
    """

    width: int
    height: int
    _levels: Tensor = field(repr=False)
    _wait: Callable[[], None] = field(repr=False)

    def image(self) -> Image.Image:
        """The picture, RGB, once it is there. On any thread. Raises CardLost."""
        self._wait()
        return Image.fromarray(self._levels.numpy())

    def png(self, facts: Mapping[str, str | int | float]) -> bytes:
        """The picture as `pipelines.media.encode_png` makes a file of it. Raises CardLost."""
        return encode_png(self.image(), facts)


def leave(decoded: Tensor) -> list[Leaving]:
    """RGB pictures of n × 3 × height × width values of 0 to 1, which may still be computed.

    To the last bit as diffusers makes them on the processor, which here has nothing to reckon, and
    of which a quarter of the bytes or half of them cross the bus.
    """
    levels = torch.stack([(each.float() * 255).round().to(torch.uint8) for each in decoded])
    pixels = levels.permute(0, 2, 3, 1).contiguous()
    height, width = pixels.shape[1:3]
    if not pixels.is_cuda:
        return [Leaving(width, height, each, lambda: None) for each in pixels.cpu()]
    there = pixels.to("cpu", non_blocking=True)  # pinned, as torch has it
    copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    copied.record(torch.cuda.current_stream(pixels.device))
    name = torch.cuda.get_device_name(pixels.device)
    return [Leaving(width, height, each, lambda: _wait(copied, name)) for each in there]


def pictures(decoded: Tensor) -> list[Image.Image]:
    """The same pictures, when they are there."""
    return [each.image() for each in leave(decoded)]


def _wait(copied: Any, card: str) -> None:
    """Until an event is reached. What the card could not do shows only now, and it is lost."""
    try:
        copied.synchronize()
    except RuntimeError as error:
        raise CardLost.named(card) from error
