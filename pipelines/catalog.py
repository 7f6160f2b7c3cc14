"""The catalogue of models and styles, as configured, and what requests need of it. No torch.

Sizes are in pixels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from pipelines import presets
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import (
    MAX_NAME,
    Aspect,
    ImagineRequest,
    Request,
    SketchRequest,
    UpscaleRequest,
    only_looks,
)
from pipelines.contract.text import Text
from pipelines.presets import ImaginePreset, Preset, SketchPreset


def _at_home(path: Path) -> Path:
    """A path whose `~` or `~name` is the home folder that it stands for."""
    _require_path(str(path))
    try:
        return path.expanduser()
    except RuntimeError:
        raise PydanticCustomError("no_home", "has no home folder; write the path in full") from None


def _require_path(text: str) -> None:
    """Raise where TOML took a part of a path for an escape, as the \\t of C:\\temp."""
    if any(sign < " " for sign in text):
        raise PydanticCustomError("no_path", "holds what no path does; write each \\ in it as /")


def _source_at_home(source: str) -> str:
    _require_path(source)
    return str(_at_home(Path(source))) if source.startswith("~") else source


LocalPath = Annotated[Path, AfterValidator(_at_home)]
StyleName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
MaybeLora = Annotated[
    str | None,
    Field(
        max_length=MAX_NAME,
        pattern=r"^[^/\\]+$",
        description="the name of a file in models.loras, without its folder and its ending",
    ),
]
Dtype = Literal["float32", "float16", "bfloat16"]
Pixels = Annotated[int, Field(ge=64, le=2048, multiple_of=8)]
Steps = Annotated[int, Field(ge=1, le=200)]
Guidance = Annotated[float, Field(ge=0.0, le=30.0)]
CacheInterval = Annotated[int, Field(ge=1, le=4)]
"""One step of so many is computed, and the others are extrapolated (`pipelines.caching`)."""


class ModelKey(StrEnum):
    """The models that are read as a whole, and the words for them in the configuration."""

    SAFETY = "safety"
    CAPTION = "caption"
    SKETCH = "sketch"
    IMAGINE = "imagine"
    ANIMATE = "animate"
    UPSCALE = "upscale"


PREVIEW = "preview"
"""The key of the part that only makes previews. A model without it paints just as well."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Checkpoint(_Table):
    """Where weights come from: a folder, or a repository on the Hugging Face Hub."""

    source: Annotated[str, Field(min_length=1), AfterValidator(_source_at_home)]
    revision: str | None = None
    variant: str | None = None
    """The file variant, `fp16` for `model.fp16.safetensors`."""
    gated: bool = False
    """Whether the Hub asks for a licence to be accepted first, and so for a token."""

    @property
    def is_folder(self) -> bool:
        """Whether `source` is a path (`./x`, `../x`, `/x`, `~/x`, `C:\\x`), not a repository."""
        windows = PureWindowsPath(self.source)
        return self.source.startswith((".", "/", "~")) or windows.is_absolute()

    def parts(self) -> Iterator[tuple[str, "Checkpoint"]]:
        """The checkpoints that replace or add to parts of this one, by their keys."""
        for part in ("vae", "conditioner", "preset_lora", PREVIEW):
            if (inner := getattr(self, part, None)) is not None:
                yield part, inner

    @property
    def name(self) -> str:
        """What a member is shown: the repository, or a folder without the path to it."""
        return Path(self.source).name if self.is_folder else self.source


class Network(Checkpoint):
    """A single network rather than a pipeline: it is on the card as a whole or not at all."""


class SafetyModel(Network):
    """A ViT that classifies pictures."""

    dtype: Dtype = "float16"
    labels: Annotated[tuple[str, ...], Field(min_length=1)] = ("nsfw",)
    """The classes of what is unwanted."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The probability of all of them together from which on a picture is unwanted."""


class CaptionModel(Network):
    """A BLIP captioner."""

    dtype: Dtype = "float16"
    max_words: Annotated[int, Field(ge=4, le=60)] = 24


