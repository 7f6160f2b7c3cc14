"""How the models fit a card: what is kept there, what waits in RAM, what is given up. Pure.

    plan = plan_model(ModelKey.IMAGINE, catalog.imagine, card)

Where a model does not fit as it is, concessions are made: of those that make it fit, the ones that
cost least time, each named for the owner with the setting that decides it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from pipelines.catalog import (
    AnimateModel,
    ImagineModel,
    Model,
    ModelKey,
    Network,
    SketchModel,
    UpscaleModel,
)
from pipelines.estimates import (
    PRECISION_SETTINGS,
    VAE_CAST,
    group_weights,
    has_attention_kernels,
    usual_weights,
    working_memory,
)
from pipelines.plan import GIB, PAINTER, TEXT, Card, Held, Plan, Precision

LOSSY = 1000.0
"""The cost of what changes pictures so that it can be seen: more than of all that does not."""

_SMALLEST_TILE = 64  # pixels; neighbours share half of it: smaller ones would take ever more work
_BUS = 20 * GIB  # a second, from pinned memory to the card
# --- what can be given up -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Concession:
    """Something given up for room: its cost, what the owner reads about it, and what it does.

    `cost` is, very roughly, by how many seconds a run takes longer: it orders what is tried. Tiles
    take 0.3 s but may be seen where they meet, so they count for more, and for less only than
    streaming a picture's model.
    """

    cost: float
    text: str
    apply: Callable[[Plan], Plan]


def _concessions(key: ModelKey, model: Model, card: Card) -> Iterator[list[_Concession]]:
    """All that a model could give up on a card, as lists of alternatives: of each, one at most."""
    if isinstance(model, SketchModel | ImagineModel):
        yield [
            _Concession(
                2.0,
                "pictures decoded in tiles, which changes them a little where tiles meet (a lower "
                f"models.{key}.size spares that)",
                lambda plan: replace(plan, tiled=True),
            )
        ]
    if isinstance(model, AnimateModel):
        yield list(_smaller_decode_chunks(model))
        yield _smaller_steps(model)
    if isinstance(model, UpscaleModel):
        yield list(_smaller_tiles(model))
    if card.kind != "cuda" or isinstance(model, Network):
        return
    yield [_stream(PAINTER, "the model", 1.0 if isinstance(model, AnimateModel) else 4.0)]
    if not isinstance(model, AnimateModel):
        yield [_stream(TEXT, "the text encoders", 0.2)]
    if isinstance(model, ImagineModel):
        yield from _lower_precisions(model)


def _smaller_decode_chunks(model: AnimateModel) -> Iterator[_Concession]:
    chunk, cost = model.decode_chunk, 0.3
    while chunk > 1:
        chunk //= 2
        yield _Concession(
            cost,
            f"{chunk} frame{'s' * (chunk > 1)} decoded at a time (models.animate.decode_chunk)",
            lambda plan, chunk=chunk: replace(plan, decode_chunk=chunk),  # type: ignore[misc]
        )
        cost += 0.3


def _smaller_steps(model: AnimateModel) -> list[_Concession]:
    """Ways to need less memory for a video's steps."""
    fewer = "(fewer models.animate.frames spare that)"
    chunk = _forward_chunk(model.frames)
    return [
        _Concession(
            1.5,
            f"both halves of guidance one after the other {fewer}",
            lambda plan: replace(plan, split_guidance=True),
        ),
        _Concession(
            4.0,
            f"frames taken part by part {fewer}",
            lambda plan: replace(plan, split_guidance=True, forward_chunk=chunk),
        ),
    ]


