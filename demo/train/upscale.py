"""An upscaler of the class of real ones, for edges and patterns of the small world."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor, nn

from demo.shapes.paint import paint
from demo.shapes.scene import random_scene
from demo.train.loop import Recipe, fit
from demo.train.room import Room

SCALE = 4
SCENES, CROPS, CROP = 480, 10, 128  # large pictures, parts taken of each, and their side
SIDES = (512, 768, 1024)  # of the large pictures: what becomes of 256 × 256 by a scale, and between
BATCH = 6
WIDTH = 40
BLUR, NOISE = 0.5, 0.008  # the most: painters leave edges less sharp, and grounds less even
RECIPE = Recipe(steps=2400, rate=2e-3, warm=100, average=0.995)
_FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.BOX, Image.Resampling.LANCZOS)


def build_upscaler() -> Any:
    """A Swin2SRForImageSuperResolution that enlarges evenly, as long as it is not trained."""
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

    config = Swin2SRConfig(
        embed_dim=WIDTH,
        depths=(2, 2, 2),
        num_heads=(4, 4, 4),
        drop_path_rate=0.0,
        initializer_range=WIDTH**-0.5,
        upscale=SCALE,
        upsampler="pixelshuffledirect",
    )
    model = Swin2SRForImageSuperResolution(config)
    _enlarge_evenly(model)
    return model


@torch.no_grad()
def _enlarge_evenly(model: Any) -> None:
    """Let colours through from the first step: what is learnt is how edges differ from that."""
    first, body, last = (
        model.swin2sr.first_convolution,
        model.swin2sr.conv_after_body,
        model.upsample.conv,
    )
    body.weight.mul_(0.1)
    last.weight.mul_(0.01)
    for channel in range(3):
        first.weight[channel] = 0
        first.weight[channel, channel, 1, 1] = 1
        body.weight[channel] = 0
        for place in range(SCALE**2):
            kernel = torch.outer(*(_between(at) for at in divmod(place, SCALE)))
            last.weight[channel * SCALE**2 + place, channel] = kernel


def _between(at: int) -> Tensor:
    """How much of a pixel before it, of its own and of the one after a part of a pixel shows."""
    away = (at + 0.5) / SCALE - 0.5
    return torch.tensor([max(-away, 0.0), 1 - abs(away), max(away, 0.0)])


def train_upscaler(model: Any, room: Room) -> None:
    """Train `model` in place, on parts of large pictures and the same made small."""
    count = room.amount(SCENES)
    depends = f"{SIDES}"
    crops = room.array("large", (count, CROPS, CROP, CROP, 3), _large_parts, depends=depends)

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([room.seed, step])
        large = [_drawn(crops, rng) for _ in range(BATCH)]
        small = _as_tensor([_made_small(each, rng) for each in large], room)
        small = small + NOISE * rng.random() * torch.randn_like(small)
        made = model(pixel_values=small).reconstruction.float()
        return nn.functional.l1_loss(made, _as_tensor(large, room))

    fit("upscaler", model, loss, RECIPE, room)


def _large_parts(seeds: range) -> NDArray[np.uint8]:
    """Of each scene, the liveliest of some parts at random."""
    return np.stack([_parts(seed) for seed in seeds])


def _parts(seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng([seed, 1])
    side = int(rng.choice(SIDES))
    picture = np.asarray(paint(random_scene(seed), (side, side)))
    corners = rng.integers(0, side - CROP + 1, (3 * CROPS, 2))
    parts = [picture[y : y + CROP, x : x + CROP] for y, x in corners]
    liveliest = sorted(parts, key=lambda part: -float(part.std(axis=(0, 1)).sum()))
    return np.stack(liveliest[:CROPS])


def _drawn(crops: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One of the parts, turned and mirrored as it comes."""
    part = crops[rng.integers(len(crops)), rng.integers(CROPS)]
    turned = np.rot90(part, int(rng.integers(4)))
    return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)


def _made_small(part: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A part as a smaller picture would show it, now and then with a little blur."""
    picture = Image.fromarray(part)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(SCALE * BLUR * rng.random()))
    small = CROP // SCALE
    return np.asarray(picture.resize((small, small), _FILTERS[rng.integers(len(_FILTERS))]))


def _as_tensor(pictures: list[NDArray[np.uint8]], room: Room) -> Tensor:
    """Pictures as the model takes them: channels first, from 0 to 1."""
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return pixels.to(room.device).float() / 255
