"""What fits which card, and what is given up for it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.catalog import (
    AnimateModel,
    Checkpoint,
    Conditioner,
    ImagineModel,
    ModelKey,
    SketchModel,
    UpscaleModel,
)
from pipelines.checkpoints import weigh
from pipelines.placement import LOSSY, plan_model, slow, unmet
from pipelines.plan import GIB, PAINTER, TEXT, Card, Group, Held, Plan, Precision

MODELS: dict[ModelKey, Any] = {
    ModelKey.SKETCH: SketchModel(
        source="a/b",
        vae=Checkpoint(source="a/b"),
        conditioner=Conditioner(source="c/d", type="t2i-adapter"),
    ),
    ModelKey.IMAGINE: ImagineModel(source="a/b"),
    ModelKey.ANIMATE: AnimateModel(source="a/b"),
    ModelKey.UPSCALE: UpscaleModel(source="a/b"),
}


def card(gib: float, ram: float = 64.0) -> Card:
    """A card of `gib`, of which one is kept back, beside `ram` GiB of memory."""
    return Card("cuda", (gib - 1) * GIB, 0.75 * ram * GIB, (8, 9))


def planned(key: ModelKey, where: Card) -> Plan:
    return plan_model(key, MODELS[key], where)


@pytest.mark.parametrize(
    ("key", "gib", "given_up"),
    [
        (ModelKey.SKETCH, 80, []),
        (ModelKey.SKETCH, 12, []),
        (ModelKey.SKETCH, 8, ["in tiles", "the text encoders streamed"]),
        (ModelKey.IMAGINE, 80, []),
        (ModelKey.IMAGINE, 24, ["the text encoders streamed"]),
        (ModelKey.IMAGINE, 16, ["the model streamed"]),
        (ModelKey.IMAGINE, 12, ["the model streamed"]),
        (ModelKey.IMAGINE, 8, ["the model streamed", "the text encoders streamed"]),
        (ModelKey.ANIMATE, 80, []),
        (ModelKey.ANIMATE, 16, []),
        (ModelKey.ANIMATE, 12, ["streamed"]),
        (ModelKey.ANIMATE, 8, ["streamed", "halves of guidance", "2 frames decoded"]),
        (ModelKey.UPSCALE, 4, []),
        (ModelKey.UPSCALE, 3, ["in parts of 128 pixels (models.upscale.tile)"]),
        (ModelKey.UPSCALE, 1.5, ["in parts of 64 pixels"]),
    ],
)
def test_as_little_is_given_up_as_the_card_allows(
    key: ModelKey, gib: int, given_up: list[str]
) -> None:
    plan = planned(key, card(gib))
    assert plan.fits
    assert len(plan.given_up) == len(given_up)
    for words in given_up:
        assert any(words in text for text in plan.given_up)


@pytest.mark.parametrize(("gib", "ram"), [(15.7, 64), (23.9, 32), (24, 32)])
def test_tiles_which_are_seen_where_they_meet_spare_no_moment(gib: float, ram: float) -> None:
    """On cards of 16 and 24 GiB they would have spared the way of T5 over the bus."""
    plan = planned(ModelKey.IMAGINE, card(gib, ram))
    assert plan.fits and not plan.tiled


def test_pictures_are_changed_only_where_nothing_else_helps() -> None:
    assert planned(ModelKey.IMAGINE, card(12, ram=64)).cost < LOSSY
    for ram, painter, text in (
        (32, Precision.FULL, Precision.FP8),
        (26, Precision.FP8, Precision.FULL),
        (22, Precision.FP8, Precision.FP8),
    ):
        little = planned(ModelKey.IMAGINE, card(12, ram=ram))
        assert little.fits
        assert (little.groups[PAINTER].precision, little.groups[TEXT].precision) == (painter, text)
        assert any("changes pictures" in given_up for given_up in little.given_up)
    least = planned(ModelKey.IMAGINE, card(12, ram=16))
    assert least.groups[PAINTER].precision is Precision.NF4
    assert "the model in nf4, which changes pictures a little" in least.given_up[-1]
    assert not planned(ModelKey.IMAGINE, card(12, ram=12)).fits


def test_a_precision_that_is_configured_is_kept() -> None:
    for precision in ("full", "fp8", "fp8-fast", "nf4"):
        model = ImagineModel(source="a/b", precision=precision)
        for gib in (8, 80):
            able = replace(card(gib), multiplies_fp8=lambda: True)
            plan = plan_model(ModelKey.IMAGINE, model, able)
            assert plan.groups[PAINTER].precision == precision
            assert not any("models.imagine.precision" in text for text in plan.given_up)
    fp8 = ImagineModel(source="a/b", precision="fp8")
    assert plan_model(ModelKey.IMAGINE, fp8, card(12)).groups[PAINTER].held is Held.CARD
    full = ImagineModel(source="a/b", precision="full")
    assert not plan_model(ModelKey.IMAGINE, full, card(12, ram=26)).fits
    whole = full.model_copy(update={"text_precision": "full"})
    assert not plan_model(ModelKey.IMAGINE, whole, card(12, ram=32)).fits
    eight = full.model_copy(update={"text_precision": "fp8"})
    clips = 124_000_000 + 695_000_000  # which stay as they are
    for kind, width in (("cuda", 2), ("cpu", 4)):
        held = plan_model(ModelKey.IMAGINE, eight, Card(kind)).groups[TEXT]
        assert held.precision is Precision.FP8
        assert 0.97 < (held.kept - width * clips) / 4_762_000_000 < 1 + 0.03 * width


def test_a_checkpoint_without_t5_keeps_nothing_of_it_in_fp8() -> None:
    model = ImagineModel(source="a/b", text_precision="fp8")
    sizes = {"text_encoder": GIB, "transformer": 5 * GIB, "vae": GIB}
    held = plan_model(ModelKey.IMAGINE, model, Card("cuda"), sizes).groups[TEXT]
    assert held.precision is Precision.FULL  # which results would name


@pytest.mark.parametrize("kind", ["mps", "cpu"])
def test_only_on_an_nvidia_card_bits_are_given_up_by_themselves(kind: str) -> None:
    plan = planned(ModelKey.IMAGINE, Card(kind, ram=24 * GIB))
    assert not plan.fits
    assert plan.groups[PAINTER].precision is Precision.FULL


def test_four_bits_have_scales_that_are_counted() -> None:
    """Of 64 weights of 16 bits: 64 of 4 bits, and a scale of 32; some stay as they are."""
    million = 64 * 10**6
    others = million // 10
    sixteen = Group(2 * million + others, 0, layers=2 * million, layer_parameters=million)
    four = replace(sixteen, precision=Precision.NF4)
    assert four.kept == million // 2 + 4 * million // 64 + others
    streamed = replace(four, held=Held.STREAMED)
    assert streamed.kept == four.kept
    assert streamed.size == 0
    assert 0 < streamed.peak < 0.2 * four.peak
    assert replace(four, precision=Precision.FP8).kept == million + others


def test_what_is_streamed_leaves_its_room_between_its_turns() -> None:
    plan = planned(ModelKey.IMAGINE, card(12))
    painter, text = plan.groups[PAINTER], plan.groups[TEXT]
    assert painter.size == 2 * 84_000_000  # the decoder, which is not streamed
    assert painter.size + painter.passing == pytest.approx(0.1 * painter.kept, abs=1)
    assert text.passing == 0 and text.size == text.kept
    assert plan.in_ram == pytest.approx(1.015 * (painter.kept + text.kept), abs=1)


@pytest.mark.parametrize(
    ("key", "ram", "takes", "given_up"),
    [
        (ModelKey.SKETCH, 10, 9.7, []),
        (ModelKey.SKETCH, 9, 7.8, ["in tiles"]),
        (ModelKey.SKETCH, 7, None, ["in tiles"]),
        (ModelKey.IMAGINE, 29, 28.9, []),
        (ModelKey.IMAGINE, 28, 27.4, ["in tiles"]),
        (ModelKey.IMAGINE, 27, None, ["in tiles"]),  # its weights alone are 25.9
        (ModelKey.ANIMATE, 14, 13.5, []),
        (ModelKey.ANIMATE, 9, 8.0, ["2 frames decoded", "part by part"]),
    ],
)
def test_on_a_mac_weights_and_what_is_computed_share_one_memory(
    key: ModelKey, ram: float, takes: float | None, given_up: list[str]
) -> None:
    mac = Card("mps", ram * GIB, ram * GIB)
    plan = planned(key, mac)
    assert plan.fits is (takes is not None)
    assert len(plan.given_up) == len(given_up)
    assert all(words in text for words, text in zip(given_up, plan.given_up, strict=True))
    assert plan.takes(mac) == plan.in_ram + max(g.working for g in plan.groups.values())
    said = plan.in_words(mac)
    assert f" of {ram}.0, where the GPU's memory is RAM" in said
    if takes is None:
        assert said.endswith("this computer's memory is too small for it")
    else:
        assert said.startswith(f"takes {takes} GiB of {ram}.0, ")


def test_a_cpu_computes_in_float32() -> None:
    for key, model in MODELS.items():
        whole = plan_model(key, model.model_copy(update={"dtype": "float32"}), Card("cpu"))
        assert planned(key, Card("cpu")).in_ram == whole.in_ram


def test_a_plan_says_what_it_takes_and_what_is_too_small() -> None:
    plan = planned(ModelKey.IMAGINE, card(24))
    assert plan.in_words(card(24)) == (
        "takes 18.2 GiB of 23.0, with the text encoders streamed from RAM while computing "
        "(more gpu.vram_gib spares that)"
    )
    assert planned(ModelKey.SKETCH, Card("cuda")).in_words(Card("cuda")) == "takes 8.1 GiB"
    small = planned(ModelKey.ANIMATE, card(3)).in_words(card(3))
    assert small.endswith("of 2.0 at the least; this card is too small for it")
    poor = planned(ModelKey.IMAGINE, card(12, ram=12)).in_words(card(12, ram=12))
    assert poor.endswith("10.8 of 9.0 GiB of RAM; this computer's memory is too small for it")


def test_fp8_is_for_every_card_but_a_macs_and_nf4_for_all() -> None:
    four_bits = ImagineModel(source="a/b", precision="nf4")
    assert all(unmet(four_bits, Card(kind)) is None for kind in ("cuda", "cpu", "mps"))
    eight_bits = ImagineModel(source="a/b", precision="fp8")
    for able in (Card("cpu"), card(12), Card("cuda", capability=(7, 0))):
        assert unmet(eight_bits, able) is None
    said = str(unmet(eight_bits, Card("mps")))
    assert said.startswith('models.imagine.precision is "fp8", which torch does not have on a Mac')
    text = ImagineModel(source="a/b", text_precision="fp8")
    assert unmet(text, Card("cpu")) is None
    assert str(unmet(text, Card("mps"))) == said.replace("precision", "text_precision")
    both = text.model_copy(update={"precision": "fp8"})
    assert str(unmet(both, Card("mps"))) == f"{said} {unmet(text, Card('mps'))}"
    plan = plan_model(ModelKey.IMAGINE, both, Card("mps"))
    assert {group.precision for group in plan.groups.values()} == {Precision.FULL}


def test_a_card_that_cannot_multiply_in_fp8_keeps_weights_so() -> None:
    fast, eight_bits = (
        ImagineModel(source="a/b", precision=precision) for precision in ("fp8-fast", "fp8")
    )
    for kind in ("cuda", "cpu", "mps"):
        unable = Card(kind)
        said = str(unmet(fast, unable))
        assert said.startswith('models.imagine.precision is "fp8-fast", which ')
        assert said.endswith(f'held as with "{"auto" if kind == "mps" else "fp8"}".')
        plans = [plan_model(ModelKey.IMAGINE, model, unable) for model in (fast, eight_bits)]
        assert plans[0] == plans[1]
    assert unmet(fast, Card("cuda", multiplies_fp8=lambda: True)) is None


def test_an_old_card_keeps_room_for_the_scores_of_attention_in_bfloat16() -> None:
    """Which torch has no kernels for there. Of SD3.5 they are 2 × 38 heads × 4,429²."""
    old = replace(card(24), capability=(7, 5))
    for key, model in MODELS.items():
        half, brain = (
            model.model_copy(update={"dtype": dtype}) for dtype in ("float16", "bfloat16")
        )
        assert plan_model(key, half, old) == plan_model(key, half, card(24))
        assert slow(key, half, old) is slow(key, brain, card(24)) is None
        said = slow(key, brain, old)
        assert said is not None and said.endswith(f'set models.{key}.dtype = "float16"')
    model = MODELS[ModelKey.IMAGINE]
    there = plan_model(ModelKey.IMAGINE, model, old)
    step = 1.5 * GIB  # with kernels
    assert there.groups[PAINTER].working == step + 10 * 2 * 38 * (64 * 64 + 77 + 256) ** 2
    assert there.fits and there.groups[PAINTER].held is Held.STREAMED
    assert not plan_model(ModelKey.IMAGINE, model, replace(card(16), capability=(7, 5))).fits


def test_what_is_kept_in_less_is_compiled_and_what_is_streamed_is_not() -> None:
    able = replace(card(80), multiplies_fp8=lambda: True)
    for precision in ("fp8", "fp8-fast", "nf4"):
        model = ImagineModel(source="a/b", precision=precision)
        assert plan_model(ModelKey.IMAGINE, model, able).uncompiled is None
    assert planned(ModelKey.IMAGINE, card(12)).uncompiled == "the model is streamed"


def test_what_cannot_fit_is_said_and_comes_as_near_as_it_can() -> None:
    plan = planned(ModelKey.ANIMATE, card(3))
    assert not plan.fits
    assert plan.groups[PAINTER].held is Held.STREAMED
    assert plan.split_guidance
    assert plan.decode_chunk == 1


def test_a_cpu_holds_everything() -> None:
    for key in MODELS:
        plan = planned(key, Card("cpu"))
        assert plan.fits
        assert not plan.given_up


def test_measured_weights_count_and_not_the_usual_ones() -> None:
    small = {"text_encoder": 3 * GIB, "unet": GIB, "vae": GIB, "scheduler": 0}
    plan = plan_model(ModelKey.SKETCH, MODELS[ModelKey.SKETCH], card(80), small)
    assert plan.groups[TEXT].weights == 3 * GIB
    assert plan.groups[PAINTER].weights == 2 * GIB


@pytest.mark.parametrize("own", [True, False])
def test_room_is_kept_to_decode_in_float32_whichever_autoencoder_needs_that(
    own: bool, models: Path, tmp_path: Path
) -> None:
    shutil.copytree(models / "sdxl", tmp_path / "sdxl")
    vae = None if own else Checkpoint(source=f"{tmp_path}/sdxl/vae")
    model = SketchModel(source=f"{tmp_path}/sdxl", vae=vae)
    config = tmp_path / "sdxl" / "vae" / "config.json"
    settings = json.loads(config.read_text())

    def working(dtype: str, where: Card, **said: bool) -> int:
        config.write_text(json.dumps({**settings, **said}))
        typed = model.model_copy(update={"dtype": dtype})
        weights = weigh(ModelKey.SKETCH, typed)
        return plan_model(ModelKey.SKETCH, typed, where, weights).groups[PAINTER].working

    half = working("float16", card(24), force_upcast=False)
    assert working("float16", card(24), force_upcast=True) > half + 1.5 * GIB
    del settings["force_upcast"]
    assert working("float16", card(24)) > half + 1.5 * GIB  # unless it says so
    assert working("bfloat16", card(24)) == working("float16", Card("cpu")) == half


def mac(gib: float, ram: float) -> Card:
    """One whose GPU may take all but one of `gib`."""
    return Card("mps", (gib - 1) * GIB, min(gib - 1, ram) * GIB)


@given(
    key=st.sampled_from(sorted(MODELS)),
    smaller=st.floats(2, 100),
    larger=st.floats(2, 100),
    ram=st.floats(8, 256),
    of=st.sampled_from((card, mac)),
)
def test_a_larger_card_never_gives_up_more(
    key: ModelKey, smaller: float, larger: float, ram: float, of: Callable[[float, float], Card]
) -> None:
    cards = [of(gib, ram) for gib in sorted((smaller, larger))]
    plans = [planned(key, where) for where in cards]
    assert plans[1].fits >= plans[0].fits
    if plans[0].fits:
        assert plans[1].cost <= plans[0].cost
        assert plans[0].takes(cards[0]) <= cards[0].budget
        assert plans[0].takes_of_ram(cards[0]) <= cards[0].ram
