"""/imagine: Stable Diffusion 3.5 paints a prompt."""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch

from pipelines import noise
from pipelines.caching import cache_facts, cached
from pipelines.catalog import ImagineModel, ModelKey, dimensions
from pipelines.contract.artifact import Artifact, Fact, MediaType
from pipelines.contract.context import Phase, RunContext, Viewer
from pipelines.contract.requests import AnimateRequest, ImagineRequest, Request, seed_after
from pipelines.device import dtype_on, finish
from pipelines.fitting import EMBEDS
from pipelines.loading import Loader
from pipelines.models import Embeddings, Models, Question
from pipelines.pixels import PendingPicture, read_back
from pipelines.plan import PAINTER, TEXT, Plan, Precision
from pipelines.previews import Previews
from pipelines.quantised import compute_in, quantise_to_fp8, quantise_to_nf4
from pipelines.safety import are_sensitive
from pipelines.steps import Steps


def load(model: ImagineModel, loader: Loader) -> Any:
    """The StableDiffusion3Pipeline of a catalogue entry, in RAM."""
    from diffusers import StableDiffusion3Pipeline

    pipeline = loader.load_pipeline(StableDiffusion3Pipeline, ModelKey.IMAGINE, model, model.dtype)
    pipeline.vae.enable_slicing()  # decoding several at once would take memory and save no time
    quantise(pipeline, loader)
    if loader.device.type == "cpu":  # only now: read in float32, they would take four times the RAM
        for name in loader.quantised_parts:
            if (network := getattr(pipeline, name)) is not None:
                compute_in(network, dtype_on(loader.device, model.dtype))
    return pipeline


def quantise(pipeline: Any, loader: Loader) -> None:
    """Keep the weights of a pipeline in RAM in fp8 or nf4, as far as `loader` says so.

    T5 first: it takes 9 GiB of RAM, because its files are in another type, while the transformer's
    weights are still pages of its files, which the system can drop.
    """
    if loader.text_precision is Precision.FP8 and pipeline.text_encoder_3 is not None:
        quantise_to_fp8(pipeline.text_encoder_3)
    if loader.precision in (Precision.FP8, Precision.FP8_FAST):
        quantise_to_fp8(pipeline.transformer, multiplying=loader.precision is Precision.FP8_FAST)
    if loader.precision is Precision.NF4:
        quantise_to_nf4(pipeline.transformer, loader.device)


def render(
    request: ImagineRequest, model: ImagineModel, models: Models, context: RunContext
) -> tuple[Artifact, ...]:
    """Paint `request.count` pictures. The picture of a seed is the same whatever the count.

    They are made one after the other: a batch would be up to a tenth faster at this size, but the
    last bits of a picture would depend on its neighbours.
    """
    return _render([request], model, models, context, batch=1)[0]


def render_together(
    requests: Sequence[ImagineRequest], model: ImagineModel, models: Models, context: RunContext
) -> tuple[tuple[Artifact, ...], ...]:
    """As `render` for requests that may share, in batches as large as there is room for.

    A picture may differ in its last bits from what it would be alone.
    """
    return _render(requests, model, models, context, batch=models.max_batch(ModelKey.IMAGINE))


def _render(
    requests: Sequence[ImagineRequest],
    model: ImagineModel,
    models: Models,
    context: RunContext,
    *,
    batch: int,
) -> tuple[tuple[Artifact, ...], ...]:
    size = dimensions(requests[0].aspect, model.size)
    images = paint(requests, size, model, models, context, batch=batch)
    context.step(Phase.ENCODING)
    sensitive = are_sensitive(models, context, images)
    made = (
        _artifact(image, requests[n], seed, model, models, is_sensitive)
        for image, (n, seed), is_sensitive in zip(images, _wanted(requests), sensitive, strict=True)
    )
    return tuple(tuple(islice(made, request.count)) for request in requests)


def paint(
    requests: Sequence[ImagineRequest],
    size: tuple[int, int],
    model: ImagineModel,
    models: Models,
    context: RunContext,
    *,
    batch: int = 1,
) -> list[PendingPicture]:
    """All pictures of requests that may share, in their order, up to `batch` at a time.

    `size` is their width and height in pixels.
    """
    lora = models.lora(ModelKey.IMAGINE, requests[0].lora)  # refused before anything is loaded
    embeddings = _embeddings(requests, model, models, context)
    wanted = _wanted(requests)
    batch = min(batch, len(wanted))
    images: list[PendingPicture] = []
    with (
        models.use(ModelKey.IMAGINE, context, batch=batch, lora=lora) as pipeline,
        torch.inference_mode(),
    ):
        batches = [wanted[i : i + batch] for i in range(0, len(wanted), batch)]
        steps = Steps(context, Phase.PAINTING, model.steps, calls=len(batches))
        for some in batches:
            viewers = _viewers([n for n, _ in some], context)
            steps.previews = Previews(models, ModelKey.IMAGINE, pipeline, viewers)
            together = _stacked([embeddings[n] for n, _ in some])
            seeds = [seed for _, seed in some]
            variations = requests[0].variations
            images += _paint_batch(pipeline, model, together, size, seeds, steps, variations)
    return images


def _wanted(requests: Sequence[ImagineRequest]) -> list[tuple[int, int]]:
    """For each picture the number of its request, and its seed."""
    return [
        (n, seed_after(request.seed, i))
        for n, request in enumerate(requests)
        for i in range(request.count)
    ]


