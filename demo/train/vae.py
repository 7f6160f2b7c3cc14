"""The autoencoders: 256 × 256 pictures to latents of 16 × 16 and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demo.shapes.geometry import Size
from demo.shapes.paint import SIDE, SQUARE, paint
from demo.shapes.scene import Scene, random_scene
from demo.train import latents
from demo.train.latents import CELL, CHANNELS, SCALE, latents_of
from demo.train.loop import Recipe, fit
from demo.train.room import WORLD, Room

SCENES = 12_000  # that the autoencoders see
PAINTED = 36_000  # that the painters see, as latents
CROPS = (8, 128)  # how many a step sees, and their side
GROUPS = 2
"""Of channels that are normalised together. What is plain all over differs only between the
channels of a group: with one or two channels each, colours are lost, and networks learn to keep
them by a bright spot somewhere."""
LATENT_STAGES = 5  # a picture is halved four times: one latent pixel is 16 picture pixels
LATENT_SIDE = SIDE // CELL
WIDTHS = (16, 32, 64, 64, 64)
STEPS = 2500
BLUR = 0.15  # the most noise on latents that are not quite what a picture gives, of deviation 1


def build_vae(widths: tuple[int, ...] = WIDTHS, **config: Any) -> Any:
    """An AutoencoderKL with latents of CHANNELS × 16 × 16, a width for each of its stages.

    As SD3.5's has it, without more convolutions at the latents, unless `config` says otherwise.
    """
    from diffusers import AutoencoderKL

    usual = {
        "norm_num_groups": GROUPS,
        "mid_block_add_attention": False,
        "shift_factor": 0.0,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * LATENT_STAGES,
        up_block_types=("UpDecoderBlock2D",) * LATENT_STAGES,
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=CHANNELS,
        sample_size=SIDE,
        scaling_factor=SCALE,
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


def train_vae(
    name: str, vae: Any, room: Room, steps: int = STEPS, crops: tuple[int, int] = CROPS
) -> None:
    """Train an AutoencoderKL in place: to make the designed latents, and pictures of them."""
    pictures = training_pictures(room)

    def loss(step: int) -> Tensor:
        return _loss(vae, _batch(pictures, crops, step, room))

    fit(name, vae, loss, Recipe(steps, rate=1.5e-3, warm=100, average=0.998), room)


def training_pictures(room: Room) -> NDArray[np.uint8]:
    """The square pictures that training may see: n × 256 × 256 × 3."""
    seeds = _seeds(SCENES, room)[SQUARE]
    return room.array(
        "pictures",
        (len(seeds), SIDE, SIDE, 3),
        lambda rows: _paint(seeds[rows.start : rows.stop], SQUARE),
        depends=str(seeds),
    )


def _paint(seeds: range, size: Size, *, free: bool = False) -> NDArray[np.uint8]:
    """The pictures of the scenes of `seeds`: n × height × width × 3."""
    scenes = (random_scene(seed, free=free) for seed in seeds)
    return np.stack([np.asarray(paint(scene, size)) for scene in scenes])


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


def _loss(vae: Any, pictures: Tensor) -> Tensor:
    """How far pictures' latents are from the designed ones, and the decoded from the pictures.

    The decoder is given the designed latents, and less clean ones, as a model that paints makes
    them.
    """
    posterior = vae.encode(pictures).latent_dist
    true = latents_of(pictures)
    off = (posterior.mean.float() - true).square().mean()
    certain = (posterior.logvar.float() + 6).square().mean()
    blur = BLUR / SCALE * torch.rand(len(true), 1, 1, 1, device=true.device)
    decoded = vae.decode(true + blur * torch.randn_like(true)).sample
    total: Tensor = picture_loss(decoded, pictures) + off + 0.01 * certain
    return total


def picture_loss(painted: Tensor, pictures: Tensor) -> Tensor:
    """How far `painted` is from `pictures`, n × 3 × height × width: in colours and at edges."""
    off = painted.float() - pictures
    down, right = (off.diff(dim=axis).abs().mean() for axis in (2, 3))
    loss: Tensor = off.abs().mean() + off.pow(2).mean() + down + right
    return loss


def training_pairs(room: Room) -> tuple[NDArray[np.uint8], Tensor]:
    """The square pictures that training may see, and their scaled latents."""
    pictures = training_pictures(room)
    return pictures, scaled_latents(pictures, room)


def random_pairs(
    pictures: NDArray[np.uint8], latents: Tensor, count: int, side: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Tensor]:
    """The same part of some pictures and of their latents, of which it is `side` × `side`."""
    chosen = np.sort(rng.choice(len(pictures), count, replace=False))
    x, y = rng.integers(0, LATENT_SIDE - side + 1, 2)
    part = pictures[chosen, 16 * y : 16 * (y + side), 16 * x : 16 * (x + side)]
    return part, latents[chosen, :, y : y + side, x : x + side]


def scaled_latents(pictures: NDArray[np.uint8], room: Room) -> Tensor:
    """What the models paint, of pictures: n × CHANNELS × 16 × 16, or as their shape is."""
    parts = [
        SCALE * latents_of(as_tensor(pictures[i : i + 64], room))
        for i in range(0, len(pictures), 64)
    ]
    return torch.cat(parts)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Pictures of one size (width, height): their scenes and scaled latents, in one order."""

    size: Size
    scenes: list[Scene]
    latents: Tensor


SHAPES: dict[Size, float] = {SQUARE: 0.7, (320, 192): 0.15, (192, 320): 0.15}
"""The sizes of pictures that are trained on, and the share of each."""


def training_buckets(room: Room, *, free: bool = False) -> list[Bucket]:
    """The latents of the scenes, `free` ones or not, that training may see, for each size."""
    return [
        Bucket(
            size,
            [random_scene(seed, free=free) for seed in seeds],
            _latents(seeds, size, room, free=free),
        )
        for size, seeds in _seeds(PAINTED, room).items()
    ]


def _latents(seeds: range, size: Size, room: Room, *, free: bool) -> Tensor:
    """The scaled latents of the pictures of the scenes of `seeds`."""

    def make(rows: range) -> NDArray[np.float32]:
        pictures = _paint(seeds[rows.start : rows.stop], size, free=free)
        return scaled_latents(pictures, room).cpu().numpy()

    width, height = size
    rows = room.array(
        f"latents-{width}x{height}",
        (len(seeds), CHANNELS, height // CELL, width // CELL),
        make,
        modules=(*WORLD, latents),
        depends=f"{seeds} {free}",
        dtype=np.float32,
    )
    return torch.from_numpy(np.array(rows)).to(room.device)


def _seeds(scenes: int, room: Room) -> dict[Size, range]:
    """Which of so many scenes are painted in each size."""
    seeds, begin = {}, 0
    for size, share in SHAPES.items():
        seeds[size] = range(begin, begin + room.amount(round(scenes * share)))
        begin = seeds[size].stop
    return seeds
