"""What a person wants, validated and frozen. A request is complete: it holds its own seed.

Where there is no chance in what it asks for, its seed is None.
"""

import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from pipelines.contract.errors import BadInput
from pipelines.contract.text import Text

MAX_PROMPT = 1000
MAX_SEED = 2**32 - 1
MAX_COUNT = 4
MAX_NAME = 100  # characters: Discord's limit for a choice
MOTION = range(1, 256)  # SVD's motion_bucket_id
USUAL_MOTION = 127
STRENGTH = range(0, 101)
USUAL_STRENGTH = 70
SCALES = (2, 4)

NAMES = {
    "prompt": Text("the prompt"),
    "negative": Text("the negative prompt"),
    "caption": Text("the caption"),
    "strength": Text("the strength"),
    "motion": Text("the motion"),
    "count": Text("the count"),
    "seed": Text("the seed"),
}
"""The fields that people fill in, as the objects of a sentence: “please keep … shorter”."""


class Kind(StrEnum):
    """The commands that reach the GPU."""

    SKETCH = "sketch"
    IMAGINE = "imagine"
    ANIMATE = "animate"
    UPSCALE = "upscale"
    DESCRIBE = "describe"


class Aspect(StrEnum):
    """Width to height. The catalogue turns it into pixels for each model."""

    SQUARE = "1:1"
    PHOTO = "3:2"
    PORTRAIT = "2:3"
    WIDE = "16:9"
    TALL = "9:16"


def new_seed() -> int:
    """A seed nobody chose."""
    return secrets.randbelow(MAX_SEED + 1)


def seed_or_new(chosen: int | None) -> int:
    """The seed a person chose, or else a new one."""
    return new_seed() if chosen is None else chosen


def seed_after(seed: int, count: int) -> int:
    """The seed `count` further on; after the last they start again at 0."""
    return (seed + count) % (MAX_SEED + 1)


def clean_text(text: str, field: str = "prompt") -> str:
    """`text` on one line, without control, format and surrogate characters.

    Raises BadInput when more than MAX_PROMPT characters remain.
    """
    if len(text) > _WORTH_CLEANING:
        raise _too_long(field, len(text))
    spaced = "".join(" " if unicodedata.category(c) in _BLANK else c for c in text)
    kept = "".join(filter(_is_kept, spaced))
    clean = " ".join(kept.split())
    if not clean.strip("".join((" ", *_JOINERS))):
        return ""  # they joined nothing
    if len(clean) > MAX_PROMPT:
        raise _too_long(field, len(clean))
    return clean


def _is_kept(c: str) -> bool:
    return c in _JOINERS or ord(c) in _EMOJI or unicodedata.category(c) not in _DROPPED


def _too_long(field: str, count: int) -> BadInput:
    return BadInput(
        "Please keep {what} to {most} characters or fewer; now it has {count}.",
        what=NAMES[field],
        most=MAX_PROMPT,
        count=count,
    )


_WORTH_CLEANING = 20 * MAX_PROMPT  # characters: of more, so few are never left
_BLANK = {"Zs", "Zl", "Zp", "Cc"}
_DROPPED = {"Cf", "Cs", "Co", "Cn"}
_EMOJI = range(0x1F000, 0x1FB00)  # new ones come every year, and Python learns of them later
_JOINERS = {"\u200c", "\u200d"}  # words in Persian and emoji sequences need them


def _clean(request: object, field: str) -> None:
    object.__setattr__(request, field, clean_text(getattr(request, field), field))


def _check_lora(name: str | None) -> None:
    if name is not None and not (0 < len(name) <= MAX_NAME and not {"/", "\\"} & set(name)):
        raise BadInput("A LoRA is chosen by its name alone: please pick one that is offered.")


def _within(value: int, allowed: range, field: str) -> None:
    if value not in allowed:
        raise BadInput(
            "Please choose {what} between {least} and {most}, not {value}.",
            what=NAMES[field],
            least=allowed[0],
            most=allowed[-1],
            value=value,
        )


