"""/sketch: BLIP says what a drawing shows, SDXL paints it, the drawing's lines steer.

The whole story in its order: load, caption, prompt, paint.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from PIL import Image, ImageOps

from pipelines.catalog import CaptionModel, Conditioner, ModelKey, SketchModel, Style, fit
from pipelines.contract.artifact import Artifact, MediaType
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import SketchRequest, clean_text
from pipelines.drawing import read_drawing
from pipelines.loading import Loader
from pipelines.media import encode_png, open_picture
from pipelines.residency import Residency
from pipelines.steps import Steps


def render(
    request: SketchRequest,
    captions: CaptionModel,
    model: SketchModel,
    styles: Mapping[str, Style],
    models: Residency[Any],
    context: RunContext,
) -> tuple[Artifact, ...]:
    """One picture of what the drawing shows. Raises BadInput for a blank drawing."""
    style = _style(request.style, styles)
    drawing = read_drawing(open_picture(request.drawing))
    with models.use(ModelKey.CAPTION, context) as captioner:
        context.step(Phase.CAPTIONING)
        caption = describe(captioner, drawing.picture, captions.max_words)
    with models.use(ModelKey.SKETCH, context) as pipeline:
        image = paint(
            pipeline,
            model,
            context,
            prompt=write_prompt(pipeline.tokenizer, request.prompt, caption, style),
            negative=join(model.negative, style.negative),
            lines=drawing.lines,
            strength=request.strength,
            seed=request.seed,
        )
    context.step(Phase.ENCODING)
    return (_artifact(image, request, caption, model),)


def _style(name: str | None, styles: Mapping[str, Style]) -> Style:
    if name is None:
        return Style()
    if name not in styles:
        raise BadInput(f"There is no style {name!r} here. There are: {', '.join(styles)}.")
    return styles[name]


def _artifact(
    image: Image.Image, request: SketchRequest, caption: str, model: SketchModel
) -> Artifact:
    facts: dict[str, str | int | float] = {"caption": caption}
    if request.prompt:
        facts["prompt"] = request.prompt
    if request.style is not None:
        facts["style"] = request.style
    if model.conditioner is not None:
        facts["strength"] = request.strength
    facts |= {"seed": request.seed, "steps": model.steps, "model": model.name}
    return Artifact(
        data=encode_png(image, facts),
        media_type=MediaType.PNG,
        name=f"sketch-{request.seed}.png",
        width=image.width,
        height=image.height,
        facts=facts,
    )


# --- load ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Captioner:
    """A BLIP model and its processor; moves as the pipelines do."""

    model: Any
    processor: Any

    def to(self, device: torch.device) -> Self:
        """Move the weights."""
        self.model.to(device)
        return self


def load_captioner(model: CaptionModel, loader: Loader) -> Captioner:
    """The captioner of a catalogue entry, in RAM."""
    from transformers import BlipForConditionalGeneration, BlipProcessor

    blip = loader.load(BlipForConditionalGeneration, ModelKey.CAPTION, model, model.dtype)
    processor = loader.load_processor(BlipProcessor, ModelKey.CAPTION, model)
    return Captioner(blip.eval(), processor)


def load(model: SketchModel, loader: Loader) -> Any:
    """The SDXL pipeline that a catalogue entry asks for, in RAM."""
    import diffusers

    parts: dict[str, object] = {}
    if model.vae is not None:
        parts["vae"] = loader.load(
            diffusers.AutoencoderKL, f"{ModelKey.SKETCH}.vae", model.vae, model.dtype
        )
    conditioner = model.conditioner
    if conditioner is None:
        return loader.load(
            diffusers.StableDiffusionXLPipeline,
            ModelKey.SKETCH,
            model,
            model.dtype,
            add_watermarker=False,
            **parts,
        )
    place = f"{ModelKey.SKETCH}.conditioner"
    if conditioner.type == "t2i-adapter":
        parts["adapter"] = loader.load(diffusers.T2IAdapter, place, conditioner, model.dtype)
        pipeline = diffusers.StableDiffusionXLAdapterPipeline
    else:
        parts["controlnet"] = loader.load(
            diffusers.ControlNetModel, place, conditioner, model.dtype
        )
        parts["add_watermarker"] = False
        pipeline = diffusers.StableDiffusionXLControlNetPipeline
    return loader.load(pipeline, ModelKey.SKETCH, model, model.dtype, **parts)


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


# --- paint --------------------------------------------------------------------------------------


def paint(
    pipeline: Any,
    model: SketchModel,
    context: RunContext,
    *,
    prompt: str,
    negative: str,
    lines: Image.Image,
    strength: int,
    seed: int,
) -> Image.Image:
    """A picture in the shape of `lines` (L, white on black), which steer it by `strength`."""
    width, height = fit(lines.width, lines.height, size=model.size)
    steps = Steps(context, Phase.PAINTING, model.steps)
    steering = _steering(pipeline, model.conditioner, lines, (width, height), strength)
    with torch.inference_mode():
        image: Image.Image = pipeline(
            prompt=prompt,
            negative_prompt=negative or None,  # none at all is what SDXL was trained without
            width=width,
            height=height,
            num_inference_steps=model.steps,
            guidance_scale=model.guidance,
            generator=torch.Generator().manual_seed(seed),
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