def _embeddings(
    requests: Sequence[ImagineRequest], model: ImagineModel, models: Models, context: RunContext
) -> list[Embeddings]:
    """What the text encoders say of each request's prompts."""
    return [
        models.answer(
            ModelKey.IMAGINE,
            TEXT,
            context,
            _question(model, models.device, request.prompt, request.negative),
            lambda: _questions([*requests, *context.coming], model, models.device),
        )
        for request in requests
    ]


def _viewers(batch: Sequence[int], context: RunContext) -> list[Viewer | None]:
    """Who watches each picture of a batch, by the numbers of their requests.

    A request's viewer sees the first of its pictures; None watches the others.
    """
    return [
        context.viewers[n] if context.viewers and n not in batch[:place] else None
        for place, n in enumerate(batch)
    ]


def seconds_a_picture(batch: int, model: ImagineModel, models: Models) -> float:
    """How long a picture takes in a batch of so many, extrapolated from runs of few steps."""
    few, more = 2, 6
    requests = [ImagineRequest(prompt=f"a red star {i}", seed=i) for i in range(batch)]
    seconds = {}
    for steps in (few, few, more):  # the first run chooses kernels and takes memory
        begun = time.perf_counter()
        quick = model.model_copy(update={"steps": steps})
        render_together(requests, quick, models, RunContext())
        finish(models.device)
        seconds[steps] = time.perf_counter() - begun
    a_step = (seconds[more] - seconds[few]) / (more - few)
    return (seconds[few] + a_step * (model.steps - few)) / batch


def _stacked(embeddings: Sequence[Embeddings]) -> Embeddings:
    """The embeddings of several pictures as one batch."""
    columns = {name: [each[name] for each in embeddings] for name in embeddings[0]}
    return {
        name: torch.cat(found) if len(found := [v for v in values if v is not None]) else None
        for name, values in columns.items()
    }


def _question(
    model: ImagineModel, device: torch.device, prompt: str, negative: str
) -> Question[Embeddings]:
    """What the text encoders say of the prompts."""
    return Question(
        (prompt, negative),
        lambda pipeline: encode(pipeline, device, model, prompt, negative),
    )


def _questions(
    requests: Iterable[Request], model: ImagineModel, device: torch.device
) -> Iterator[Question[Embeddings]]:
    """The questions about all requests that have a prompt to be painted."""
    for request in requests:
        if isinstance(request, ImagineRequest):
            yield _question(model, device, request.prompt, request.negative)
        elif isinstance(request, AnimateRequest) and request.prompt:
            yield _question(model, device, request.prompt, "")


def encode(
    pipeline: Any, device: torch.device, model: ImagineModel, prompt: str, negative: str
) -> Embeddings:
    """The prompts as the transformer reads them."""
    embeds = pipeline.encode_prompt(
        prompt=prompt,
        prompt_2=None,
        prompt_3=None,
        negative_prompt=negative,
        device=device,
        do_classifier_free_guidance=model.guidance > 1,
        max_sequence_length=model.text_tokens,
    )
    return dict(zip(EMBEDS, embeds, strict=True))


def _paint_batch(
    pipeline: Any,
    model: ImagineModel,
    embeddings: Embeddings,
    size: tuple[int, int],
    seeds: Sequence[int],
    steps: Steps,
    variations: Sequence[int],
) -> list[PendingPicture]:
    """A picture for each seed, denoised together and decoded one after the other."""
    width, height = size
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    latents = [
        noise.initial_latents(pipeline, size, each, variations, embeddings) for each in generators
    ]
    scheduler = pipeline.scheduler
    with cached(pipeline.transformer, scheduler, model.steps, model.cache_interval):
        decoded = pipeline(
            **embeddings,
            width=width,
            height=height,
            num_inference_steps=model.steps,
            guidance_scale=model.guidance,
            max_sequence_length=model.text_tokens,
            generator=generators,
            latents=torch.cat(latents),
            callback_on_step_end=steps.on_step_end,
            output_type="pt",
        ).images
    return read_back(decoded, ModelKey.IMAGINE)


def _artifact(
    image: PendingPicture,
    request: ImagineRequest,
    seed: int,
    model: ImagineModel,
    models: Models,
    sensitive: bool,
) -> Artifact:
    facts: dict[str, Fact] = {"prompt": request.prompt, "seed": seed}
    if request.negative:
        facts["negative"] = request.negative
    if request.lora is not None:
        facts["lora"] = request.lora
    if model.preset is not None:
        facts["preset"] = model.preset
    facts |= cache_facts(model)
    facts |= _precision_facts(models.plans[ModelKey.IMAGINE])
    if request.variations:
        facts["variations"] = " ".join(map(str, request.variations))
    facts |= {"steps": model.steps, "model": model.name}
    return Artifact(
        encode=image.png,
        media_type=MediaType.PNG,
        name=f"imagine-{seed}.png",
        width=image.width,
        height=image.height,
        facts=facts,
        sensitive=sensitive,
    )


def _precision_facts(plan: Plan) -> dict[str, str]:
    """What a result says of weights that were quantised."""
    painter, text = (plan.groups[name].precision for name in (PAINTER, TEXT))
    said = []
    if painter is not Precision.FULL:
        said.append(str(painter))
    if text is not Precision.FULL:
        said.append(f"T5 {text}")
    return {"precision": ", ".join(said)} if said else {}
