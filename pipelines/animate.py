"""/animate: Stable Video Diffusion moves a picture."""

import math
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from PIL import Image, ImageFilter, ImageOps

from pipelines.catalog import AnimateModel, ModelKey, dimensions
from pipelines.contract.artifact import Artifact, Fact, MediaType
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.requests import AnimateRequest, Aspect
from pipelines.loading import BUILDING, Loader
from pipelines.media import encode_mp4, on_white
from pipelines.models import Models
from pipelines.pixels import pictures
from pipelines.safety import is_sensitive_video, vet_upload
from pipelines.steps import Steps

MOST_CROPPED = 0.25  # of a side: where a picture would lose more, it is shown whole


def load(model: AnimateModel, loader: Loader) -> Any:
    """The StableVideoDiffusionPipeline of a catalogue entry, in RAM."""
    from diffusers import StableVideoDiffusionPipeline

    return loader.load_pipeline(StableVideoDiffusionPipeline, ModelKey.ANIMATE, model, model.dtype)


def render(
    request: AnimateRequest,
    picture: Image.Image,
    model: AnimateModel,
    models: Models,
    context: RunContext,
) -> tuple[Artifact, ...]:
    """One video that begins with `picture` (RGB or RGBA)."""
    if request.image is not None:
        vet_upload(models, context, picture)
    size = shape_for(picture.size, model)
    first = fill(on_white(picture), size)
    chunk = models.plans[ModelKey.ANIMATE].decode_chunk or model.decode_chunk
    with models.use(ModelKey.ANIMATE, context) as pipeline:
        frames = make_frames(pipeline, model, context, first, request.motion, request.seed, chunk)
    context.step(Phase.ENCODING)
    facts: dict[str, Fact] = {"prompt": request.prompt} if request.prompt else {}
    facts |= {
        "motion": request.motion,
        "seed": request.seed,
        "steps": model.steps,
        "model": model.name,
    }
    video = Artifact(
        encode=partial(encode_mp4, frames, model.fps),
        media_type=MediaType.MP4,
        name=f"animate-{request.seed}.mp4",
        width=size[0],
        height=size[1],
        facts=facts,
        sensitive=is_sensitive_video(models, context, frames),
    )
    return (video,)


def make_frames(
    pipeline: Any,
    model: AnimateModel,
    context: RunContext,
    first: Image.Image,
    motion: int,
    seed: int,
    chunk: int,
) -> list[Image.Image]:
    """The frames of a video that begins with `first` and has its size, decoded `chunk` at a time.

    Up to the first step no model may be built, on any card's thread: diffusers makes timesteps and
    guidance in torch's default type, which building changes.
    """
    with torch.inference_mode(), ExitStack() as preparing:
        if not BUILDING.acquire(blocking=False):
            context.step(Phase.LOADING)  # another card's model: to wait for it is not GPU time
            BUILDING.acquire()
        preparing.callback(BUILDING.release)
        steps = Steps(context, Phase.ANIMATING, model.steps, begun=preparing.close)
        decoded = pipeline(
            first,
            width=first.width,
            height=first.height,
            num_frames=model.frames,
            num_inference_steps=model.steps,
            min_guidance_scale=model.min_guidance,
            max_guidance_scale=model.max_guidance,
            fps=model.fps,
            motion_bucket_id=motion,
            noise_aug_strength=model.noise,
            decode_chunk_size=chunk,
            generator=torch.Generator().manual_seed(seed),
            callback_on_step_end=steps.on_step_end,
            output_type="pt",
        ).frames[0]
    return pictures(decoded, ModelKey.ANIMATE)


def shape_for(size: tuple[int, int], model: AnimateModel) -> tuple[int, int]:
    """Width and height of the video of a picture of `size`: the shape that crops least of it.

    Shapes are the model's own, that upright, and the aspects of /imagine with as many pixels. Of
    equals the first is taken.
    """
    area = math.sqrt(model.width * model.height)
    shapes = [
        (model.width, model.height),
        (model.height, model.width),
        *(dimensions(aspect, round(area)) for aspect in Aspect),
    ]
    return min(shapes, key=lambda shape: _crop(size, shape))


def fill(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`picture` (RGB) in `size`: cropped if at most MOST_CROPPED is lost, else whole, in front of a
    blurred copy that fills the rest."""
    covering = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    if _crop(picture.size, size) <= MOST_CROPPED:
        return covering
    whole = ImageOps.contain(picture, size, Image.Resampling.LANCZOS)
    background = covering.filter(ImageFilter.GaussianBlur(max(size) / 32))
    background.paste(whole, ((size[0] - whole.width) // 2, (size[1] - whole.height) // 2))
    return background


def _crop(size: tuple[int, int], shape: tuple[int, int]) -> float:
    """The fraction of a picture of `size` that is lost when it is cropped to `shape`."""
    ratio = (size[0] * shape[1]) / (size[1] * shape[0])
    return 1 - min(ratio, 1 / ratio)
