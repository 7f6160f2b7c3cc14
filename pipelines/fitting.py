"""A pipeline as its plan wants it: divided into groups, saving memory, its layers streamed."""

from collections.abc import Iterable, Iterator, Mapping
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
"""What SDXL's and SD3.5's `encode_prompt` returns, in its order."""


def divide(pipeline: Any) -> dict[str, Any]:
    """A pipeline for each group, made of the same parts: one reads prompts, and one paints.

    The painter has no text encoders and takes embeddings. Video pipelines have only a painter.
    """
    parts = pipeline.components
    text = [name for name in parts if group_of(name) == TEXT]
    if not text:
        return {PAINTER: pipeline}
    cls = type(pipeline)
    painter = type(cls.__name__, (PromptsGiven, cls), {})(
        **_arguments(pipeline, dict.fromkeys(text))
    )
    if hasattr(pipeline, "watermark"):  # which is neither a part nor a setting
        painter.watermark = pipeline.watermark
    return {TEXT: pipeline, PAINTER: painter}


class PromptsGiven:
    """A pipeline that is given embeddings, and takes them as they are.

    diffusers would look through all layers of SDXL's denoiser, twice, to learn which type to cast
    them to.
    """

    def encode_prompt(self, *_: Any, **given: Any) -> tuple[Tensor | None, ...]:
        """The embeddings that were given."""
        return tuple(given[name] for name in EMBEDS)


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
    """Let a pipeline's networks save working memory as its plan says."""
    if plan.tiled:
        _tile(pipeline.vae)
    if plan.split_guidance:
        _split_batches(pipeline.unet)
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


def _split_batches(unet: nn.Module) -> None:
    """Call a network for each row of a batch: guidance takes half the memory, and no more work."""
    whole = unet.forward

    def forward(sample: Tensor, timestep: Tensor, *args: Any, **kwargs: Any) -> Any:
        parts = [
            whole(
                sample[i : i + 1],
                timestep[i : i + 1] if timestep.ndim else timestep,
                *_row_of(args, i, len(sample)),
                **dict(zip(kwargs, _row_of(kwargs.values(), i, len(sample)), strict=True)),
            )
            for i in range(len(sample))
        ]
        if isinstance(parts[0], tuple):
            return tuple(torch.cat(each) for each in zip(*parts, strict=True))
        return type(parts[0])(sample=torch.cat([part.sample for part in parts]))

    unet.forward = forward


def _row_of(values: Iterable[Any], row: int, rows: int) -> Iterator[Any]:
    """The row of each tensor that has as many as the batch; other values as they are."""
    for value in values:
        batched = isinstance(value, Tensor) and value.ndim and len(value) == rows
        yield value[row : row + 1] if batched else value


def streamable(modules: list[nn.Module]) -> list[nn.Module]:
    """All but autoencoders, which are small, and not called as a whole."""
    from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder

    return [m for m in modules if not isinstance(m, AutoencoderKL | AutoencoderKLTemporalDecoder)]


def stream(modules: list[nn.Module], device: torch.device) -> None:
    """Let layers of these networks visit `device` one after the other, the next while one computes.

    Their weights are packed and pinned before (`pipelines.weights`): what is not, diffusers pins
    tensor by tensor when its turn comes. Why by layer: diffusers' blocks are the members of a list
    of the network itself, so that a whole T5, or a quarter of a UNet, would come at once. Why not
    with `record_stream`: weights would pile up on the card as far as the processor is ahead of it.
    """
    from diffusers.hooks import apply_group_offloading

    for module in modules:
        apply_group_offloading(
            module,
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=device.type == "cuda",
            low_cpu_mem_usage=device.type == "cuda",  # else it pins at once what is not
        )
