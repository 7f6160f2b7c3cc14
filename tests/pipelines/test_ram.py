"""What leaves RAM where models do not fit beside each other, and what is said of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.catalog import (
    AnimateModel,
    CaptionModel,
    Checkpoint,
    Conditioner,
    ImagineModel,
    Model,
    ModelKey,
    SafetyModel,
    SketchModel,
)
from pipelines.placement import plan_model
from pipelines.plan import GIB, PAINTER, Card, Plan, Precision
from pipelines.ram import beside_the_classifier, plan_all, to_evict, together

MODELS: dict[ModelKey, Model] = {
    ModelKey.SAFETY: SafetyModel(source="a/b"),
    ModelKey.CAPTION: CaptionModel(source="a/b"),
    ModelKey.SKETCH: SketchModel(
        source="a/b",
        vae=Checkpoint(source="a/b"),
        conditioner=Conditioner(source="c/d", type="t2i-adapter"),
    ),
    ModelKey.IMAGINE: ImagineModel(source="a/b"),
    ModelKey.ANIMATE: AnimateModel(source="a/b"),
}
PIPELINES = (ModelKey.SKETCH, ModelKey.IMAGINE, ModelKey.ANIMATE)


def on(ram: float, gib: float = 24) -> tuple[Card, dict[ModelKey, Plan]]:
    """A card beside four fifths of so much RAM, less the classifier's, and all plans for it."""
    card = Card("cuda", (gib - 1) * GIB, 0.8 * ram * GIB, (8, 9))
    card = beside_the_classifier(card, MODELS, {})
    return card, {key: plan_model(key, model, card) for key, model in MODELS.items()}


@pytest.mark.parametrize(
    ("held", "used", "wanted", "gone"),
    [
        ("", "", 9, ""),
        ("a1 b2 c3", "", 4, ""),  # all fit
        ("a1 b2 c3", "", 5, "a"),  # the one used longest ago
        ("b2 a1 c3", "", 5, "b"),
        ("a1 b2 c3", "", 6, "b"),  # of which the first need not
        ("a1 b2 c3", "", 7, "ab"),
        ("a1 b2 c3", "b", 6, "c"),
        ("a1 b2 c3", "b", 9, "ac"),  # and the room is overdrawn
        ("a9", "a", 9, ""),
        ("a1 b2 c3", "", 99, "abc"),
    ],
)
def test_who_leaves(held: str, used: str, wanted: int, gone: str) -> None:
    sizes = {each[0]: int(each[1:]) for each in held.split()}
    assert to_evict(wanted, sizes, used, room=10) == list(gone)


@given(
    sizes=st.dictionaries(st.integers(0, 9), st.integers(0, 20)),
    used=st.frozensets(st.integers(0, 9)),
    wanted=st.integers(0, 30),
    room=st.integers(0, 60),
)
def test_as_many_leave_as_must_and_none_that_is_used(
    sizes: dict[int, int], used: frozenset[int], wanted: int, room: int
) -> None:
    gone = to_evict(wanted, sizes, used, room)
    assert not used & set(gone)
    stays = sum(size for key, size in sizes.items() if key not in gone)
    if stays + wanted > room:
        assert set(gone) == sizes.keys() - used or not any(
            sizes[key] for key in sizes.keys() - used - set(gone)
        )
    else:
        assert all(stays + wanted + sizes[key] > room for key in gone)


@pytest.mark.parametrize(
    ("ram", "fit", "reads"),
    [
        (13, "sketch animate", "sketch animate sketch animate"),  # 6.7 or 4.3 of 10.2 GiB
        (16, "sketch imagine animate", "sketch imagine animate sketch imagine animate"),
        (24, "sketch imagine animate", "sketch imagine animate sketch imagine animate"),
        (32, "sketch imagine animate", "sketch imagine animate sketch imagine animate"),
        (64, "sketch imagine animate", "sketch imagine animate"),
    ],
)
def test_what_is_read_when_models_are_used_in_turns_on_machines_of_all_sizes(
    ram: float, fit: str, reads: str
) -> None:
    card, plans = on(ram)
    used = [key for key in PIPELINES if plans[key].fits]
    assert used == fit.split()
    held: dict[ModelKey, int] = {}
    read = []
    for key in used * 2:
        if key in held:
            held[key] = held.pop(key)
            continue
        for gone in to_evict(plans[key].in_ram, held, (), card.ram):
            del held[gone]
        held[key] = plans[key].in_ram
        assert sum(held.values()) <= card.ram
        read.append(key)
    assert read == reads.split()


@pytest.mark.parametrize(
    ("ram", "precision", "says", "could_be_less"),
    [
        (16, Precision.NF4, "22.8 GiB of 12.8", False),
        (24, Precision.FP8, "30.5 GiB of 19.2", True),
        (32, Precision.FULL, "33.6 GiB of 25.6", True),
        (64, Precision.FULL, None, False),
    ],
)
def test_what_models_take_together_is_said_where_it_is_too_much(
    ram: float, precision: Precision, says: str | None, could_be_less: bool
) -> None:
    _, plans = on(ram)
    assert plans[ModelKey.IMAGINE].groups[PAINTER].precision is precision
    words = together(plans, Card("cuda", ram=0.8 * ram * GIB))
    assert (words is None) is (says is None)
    if words is not None and says is not None:
        assert says in words and "gpu.ram_gib" in words
        assert "up to 13 s" in words and "models.imagine, at 2 GiB" in words
        assert ('"fp8" as models.imagine.precision' in words) is could_be_less


def test_what_a_mac_cannot_do_is_not_advised() -> None:
    _, plans = on(32)
    words = together(plans, Card("mps", ram=0.8 * 32 * GIB))
    assert words is not None and "fp8" not in words


def test_on_a_mac_what_one_computes_is_counted_once_and_the_weights_of_all() -> None:
    for gib, takes in ((47, "47.2 GiB of 47.0"), (48, None)):
        mac = Card("mps", gib * GIB, gib * GIB)
        left, plans = plan_all(mac, MODELS, dict.fromkeys(MODELS))
        working = plans[ModelKey.SAFETY].working()  # while it looks at a preview
        assert mac.ram - left.ram == plans[ModelKey.SAFETY].in_ram + working
        words = together(plans, mac)
        assert (words is None) is (takes is None)
        assert words is None or str(takes) in words


def test_room_for_the_classifier_is_kept() -> None:
    card = Card("cuda", ram=20 * GIB)
    less = beside_the_classifier(card, MODELS, {ModelKey.SAFETY: {"model": GIB}})
    assert 18.9 * GIB < less.ram < 19 * GIB
    assert beside_the_classifier(card, {}, {}) == card
