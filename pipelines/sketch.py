"""/sketch: BLIP says what a drawing shows, SDXL paints it, the drawing's lines steer.

The whole story in its order: load, caption, prompt, paint.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps

from pipelines import noise
from pipelines.adapting import fuse
from pipelines.catalog import CaptionModel, Conditioner, ModelKey, SketchModel, Style, fit
from pipelines.checkpoints import locate, unusable
from pipelines.contract.artifact import Artifact, MediaType
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import SketchRequest, clean_text
from pipelines.drawing import Drawing, read_drawing
from pipelines.loading import Loader
from pipelines.loras import Lora
from pipelines.media import encode_png, open_picture
from pipelines.models import EMBEDS, Embeddings, Models, Question, dtype_of
from pipelines.placement import PAINTER, TEXT
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
    """One picture of what the drawing shows. Raises BadInput for a blank drawing."""
    style = _style(request.style, styles)  # refused before anything is loaded
    lora = models.lora(ModelKey.SKETCH, request.lora or style.lora)
    picture = open_picture(request.drawing)
    vet_upload(models, context, picture)
    drawing = read_drawing(picture)
    asker = _Asker(captions, model, styles, models, context)
    caption = request.caption or asker.caption(request, drawing)
    told = asker.prompts(request, caption)
    with models.use(ModelKey.SKETCH, context, lora=lora) as pipeline:
        image = paint(
            pipeline,
            model,
            context,
            told=told,
            lines=drawing.lines,
            strength=request.strength,
            seed=request.seed,
            variations=request.variations,
            previews=Previews(models, ModelKey.SKETCH, pipeline, context.viewers),
        )
    context.step(Phase.ENCODING)
    (sensitive,) = are_sensitive(models, context, [image])
    return (_artifact(image, request, caption, model, lora, sensitive),)


@dataclass(frozen=True, slots=True)
class _Asker:
    """Asks for what is known before anything is painted, on the way also for the runs that come."""

    captions: CaptionModel
    model: SketchModel
    styles: Mapping[str, Style]
    models: Models
    context: RunContext

    def caption(self, request: SketchRequest, drawing: Drawing) -> str:
        """What the drawing of a request shows."""

        def describe_own(captioner: Captioner) -> str:
            self.context.step(Phase.CAPTIONING)
            return describe(captioner, drawing.picture, self.captions.max_words)

        return self.models.answer(
            ModelKey.CAPTION,
            PAINTER,
            self.context,
            Question(_identity(request.drawing), describe_own),
            self._captions_to_come,
        )

    def _captions_to_come(self) -> Iterator[Question[str]]:
        for request in self._coming():
            if request.caption:
                continue
            path = request.drawing
            yield Question(
                _identity(path),
                lambda captioner, path=path: describe(  # type: ignore[misc]
                    captioner, read_drawing(open_picture(path)).picture, self.captions.max_words
                ),
            )

    def prompts(self, request: SketchRequest, caption: str) -> Embeddings:
        """What SDXL's text encoders say of a request."""
        return self.models.answer(
            ModelKey.SKETCH,
            TEXT,
            self.context,
            self._prompts(request, caption),
            self._prompts_to_come,
        )

    def _prompts_to_come(self) -> Iterator[Question[Embeddings]]:
        for request in self._coming():
            caption = request.caption or self.models.known(
                ModelKey.CAPTION, PAINTER, _identity(request.drawing)
            )
            if caption is not None:
                yield self._prompts(request, caption)

    def _prompts(self, request: SketchRequest, caption: str) -> Question[Embeddings]:
        def read(pipeline: Any) -> Embeddings:
            style = _style(request.style, self.styles)
            return encode(
                pipeline,
                self.models.device,
                self.model,
                prompt=write_prompt(pipeline.tokenizer, request.prompt, caption, style),
                negative=join(self.model.negative, style.negative),
            )

        return Question((request.prompt, caption, request.style), read)

    def _coming(self) -> Iterator[SketchRequest]:
        return (each for each in self.context.coming if isinstance(each, SketchRequest))


def _identity(file: Path) -> tuple[Path, int]:
    """What a file's caption depends on. One that is gone is nothing in particular."""
    try:
        return file, file.stat().st_mtime_ns
    except OSError:
        return file, 0


def _style(name: str | None, styles: Mapping[str, Style]) -> Style:
    if name is None:
        return Style()
    if name not in styles:
        raise BadInput(f"There is no style {name!r} here. There are: {', '.join(styles)}.")
    return styles[name]


def _artifact(
    image: Image.Image,
    request: SketchRequest,
    caption: str,
    model: SketchModel,
    lora: Lora | None,
    sensitive: bool,
) -> Artifact:
    facts: dict[str, str | int | float] = {"caption": caption}
    if request.prompt:
        facts["prompt"] = request.prompt
    if request.style is not None:
        facts["style"] = request.style
    if lora is not None:
        facts["lora"] = lora.name
    if model.preset is not None:
        facts["preset"] = model.preset
    if model.conditioner is not None:
        facts["strength"] = request.strength
    facts |= {"seed": request.seed, "steps": model.steps, "model": model.name}
    if request.variations:
        facts["variations"] = " ".join(map(str, request.variations))
    return Artifact(
        encode=partial(encode_png, image, facts),
        media_type=MediaType.PNG,
        name=f"sketch-{request.seed}.png",
        width=image.width,
        height=image.height,
        facts=facts,
        sensitive=sensitive,
    )


# --- load ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Captioner:
    """A BLIP model and its processor."""

    model: Any
    processor: Any


