"""The autoencoders: 256 × 256 pictures to latents of 16 × 16 and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demo.shapes.geometry import Size
from demo.shapes.paint import SIDE, SQUARE, paint
from demo.shapes.scene import random_scene
from demo.train.loop import Recipe, fit
from demo.train.room import Room

SCENES = 16_000
CROPS = (8, 128)  # how many a step sees, and their side
GROUPS = 2
"""Of channels that are normalised together. What is plain all over differs only between the
channels of a group: with one or two channels each, colours are lost, and networks learn to keep
them by a bright spot somewhere."""
CALM = 1e-3  # the weight of the divergence from a normal distribution
LATENT_STAGES = 5  # a picture is halved four times: one latent pixel is 16 picture pixels
LATENT_SIDE = SIDE // 16
DECODER_RECIPE = Recipe(steps=4000, rate=8e-4, warm=100, average=0.998)
BLUR = 0.08  # the deviation of the noise on latents that are not quite what a picture gives


def build_vae(channels: int, widths: tuple[int, ...], **config: Any) -> Any:
    """An AutoencoderKL with latents of `channels` × 16 × 16, a width for each of its stages."""
    from diffusers import AutoencoderKL

    usual = {"norm_num_groups": GROUPS, "mid_block_add_attention": False}
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * LATENT_STAGES,
        up_block_types=("UpDecoderBlock2D",) * LATENT_STAGES,
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=channels,
        sample_size=SIDE,
        force_upcast=False,
        **usual | config,
    )
    _straighten(vae)
    return vae


@torch.no_grad()
def _straighten(vae: Any) -> None:
    """Begin as something that shrinks a picture and enlarges it again, roughly.

    Residual blocks add nothing yet, and the convolutions between them mostly copy what they are
    given, so that colours come through from the first step. Latents begin with little noise,
    which would drown them until they have grown.
    """
    for name, module in vae.named_modules():
        if isinstance(getattr(module, "conv2", None), nn.Conv2d):
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)
        if name.endswith("to_out.0"):  # attention adds nothing yet either
            nn.init.zeros_(module.weight)
        if isinstance(module, nn.Conv2d) and name.endswith(_COPYING):
            _copy(module, corner="downsamplers" in name)
    last = vae.quant_conv if vae.quant_conv is not None else vae.encoder.conv_out
    last.bias[len(last.bias) // 2 :] = -4.0  # the logarithm of the variance


_COPYING = ("conv_in", "conv_out", "conv_shortcut", "quant_conv", "samplers.0.conv")


def _copy(conv: nn.Conv2d, *, corner: bool) -> None:
    """Make a convolution copy channels, weakening what it did; `corner`: the mean of 2 × 2."""
    conv.weight.mul_(0.3)
    middle = conv.kernel_size[0] // 2
    for channel in range(min(conv.weight.shape[:2])):
        if corner:
            conv.weight[channel, channel, :2, :2] += 0.25
        else:
            conv.weight[channel, channel, middle, middle] += 1.0


def train_vae(name: str, vae: Any, room: Room, steps: int, crops: tuple[int, int] = CROPS) -> None:
    """Train an AutoencoderKL and set its scaling factor, so that latents have a deviation of 1."""
    pictures = training_pictures(room)

    def loss(step: int) -> Tensor:
        return _reconstruction(vae, _batch(pictures, crops, step, room))

    fit(name, vae, loss, Recipe(steps, rate=1.5e-3, warm=100, average=0.998), room)
    latents = encode(vae, pictures[:256], room)
    vae.register_to_config(scaling_factor=float(1 / latents.std()))


def training_pictures(room: Room) -> NDArray[np.uint8]:
    """The square pictures that training may see: n × 256 × 256 × 3."""
    return _painted(_seeds(room)[SQUARE], SQUARE, room)


def _painted(seeds: range, size: Size, room: Room) -> NDArray[np.uint8]:
    """The pictures of the scenes of `seeds`: n × height × width × 3."""

    def make(rows: range) -> NDArray[np.uint8]:
        chosen = seeds[rows.start : rows.stop]
        return np.stack([np.asarray(paint(random_scene(seed), size)) for seed in chosen])

    width, height = size
    shape = (len(seeds), height, width, 3)
    return room.array(f"pictures-{width}x{height}", shape, make, depends=repr(seeds))


def as_tensor(pictures: NDArray[np.uint8], room: Room) -> Tensor:
    """Pictures (n × side × side × 3) as the models see them: n × 3 × side × side, -1 to 1."""
    pixels = torch.from_numpy(np.ascontiguousarray(pictures)).to(room.device)
    tensor: Tensor = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    return tensor


def _batch(pictures: NDArray[np.uint8], crops: tuple[int, int], step: int, room: Room) -> Tensor:
    """Crops, or every third time about as many pixels of whole pictures.

    Crops are cheap; whole pictures keep normalisation honest about large plain areas.
    """
    rng = np.random.default_rng([room.seed, step])
    if step % 3:
        return as_tensor(_random_crops(pictures, *crops, rng), room)
    chosen = rng.choice(len(pictures), crops[0] // 4, replace=False)
    return as_tensor(_turned(pictures[chosen], rng), room)


def _random_crops(
    pictures: NDArray[np.uint8], count: int, side: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Parts of some pictures, together turned and mirrored: count × side × side × 3."""
    chosen = pictures[rng.choice(len(pictures), count)]
    corners = rng.integers(0, SIDE - side + 1, (count, 2))
    crops = [p[y : y + side, x : x + side] for p, (y, x) in zip(chosen, corners, strict=True)]
    return _turned(np.stack(crops), rng)


