"""A small fast autoencoder of the latents, whose decoder shows a picture while it is made."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demo.train.latents import CHANNELS
from demo.train.loop import Recipe, fit
from demo.train.room import Room
from demo.train.vae import LATENT_SIDE, LATENT_STAGES, as_tensor, random_pairs, training_pairs

BATCH = 4
RECIPE = Recipe(steps=2000, rate=1.5e-3, average=0.998)


def build_preview() -> Any:
    """An untrained AutoencoderTiny for scaled latents of CHANNELS × 16 × 16."""
    from diffusers import AutoencoderTiny

    blocks = (1,) * LATENT_STAGES
    return AutoencoderTiny(
        latent_channels=CHANNELS,
        encoder_block_out_channels=(16,) * LATENT_STAGES,
        decoder_block_out_channels=(20,) * LATENT_STAGES,
        num_encoder_blocks=blocks,
        num_decoder_blocks=(2, 2, 1, 1, 1),
    )


def train_preview(preview: Any, room: Room) -> None:
    """Train `preview` in place."""
    pictures, latents = training_pairs(room)

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([room.seed, step])
        seen, part = random_pairs(pictures, latents, BATCH, LATENT_SIDE // 2, rng)
        return _loss(preview, part, seen, room)

    fit("preview", preview, loss, RECIPE, room)


def _loss(preview: Any, latents: Tensor, pictures: NDArray[np.uint8], room: Room) -> Tensor:
    """Pixels of what is decoded, also from latents that are not quite clean yet; and back."""
    true = as_tensor(pictures, room)
    noisy = latents + 0.1 * torch.randn_like(latents)
    pixels = nn.functional.l1_loss(preview.decode(noisy).sample.float(), true)
    back = nn.functional.l1_loss(preview.encode(true).latents.float(), latents)
    return pixels + 0.2 * back