def _forward_chunk(frames: int) -> int:
    """The largest divisor of `frames` that is at most a quarter of them: less saves no more."""
    return max(part for part in range(1, max(1, frames // 4) + 1) if frames % part == 0)


def _smaller_tiles(model: UpscaleModel) -> Iterator[_Concession]:
    tile, cost = model.tile, 1.0
    while (tile := tile // 16 * 8) >= _SMALLEST_TILE:  # half, as a multiple of 8
        yield _Concession(
            cost,
            f"pictures upscaled in parts of {tile} pixels (models.upscale.tile)",
            lambda plan, tile=tile: replace(plan, tile=tile),  # type: ignore[misc]
        )
        cost *= 2


def _stream(group: str, what: str, cost: float) -> _Concession:
    return _Concession(
        cost,
        f"{what} streamed from RAM while computing (more gpu.vram_gib spares that)",
        lambda plan: _with_group(plan, group, held=Held.STREAMED),
    )


def _lower_precisions(model: ImagineModel) -> Iterator[list[_Concession]]:
    """Lower precisions where the owner leaves the choice; T5's changes pictures least."""
    if model.text_precision == "auto":
        yield [_lower_precision(Precision.FP8, TEXT, "T5", LOSSY, "text_precision")]
    if model.precision == "auto":
        yield [
            _lower_precision(precision, PAINTER, "the model", cost, "precision")
            for precision, cost in ((Precision.FP8, 2 * LOSSY), (Precision.NF4, 4 * LOSSY))
        ]


def _lower_precision(
    precision: Precision, group: str, what: str, cost: float, setting: str
) -> _Concession:
    return _Concession(
        cost,
        f"{what} in {precision}, which changes pictures a little (models.imagine.{setting})",
        lambda plan: _with_group(plan, group, precision=precision),
    )


def _with_group(plan: Plan, name: str, **changes: Any) -> Plan:
    return replace(plan, groups={**plan.groups, name: replace(plan.groups[name], **changes)})


# --- what a card cannot do ----------------------------------------------------------------------


def possible(precision: str, card: Card) -> bool:
    """Whether weights can be kept in a precision on a card."""
    return _lacking_for(precision, card) is None


def _lacking_for(precision: str, card: Card) -> str | None:
    """What a precision needs and a card has not, as the end of “which …”; None if it has all."""
    if precision in ("fp8", "fp8-fast") and card.kind == "mps":  # before torch 2.14
        return "torch does not have on a Mac"
    if precision == "fp8-fast" and not card.multiplies_fp8():
        return "needs an NVIDIA card of compute capability 8.9 or more, and a torch for it"
    return None


def _instead(precision: str, card: Card) -> str:
    """The precision that is taken for a configured one: itself, if the card can do it."""
    if possible(precision, card):
        return precision
    return _instead("fp8", card) if precision == "fp8-fast" else "auto"


def unmet(model: Model, card: Card) -> str | None:
    """Which configured precision a card cannot do, and what is done instead; None where none."""
    if not isinstance(model, ImagineModel):
        return None
    asked = {name: getattr(model, name) for name in PRECISION_SETTINGS}
    told = [
        f'models.imagine.{name} is "{precision}", which {lacking}. Without it the model is held as '
        f'with "{_instead(precision, card)}".'
        for name, precision in asked.items()
        if (lacking := _lacking_for(precision, card)) is not None
    ]
    return " ".join(told) or None


def slow(key: ModelKey, model: Model, card: Card) -> str | None:
    """Why a card is slow in a model's type, and what to do, else None."""
    if has_attention_kernels(model, card):
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

    `weights` are the bytes of each part in the model's type, and VAE_CAST where that is done; by
    default those of the usual checkpoint. Where nothing fits, the plan that comes nearest to it,
    with `fits` False.
    """
    if isinstance(model, ImagineModel):
        instead = {name: _instead(getattr(model, name), card) for name in PRECISION_SETTINGS}
        model = model.model_copy(update=instead)
    weights = weights or usual_weights(key, model)
    cast = 0 if card.kind == "cpu" else weights.get(VAE_CAST, 0)  # which computes in float32
    parts = {part: size for part, size in weights.items() if part != VAE_CAST}
    whole = Plan(group_weights(model, card, parts), vae_cast=cast)
    options = [[None, *alternatives] for alternatives in _concessions(key, model, card)]
    tried = [_with_concessions(whole, chosen, model, card) for chosen in product(*options)]
    fitting = [plan for plan in tried if _excess(plan, card) == (0, 0)]
    if fitting:
        return min(fitting, key=lambda plan: (plan.cost, plan.peak))
    nearest = min(tried, key=lambda plan: (_excess(plan, card), plan.peak, plan.cost))
    return replace(nearest, fits=False)


def _with_concessions(
    plan: Plan, chosen: Iterable[_Concession | None], model: Model, card: Card
) -> Plan:
    """A plan with these concessions, its working memory and its cost."""
    made = [concession for concession in chosen if concession is not None]
    for concession in made:
        plan = concession.apply(plan)
    for name, working in working_memory(model, plan, card).items():
        if name in plan.groups:
            plan = _with_group(plan, name, working=working)
    return replace(
        plan,
        given_up=tuple(concession.text for concession in made),
        cost=sum(concession.cost for concession in made) + _moving(plan, card.budget),
    )


def _excess(plan: Plan, card: Card) -> tuple[float, float]:
    """By how many bytes a plan is too large for the card, and for RAM; 0 where it fits."""
    beyond = plan.takes(card) - card.budget, plan.takes_of_ram(card) - card.ram
    return max(0, beyond[0]), max(0, beyond[1])


def _moving(plan: Plan, budget: float) -> float:
    """The seconds that a run spends on moving weights if one of the same model ran before.

    Groups that fit beside each other stay. A streamed painter moves while it computes, which its
    concession's cost says; streamed text encoders are counted here.
    """
    weights = sum(group.size for group in plan.groups.values())
    turns = [group.passing + group.working for group in plan.groups.values()]
    all_stay = len(plan.groups) == 1 or weights + max(turns) <= budget
    moved = sum(
        group.kept
        for name, group in plan.groups.items()
        if (name == TEXT if group.held is Held.STREAMED else not all_stay)
    )
    return moved / _BUS


def would_fit(
    key: ModelKey, model: Model, card: Card, weights: Mapping[str, int] | None = None
) -> str | None:
    """The settings with which a model fits that does not as it is, else None.

    On an NVIDIA card precisions are lowered without being asked, where they may be; not elsewhere.
    """
    if not isinstance(model, ImagineModel):
        return None
    for settings in _TO_SET:
        able = all(possible(precision, card) for precision in settings.values())
        lower = model.model_copy(update=settings)
        if able and plan_model(key, lower, card, weights).fits:
            return " and ".join(f'models.{key}.{n} = "{value}"' for n, value in settings.items())
    return None


_TO_SET: tuple[dict[str, str], ...] = (
    {"text_precision": "fp8"},
    {"precision": "fp8"},
    {"precision": "fp8", "text_precision": "fp8"},
    {"precision": "nf4"},
    {"precision": "nf4", "text_precision": "fp8"},
)
"""What is tried, first what changes pictures least."""
