"""What the models take of RAM together, and which leave it where that is too much. Pure.

Each has a copy of its weights there, from which they come to the card. Where the copies do not fit
beside each other, that of the model used longest ago is dropped, and read from disk again when
somebody wants it. That of the classifier always stays: it looks at what the others make.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TypeVar

from pipelines.catalog import Model, ModelKey
from pipelines.placement import plan_model, possible
from pipelines.plan import GIB, Card, Plan, Precision
from pipelines.residency import to_free

Sizes = Mapping[str, int]
"""The weights of a model by its parts, in bytes."""

K = TypeVar("K")

_DISK = 2 * GIB  # a second, from an SSD: only said to the owner, nothing is decided by it


def plan_all(
    card: Card, models: Mapping[ModelKey, Model], sizes: Mapping[ModelKey, Sizes | None]
) -> tuple[Card, dict[ModelKey, Plan]]:
    """The plan of each model, and the card they are planned for: without the classifier's RAM."""
    left = beside_the_classifier(card, models, sizes)
    return left, {key: plan_model(key, model, left, sizes[key]) for key, model in models.items()}


def beside_the_classifier(
    card: Card, models: Mapping[ModelKey, Model], sizes: Mapping[ModelKey, Sizes | None]
) -> Card:
    """The card with the RAM that the classifier leaves; `sizes` are the models', where known."""
    key = ModelKey.SAFETY
    if key not in models:
        return card
    plan = plan_model(key, models[key], card, sizes.get(key))
    return replace(card, ram=card.ram - plan.takes_of_ram(card))


def to_evict(wanted: int, held: Mapping[K, int], used: Collection[K], room: float) -> list[K]:
    """Which models leave RAM so that `wanted` more bytes fit `room`.

    `held` are the bytes of those there; the one used longest ago comes first, and leaves first.
    None of `used` leaves. If that is not enough, the room is exceeded.
    """
    idle = {key: size for key, size in held.items() if key not in used}
    return to_free(idle, sum(held.values()) + wanted - room)


def together(plans: Mapping[ModelKey, Plan], card: Card) -> str | None:
    """What the copies of all models take of RAM, in words; None where all fit."""
    plans = {key: plan for key, plan in plans.items() if plan.fits}  # the others are never there
    takes = sum(plan.in_ram for plan in plans.values())
    if card.unified:
        takes += max((plan.working() for plan in plans.values()), default=0)
    if takes <= card.ram:
        return None
    longest = max(plans, key=lambda key: _on_disk(plans[key]))
    groups = (group for plan in plans.values() for group in plan.groups.values())
    could_be_less = possible("fp8", card) and any(
        group.layers and group.precision is Precision.FULL for group in groups
    )
    less = ', or "fp8" as models.imagine.precision and text_precision' if could_be_less else ""
    return (
        f"models take {takes / GIB:.1f} GiB of {card.ram / GIB:.1f} together: the one used longest "
        "ago leaves, and is read from disk again when it is needed, for which somebody waits up to "
        f"{max(1, round(_on_disk(plans[longest]) / _DISK))} s or so (models.{longest}, at 2 GiB a "
        f"second; more gpu.ram_gib spares that{less})"
    )


def _on_disk(plan: Plan) -> int:
    """Roughly the bytes of its files, whatever is made of them."""
    return sum(group.weights for group in plan.groups.values())
