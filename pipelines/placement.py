"""How the models fit a card: what is kept there, what waits in RAM, what is given up. Pure.

    plan = plan_model(ModelKey.IMAGINE, catalog.imagine, card)

A pipeline is two *groups* of parts that are needed one after the other: its text encoders, and what
paints, the denoiser and its autoencoder. A group is on the card for its turn, and stays there as
long as nothing else needs the room (`pipelines.residency`). So what has to fit at once is the
larger group with its working memory, not the whole pipeline. Where that is too much, concessions
are made, the quickest ones that do, each named for the owner with the setting that decides it.

All sizes are bytes. Weights are those of the checkpoint at hand, or of the usual one; working
memory is what the tensors of the usual architectures take (`python -m benchmarks.memory`), grows
with the pixels, and has a margin for what libraries take beside them. On a card without attention
kernels for a model's type, it is what attention takes without.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from math import inf
from typing import Any

from pipelines.catalog import (
    AnimateModel,
    CaptionModel,
    ImagineModel,
    ModelKey,
    Network,
    SafetyModel,
    SketchModel,
    UpscaleModel,
)

GIB = 2**30
_MARGIN = 1.5  # GiB at most, for what libraries take beside the tensors
_WINDOW = 0.1  # of streamed weights that are on the card: two blocks of about forty, and the VAE
_WHOLE = ("vae",)  # parts that are not called as a whole, and so not streamed
CAST = "vae in float32"
"""Beside the weights of a model's parts, those of an autoencoder that is cast to decode, meanwhile:
one that overflows in float16, as SDXL's own does."""
_PACKED = 1.015  # of weights in RAM: blocks of pinned memory are not filled to their last byte
Model = SafetyModel | CaptionModel | SketchModel | ImagineModel | AnimateModel | UpscaleModel


class Held(StrEnum):
    """Where the weights of a group are."""

    CARD = "on the card"
    """For its turn, and as long as there is room."""
    STREAMED = "streamed"
    """In RAM; block after block visits the card while the one before it computes."""


class Precision(StrEnum):
    """In what the weights of a group are kept."""

    FULL = "full"
    FP8 = "fp8"
    FP8_FAST = "fp8-fast"
    """As fp8, in which the card multiplies as well."""
    NF4 = "nf4"


_BYTES = {Precision.FP8: 1.0, Precision.FP8_FAST: 1.0, Precision.NF4: 1 / 2 + 4 / 64}
"""What a weight of a layer takes. In nf4, 64 of them have a scale of 32 bits."""
_LAYERS = {"transformer": 0.985, "text_encoder_3": 0.972}
"""Of the weights of SD3.5's parts, those of layers, which can be kept in less. Embeddings stay as
they are, and so do other parts."""
_WIDE = {"text_encoder_3": 24 * 4096 * 10240 / 4_762_000_000}
"""Of the weights of parts, those that are in float32 where the others are in float16: transformers
keeps the `wo` of T5 so, for its products are too large."""


@dataclass(frozen=True, slots=True)
class Card:
    """What models run on. `budget` is what they may take of it, `ram` what they may take of RAM:
    on a Mac these are the same bytes.

    `capability` is NVIDIA's compute capability. `multiplies_fp8` tells, when it is asked, whether
    it has units for that, and torch kernels.
    """

    kind: str
    budget: float = inf
    ram: float = inf
    capability: tuple[int, int] | None = None
    multiplies_fp8: Callable[[], bool] = lambda: False

    @property
    def is_ram(self) -> bool:
        """As `is_ram` says."""
        return is_ram(self.kind)


def is_ram(kind: str) -> bool:
    """Whether the memory of such a device is RAM, so that weights are in one place: on a Mac."""
    return kind == "mps"