def _check_seeds(*seeds: int) -> None:
    for seed in seeds:
        _within(seed, range(MAX_SEED + 1), "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchRequest:
    """Paint `drawing`. Its caption, `prompt` and `style` together say what it shows.

    Without `caption` BLIP writes one.

    `drawing` is an image file that `pipelines.uploads.vet` accepted; `strength` is how firmly its
    lines steer the picture, 0 (free) to 100 (held). `lora` is named as in `pipelines.loras`; it
    takes the place of the style's own. `variations` are seeds towards which the picture of `seed`
    is changed a little, one after the other. With `review` nothing is painted yet: a person is
    shown the caption first.
    """

    kind: ClassVar[Kind] = Kind.SKETCH
    drawing: Path
    prompt: str = ""
    caption: str = ""
    style: str | None = None
    strength: int = USUAL_STRENGTH
    lora: str | None = None
    seed: int
    variations: tuple[int, ...] = ()
    review: bool = False

    def __post_init__(self) -> None:
        _clean(self, "prompt")
        _clean(self, "caption")
        _within(self.strength, STRENGTH, "strength")
        _check_lora(self.lora)
        _check_seeds(self.seed, *self.variations)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagineRequest:
    """Paint `prompt`, `count` times: picture i has the seed `seed + i`.

    `lora` is named as in `pipelines.loras`; `variations` are as in SketchRequest.
    """

    kind: ClassVar[Kind] = Kind.IMAGINE
    prompt: str
    negative: str = ""
    aspect: Aspect = Aspect.SQUARE
    count: int = 1
    lora: str | None = None
    seed: int
    variations: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _clean(self, "prompt")
        _clean(self, "negative")
        if not self.prompt:
            raise BadInput("Please say what to paint: the prompt is empty.")
        _within(self.count, range(1, MAX_COUNT + 1), "count")
        _check_lora(self.lora)
        _check_seeds(self.seed, *self.variations)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnimateRequest:
    """Animate `image`, or the picture that `prompt` describes: exactly one of the two is given.

    `motion` is SVD's motion bucket, 1 (still) to 255 (lively).
    """

    kind: ClassVar[Kind] = Kind.ANIMATE
    image: Path | None = None
    prompt: str = ""
    motion: int = USUAL_MOTION
    seed: int

    def __post_init__(self) -> None:
        _clean(self, "prompt")
        if self.image is None and not self.prompt:
            raise BadInput("Please give a picture to animate, or a prompt to paint one from.")
        if self.image is not None and self.prompt:
            raise BadInput("Please give either a picture or a prompt to animate, not both.")
        _within(self.motion, MOTION, "motion")
        _check_seeds(self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeRequest:
    """Say what `image` shows. There are no words in it and no chance."""

    kind: ClassVar[Kind] = Kind.DESCRIBE
    prompt: ClassVar[str] = ""
    seed: ClassVar[int | None] = None
    image: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleRequest:
    """Make `image` larger: `scale` times as wide and as high. Without words and chance likewise."""

    kind: ClassVar[Kind] = Kind.UPSCALE
    prompt: ClassVar[str] = ""
    seed: ClassVar[int | None] = None
    image: Path
    scale: int

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise BadInput(
                "A picture can be made 2 or 4 times as large, not {scale} times.", scale=self.scale
            )


def may_share(requests: Sequence["Request"]) -> bool:
    """Whether requests can be denoised as one batch: of /imagine, and alike but for their words,
    seeds and counts."""
    shapes = {
        replace(request, prompt="any", negative="", seed=0, count=1)
        if isinstance(request, ImagineRequest)
        else None
        for request in requests
    }
    return len(shapes) == 1 and None not in shapes


def anew(request: "Request", seed: int) -> "Request":
    """The same request with another seed, and without the variations of the old one."""
    match request:
        case SketchRequest() | ImagineRequest():
            return replace(request, seed=seed, variations=())
        case AnimateRequest():
            return replace(request, seed=seed)
    return request


def picture_count(request: "Request") -> int:
    """How many pictures or videos a request asks for."""
    return request.count if isinstance(request, ImagineRequest) else 1


def only_looks(request: "Request") -> bool:
    """Whether a request is answered by a caption, and nothing is made."""
    if isinstance(request, SketchRequest):
        return request.review
    return isinstance(request, DescribeRequest)


Request = SketchRequest | ImagineRequest | AnimateRequest | DescribeRequest | UpscaleRequest
REQUEST_TYPES: dict[Kind, type[Request]] = {
    t.kind: t
    for t in (SketchRequest, ImagineRequest, AnimateRequest, DescribeRequest, UpscaleRequest)
}
