"""Pictures of what was decoded, in eight bits before they leave the card."""

import torch
from PIL import Image
from torch import Tensor


def pictures(decoded: Tensor) -> list[Image.Image]:
    """RGB pictures of n × 3 × height × width values of 0 to 1.

    To the last bit as diffusers makes them on the processor, which here has nothing to reckon, and
    of which a quarter of the bytes or half of them cross the bus.
    """
    levels = torch.stack([(each.float() * 255).round().to(torch.uint8) for each in decoded])
    return [Image.fromarray(each) for each in levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()]
