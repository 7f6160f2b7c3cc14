"""The way of a picture over a card: what is made there is what a processor makes, nothing that has
to be on the card is elsewhere, and between its steps nobody waits for it."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from demo.sample import draw_sample
from pipelines import acceleration
from pipelines.catalog import Catalog, ModelKey, SafetyModel
from pipelines.contract.artifact import Artifact
from pipelines.contract.context import Phase, Progress, RunContext
from pipelines.contract.errors import Cancelled, OutOfMemory
from pipelines.contract.requests import (
    AnimateRequest,
    DescribeRequest,
    ImagineRequest,
    Kind,
    Request,
    SketchRequest,
    UpscaleRequest,
)
from pipelines.plan import PAINTER, TEXT, Held, Plan, Precision
from pipelines.ram import plan_all
from pipelines.runner import Runner
from tests.pipelines import phantom
from tests.pipelines.adapters import imagine_lora, sketch_lora
from tests.pipelines.catalogs import changed
from tests.pipelines.phantom import CARD, Bus
from tests.pipelines.watching import SIDE, Watcher, with_previews

STEPS = 3
SMALL: dict[ModelKey, dict[str, int]] = {
    ModelKey.SKETCH: {"steps": STEPS},
    ModelKey.IMAGINE: {"steps": STEPS},
    ModelKey.ANIMATE: {"steps": STEPS, "width": 64, "height": 64},
}
SPARED: dict[str, dict[str, int]] = {
    "sketch": {"steps": 2, "size": 288},  # more than a tile
    "imagine": {"steps": 2},
    "animate": {"steps": 2, "width": 128, "height": 128},  # smaller parts add up in another order
}
EXACT = {"dtype": "float32"}


@pytest.fixture(scope="module")
def small(catalog: Catalog, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The demo's models as a processor computes them, with previews, a classifier and LoRAs."""
    loras = tmp_path_factory.mktemp("loras")
    sketch_lora(models, loras / "sketch" / "ink.safetensors")
    imagine_lora(models, loras / "imagine" / "ink.safetensors")
    safety = SafetyModel(source=str(models / "classifier"))
    whole = with_previews(catalog, models).model_copy(update={"safety": safety, "loras": loras})
    return changed(whole, **{str(key): EXACT | SMALL.get(key, {}) for key in ModelKey})


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawings") / "heart.png"
    draw_sample(SIDE).save(path)
    draw_sample(SIDE // 2).save(path.with_name("small.png"))  # one tile
    return path


@pytest.fixture(scope="module", autouse=True)
def convolutions_are_those_of_a_card() -> Iterator[None]:
    """A processor has its own way with those over time, which changes the last bits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acceleration, "_over_time", lambda pipeline: ())
        yield


@pytest.fixture(scope="module")
def processor(small: Catalog) -> Runner:
    return Runner(small, device="cpu")


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    with phantom.card(monkeypatch) as bus:
        yield bus


def on_card(catalog: Catalog) -> Runner:
    return Runner(catalog, device=str(CARD))


def request_of(kind: Kind, drawing: Path) -> Request:
    match kind:
        case Kind.SKETCH:
            return SketchRequest(drawing=drawing, prompt="a heart", seed=1)
        case Kind.IMAGINE:
            return ImagineRequest(prompt="a red heart", negative="blue", seed=1)
        case Kind.ANIMATE:
            return AnimateRequest(image=drawing, seed=1)
        case Kind.UPSCALE:
            return UpscaleRequest(image=drawing.with_name("small.png"), scale=2)
        case Kind.DESCRIBE:
            return DescribeRequest(image=drawing)


def shown(artifact: Artifact) -> NDArray[np.uint8] | str:
    """The pixels, or the words."""
    if not artifact.name.endswith((".png", ".mp4")):
        return str(artifact.facts["caption"])
    if artifact.name.endswith(".png"):
        return np.asarray(Image.open(io.BytesIO(artifact.data)))
    with av.open(io.BytesIO(artifact.data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def run(runner: Runner, *requests: Request, context: RunContext | None = None) -> list[Any]:
    """What is shown of the only artifact of each."""
    made = runner.run(requests, context or RunContext())
    return [shown(artifact) for (artifact,) in made]


def same(one: Any, other: Any) -> bool:
    """To the last bit: it is the same processor that computes both."""
    return bool(np.array_equal(one, other))


@pytest.mark.parametrize("kind", list(Kind))
def test_a_card_makes_what_a_processor_makes(
    kind: Kind, small: Catalog, drawing: Path, processor: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_steps: list[tuple[int, int]] = []
    paces: list[int] = []
    request = request_of(kind, drawing)
    (wanted,) = run(processor, request)
    with phantom.card(monkeypatch) as bus:

        def listen(progress: Progress) -> None:
            if progress.phase in (Phase.PAINTING, Phase.ANIMATING) and progress.step:
                at_steps.append((len(bus.waits), len(bus.sent)))
                paces.append(bus.paces)

        runner = on_card(small)
        (first,) = run(runner, request)
        all_sent = sum(bus.sent)
        bus.clear()
        (again,) = run(runner, request, context=RunContext(listen))
    assert same(first, wanted) and same(again, wanted)
    key = ModelKey.CAPTION if kind is Kind.DESCRIBE else ModelKey(kind)
    weights = runner.plans()[key].groups[PAINTER].kept
    assert all_sent - sum(bus.sent) > 0.9 * weights  # they are there
    assert len(at_steps) == (STEPS if ModelKey(key) in SMALL else 0)
    assert len(set(at_steps)) <= 1, bus.waits  # nobody waits for the card, or gives it anything
    assert paces == list(range(len(paces)))  # but for what keeps the processor a step ahead


@pytest.mark.parametrize("kind", [Kind.SKETCH, Kind.IMAGINE])
def test_the_next_picture_is_begun_before_the_last_one_has_left(
    kind: Kind, small: Catalog, drawing: Path, processor: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(kind, drawing)
    (wanted,) = run(processor, request)
    with phantom.card(monkeypatch) as bus:
        runner = on_card(small.model_copy(update={"safety": None}))
        runner.run([request], RunContext())
        bus.clear()
        steps: list[int] = []
        ((artifact,),) = runner.run(
            [request],
            RunContext(lambda progress: steps.append(len(bus.waits)) if progress.step else None),
        )
        assert steps[-1] == len(bus.waits) and bus.paces == STEPS - 1
        at_begin = bus.waits[:-2]  # before diffusers looks up which step comes first
        assert len(at_begin) == {Kind.IMAGINE: 1, Kind.SKETCH: 3}[kind], at_begin
        assert same(shown(artifact), wanted) and bus.paces == STEPS


def test_where_ram_runs_out_less_of_the_card_would_not_help(
    small: Catalog, drawing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("The paging file is too small. (os error 1455)")

    def overfill(progress: Progress) -> None:
        if progress.step == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with phantom.card(monkeypatch):
        runner = on_card(small)
        before = dict(runner.plans())
        batch = [ImagineRequest(prompt="a red heart", seed=seed) for seed in (1, 2)]
        with pytest.raises(OutOfMemory, match=r"gpu\.vram_gib"):
            runner.run(batch, RunContext(overfill))  # for which one alone may have room
        monkeypatch.setattr("safetensors.torch.load_file", refuse)
        with pytest.raises(OutOfMemory, match=r"gpu\.ram_gib"):
            runner.run([request_of(Kind.ANIMATE, drawing)], RunContext())
        assert runner.plans() == before


def streamed(plan: Plan, **saved: Any) -> Plan:
    groups = {name: replace(group, held=Held.STREAMED) for name, group in plan.groups.items()}
    return replace(plan, groups=groups, **saved)


def kept_in(precision: Precision, plan: Plan) -> Plan:
    text, painter = replace(plan.groups[TEXT], precision=Precision.FP8), plan.groups[PAINTER]
    return replace(plan, groups={TEXT: text, PAINTER: replace(painter, precision=precision)})


SPARING: dict[str, tuple[Kind, Callable[[Plan], Plan]]] = {
    "sketch, streamed, in tiles": (Kind.SKETCH, partial(streamed, tiled=True)),
    "imagine, streamed": (Kind.IMAGINE, streamed),
    "imagine, in fp8": (Kind.IMAGINE, partial(kept_in, Precision.FP8)),
    "imagine, streamed in fp8": (
        Kind.IMAGINE,
        lambda plan: streamed(kept_in(Precision.FP8, plan)),
    ),
    "imagine, multiplied in fp8": (Kind.IMAGINE, partial(kept_in, Precision.FP8_FAST)),
    "imagine, in nf4": (Kind.IMAGINE, partial(kept_in, Precision.NF4)),
    "imagine, streamed in nf4": (
        Kind.IMAGINE,
        lambda plan: streamed(kept_in(Precision.NF4, plan)),
    ),
    "animate, streamed, in parts": (
        Kind.ANIMATE,
        partial(streamed, split_guidance=True, forward_chunk=2, decode_chunk=1),
    ),
}


@pytest.fixture(scope="module")
def made_before() -> dict[str, Any]:
    """What a processor makes in each case, where streaming changes nothing."""
    return {}


@pytest.mark.parametrize("case", SPARING)
def test_so_does_a_small_card(
    case: str,
    small: Catalog,
    drawing: Path,
    made_before: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, sparing = SPARING[case]
    key = ModelKey(kind)

    def plans(*args: Any) -> Any:
        card, plans = plan_all(*args)
        return card, {**plans, key: sparing(plans[key])}

    monkeypatch.setattr("pipelines.models.plan_all", plans)
    request = request_of(kind, drawing)
    unwatched = changed(small, **SPARED).model_copy(update={"safety": None})
    alike = case.replace("streamed in", "in")
    if alike not in made_before:
        (made_before[alike],) = run(Runner(unwatched, device="cpu"), request)
    with phantom.card(monkeypatch) as bus:
        runner = on_card(unwatched)
        run(runner, request)
        bus.clear()
        (made,) = run(runner, request)
    assert same(made, made_before[alike])
    streams = runner.plans()[key].groups[PAINTER].held is Held.STREAMED
    assert (sum(bus.sent) > 10 * max(bus.sent)) == streams  # layer by layer


def test_so_do_a_lora_extrapolated_steps_and_a_batch(
    small: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert small.imagine is not None
    spared = small.imagine.model_copy(update={"cache_interval": 2, "steps": 5})
    catalog = small.model_copy(update={"safety": None, "imagine": spared})
    requests = [
        ImagineRequest(prompt=prompt, lora="ink", variations=(3,), seed=seed)
        for seed, prompt in enumerate(("a red heart", "a blue moon"))
    ]
    wanted = run(Runner(catalog, device="cpu"), *requests)
    with phantom.card(monkeypatch):
        made = run(on_card(catalog), *requests)
    assert all(map(same, made, wanted))


def test_previews_leave_a_card(
    small: Catalog, drawing: Path, processor: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(Kind.IMAGINE, drawing)
    wanted, got = Watcher(), Watcher()
    run(processor, request, context=RunContext(viewers=[wanted]))
    with phantom.card(monkeypatch):
        run(on_card(small), request, context=RunContext(viewers=[got]))
    assert len(got.shown) == STEPS - 1 and got.shown == wanted.shown


def test_a_video_that_is_cancelled_leaves_its_decoder_on_the_card_only_once(
    small: Catalog, drawing: Path, bus: Bus
) -> None:
    """Before its first step diffusers casts it to float32 and back, into other memory."""
    assert small.animate is not None
    half = small.animate.model_copy(update={"dtype": "float16"})
    runner = on_card(small.model_copy(update={"safety": None, "animate": half}))
    with runner._models.use(ModelKey.ANIMATE) as pipeline:
        vae = pipeline.vae
        vae.register_to_config(force_upcast=True)
    there = [weights.content.data_ptr() for weights in vae.parameters()]
    cancel = Event()
    context = RunContext(lambda progress: cancel.set() if progress.step else None, cancel)
    with pytest.raises(Cancelled):
        runner.run([request_of(Kind.ANIMATE, drawing)], context)
    assert ModelKey.ANIMATE in runner.resident()
    assert [weights.content.data_ptr() for weights in vae.parameters()] == there


# --- what is not there can be trusted -----------------------------------------------------------


def test_tensors_in_two_places_are_not_computed_together(bus: Bus) -> None:
    there, here = torch.ones(2).to(CARD), torch.ones(2)
    assert same((there + there).cpu(), 2 * here) and same((there * here[0]).cpu(), here)
    with pytest.raises(RuntimeError, match="the same device"):
        there + here


def test_what_crosses_the_bus_is_counted(bus: Bus) -> None:
    there = torch.ones(3).to(CARD, non_blocking=True)
    assert bus.sent == [12] and not bus.waits
    torch.ones(4).to(CARD)
    assert bus.sent == [12, 16] and len(bus.waits) == 1
    assert there[there > 0].tolist() == [1, 1, 1]
    assert bus.fetched == [12] and len(bus.waits) == 3
    assert bool(there.max() > 0) and len(bus.waits) == 4