@dataclass(frozen=True, slots=True)
class Group:
    """Parts of a pipeline that are on the card at the same time."""

    weights: int
    working: int
    held: Held = Held.CARD
    precision: Precision = Precision.FULL
    whole: int = 0
    """Of its weights, those that are not streamed with the others."""
    layers: int = 0
    """Of its weights, those that `precision` is for, as they are read."""
    numbers: int = 0
    """How many weights these are."""

    @property
    def size(self) -> int:
        """What its weights take of the card, before its turn, in it and after it."""
        return self.kept if self.held is Held.CARD else self.whole

    @property
    def passing(self) -> int:
        """What more of its weights is on the card in its turn, where they are streamed."""
        if self.held is Held.CARD:
            return 0
        return max(0, round(self.kept * _WINDOW) - self.whole)

    @property
    def kept(self) -> int:
        """What its weights take in their precision, wherever they are."""
        if self.precision is Precision.FULL:
            return self.weights
        return self.weights - self.layers + round(self.numbers * _BYTES[self.precision])

    @property
    def peak(self) -> int:
        """What it takes of the card during its turn."""
        return self.size + self.passing + self.working


@dataclass(frozen=True, slots=True)
class Plan:
    """How one model is held, and how its pipeline is told to save memory."""

    groups: Mapping[str, Group]
    cast: int = 0
    """What an autoencoder takes that is cast to decode, beside the one that is there."""
    tiled: bool = False
    decode_chunk: int | None = None
    tile: int | None = None
    split_guidance: bool = False
    forward_chunk: int | None = None
    """Frames that a video's feed-forward layers take at a time, a divisor of them all."""
    given_up: tuple[str, ...] = ()
    cost: float = 0.0
    fits: bool = True

    @property
    def peak(self) -> int:
        """The most that is on the card at any time."""
        return max(group.peak for group in self.groups.values())

    @property
    def in_ram(self) -> int:
        """What its copy in RAM takes, from which it is moved to the card or streamed."""
        return round(_PACKED * sum(group.kept for group in self.groups.values()))

    def computes(self, batch: int = 1) -> int:
        """The most that it computes in any turn, in its painter's for a batch of so many."""
        working = {name: group.working for name, group in self.groups.items()}
        return max(*working.values(), batch * working[PAINTER])

    def takes(self, card: Card, batch: int = 1) -> int:
        """The most that it takes of a card: where that is RAM, whatever is on it at the time."""
        return self.in_ram + self.computes(batch) if card.is_ram else self.peak

    def takes_of_ram(self, card: Card, batch: int = 1) -> int:
        """What it takes of RAM: of a Mac's, also what it computes, for a batch of so many."""
        return self.takes(card, batch) if card.is_ram else self.in_ram

    @property
    def uncompiled(self) -> str | None:
        """Why its networks are never compiled; None where they are if that is configured."""
        return None if self.groups[PAINTER].held is Held.CARD else "the model is streamed"

    def in_words(self, card: Card) -> str:
        """What it takes of the card, and what is given up for that."""
        takes = f"takes {self.takes(card) / GIB:.1f} GiB"
        if card.is_ram:
            takes += f" of {card.ram / GIB:.1f}, where the GPU's memory is RAM"
            if not self.fits:
                return f"{takes}; this computer's memory is too small for it"
        elif card.budget < inf:
            takes += f" of {card.budget / GIB:.1f}"
        if self.takes(card) > card.budget:
            return f"{takes} at the least; this card is too small for it"
        if not self.fits:
            ram = f"{self.in_ram / GIB:.1f} of {card.ram / GIB:.1f} GiB"
            return f"{takes}, and {ram} of RAM; this computer's memory is too small for it"
        return f"{takes}, with {'; '.join(self.given_up)}" if self.given_up else takes


# --- what models take ---------------------------------------------------------------------------

