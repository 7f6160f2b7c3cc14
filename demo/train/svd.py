"""Stable Video Diffusion for the animate command: its autoencoder, then its UNet."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demo.shapes import motion
from demo.shapes.motion import FRAMES
from demo.shapes.paint import SIDE, paint
from demo.shapes.scene import random_scene
from demo.train import latents
from demo.train.latents import CHANNELS, SCALE
from demo.train.loop import Recipe, fit
from demo.train.room import WORLD, Room
from demo.train.text import kept
from demo.train.vae import (
    LATENT_SIDE,
    LATENT_STAGES,
    as_tensor,
    build_vae,
    scaled_latents,
    train_vae,
    training_pictures,
)

CLIPS = 4000
BATCH = 4
DROPPED = 0.1  # of first frames, so that guidance has something to compare
FPS = 7
NOISE = 0.02  # that the pipeline adds to the first frame
SIGMA_MEAN, SIGMA_SPREAD = 1.0, 1.6  # of the logarithm of the noise: latents are small here
RECIPE = Recipe(steps=1800, rate=6e-4)
VAE_WIDTHS = (64, 32, 64, 64, 64)
"""It normalises in 32 groups whatever its width, so the first and last stage, where colours go in
and come out, have two channels to a group: see demo.train.vae.GROUPS."""
VAE_STEPS, VAE_CROPS = 2000, (4, 96)  # it is wide, and a step costs as much for fewer crops
WIDTH = 64  # of the image encoder and of what it says


def build_pipeline() -> Any:
    """An untrained Stable Video Diffusion pipeline."""
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=224,  # the pipeline's own choice
        patch_size=32,
    )
    return StableVideoDiffusionPipeline(
        vae=AutoencoderKLTemporalDecoder(
            scaling_factor=SCALE,
            latent_channels=CHANNELS,
            down_block_types=("DownEncoderBlock2D",) * LATENT_STAGES,
            block_out_channels=VAE_WIDTHS,
            layers_per_block=1,
            sample_size=SIDE,
            force_upcast=False,
        ),
        image_encoder=CLIPVisionModelWithProjection(vision),
        unet=UNetSpatioTemporalConditionModel(
            sample_size=LATENT_SIDE,
            in_channels=2 * CHANNELS,  # noise, and the first frame
            out_channels=CHANNELS,
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            block_out_channels=(64, 64),
            layers_per_block=1,
            cross_attention_dim=WIDTH,
            num_attention_heads=(2, 2),
            addition_time_embed_dim=32,
            projection_class_embeddings_input_dim=3 * 32,
            num_frames=FRAMES,
        ),
        scheduler=build_scheduler(),
        feature_extractor=CLIPImageProcessor(),
    )


def build_scheduler() -> Any:
    """The sampler that the pipeline comes with."""
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_type="continuous",
        timestep_spacing="leading",
        steps_offset=1,
        use_karras_sigmas=True,
        sigma_min=0.02,
        sigma_max=100.0,
    )


# --- autoencoder --------------------------------------------------------------------------------


def train_video_vae(vae: Any, room: Room) -> None:
    """Train the autoencoder of `vae` in place: on pictures, frame by frame.

    An AutoencoderKL with the same layers is trained, which is much quicker; what `vae` has beside
    it looks at neighbouring frames, and is left to change nothing.
    """
    flat = build_flat_vae()
    if room.onwards:
        flat.load_state_dict(_flattened(vae, flat))
    train_vae("svd-vae", flat, room, VAE_STEPS, VAE_CROPS)
    transplant(flat, vae)


def build_flat_vae() -> Any:
    """An AutoencoderKL with the layers of the video autoencoder, but for the temporal ones."""
    flat = build_vae(
        VAE_WIDTHS, norm_num_groups=32, mid_block_add_attention=True, use_quant_conv=True
    )
    del flat.decoder.mid_block.resnets[1]  # a temporal decoder of this depth has one there
    return flat


def _flattened(vae: Any, flat: Any) -> dict[str, Tensor]:
    """What `transplant` made of the weights of `flat`, as its own again."""
    own = vae.state_dict()
    twins = {name.replace(".spatial_res_block", ""): name for name in own}
    return {name: own[twins[name]] for name in flat.state_dict()}


@torch.no_grad()
def transplant(flat: Any, vae: Any) -> None:
    """Make `vae`, with a temporal decoder, do to each frame what the autoencoder `flat` does."""
    trained = flat.state_dict()
    own = vae.state_dict()
    for name in own:
        if (twin := name.replace(".spatial_res_block", "")) in trained:
            own[name] = trained[twin]
        elif "temporal_res_block.conv2" in name:
            own[name] = torch.zeros_like(own[name])
    last = torch.zeros_like(own["decoder.time_conv_out.weight"])
    last[:, :, 1, 0, 0] = torch.eye(len(last))
    own |= {"decoder.time_conv_out.weight": last, "decoder.time_conv_out.bias": torch.zeros(3)}
    vae.load_state_dict(own)


def _frames(seed: int) -> NDArray[np.uint8]:
    """The clip of a seed."""
    scenes = motion.clip(random_scene(seed), lively(seed))
    return np.stack([np.asarray(paint(scene)) for scene in scenes])


def lively(seed: int) -> int:
    """The motion value of the training clip of a seed: 1 to 255, each as often."""
    return seed * 97 % 255 + 1


# --- UNet ---------------------------------------------------------------------------------------


def train_svd(pipeline: Any, room: Room) -> None:
    """Train UNet and image encoder of `pipeline`, whose autoencoder is trained, in place."""
    moving = _clip_latents(room)
    firsts = training_pictures(room)  # those of the same seeds, and more

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([room.seed, step])
        chosen = np.sort(rng.choice(len(moving), BATCH, replace=False))
        clips = moving[chosen]
        seen = _seen(pipeline.image_encoder, as_tensor(firsts[chosen], room))
        blurred = clips[:, :1] / SCALE + NOISE * torch.randn_like(clips[:, :1])
        told = torch.tensor([[FPS - 1, lively(int(i)), NOISE] for i in chosen], device=room.device)
        keep = kept(BATCH, DROPPED, room)[:, None, None]
        return clip_loss(pipeline.unet, clips, seen * keep, blurred * keep[..., None, None], told)

    fit("svd", nn.ModuleList([pipeline.unet, pipeline.image_encoder]), loss, RECIPE, room)


def _clip_latents(room: Room) -> Tensor:
    """The scaled latents of clips: n × FRAMES × CHANNELS × 16 × 16."""

    def make(seeds: range) -> NDArray[np.float32]:
        return torch.stack([scaled_latents(_frames(seed), room) for seed in seeds]).cpu().numpy()

    rows = room.array(
        "svd-latents",
        (room.amount(CLIPS), FRAMES, CHANNELS, LATENT_SIDE, LATENT_SIDE),
        make,
        modules=(*WORLD, motion, latents),
        dtype=np.float32,
    )
    return torch.from_numpy(np.array(rows)).to(room.device)


def _seen(encoder: Any, pictures: Tensor) -> Tensor:
    """What the image encoder says of pictures (n × 3 × 256 × 256, -1 to 1): n × 1 × WIDTH."""
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    small = nn.functional.interpolate(pictures, (224, 224), mode="bicubic", antialias=True)
    mean, spread = (
        torch.tensor(values, device=small.device)[:, None, None]
        for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
    )
    seen: Tensor = encoder((small / 2 + 0.5 - mean) / spread).image_embeds
    return seen[:, None]


def clip_loss(unet: Any, clips: Tensor, seen: Tensor, first: Tensor, told: Tensor) -> Tensor:
    """How far the told velocity is from the true one, at log-normal noise.

    Half of it counts where something moves: a small figure's outline is a few cells of all, and
    would be learnt last.
    """
    spread = torch.randn(len(clips), 1, 1, 1, 1, device=clips.device)
    sigma = (SIGMA_MEAN + SIGMA_SPREAD * spread).exp().clamp(0.02, 100.0)
    noise = torch.randn_like(clips)
    scale = (sigma**2 + 1).sqrt()
    velocity = (noise - sigma * clips) / scale
    noisy = (clips + sigma * noise) / scale
    said = unet(
        torch.cat([noisy, first.expand_as(noisy)], dim=2),
        0.25 * sigma.flatten().log(),
        encoder_hidden_states=seen,
        added_time_ids=told,
    ).sample
    moving = clips.std(dim=1, keepdim=True).mean(dim=2, keepdim=True)
    weight = 0.5 + 0.5 * moving / moving.mean(dim=(-2, -1), keepdim=True).clamp(min=1e-6)
    return (weight * nn.functional.mse_loss(said.float(), velocity, reduction="none")).mean()
