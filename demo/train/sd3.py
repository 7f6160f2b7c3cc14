"""SD3.5 for the imagine command: the transformer, steered by three text encoders."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from demo.tokenizers import CLIP_TOKENS
from demo.train.latents import CHANNELS, far_from
from demo.train.loop import Recipe, fit
from demo.train.room import Room
from demo.train.text import WIDTH, Batches, Clips, build_clip_tokenizers, kept
from demo.train.vae import LATENT_SIDE, training_buckets

BATCH = 20
T5_TOKENS = 32  # of the prompt, that T5 reads: `text_tokens` in demo/config.toml
DROPPED = 0.1  # of prompts: guidance compares with the empty prompt
PAIRED = 0.6  # of pictures have two figures, which are harder to learn
RECIPE = Recipe(steps=6000, rate=1e-3)
HEADS, HEAD, LAYERS = 4, 36, 5
PATCH = 1  # latent pixels: coarser ones make quicker steps, and need far more of them
PLACES = 32  # a side, from the middle of which a picture takes as many as it has patches
STRIDE = 2.0  # radians of the shortest wave from one place to the next
SHIFT = 3.0
"""Towards noise, where shapes are decided: sixteen channels show a picture through more."""


def build_pipeline(vae: Any, clips: Sequence[Any], t5: Any) -> Any:
    """A Stable Diffusion 3.5 pipeline around a trained VAE and text encoders.

    The transformer is untrained. `t5` is the encoder and its tokenizer.
    """
    from diffusers import StableDiffusion3Pipeline

    tokenizer, tokenizer_2 = build_clip_tokenizers()
    return StableDiffusion3Pipeline(
        transformer=build_transformer(),
        scheduler=build_scheduler(),
        vae=vae,
        text_encoder=clips[0],
        text_encoder_2=clips[1],
        text_encoder_3=t5[0],
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        tokenizer_3=t5[1],
    )


def build_transformer() -> Any:
    """The untrained SD3Transformer2DModel."""
    from diffusers import SD3Transformer2DModel

    transformer = SD3Transformer2DModel(
        sample_size=LATENT_SIDE,
        patch_size=PATCH,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=LAYERS,
        attention_head_dim=HEAD,
        num_attention_heads=HEADS,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=HEADS * HEAD,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=PLACES,
        qk_norm="rms_norm",
    )
    _begin_with_nothing(transformer)
    _tell_places_apart(transformer)
    return transformer


@torch.no_grad()
def _begin_with_nothing(transformer: Any) -> None:
    """Let no block change anything yet, nor the whole (adaLN-Zero: Peebles and Xie, ICCV 2023)."""
    for name, module in transformer.named_modules():
        if name.endswith(_MODULATIONS) or name == "proj_out":
            module.weight.zero_()
            module.bias.zero_()


_MODULATIONS = ("norm1.linear", "norm1_context.linear", "norm_out.linear")


def _tell_places_apart(transformer: Any) -> None:
    """Let neighbours have places that differ clearly.

    The class lays its waves over many more patches than are here: the shortest would be as long as
    the picture is wide, and whoever knows a place so roughly cannot say where a star ends.
    """
    from diffusers.models.embeddings import get_2d_sincos_pos_embed

    places = get_2d_sincos_pos_embed(
        HEADS * HEAD, PLACES, base_size=STRIDE * PLACES, output_type="pt"
    )
    transformer.pos_embed.pos_embed = places.float()[None]


def build_scheduler() -> Any:
    """The sampler that the pipeline comes with."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=SHIFT)


def train_sd3(pipeline: Any, room: Room) -> None:
    """Train the transformer of `pipeline` in place."""
    texts = _Texts(pipeline).to(room.device).eval().requires_grad_(False)
    buckets = training_buckets(room)
    batches = Batches(buckets, BATCH, room, paired=PAIRED)

    def loss(step: int) -> Tensor:
        batch = batches.draw(step)
        keep = kept(BATCH, DROPPED, room)
        said = [text if told else "" for told, text in zip(keep, batch.prompts, strict=True)]
        return flow_loss(pipeline.transformer, batch.latents, *texts(said))

    fit("sd3", pipeline.transformer, loss, RECIPE, room)


class _Texts(nn.Module):
    """The three text encoders, called as the pipeline calls them."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        self.clips = Clips.of(pipeline)
        self.t5 = pipeline.text_encoder_3
        self.tokenizer = pipeline.tokenizer_3

    def forward(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """n × (CLIP_TOKENS + T5_TOKENS) × 2·WIDTH, and what is pooled, n × 2·WIDTH."""
        hidden, pooled = self.clips(prompts)
        ids = self.tokenizer(
            prompts,
            padding="max_length",
            max_length=T5_TOKENS,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        read = self.t5(ids.to(hidden.device))[0]
        return torch.cat([hidden, read.to(hidden.dtype)], dim=1), torch.cat(pooled, dim=-1)


def flow_loss(transformer: Any, latents: Tensor, hidden: Tensor, pooled: Tensor) -> Tensor:
    """How far the told flow is from the straight way to noise, at logit-normal times."""
    assert hidden.shape[1] == CLIP_TOKENS + T5_TOKENS
    noise = torch.randn_like(latents)
    at = torch.sigmoid(torch.randn(len(latents), device=latents.device))
    at = SHIFT * at / (1 + (SHIFT - 1) * at)
    part = at[:, None, None, None]
    told = transformer(
        hidden_states=(1 - part) * latents + part * noise,
        timestep=1000 * at,
        encoder_hidden_states=hidden,
        pooled_projections=pooled,
    ).sample
    return far_from(noise - latents, told).mean()