USUAL: Mapping[ModelKey, Mapping[str, int]] = {
    ModelKey.SAFETY: {"model": 86_000_000},
    ModelKey.CAPTION: {"model": 470_000_000},
    ModelKey.SKETCH: {
        "text_encoder": 123_000_000,
        "text_encoder_2": 695_000_000,
        "unet": 2_567_000_000,
        "vae": 84_000_000,
        "conditioner": 77_000_000,
    },
    ModelKey.IMAGINE: {
        "text_encoder": 124_000_000,
        "text_encoder_2": 695_000_000,
        "text_encoder_3": 4_762_000_000,
        "transformer": 8_057_000_000,
        "vae": 84_000_000,
    },
    ModelKey.ANIMATE: {
        "image_encoder": 632_000_000,
        "unet": 1_525_000_000,
        "vae": 98_000_000,
    },
    ModelKey.UPSCALE: {"model": 12_200_000},
}
"""Parameters of the parts of the checkpoints that config.example.toml names."""

TILE = 512
"""Pixels a side of what is decoded at once where there is no room for a whole picture."""

TEXT, PAINTER = "text", "painter"
"""The groups: what reads a prompt, and what paints with what it says."""


def group_of(part: str) -> str:
    """The group that a part of a pipeline belongs to."""
    return TEXT if part.startswith("text_encoder") else PAINTER


def _room(floor: float) -> int:
    """Working memory whose tensors alone take `floor` GiB: libraries take more beside them."""
    return round((floor + min(2 * floor, _MARGIN)) * GIB)


def _working(model: Model, plan: Plan, card: Card) -> dict[str, int]:
    """Working memory of each group's turn, by the computed floors of the three architectures."""
    if isinstance(model, UpscaleModel):
        return {PAINTER: _room(0.75 * ((plan.tile or model.tile) / 256) ** 2)}
    if isinstance(model, Network):
        return {PAINTER: _room(0.1)}
    if isinstance(model, AnimateModel):
        pixels = model.width * model.height / (1024 * 576)
        step = 2.1 if plan.forward_chunk else 3.7 if plan.split_guidance else 7.7
        step *= pixels * model.frames / 25
        decode = 1.125 * pixels * min(plan.decode_chunk or model.decode_chunk, model.frames)
    else:
        pixels = model.size**2 / 1024**2
        step = pixels * (0.31 if isinstance(model, SketchModel) else 0.5)
        decode = 1.5 * (min(pixels, (TILE / 1024) ** 2) if plan.tiled else pixels)
        if plan.cast:
            decode = 2 * decode + plan.cast / GIB
    working = max(_room(step), _room(decode))
    if not _has_kernels(model, card):
        stepping, decoding = (_SCORE * scores for scores in _scores(model, plan))
        working = max(_room(step) + stepping, _room(decode), decoding)
    precision = plan.groups[TEXT].precision if TEXT in plan.groups else Precision.FULL
    reading = 0.05 if precision is Precision.FULL else 0.2  # T5's largest layer is cast to float32
    return {TEXT: _room(reading), PAINTER: working}


_SCORE = 10
"""Bytes that a score of attention takes where no kernel spares it: torch reckons it in float32, and
holds two and a half for each at its most (`pytest tests/benchmarks/test_memory.py`)."""


def _has_kernels(model: Model, card: Card) -> bool:
    """Whether torch has attention kernels for a model's type: old cards have none for bfloat16."""
    return model.dtype != "bfloat16" or card.capability is None or card.capability >= (8, 0)


