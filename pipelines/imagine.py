"""/imagine: Stable Diffusion 3.5 paints a prompt."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from pipelines.catalog import ImagineModel, ModelKey, dimensions
from pipelines.contract.artifact import Artifact, MediaType
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.requests import MAX_SEED, ImagineRequest
from pipelines.loading import Loader
from pipelines.media import encode_png
from pipelines.residency import Residency
from pipelines.steps import Steps


def load(model: ImagineModel, loader: Loader) -> Any:
    """The StableDiffusion3Pipeline of a catalogue entry, in RAM."""
    from diffusers import StableDiffusion3Pipeline

    return loader.load(StableDiffusion3Pipeline, ModelKey.IMAGINE, model, model.dtype)


def render(
    request: ImagineRequest, model: ImagineModel, models: Residency[Any], context: RunContext
) -> tuple[Artifact, ...]:
    """Paint `request.count` pictures. The picture of a seed is the same whatever the count."""
    seeds = [(request.seed + i) % (MAX_SEED + 1) for i in range(request.count)]
    images = paint(
        model,
        models,
        context,
        prompt=request.prompt,
        negative=request.negative,
        size=dimensions(request.aspect, model.size),
        seeds=seeds,
    )
    context.step(Phase.ENCODING)
    return tuple(
        _artifact(image, request, seed, model) for image, seed in zip(images, seeds, strict=True)
    )


def paint(
    model: ImagineModel,
    models: Residency[Any],
    context: RunContext,
    *,
    prompt: str,
    negative: str = "",
    size: tuple[int, int],
    seeds: Sequence[int],
) -> list[Image.Image]:
    """A picture of `size` (width, height in pixels) for each seed.

    The prompt is encoded once; the pictures are made one after the other. A batch would be up to
    a tenth faster at this size, and would change a picture's last bits with its neighbours.
    """
    with models.use(ModelKey.IMAGINE, context) as pipeline, torch.inference_mode():
        steps = Steps(context, Phase.PAINTING, model.steps * len(seeds))
        embeds = _encode(pipeline, model, prompt, negative)
        return [_paint_one(pipeline, model, embeds, size, seed, steps) for seed in seeds]


def _encode(pipeline: Any, model: ImagineModel, prompt: str, negative: str) -> dict[str, Any]:
    """The prompts as the transformer reads them, named as the pipeline's arguments are."""
    embeds = pipeline.encode_prompt(
        prompt=prompt,
        prompt_2=None,
        prompt_3=None,
        negative_prompt=negative,
        do_classifier_free_guidance=model.guidance > 1,
        max_sequence_length=model.text_tokens,
    )
    names = (
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    )
    return dict(zip(names, embeds, strict=True))


def _paint_one(
    pipeline: Any,
    model: ImagineModel,
    embeds: dict[str, Any],
    size: tuple[int, int],
    seed: int,
    steps: Steps,
) -> Image.Image:
    width, height = size
    image: Image.Image = pipeline(
        **embeds,
        width=width,
        height=height,
        num_inference_steps=model.steps,
        guidance_scale=model.guidance,
        max_sequence_length=model.text_tokens,
        generator=torch.Generator().manual_seed(seed),
        callback_on_step_end=steps.on_step_end,
    ).images[0]
    return image


def _artifact(
    image: Image.Image, request: ImagineRequest, seed: int, model: ImagineModel
) -> Artifact:
    facts: dict[str, str | int | float] = {"prompt": request.prompt, "seed": seed}
    if request.negative:
        facts["negative"] = request.negative
    facts |= {"steps": model.steps, "model": model.name}
    return Artifact(
        data=encode_png(image, facts),
        media_type=MediaType.PNG,
        name=f"imagine-{seed}.png",
        width=image.width,
        height=image.height,
        facts=facts,
    )