def _turned(pictures: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    turned = np.rot90(pictures, int(rng.integers(4)), axes=(1, 2))
    return turned[:, ::-1] if rng.random() < 0.5 else turned


def _reconstruction(vae: Any, pictures: Tensor) -> Tensor:
    """What a picture's latents are decoded to, and what they are when they are shrunk.

    Shrunk latents have to be those of the shrunk picture. It keeps the latents simple, and what
    learns to paint with them learns faster (EQ-VAE, Kouzelis et al., ICML 2025).
    """
    posterior = vae.encode(pictures).latent_dist
    latents = posterior.sample()
    side = latents.shape[-1] * int(torch.randint(2, 4, ())) // 4  # a half or three quarters
    shrunk, less = _resized(latents, side), _resized(pictures, 16 * side)
    divergence: Tensor = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
    return (
        picture_loss(vae.decode(latents).sample, pictures)
        + picture_loss(vae.decode(shrunk).sample, less)
        + CALM * divergence
    )


def _resized(pictures: Tensor, side: int) -> Tensor:
    return nn.functional.interpolate(
        pictures.float(), (side, side), mode="bilinear", antialias=True
    )


def picture_loss(painted: Tensor, pictures: Tensor) -> Tensor:
    """How far `painted` is from `pictures`, n × 3 × height × width: in colours and at edges."""
    off = painted.float() - pictures
    down, right = (off.diff(dim=axis).abs().mean() for axis in (2, 3))
    loss: Tensor = off.abs().mean() + off.pow(2).mean() + down + right
    return loss


def train_decoder(name: str, vae: Any, room: Room) -> None:
    """Train the decoder of a trained `vae` on, its latents being what they are.

    What a diffusion model makes are latents too, but never exactly those of a picture; the
    decoder learns to make clean edges of such ones.
    """
    pictures, latents = training_pairs(name, vae, room)
    factor, shift = vae.config.scaling_factor, vae.config.shift_factor or 0.0

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([room.seed, step])
        count, side = (2, LATENT_SIDE) if step % 3 == 0 else (8, LATENT_SIDE // 2)
        seen, z = random_pairs(pictures, latents, count, side, rng)
        z = z + BLUR * rng.random() * torch.randn_like(z)
        return picture_loss(vae.decode(z / factor + shift).sample, as_tensor(seen, room))

    fit(f"{name}-decoder", vae.decoder, loss, DECODER_RECIPE, room)


def training_pairs(name: str, vae: Any, room: Room) -> tuple[NDArray[np.uint8], Tensor]:
    """The square pictures that training may see, and their scaled latents."""
    seeds = _seeds(room)[SQUARE]
    return training_pictures(room), _bucket(name, vae, SQUARE, seeds, room).latents


def random_pairs(
    pictures: NDArray[np.uint8], latents: Tensor, count: int, side: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Tensor]:
    """The same part of some pictures and of their latents, of which it is `side` × `side`."""
    chosen = np.sort(rng.choice(len(pictures), count, replace=False))
    x, y = rng.integers(0, LATENT_SIDE - side + 1, 2)
    part = pictures[chosen, 16 * y : 16 * (y + side), 16 * x : 16 * (x + side)]
    return part, latents[chosen, :, y : y + side, x : x + side]


@torch.no_grad()
def encode(vae: Any, pictures: NDArray[np.uint8], room: Room) -> Tensor:
    """The means of the latents of pictures, not yet scaled."""
    parts = [
        vae.encode(as_tensor(pictures[i : i + 16], room)).latent_dist.mean
        for i in range(0, len(pictures), 16)
    ]
    return torch.cat(parts)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Pictures of one size (width, height): their seeds, and their scaled latents in that order."""

    size: Size
    seeds: range
    latents: Tensor


SHAPES: dict[Size, float] = {SQUARE: 0.7, (320, 192): 0.15, (192, 320): 0.15}
"""The sizes of pictures that are trained on, and the share of each."""


def training_buckets(name: str, vae: Any, room: Room) -> list[Bucket]:
    """The latents of the scenes that training may see, a bucket for each size."""
    return [_bucket(name, vae, size, seeds, room) for size, seeds in _seeds(room).items()]


def _seeds(room: Room) -> dict[Size, range]:
    """The scenes that are painted in each size."""
    seeds, begin = {}, 0
    for size, share in SHAPES.items():
        seeds[size] = range(begin, begin + room.amount(round(SCENES * share)))
        begin = seeds[size].stop
    return seeds


def _bucket(name: str, vae: Any, size: Size, seeds: range, room: Room) -> Bucket:
    factor, shift = vae.config.scaling_factor, vae.config.shift_factor or 0.0
    pictures = _painted(seeds, size, room)

    def make(rows: range) -> NDArray[np.float32]:
        chosen = pictures[rows.start : rows.stop]
        return np.asarray(((encode(vae, chosen, room) - shift) * factor).cpu())

    shape = (len(seeds), vae.config.latent_channels, size[1] // 16, size[0] // 16)
    depends = f"{seeds} {fingerprint(vae)}"
    rows = room.array(f"{name}-latents", shape, make, depends=depends, dtype=np.float32)
    return Bucket(size, seeds, torch.from_numpy(np.array(rows)).to(room.device))


def fingerprint(model: nn.Module) -> str:
    """A number that changes with a model's weights."""
    return repr(sum(float(p.double().abs().sum()) for p in model.parameters()))
