"""/sketch: BLIP says what a drawing shows, SDXL paints it, the drawing's lines steer.

The whole story in its order: load, prompt, paint. What BLIP says is `pipelines.describe`'s part.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from pipelines import noise
from pipelines.adapting import fuse
from pipelines.caching import cache_facts, cached
from pipelines.catalog import (
    CaptionModel,
    Conditioner,
    ModelKey,
    SketchModel,
    Style,
    fit,
    no_style,
)
from pipelines.checkpoints import require_whole
from pipelines.contract.artifact import Artifact, Fact, MediaType
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.requests import SketchRequest
from pipelines.contract.text import Text
from pipelines.describe import Captioning, described
from pipelines.drawing import fitted, read_drawing
from pipelines.fitting import EMBEDS
from pipelines.layout import unusable
from pipelines.loading import Loader
from pipelines.loras import Lora
from pipelines.media import open_picture
from pipelines.models import Embeddings, Models, Question
from pipelines.pixels import PendingPicture, read_back
from pipelines.plan import TEXT
from pipelines.presets import PRESETS, Preset
from pipelines.previews import Previews
from pipelines.safety import are_sensitive, vet_upload
from pipelines.steps import Steps


def render(
    request: SketchRequest,
    captions: CaptionModel,
    model: SketchModel,
    styles: Mapping[str, Style],
    models: Models,
    context: RunContext,
) -> tuple[Artifact, ...]:
    """One picture of what the drawing shows; for a review the drawing itself, and its caption.

    Raises BadInput for a blank drawing, and what `context.allow` raises of its caption.
    """
    style = _style(request.style, styles)  # refused before anything is loaded
    lora = models.lora(ModelKey.SKETCH, request.lora or style.lora)
    picture = open_picture(request.drawing)
    vet_upload(models, context, picture)
    drawing = read_drawing(picture)
    captioning = Captioning(captions, models, context)
    caption = request.caption or captioning.at_drawing(request.drawing, drawing)
    context.allow(caption)
    if request.review:
        return (described(request.drawing, caption, captions),)
    embeddings = models.answer(
        ModelKey.SKETCH,
        TEXT,
        context,
        _question(request, caption, model, styles, models.device),
        lambda: _coming_questions(captioning, model, styles),
    )
    with models.use(ModelKey.SKETCH, context, lora=lora) as pipeline:
        image = paint(
            pipeline,
            model,
            context,
            embeddings=embeddings,
            lines=drawing.lines,
            strength=request.strength,
            seed=request.seed,
            variations=request.variations,
            previews=Previews(models, ModelKey.SKETCH, pipeline, context.viewers),
        )
    context.step(Phase.ENCODING)
    (sensitive,) = are_sensitive(models, context, [image])
    return (_artifact(image, request, caption, model, lora, sensitive),)


def _question(
    request: SketchRequest,
    caption: str,
    model: SketchModel,
    styles: Mapping[str, Style],
    device: torch.device,
) -> Question[Embeddings]:
    """What the text encoders say of a request and the caption of its drawing."""

    def ask(pipeline: Any) -> Embeddings:
        style = _style(request.style, styles)
        return encode(
            pipeline,
            device,
            model,
            prompt=write_prompt(pipeline.tokenizer, request.prompt, caption, style),
            negative=join(model.negative, style.negative),
        )

    return Question((request.prompt, caption, request.style), ask)


def _coming_questions(
    captioning: Captioning, model: SketchModel, styles: Mapping[str, Style]
) -> Iterator[Question[Embeddings]]:
    """The same questions of the runs that wait, as far as their captions are known."""
    for request in captioning.context.coming:
        if isinstance(request, SketchRequest) and not request.review:
            caption = request.caption or captioning.known(request.drawing)
            if caption is not None:
                yield _question(request, caption, model, styles, captioning.models.device)


def _style(name: str | None, styles: Mapping[str, Style]) -> Style:
    if name is None:
        return Style()
    if name not in styles:
        raise no_style(name, styles)
    return styles[name]


def _artifact(
    image: PendingPicture,
    request: SketchRequest,
    caption: str,
    model: SketchModel,
    lora: Lora | None,
    sensitive: bool,
) -> Artifact:
    facts: dict[str, Fact] = {"caption": caption}
    if request.prompt:
        facts["prompt"] = request.prompt
    if request.style is not None:
        facts["style"] = request.style
    if lora is not None:
        facts["lora"] = lora.name
    if model.preset is not None:
        facts["preset"] = model.preset
    facts |= cache_facts(model)
    if model.conditioner is not None:
        facts["strength"] = request.strength
    facts |= {"seed": request.seed, "steps": model.steps, "model": model.name}
    if request.variations:
        facts["variations"] = " ".join(map(str, request.variations))
    return Artifact(
        encode=image.png,
        media_type=MediaType.PNG,
        name=f"sketch-{request.seed}.png",
        width=image.width,
        height=image.height,
        facts=facts,
        sensitive=sensitive,
    )


# --- load ---------------------------------------------------------------------------------------


def load(model: SketchModel, loader: Loader) -> Any:
    """The SDXL pipeline that a catalogue entry asks for, in RAM."""
    cls, parts = _parts(model, loader)
    pipeline = loader.load_pipeline(cls, ModelKey.SKETCH, model, model.dtype, **parts)
    if model.preset is not None:
        _adopt(pipeline, model, PRESETS[model.preset], loader)
    return pipeline


def _parts(model: SketchModel, loader: Loader) -> tuple[Any, dict[str, object]]:
    """The pipeline's class, and what is given to it beside the checkpoint's own parts."""
    import diffusers

    parts: dict[str, object] = {}
    if model.vae is not None:
        parts["vae"] = loader.load(
            diffusers.AutoencoderKL, f"{ModelKey.SKETCH}.vae", model.vae, model.dtype
        )
    conditioner = model.conditioner
    place = f"{ModelKey.SKETCH}.conditioner"
    if conditioner is None:
        return diffusers.StableDiffusionXLPipeline, {**parts, "add_watermarker": False}
    if conditioner.type == "t2i-adapter":
        parts["adapter"] = loader.load(diffusers.T2IAdapter, place, conditioner, model.dtype)
        return diffusers.StableDiffusionXLAdapterPipeline, parts
    parts["controlnet"] = loader.load(diffusers.ControlNetModel, place, conditioner, model.dtype)
    return diffusers.StableDiffusionXLControlNetPipeline, {**parts, "add_watermarker": False}


def _adopt(pipeline: Any, model: SketchModel, preset: Preset, loader: Loader) -> None:
    """Give a pipeline the sampler and the LoRA of a preset."""
    import diffusers

    if preset.sampler is not None:
        sampler = getattr(diffusers, preset.sampler)
        pipeline.scheduler = sampler.from_config(pipeline.scheduler.config, **preset.sampling)
    if (lora := model.preset_lora) is not None:
        place = f"{ModelKey.SKETCH}.preset_lora"
        fuse(
            pipeline,
            require_whole(place, lora, loader.models_folder) / lora.file,
            lambda why: unusable(
                place,
                lora,
                Text(
                    "holds {file}, which {why}. Delete it and run `python -m bot fetch`.",
                    file=lora.file,
                    why=why,
                ),
            ),
        )


# --- prompt -------------------------------------------------------------------------------------


def write_prompt(tokenizer: Any, prompt: str, caption: str, style: Style) -> str:
    """What a person asked for, then what the drawing shows, in the frame of the style.

    SDXL reads only `tokenizer.model_max_length` tokens. If the text has more, the subject loses its
    last words, so that the chosen style is not what is cut off. Text without spaces, as Japanese
    and Chinese, loses its last characters instead.
    """
    words = join(prompt, caption).split()
    while True:
        text = style.frame.replace("{prompt}", " ".join(words))
        over = len(tokenizer(text).input_ids) - tokenizer.model_max_length
        if over <= 0 or not words:
            return text
        last = words.pop()
        if len(last) > _LONGEST_WORD or not words:
            shorter = last[: -max(1, over // _TOKENS_A_CHARACTER)]
            words += [shorter] if shorter else []


_LONGEST_WORD = 24  # characters: what is longer is shortened by characters
_TOKENS_A_CHARACTER = 4  # at most: where CLIP knows nothing larger, its tokens are bytes


def join(*texts: str) -> str:
    """The texts that say anything, with commas between them."""
    return ", ".join(text for text in texts if text)


def encode(
    pipeline: Any, device: torch.device, model: SketchModel, *, prompt: str, negative: str
) -> Embeddings:
    """The prompts as SDXL reads them."""
    embeds = pipeline.encode_prompt(
        prompt=prompt,
        negative_prompt=negative or None,  # SDXL was trained with zeros for none, not with ""
        device=device,
        do_classifier_free_guidance=model.guidance > 1,
    )
    return dict(zip(EMBEDS, embeds, strict=True))


# --- paint --------------------------------------------------------------------------------------


def paint(
    pipeline: Any,
    model: SketchModel,
    context: RunContext,
    *,
    embeddings: Embeddings,
    lines: Image.Image,
    strength: int,
    seed: int,
    variations: Sequence[int] = (),
    previews: Previews | None = None,
) -> PendingPicture:
    """A picture in the shape of `lines` (L, white on black), which steer it by `strength`."""
    width, height = fit(lines.width, lines.height, size=model.size)
    steps = Steps(context, Phase.PAINTING, model.steps, previews=previews)
    steering = _steering(pipeline, model.conditioner, lines, (width, height), strength)
    generator = torch.Generator().manual_seed(seed)
    with (
        torch.inference_mode(),
        cached(pipeline.unet, pipeline.scheduler, model.steps, model.cache_interval),
    ):
        decoded = pipeline(
            **embeddings,
            width=width,
            height=height,
            num_inference_steps=model.steps,
            guidance_scale=model.guidance,
            generator=generator,
            latents=noise.initial_latents(
                pipeline, (width, height), generator, variations, embeddings
            ),
            **steering,
            **_listening(model.conditioner, steps),
            output_type="pt",
        ).images
    return read_back(decoded, ModelKey.SKETCH)[0]


def _steering(
    pipeline: Any,
    conditioner: Conditioner | None,
    lines: Image.Image,
    size: tuple[int, int],
    strength: int,
) -> dict[str, Any]:
    """The arguments by which the lines steer the picture; at strength 0 their scale is 0."""
    if conditioner is None:
        return {}
    scale = conditioner.full_scale * strength / 100
    lines = fitted(lines, size)
    if conditioner.type == "controlnet":
        return {"image": lines.convert("RGB"), "controlnet_conditioning_scale": scale}
    mode = "L" if pipeline.adapter.config.in_channels == 1 else "RGB"
    return {"image": lines.convert(mode), "adapter_conditioning_scale": scale}


def _listening(conditioner: Conditioner | None, steps: Steps) -> dict[str, Any]:
    if conditioner is not None and conditioner.type == "t2i-adapter":
        return {"callback": steps.callback, "callback_steps": 1}
    return {"callback_on_step_end": steps.on_step_end}