class UpscaleModel(Network):
    """A Swin2SR that makes pictures twice or four times as large."""

    dtype: Dtype = "float16"
    tile: Annotated[int, Field(ge=64, le=1024, multiple_of=8)] = 256
    """The side of the parts in which a picture is enlarged."""
    overlap: Annotated[int, Field(ge=8, le=32, multiple_of=8)] = 32
    """How many pixels neighbouring parts share, over which one fades into the other."""
    max_megapixels: Annotated[float, Field(gt=0, le=80)] = 20.0
    """The largest result."""

    def require_fits(self, width: int, height: int, *, scale: int) -> None:
        """Raise BadInput for a picture whose result would be too large."""
        width, height = width * scale, height * scale
        if width * height > self.max_megapixels * 1e6:
            raise BadInput(
                "This picture would have {width} × {height} pixels, and at most {most} megapixels "
                "are made here. Please choose a smaller scale or a smaller picture.",
                width=width,
                height=height,
                most=f"{self.max_megapixels:g}",
            )


class Conditioner(Checkpoint):
    """What makes the drawing itself steer SDXL."""

    type: Literal["t2i-adapter", "controlnet"]
    full_scale: Annotated[float, Field(gt=0, le=2)] = 1.0
    """The conditioning scale at strength 100."""


def _chosen(given: Any, known: Mapping[str, Preset]) -> Preset | None:
    """The preset that a table names, if it is a table and the preset is known."""
    name = given.get("preset") if isinstance(given, dict) else None
    return known.get(name) if isinstance(name, str) else None


class LoraFile(Checkpoint):
    """One file of a folder or a repository, that becomes part of a model's weights."""

    file: Annotated[
        str,
        Field(pattern=r"^[^/\\]+\.safetensors$", description="a file's name, in .safetensors"),
    ]


class SketchModel(Checkpoint):
    """SDXL, and what it takes from a drawing."""

    dtype: Dtype = "float16"
    vae: Checkpoint | None = None
    conditioner: Conditioner | None = None
    preview: Checkpoint | None = None
    """An AutoencoderTiny of SDXL's latents, which shows a picture while it is painted."""
    preset: SketchPreset | None = None
    """For fewer steps. It decides the sampler, and what of the rest is not given."""
    preset_lora: LoraFile | None = None
    """Where the preset's LoRA is; without it, in the repository of its makers."""
    steps: Steps = 30
    cache_interval: CacheInterval = 1
    guidance: Guidance = 6.0
    size: Pixels = 1024
    negative: str = ""

    @model_validator(mode="before")
    @classmethod
    def _as_preset(cls, given: Any) -> Any:
        preset = _chosen(given, presets.SKETCH)
        if preset is None:
            return given
        lora, own = {"source": preset.source, "file": preset.file}, given.get("preset_lora", {})
        return {
            "steps": preset.steps,
            "guidance": preset.guidance,
            **given,
            "preset_lora": {**lora, **own} if isinstance(own, dict) else own,
        }

    @model_validator(mode="after")
    def _has_no_lora_alone(self) -> Self:
        if self.preset_lora is not None and self.preset is None:
            raise ValueError("preset_lora is for a preset; add one, or delete it")
        return self


class ImagineModel(Checkpoint):
    """Stable Diffusion 3.5."""

    dtype: Dtype = "bfloat16"
    preview: Checkpoint | None = None
    """An AutoencoderTiny of SD3's latents, which shows a picture while it is painted."""
    preset: ImaginePreset | None = None
    """For fewer steps. It decides what of the rest is not given, the source among it."""
    precision: Literal["auto", "full", "fp8", "fp8-fast", "nf4"] = "auto"
    """The type in which the transformer's weights are kept. `auto` is full wherever that fits;
    `fp8-fast` multiplies in fp8, too."""
    text_precision: Literal["auto", "full", "fp8"] = "auto"
    """The type in which T5's weights are kept, which take half as much as the transformer's."""
    steps: Steps = 28
    cache_interval: CacheInterval = 1
    guidance: Guidance = 4.5
    size: Pixels = 1024
    text_tokens: Annotated[int, Field(ge=16, le=512)] = 256
    """How many tokens of the prompt T5 reads."""

    @model_validator(mode="before")
    @classmethod
    def _as_preset(cls, given: Any) -> Any:
        preset = _chosen(given, presets.IMAGINE)
        if preset is None:
            return given
        decided: dict[str, Any] = {"steps": preset.steps, "guidance": preset.guidance}
        if "source" not in given:
            decided |= {"source": preset.source, "gated": True}
        return {**decided, **given}

    @model_validator(mode="after")
    def _is_what_the_preset_says(self) -> Self:
        """A folder may hold the preset's checkpoint; another repository does not."""
        if self.preset is not None and not self.is_folder:
            source = presets.IMAGINE[self.preset].source
            if self.source != source:
                raise ValueError(
                    f"the preset {self.preset!r} is {source}, not {self.source}; delete one of "
                    "preset and source"
                )
        return self