def load_captioner(model: CaptionModel, loader: Loader) -> Captioner:
    """The captioner of a catalogue entry, in RAM."""
    from transformers import BlipForConditionalGeneration, BlipProcessor

    blip = loader.load(BlipForConditionalGeneration, ModelKey.CAPTION, model, model.dtype)
    processor = loader.load_processor(BlipProcessor, ModelKey.CAPTION, model)
    return Captioner(blip.eval(), processor)


def load(model: SketchModel, loader: Loader) -> Any:
    """The SDXL pipeline that a catalogue entry asks for, in RAM."""
    cls, parts = _parts(model, loader)
    pipeline = loader.load(cls, ModelKey.SKETCH, model, model.dtype, **parts)
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
            locate(place, lora, loader.models_folder) / lora.file,
            lambda why: unusable(
                place,
                lora,
                f"holds {lora.file}, which {why}. Delete it and run `python -m bot fetch`.",
            ),
        )


# --- caption ------------------------------------------------------------------------------------


def describe(captioner: Captioner, picture: Image.Image, max_words: int) -> str:
    """What `picture` shows, in at most `max_words` words. May be empty."""
    inputs = captioner.processor(images=picture, return_tensors="pt")
    with torch.inference_mode():
        tokens = captioner.model.generate(
            **inputs.to(captioner.model.device, captioner.model.dtype),
            max_new_tokens=2 * max_words,
            num_beams=3,
            do_sample=False,
            no_repeat_ngram_size=3,  # else it may say the same again and again
        )
    said = captioner.processor.decode(tokens[0], skip_special_tokens=True)
    return subject_of(clean_text(" ".join(said.split()[:max_words]), "caption"))


def subject_of(caption: str) -> str:
    """`caption` without its words about the drawing as such.

    "a black and white drawing of a cat on a white background" would make SDXL draw lines on
    paper; "a cat" lets it paint.
    """
    without_paper = _PAPER.sub("", caption)
    return _MEDIUM.sub("", without_paper) or caption


_MEDIUM = re.compile(
    r"^(?:(?:there is |this is )?(?:an? |the )?(?:close[- ]up of (?:an? |the )?)?"
    r"(?:(?:black|white|and|simple|rough|line|pencil|pen|ink|crayon|chalk|hand[- ]drawn|child'?s|"
    r"cartoon|stylized|colou?red|cute|quick) )*"
    r"(?:drawing|sketch|doodle|illustration|cartoon|picture|image|painting) of )+",
    re.IGNORECASE,
)
_PAPER = re.compile(
    r"\s+(?:on|against|with|in) (?:an? |the )?(?:plain )?(?:white|blank|black) "
    r"(?:background|paper|page|surface|(?:piece|sheet) of paper|chalkboard|blackboard)$",
    re.IGNORECASE,
)


# --- prompt -------------------------------------------------------------------------------------


def write_prompt(tokenizer: Any, prompt: str, caption: str, style: Style) -> str:
    """What a person asked for, then what the drawing shows, in the frame of the style.

    SDXL reads as many tokens as `tokenizer.model_max_length`. Where that is too few, the subject
    loses its last words, so that the style a person chose is not what is cut off.
    """
    words = join(prompt, caption).split()
    while True:
        text = style.frame.replace("{prompt}", " ".join(words))
        length = len(tokenizer(text).input_ids)
        if length <= tokenizer.model_max_length or not words:
            return text
        words.pop()


def join(*texts: str) -> str:
    """The texts that say anything, with commas between them."""
    return ", ".join(text for text in texts if text)


def encode(
    pipeline: Any, device: torch.device, model: SketchModel, *, prompt: str, negative: str
) -> Embeddings:
    """The prompts as SDXL reads them."""
    embeds = pipeline.encode_prompt(
        prompt=prompt,
        negative_prompt=negative or None,  # none at all is what SDXL was trained without
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
    told: Embeddings,
    lines: Image.Image,
    strength: int,
    seed: int,
    variations: Sequence[int] = (),
    previews: Previews | None = None,
) -> Image.Image:
    """A picture in the shape of `lines` (L, white on black), which steer it by `strength`."""
    width, height = fit(lines.width, lines.height, size=model.size)
    steps = Steps(context, Phase.PAINTING, model.steps, previews=previews)
    steering = _steering(pipeline, model.conditioner, lines, (width, height), strength)
    with torch.inference_mode():
        image: Image.Image = pipeline(
            **told,
            width=width,
            height=height,
            num_inference_steps=model.steps,
            guidance_scale=model.guidance,
            generator=torch.Generator().manual_seed(seed),
            latents=noise.begin(pipeline, (width, height), seed, variations, dtype_of(told)),
            **steering,
            **_listening(model.conditioner, steps),
        ).images[0]
    return image


def _steering(
    pipeline: Any,
    conditioner: Conditioner | None,
    lines: Image.Image,
    size: tuple[int, int],
    strength: int,
) -> dict[str, Any]:
    """The arguments by which the lines steer; at strength 0 they are multiplied by nothing."""
    if conditioner is None:
        return {}
    scale = conditioner.full_scale * strength / 100
    lines = ImageOps.pad(lines, size, color=0)
    if conditioner.type == "controlnet":
        return {"image": lines.convert("RGB"), "controlnet_conditioning_scale": scale}
    mode = "L" if pipeline.adapter.config.in_channels == 1 else "RGB"
    return {"image": lines.convert(mode), "adapter_conditioning_scale": scale}


def _listening(conditioner: Conditioner | None, steps: Steps) -> dict[str, Any]:
    if conditioner is not None and conditioner.type == "t2i-adapter":
        return {"callback": steps.callback, "callback_steps": 1}
    return {"callback_on_step_end": steps.on_step_end}
