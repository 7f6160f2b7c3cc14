"""A pipeline as its plan wants it: divided into groups, and told to save what the plan saves."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.plan import PAINTER, TEXT, TILE, Plan, group_of

EMBEDS = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
)
"""What SDXL and SD3.5 make of prompts, in the order in which their text encoders give it."""


def divide(pipeline: Any) -> dict[str, Any]:
    """A pipeline for each group: one that only reads prompts, and one that never has to.

    They share what they are made of. The painter has no text encoders.
    """
    parts = pipeline.components
    text = [name for name in parts if group_of(name) == TEXT]
    if not text:
        return {PAINTER: pipeline}
    cls = type(pipeline)
    painter = type(cls.__name__, (Told, cls), {})(**_arguments(pipeline, dict.fromkeys(text)))
    if hasattr(pipeline, "watermark"):  # which no part or setting says
        painter.watermark = pipeline.watermark
    return {TEXT: pipeline, PAINTER: painter}


class Told:
    """A pipeline that takes what others made of the prompts as it is.

    To see to its type, diffusers would look through all layers of SDXL's denoiser, twice.
    """

    def encode_prompt(self, *_: Any, **told: Any) -> tuple[Tensor | None, ...]:
        """What it was told."""
        return tuple(told[name] for name in EMBEDS)


def _arguments(pipeline: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a pipeline was built with: its parts, and the settings that are not parts."""
    settings = {
        name: value
        for name, value in pipeline.config.items()
        if not name.startswith("_") and not isinstance(value, list | tuple)
    }
    return {**settings, **pipeline.components, **changes}


def modules_of(pipeline: Any, group: str) -> list[nn.Module]:
    """The networks of a group."""
    return [
        part
        for name, part in pipeline.components.items()
        if isinstance(part, nn.Module) and group_of(name) == group
    ]


def denoiser_of(pipeline: Any) -> Any:
    """The network that paints."""
    return getattr(pipeline, "transformer", None) or pipeline.unet


def fit_to(pipeline: Any, plan: Plan) -> None:
    """Make a pipeline save the working memory that its plan saves."""
    if plan.tiled:
        _tile(pipeline.vae)
    if plan.split_guidance:
        _one_by_one(pipeline.unet)
    if plan.forward_chunk is not None:
        pipeline.unet.enable_forward_chunking(plan.forward_chunk)  # dim=1 would be pixels


def _tile(vae: Any) -> None:
    """Decode in tiles of what the plan reckons with.

    diffusers' own are as large as the pictures that an autoencoder was trained on: with SDXL's, and
    SD3.5's, a picture of 1024 pixels would be one tile.
    """
    vae.enable_tiling()
    vae.tile_sample_min_size = min(TILE, vae.tile_sample_min_size)
    stages = len(vae.config.block_out_channels) - 1
    vae.tile_latent_min_size = vae.tile_sample_min_size >> stages


def _one_by_one(unet: nn.Module) -> None:
    """Compute a batch in as many calls: guidance needs half the memory, and no more arithmetic."""
    whole = unet.forward

    def forward(sample: Tensor, timestep: Tensor, *args: Any, **kwargs: Any) -> Any:
        parts = [
            whole(
                sample[i : i + 1],
                timestep[i : i + 1] if timestep.ndim else timestep,
                *_picked(args, i, len(sample)),
                **dict(zip(kwargs, _picked(kwargs.values(), i, len(sample)), strict=True)),
            )
            for i in range(len(sample))
        ]
        if isinstance(parts[0], tuple):
            return tuple(torch.cat(each) for each in zip(*parts, strict=True))
        return type(parts[0])(sample=torch.cat([part.sample for part in parts]))

    unet.forward = forward


def _picked(values: Any, row: int, rows: int) -> Iterator[Any]:
    """Of what has a row for each of a batch, that of one."""
    for value in values:
        batched = isinstance(value, Tensor) and value.ndim and len(value) == rows
        yield value[row : row + 1] if batched else value


def streamable(modules: list[nn.Module]) -> list[nn.Module]:
    """Those that can be streamed: an autoencoder is small, and not called as a whole."""
    from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder

    return [m for m in modules if not isinstance(m, AutoencoderKL | AutoencoderKLTemporalDecoder)]


def stream(modules: list[nn.Module], device: torch.device) -> None:
    """Let layers of these networks visit `device` one after the other, the next while one computes.

    Layers rather than blocks: diffusers takes as a block what is in a list of the network itself,
    and so a whole T5, or a quarter of a UNet, at once. Not by `record_stream`: weights would pile
    up on the card as far as the processor is ahead of it. diffusers pins each tensor by itself,
    when its turn comes, but leaves those as they are that `Weights` packed and pinned before.
    """
    from diffusers.hooks import apply_group_offloading

    for module in modules:
        apply_group_offloading(
            module,
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=device.type == "cuda",
            low_cpu_mem_usage=device.type == "cuda",  # else what could not be pinned is now
        )