class AnimateModel(Checkpoint):
    """Stable Video Diffusion."""

    dtype: Dtype = "float16"
    steps: Steps = 25
    min_guidance: Guidance = 1.0
    max_guidance: Guidance = 3.0
    frames: Annotated[int, Field(ge=2, le=64)] = 25
    fps: Annotated[int, Field(ge=1, le=60)] = 7
    width: Pixels = 1024
    height: Pixels = 576
    noise: Annotated[float, Field(ge=0, le=1)] = 0.02
    decode_chunk: Annotated[int, Field(ge=1, le=64)] = 5
    """Frames decoded at a time. One by which `frames` can be divided is compiled only once."""


Model = SafetyModel | CaptionModel | SketchModel | ImagineModel | AnimateModel | UpscaleModel


class Style(_Table):
    """A look that /sketch offers. `frame` holds `{prompt}` once; `lora` is of `loras/sketch`.

    `description` and `preview`, a picture, are for members who choose.
    """

    description: Annotated[str, Field(max_length=200)] = ""
    preview: LocalPath | None = None
    frame: Annotated[
        str,
        Field(pattern=r"^[^{}]*\{prompt\}[^{}]*$", description="a text that holds {prompt} once"),
    ] = "{prompt}"
    negative: str = ""
    lora: MaybeLora = None

    def anchored(self, folder: Path) -> "Style":
        """This style with its preview absolute, taken from `folder` if it is relative."""
        if self.preview is None:
            return self
        return self.model_copy(update={"preview": folder / self.preview})


def no_style(name: str, styles: Iterable[str]) -> BadInput:
    """What is said of a style that there is not."""
    return BadInput(
        "There is no style “{name}”. {choice}", name=name[:60], choice=alternatives(styles)
    )


def alternatives(names: Iterable[str]) -> Text:
    """What there is to choose from instead."""
    if not (known := list(names)[:_NAMED]):
        return Text("None has been set up here: please leave it out.")
    return Text("Choose one of: {names}.", names=", ".join(known))


_NAMED = 25  # in a sentence


class Acceleration(_Table):
    """What makes networks quicker without changing what they compute, but for the last bits."""

    compile: bool = False
    """Compile denoisers and decoders at the first run: minutes once, then from a cache on disk."""
    attention: Literal["auto", "flash", "cudnn", "efficient"] = "auto"
    """The attention kernel, wherever it serves; `auto` is PyTorch's choice."""