def _scores(model: SketchModel | ImagineModel | AnimateModel, plan: Plan) -> tuple[int, int]:
    """The scores of the largest attention in a step, and in decoding: batch × heads × tokens²."""
    if isinstance(model, AnimateModel):
        frames = min(plan.decode_chunk or model.decode_chunk, model.frames)
        tokens = (model.width // 8) * (model.height // 8)
        heads = 5 * model.frames * (1 if plan.split_guidance else 2)
        return heads * tokens**2, frames * tokens**2
    decoded = min(TILE, model.size) if plan.tiled else model.size
    tokens, heads = (model.size // 16) ** 2, 10
    if isinstance(model, ImagineModel):
        tokens, heads = tokens + 77 + model.text_tokens, 38  # CLIP's words, and T5's
    return heads * (2 if model.guidance > 1 else 1) * tokens**2, (decoded // 8) ** 4


# --- what can be given up -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Concession:
    """Something given up for room: what it costs, what the owner reads, and what it does.

    `cost` is by how many seconds a run takes longer, very roughly: it orders what is tried. What
    changes pictures so that it can be seen costs more than all that does not. Tiles and fewer
    frames at a time change a little where they meet. Of tiles that may be seen, so they count for
    more than the 0.3 s that they take, and for less only than streaming a picture's model.
    """

    cost: float
    text: str
    apply: Callable[[Plan], Plan]


LOSSY = 1000.0
SMALLEST_TILE = 64  # of which neighbours share half: smaller ones would take ever more work
_BUS = 20 * GIB  # a second, from pinned memory to the card


def _concessions(key: ModelKey, model: Model, card: Card) -> Iterator[list[_Concession]]:
    """All that this model could give up on this card: of each list, one at most."""
    if isinstance(model, SketchModel | ImagineModel):
        tiled = _Concession(
            2.0,
            "pictures decoded in tiles, which changes them a little where tiles meet (a lower "
            f"models.{key}.size spares that)",
            lambda plan: replace(plan, tiled=True),
        )
        yield [tiled]
    if isinstance(model, AnimateModel):
        yield from _of_videos(model)
    if isinstance(model, UpscaleModel):
        yield list(_of_tiles(model))
    if card.kind == "cuda" and not isinstance(model, Network):
        yield [_stream(PAINTER, "the model", 1.0 if isinstance(model, AnimateModel) else 4.0)]
        if not isinstance(model, AnimateModel):
            yield [_stream(TEXT, "the text encoders", 0.2)]
    if isinstance(model, ImagineModel):
        yield from _of_precision(model, card)


def _of_videos(model: AnimateModel) -> Iterator[list[_Concession]]:
    yield list(_of_chunks(model))
    split = _Concession(
        1.5,
        "both halves of guidance one after the other (fewer models.animate.frames spare that)",
        lambda plan: replace(plan, split_guidance=True),
    )
    parts = _Concession(
        4.0,
        "frames taken part by part (fewer models.animate.frames spare that)",
        lambda plan: replace(plan, split_guidance=True, forward_chunk=_forward_chunk(model.frames)),
    )
    yield [split, parts]


def _of_chunks(model: AnimateModel) -> Iterator[_Concession]:
    chunk, cost = model.decode_chunk, 0.3
    while chunk > 1:
        chunk //= 2
        yield _Concession(
            cost,
            f"{chunk} frame{'s' * (chunk > 1)} decoded at a time (models.animate.decode_chunk)",
            lambda plan, chunk=chunk: replace(plan, decode_chunk=chunk),  # type: ignore[misc]
        )
        cost += 0.3


def _forward_chunk(frames: int) -> int:
    """A quarter of the frames or fewer, of parts that are alike: smaller ones save no more."""
    return max(part for part in range(1, max(1, frames // 4) + 1) if frames % part == 0)


def _of_tiles(model: UpscaleModel) -> Iterator[_Concession]:
    tile, cost = model.tile, 1.0
    while (tile := tile // 16 * 8) >= SMALLEST_TILE:
        yield _Concession(
            cost,
            f"pictures upscaled in parts of {tile} pixels (models.upscale.tile)",
            lambda plan, tile=tile: replace(plan, tile=tile),  # type: ignore[misc]
        )
        cost *= 2


def _stream(name: str, what: str, cost: float) -> _Concession:
    return _Concession(
        cost,
        f"{what} streamed from RAM while computing (more gpu.vram_gib spares that)",
        lambda plan: _with_group(plan, name, held=Held.STREAMED),
    )


def _of_precision(model: ImagineModel, card: Card) -> Iterator[list[_Concession]]:
    """Parts in less, on cards alone: a prompt that is read in less changes pictures least."""
    if card.kind != "cuda":
        return
    if model.text_precision == "auto":
        yield [_quantise(Precision.FP8, TEXT, "T5", LOSSY, "text_precision")]
    if model.precision == "auto":
        costs = {Precision.FP8: 2 * LOSSY, Precision.NF4: 4 * LOSSY}
        yield [_quantise(p, PAINTER, "the model", cost, "precision") for p, cost in costs.items()]


def _quantise(
    precision: Precision, group: str, what: str, cost: float, setting: str
) -> _Concession:
    return _Concession(
        cost,
        f"{what} in {precision}, which changes pictures a little (models.imagine.{setting})",
        lambda plan: _with_group(plan, group, precision=precision),
    )


def _with_group(plan: Plan, name: str, **changes: Any) -> Plan:
    return replace(plan, groups={**plan.groups, name: replace(plan.groups[name], **changes)})


def unmet(model: Model, card: Card) -> str | None:
    """What a configured model needs that is not there, and what is done instead, else None."""
    if not isinstance(model, ImagineModel):
        return None
    asked = {name: getattr(model, name) for name in _PRECISIONS}
    told = [
        f'models.imagine.{name} is "{precision}", which {lacking}. Without it the model is held as '
        f'with "{_instead(precision, card)}".'
        for name, precision in asked.items()
        if (lacking := _lacked(precision, card)) is not None
    ]
    return " ".join(told) or None


_PRECISIONS = {"precision": PAINTER, "text_precision": TEXT}
"""The settings, and the groups that they are for."""


def _lacked(precision: str, card: Card) -> str | None:
    """What a precision needs and a card has not, after “which”, else None."""
    if precision in ("fp8", "fp8-fast") and card.kind == "mps":  # before torch 2.14
        return "torch does not have on a Mac"
    if precision == "fp8-fast" and not card.multiplies_fp8():
        return "needs an NVIDIA card of compute capability 8.9 or more, and a torch for it"
    return None


def possible(precision: str, card: Card) -> bool:
    """Whether weights can be kept in a precision on a card."""
    return _lacked(precision, card) is None


def would_fit(
    key: ModelKey, model: Model, card: Card, weights: Mapping[str, int] | None = None
) -> str | None:
    """The settings with which a model fits that does not as it is, else None.

    On an NVIDIA card precisions are given up by themselves where they may be, but not elsewhere.
    """
    if not isinstance(model, ImagineModel):
        return None
    for settings in _TO_SET:
        able = all(possible(precision, card) for precision in settings.values())
        less = model.model_copy(update=settings)
        if able and plan_model(key, less, card, weights).fits:
            return " and ".join(f'models.{key}.{n} = "{value}"' for n, value in settings.items())
    return None


_TO_SET: tuple[dict[str, str], ...] = (
    {"text_precision": "fp8"},
    {"precision": "fp8"},
    {"precision": "fp8", "text_precision": "fp8"},
    {"precision": "nf4"},
    {"precision": "nf4", "text_precision": "fp8"},
)
"""What is tried, of what changes pictures least first."""


def _instead(precision: str, card: Card) -> str:
    """The precision that is taken for one: itself, if the card can do it."""
    if possible(precision, card):
        return precision
    return _instead("fp8", card) if precision == "fp8-fast" else "auto"


def slow(key: ModelKey, model: Model, card: Card) -> str | None:
    """Why a card is slow in a model's type, and what to do, else None."""
    if _has_kernels(model, card):
        return None
    capability = ".".join(map(str, card.capability or ()))
    return (
        f"this card (compute capability {capability}) is slow in bfloat16, and has no kernel for "
        f'attention in it, which would spare memory: set models.{key}.dtype = "float16"'
    )


# --- the choice ---------------------------------------------------------------------------------


def plan_model(
    key: ModelKey, model: Model, card: Card, weights: Mapping[str, int] | None = None
) -> Plan:
    """The plan that fits `card` for the least time, and changes pictures only if it must.

    `weights` are the bytes of each part in the model's type, and CAST where that is done; by
    default those of the usual checkpoint.
    Where nothing fits, the plan that comes nearest to it, with `fits` False.
    """
    if isinstance(model, ImagineModel):
        instead = {name: _instead(getattr(model, name), card) for name in _PRECISIONS}
        model = model.model_copy(update=instead)
    weights = weights or _usual(key, model)
    cast = 0 if card.kind == "cpu" else weights.get(CAST, 0)  # which computes in float32
    parts = {part: size for part, size in weights.items() if part != CAST}
    whole = Plan(_groups(model, card, parts), cast=cast)
    options = [[None, *kind] for kind in _concessions(key, model, card)]
    tried = [_with_given_up(whole, chosen, model, card) for chosen in product(*options)]
    fitting = [plan for plan in tried if _lacking(plan, card) == (0, 0)]
    if fitting:
        return min(fitting, key=lambda plan: (plan.cost, plan.peak))
    nearest = min(tried, key=lambda plan: (_lacking(plan, card), plan.peak, plan.cost))
    return replace(nearest, fits=False)


def _groups(model: Model, card: Card, weights: Mapping[str, int]) -> dict[str, Group]:
    """The groups of a model with nothing given up, in the precisions that its owner asked for."""
    groups: dict[str, Group] = {}
    width = 4 if card.kind == "cpu" else _width(model)  # it computes in float32
    for part, size in weights.items():
        before = groups.get(name := group_of(part), Group(0, 0))
        numbers = size // _width(model)
        layers = round(numbers * _LAYERS.get(part, 0.0))
        wider = 0
        if model.dtype == "float16" and width == 2:
            wider = round(2 * numbers * _WIDE.get(part, 0.0))
        groups[name] = replace(
            before,
            weights=before.weights + width * numbers + wider,
            whole=before.whole + width * numbers * (part in _WHOLE),
            layers=before.layers + width * layers + wider,
            numbers=before.numbers + layers,
        )
    if isinstance(model, ImagineModel):
        for setting, name in _PRECISIONS.items():
            precision = getattr(model, setting)
            if precision not in ("auto", "full") and groups[name].layers:  # a model may lack T5
                groups[name] = replace(groups[name], precision=Precision(precision))
    return groups


def _with_given_up(
    plan: Plan, chosen: Iterable[_Concession | None], model: Model, card: Card
) -> Plan:
    """A plan with these concessions, the working memory that is left to need, and what it costs."""
    made = [concession for concession in chosen if concession is not None]
    for concession in made:
        plan = concession.apply(plan)
    plan = _with_working(plan, model, card)
    return replace(
        plan,
        given_up=tuple(concession.text for concession in made),
        cost=sum(concession.cost for concession in made) + _moving(plan, card.budget),
    )


def _lacking(plan: Plan, card: Card) -> tuple[float, float]:
    """By how much a plan does not fit the card, and RAM: what is least comes nearest."""
    beyond = plan.takes(card) - card.budget, plan.takes_of_ram(card) - card.ram
    return max(0, beyond[0]), max(0, beyond[1])


def _moving(plan: Plan, budget: float) -> float:
    """The seconds that a run spends on moving weights when one like it ran before."""
    beside = sum(group.size for group in plan.groups.values())
    turns = [group.passing + group.working for group in plan.groups.values()]
    stay = beside + max(turns) <= budget
    moved = sum(
        group.kept
        for name, group in plan.groups.items()
        if (name == TEXT if group.held is Held.STREAMED else not stay and len(plan.groups) > 1)
    )
    return moved / _BUS


def _with_working(plan: Plan, model: Model, card: Card) -> Plan:
    working = _working(model, plan, card)
    groups = {name: replace(group, working=working[name]) for name, group in plan.groups.items()}
    return replace(plan, groups=groups)


def _usual(key: ModelKey, model: Model) -> dict[str, int]:
    left_out = {"conditioner"} if getattr(model, "conditioner", None) is None else set()
    usual = USUAL[key].items()
    sizes = {part: _width(model) * count for part, count in usual if part not in left_out}
    if isinstance(model, SketchModel) and model.vae is None and model.dtype == "float16":
        sizes[CAST] = 4 * USUAL[key]["vae"]
    return sizes


def _width(model: Model) -> int:
    """The bytes of a weight in a model's type."""
    return 4 if model.dtype == "float32" else 2