class Catalog(_Table):
    """All that the pipelines may load. Where a model is absent, its command says so."""

    safety: SafetyModel | None = None
    """Without it nothing is looked at."""
    caption: CaptionModel | None = None
    sketch: SketchModel | None = None
    imagine: ImagineModel | None = None
    animate: AnimateModel | None = None
    upscale: UpscaleModel | None = None
    styles: dict[StyleName, Style] = Field(default_factory=dict)
    loras: LocalPath | None = None
    """A folder with the LoRAs that members choose by name (`pipelines.loras`)."""
    acceleration: Acceleration = Acceleration()
    metadata: bool = True
    """Whether files say how they were made. They never say for whom."""

    def needs(self, request: Request) -> tuple[ModelKey, ...]:
        """The models that a request uses, in the order it uses them."""
        if only_looks(request):
            return (ModelKey.CAPTION,)
        if isinstance(request, SketchRequest):
            return (ModelKey.CAPTION, ModelKey.SKETCH)
        if isinstance(request, ImagineRequest):
            return (ModelKey.IMAGINE,)
        if isinstance(request, UpscaleRequest):
            return (ModelKey.UPSCALE,)
        if request.prompt:
            return (ModelKey.IMAGINE, ModelKey.ANIMATE)
        return (ModelKey.ANIMATE,)

    def missing(self, request: Request) -> tuple[ModelKey, ...]:
        """The models that a request needs and this catalogue does not name.

        What is to be painted after a review needs to be there before it.
        """
        if isinstance(request, SketchRequest):
            request = replace(request, review=False)
        return tuple(key for key in self.needs(request) if getattr(self, key) is None)

    def larger(self, scale: int | None) -> Callable[[int, int], None] | None:
        """The check for `uploads.vet` of a picture that is to become `scale` times as large; None
        where there is nothing to check."""
        if scale is None or self.upscale is None:
            return None
        return partial(self.upscale.require_fits, scale=scale)

    def anchored(self, folder: Path) -> "Catalog":
        """This catalogue with every folder absolute, relative ones taken from `folder`."""
        update: dict[str, object] = {key: _anchored(getattr(self, key), folder) for key in ModelKey}
        if self.loras is not None:
            update["loras"] = folder / self.loras
        update["styles"] = {name: style.anchored(folder) for name, style in self.styles.items()}
        return self.model_copy(update=update)

    def hurried(self, steps: int = 2) -> "Catalog":
        """This catalogue with few steps: to try a model, not to look at what it makes."""
        return self.model_copy(
            update={
                key: model.model_copy(update={"steps": steps})
                for key in (ModelKey.SKETCH, ModelKey.IMAGINE, ModelKey.ANIMATE)
                if (model := getattr(self, key)) is not None
            }
        )

    def checkpoints(self) -> Iterator[tuple[str, Checkpoint]]:
        """Every checkpoint with its place in the configuration, as in `sketch.vae`."""
        for key in ModelKey:
            model = getattr(self, key)
            if model is None:
                continue
            yield key, model
            for part, inner in model.parts():
                yield f"{key}.{part}", inner


def painters(models: Iterable[ModelKey]) -> frozenset[ModelKey]:
    """Of the models of a request, those that have to be on the card for it to begin at once.

    A sketch's captioner need not: when it is moved in, it reads for several requests, and on a
    small card it leaves before SDXL has room.
    """
    models = frozenset(models)
    return models - {ModelKey.CAPTION} or models


def _anchored(model: Checkpoint | None, folder: Path) -> Checkpoint | None:
    if model is None:
        return None
    update: dict[str, object] = {part: _anchored(inner, folder) for part, inner in model.parts()}
    if model.is_folder:
        update["source"] = str((folder / model.source).resolve())
    return model.model_copy(update=update)


_RATIOS = {
    Aspect.SQUARE: (1, 1),
    Aspect.PHOTO: (3, 2),
    Aspect.PORTRAIT: (2, 3),
    Aspect.WIDE: (16, 9),
    Aspect.TALL: (9, 16),
}


def dimensions(aspect: Aspect, size: int) -> tuple[int, int]:
    """Width and height with about `size`² pixels, both divisible by 64."""
    return fit(*_RATIOS[aspect], size=size)


_MULTIPLE = 64  # pixels: models halve the sides several times


def fit(width: int, height: int, *, size: int) -> tuple[int, int]:
    """The shape of `width` × `height` at about `size`² pixels, both divisible by 64.

    Shapes beyond 2:1 become 2:1, which is as far as the models were trained.
    """
    ratio = min(max(width / height, 0.5), 2.0)
    wide = size * ratio**0.5
    return (
        max(_MULTIPLE, round(wide / _MULTIPLE) * _MULTIPLE),
        max(_MULTIPLE, round(size * size / wide / _MULTIPLE) * _MULTIPLE),
    )
