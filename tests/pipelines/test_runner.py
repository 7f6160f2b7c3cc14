"""The real pipelines through the one door, with the demo's models."""

import gc
import io
import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any
from weakref import WeakSet

import av
import pytest
import torch
import transformers
from PIL import Image

from demo.sample import draw_sample
from pipelines import imagine
from pipelines.catalog import Catalog, Checkpoint, ImagineModel, ModelKey, SafetyModel
from pipelines.checkpoints import weigh
from pipelines.contract.artifact import Artifact, MediaType
from pipelines.contract.context import Phase, Progress, RunContext
from pipelines.contract.errors import (
    AtelierError,
    BadInput,
    Cancelled,
    CardLost,
    DeviceMissing,
    ModelMissing,
    ModelUnavailable,
    OutOfMemory,
    RenderFailed,
    Withheld,
)
from pipelines.contract.requests import (
    MAX_SEED,
    AnimateRequest,
    Aspect,
    ImagineRequest,
    Request,
    SketchRequest,
)
from pipelines.facts import read_facts
from pipelines.fitting import denoiser_of
from pipelines.loading import Loader
from pipelines.models import Models
from pipelines.placement import plan_model
from pipelines.plan import GIB, PAINTER, Card, Plan
from pipelines.runner import LOADERS, Runner
from pipelines.shelf import Load
from tests.pipelines.catalogs import changed, conditioner_of

PROMPT = "a red star on a blue background"


@pytest.fixture(scope="module")
def catalog(catalog: Catalog) -> Catalog:
    """The demo's models, for pictures and videos of half the sides."""
    return changed(
        catalog, sketch={"size": 128}, imagine={"size": 128}, animate={"width": 64, "height": 64}
    )


@pytest.fixture(scope="module")
def requests(drawing: Path) -> dict[str, Request]:
    return {
        "sketch": SketchRequest(drawing=drawing, prompt="a heart", style="ink", seed=1),
        "imagine": ImagineRequest(prompt=PROMPT, seed=2),
        "animate": AnimateRequest(image=drawing, seed=3),
        "animate by prompt": AnimateRequest(prompt=PROMPT, seed=3),
    }


KINDS = ("sketch", "imagine", "animate", "animate by prompt")


def run(runner: Runner, request: Request, context: RunContext | None = None) -> list[Artifact]:
    (artifacts,) = runner.run([request], context or RunContext())
    return list(artifacts)


def decoded(artifact: Artifact) -> Image.Image:
    image = Image.open(io.BytesIO(artifact.data))
    image.load()
    return image


def frames_in(video: Artifact) -> list[Image.Image]:
    with av.open(io.BytesIO(video.data)) as container:
        return [frame.to_image() for frame in container.decode(container.streams.video[0])]


# --- what comes out -----------------------------------------------------------------------------


def test_a_sketch_becomes_a_picture_with_its_caption(
    runner: Runner, requests: dict[str, Request]
) -> None:
    (picture,) = run(runner, requests["sketch"])
    assert picture.media_type is MediaType.PNG
    assert (picture.width, picture.height) == decoded(picture).size == (128, 128)
    assert picture.facts | {"caption": "?"} == {
        "caption": "?",
        "prompt": "a heart",
        "style": "ink",
        "strength": 70,
        "seed": 1,
        "steps": 4,
        "model": "sdxl",
    }
    caption = str(picture.facts["caption"])
    assert caption
    assert decoded(picture).info["caption"] == caption


def test_a_wide_drawing_becomes_a_wide_picture(runner: Runner, tmp_path: Path) -> None:
    sheet = Image.new("RGB", (600, 300), "white")
    sheet.paste(draw_sample(300), (150, 0))
    sheet.save(tmp_path / "wide.png")
    (picture,) = run(runner, SketchRequest(drawing=tmp_path / "wide.png", seed=1))
    assert (picture.width, picture.height) == (192, 64)


def test_a_prompt_becomes_pictures_of_its_aspect(runner: Runner) -> None:
    request = ImagineRequest(
        prompt=PROMPT, negative="dark", aspect=Aspect.TALL, count=2, seed=MAX_SEED
    )
    first, second = run(runner, request)
    assert decoded(first).size == decoded(second).size == (first.width, first.height) == (128, 192)
    assert (first.facts["seed"], second.facts["seed"]) == (MAX_SEED, 0)
    assert first.name != second.name
    assert first.facts["negative"] == "dark"


TOLD = {"caption", "prompt", "style", "strength", "motion", "seed", "steps", "model"}


@pytest.mark.parametrize("kind", ["sketch", "imagine", "animate by prompt"])
def test_a_file_says_how_it_was_made_unless_its_owner_minds_and_never_for_whom(
    kind: str, runner: Runner, requests: dict[str, Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = run(runner, requests[kind])
    told = read_facts(file.data)
    assert told["seed"] == str(requests[kind].seed) and set(told) <= TOLD
    silent = runner._catalog.model_copy(update={"metadata": False})
    monkeypatch.setattr(runner, "_catalog", silent)
    (other,) = run(runner, requests[kind])
    assert read_facts(other.data) == {}
    assert requests[kind].prompt.encode() not in other.data
    assert other.facts == file.facts


@pytest.mark.parametrize("kind", ["animate", "animate by prompt"])
def test_a_picture_or_a_prompt_becomes_a_video(
    kind: str, runner: Runner, requests: dict[str, Request]
) -> None:
    (video,) = run(runner, requests[kind])
    assert video.media_type is MediaType.MP4
    with av.open(io.BytesIO(video.data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 7)
    frames = frames_in(video)
    assert len(frames) == 4
    assert frames[0].size == (video.width, video.height) == (64, 64)
    assert len({frame.tobytes() for frame in frames}) == 4
    assert video.facts.get("prompt") == (PROMPT if "prompt" in kind else None)


def test_several_requests_are_answered_in_their_order(
    runner: Runner, requests: dict[str, Request]
) -> None:
    other = ImagineRequest(prompt="a boat", aspect=Aspect.WIDE, seed=9)  # shares no batch
    both = runner.run([other, requests["imagine"]], RunContext())
    assert both == (tuple(run(runner, other)), tuple(run(runner, requests["imagine"])))


# --- the same again -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_request_gives_the_same_bytes(
    kind: str, runner: Runner, catalog: Catalog, requests: dict[str, Request]
) -> None:
    first = run(runner, requests[kind])
    run(runner, ImagineRequest(prompt="something else", seed=5))
    assert run(runner, requests[kind]) == first
    assert run(Runner(catalog, device="cpu"), requests[kind]) == first


def test_another_seed_gives_another_picture(runner: Runner) -> None:
    pictures = [run(runner, ImagineRequest(prompt=PROMPT, seed=seed)) for seed in (1, 2)]
    assert decoded(pictures[0][0]).tobytes() != decoded(pictures[1][0]).tobytes()


def test_a_picture_is_the_same_whatever_the_count(runner: Runner) -> None:
    four = run(runner, ImagineRequest(prompt=PROMPT, count=4, seed=10))
    alone = [run(runner, ImagineRequest(prompt=PROMPT, seed=10 + i))[0] for i in range(4)]
    assert four == alone
    assert len({picture.data for picture in four}) == 4


def test_the_negative_prompt_has_an_effect(runner: Runner) -> None:
    pictures = [
        run(runner, ImagineRequest(prompt=PROMPT, negative=negative, seed=1))[0]
        for negative in ("", "a dark forest at night")
    ]
    assert decoded(pictures[0]).tobytes() != decoded(pictures[1]).tobytes()


# --- progress and cancelling --------------------------------------------------------------------


def counted(phase: Phase, of: int) -> list[Progress]:
    return [Progress(phase, step, of) for step in range(of + 1)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("sketch", counted(Phase.PAINTING, 4)),  # its caption is remembered
        ("imagine", counted(Phase.PAINTING, 4)),
        ("animate", counted(Phase.ANIMATING, 3)),
        ("animate by prompt", [*counted(Phase.PAINTING, 4), *counted(Phase.ANIMATING, 3)]),
    ],
)
def test_every_step_is_reported(
    kind: str, expected: list[Progress], runner: Runner, requests: dict[str, Request]
) -> None:
    run(runner, requests[kind])  # so that nothing is left to load
    seen: list[Progress] = []
    run(runner, requests[kind], RunContext(on_progress=seen.append))
    assert seen == [*expected, Progress(Phase.ENCODING)]


def test_captioning_is_reported_where_there_is_a_drawing_to_look_at(
    runner: Runner, tmp_path: Path
) -> None:
    draw_sample(260).save(tmp_path / "new.png")
    request = SketchRequest(drawing=tmp_path / "new.png", seed=1)
    seen: list[Progress] = []

    def listen(progress: Progress) -> None:
        seen.append(progress)
        if progress.phase is Phase.CAPTIONING:
            cancel.set()

    cancel = threading.Event()
    with pytest.raises(Cancelled):
        run(runner, request, RunContext(on_progress=listen, cancel=cancel))
    assert seen[-1] == Progress(Phase.CAPTIONING)
    cancel.clear()
    run(runner, request, RunContext(on_progress=seen.append))
    assert seen[-6:] == [*counted(Phase.PAINTING, 4), Progress(Phase.ENCODING)]


def test_the_steps_of_several_pictures_are_counted_together(runner: Runner) -> None:
    seen: list[Progress] = []
    context = RunContext(on_progress=seen.append)
    run(runner, ImagineRequest(prompt=PROMPT, count=3, seed=1), context)
    assert [p for p in seen if p.phase is Phase.PAINTING] == counted(Phase.PAINTING, 12)


def test_loading_is_reported_once_for_each_model(
    catalog: Catalog, requests: dict[str, Request]
) -> None:
    seen: list[Progress] = []
    run(
        Runner(catalog, device="cpu"),
        requests["sketch"],
        RunContext(on_progress=seen.append),
    )
    assert seen.count(Progress(Phase.LOADING)) == 3  # a captioner, text encoders, a painter


@pytest.mark.parametrize(
    ("kind", "at"),
    [
        ("sketch", Progress(Phase.PAINTING, 2, 4)),
        ("imagine", Progress(Phase.PAINTING, 0, 4)),
        ("imagine", Progress(Phase.PAINTING, 3, 4)),
        ("animate", Progress(Phase.ANIMATING, 1, 3)),
        ("animate by prompt", Progress(Phase.PAINTING, 4, 4)),
        ("animate by prompt", Progress(Phase.ANIMATING, 3, 3)),
    ],
)
def test_a_run_is_cancelled_at_the_next_step_and_the_next_job_is_as_ever(
    kind: str, at: Progress, runner: Runner, requests: dict[str, Request]
) -> None:
    undisturbed = run(runner, requests[kind])
    cancel = threading.Event()
    seen: list[Progress] = []

    def listen(progress: Progress) -> None:
        seen.append(progress)
        if progress == at:
            cancel.set()

    with of_refcounts_alone():
        there = tensors()
        with pytest.raises(Cancelled):
            run(runner, requests[kind], RunContext(on_progress=listen, cancel=cancel))
        left = tensors() - there
    assert seen[-1] == at
    assert left < 1024  # bytes
    assert run(runner, requests[kind]) == undisturbed


@contextmanager
def of_refcounts_alone() -> Iterator[None]:
    """Python does not look for cycles meanwhile."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def tensors() -> int:
    """The bytes of all that there are, but for weights."""
    return sum(thing.nbytes for thing in gc.get_objects() if type(thing) is torch.Tensor)


@pytest.mark.parametrize("kind", ["t2i-adapter", "controlnet", None])
def test_sdxl_is_stepped_and_cancelled_whatever_steers_it(
    kind: str | None, catalog: Catalog, models: Path, drawing: Path
) -> None:
    steering = kind and conditioner_of(models, kind)
    runner = Runner(changed(catalog, sketch={"conditioner": steering}), device="cpu")
    request = SketchRequest(drawing=drawing, seed=1)
    seen: list[Progress] = []
    (picture,) = run(runner, request, RunContext(on_progress=seen.append))
    assert [p for p in seen if p.phase is Phase.PAINTING] == counted(Phase.PAINTING, 4)
    assert ("strength" in picture.facts) is (kind is not None)

    cancel = threading.Event()
    context = RunContext(
        on_progress=lambda p: cancel.set() if p.phase is Phase.PAINTING and p.step else None,
        cancel=cancel,
    )
    with pytest.raises(Cancelled):
        run(runner, request, context)
    assert run(runner, request) == [picture]


# --- when it goes wrong -------------------------------------------------------------------------


def allocate_too_much() -> None:
    torch.empty(2**50)


def overfill_the_card() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def fail_unforeseen() -> None:
    raise KeyError("a bug")


def at_second_step(action: Callable[[], None]) -> RunContext:
    def listen(progress: Progress) -> None:
        if progress.step == 2:
            action()

    return RunContext(on_progress=listen)


@pytest.mark.parametrize(
    ("action", "expected", "says"),
    [
        (allocate_too_much, OutOfMemory, "models.imagine.size"),
        (overfill_the_card, OutOfMemory, "gpu.vram_gib"),
        (fail_unforeseen, RenderFailed, "server's log"),
    ],
)
def test_what_goes_wrong_becomes_a_sentence_and_the_next_job_is_as_ever(
    action: Callable[[], None],
    expected: type[AtelierError],
    says: str,
    runner: Runner,
    requests: dict[str, Request],
    caplog: pytest.LogCaptureFixture,
) -> None:
    undisturbed = run(runner, requests["imagine"])
    with caplog.at_level(logging.ERROR), pytest.raises(expected) as raised:
        run(runner, requests["imagine"], at_second_step(action))
    assert says in raised.value.sentence
    assert raised.value.__cause__ is not None
    assert action.__name__ in caplog.text  # the traceback is in the log
    assert ModelKey.IMAGINE not in runner.resident()  # it may be half-way through something
    assert run(runner, requests["imagine"]) == undisturbed


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("sketch", ModelKey.SKETCH),
        ("imagine", ModelKey.IMAGINE),
        ("animate", ModelKey.ANIMATE),
        ("animate by prompt", ModelKey.IMAGINE),
    ],
)
def test_what_is_no_picture_is_said_and_the_next_job_is_as_ever(
    kind: str, key: ModelKey, runner: Runner, requests: dict[str, Request]
) -> None:
    undisturbed = run(runner, requests[kind])
    with runner._models.use(key) as pipeline:
        denoiser = denoiser_of(pipeline)
    overflow = denoiser.register_forward_hook(lambda *call: (call[-1][0] * torch.nan,))
    with pytest.raises(RenderFailed, match=rf"no picture: .* another models\.{key}\.dtype"):
        [artifact.data for artifact in run(runner, requests[kind])]
    overflow.remove()
    assert run(runner, requests[kind]) == undisturbed


def test_a_card_that_is_lost_is_named(
    runner: Runner, requests: dict[str, Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.runner.is_lost", lambda device: True)
    with pytest.raises(CardLost, match="cpu stopped working for this process"):
        run(runner, requests["imagine"], at_second_step(fail_unforeseen))


def lose_the_card() -> None:
    raise CardLost.named("a card")


def call_off() -> None:
    raise Cancelled


@pytest.mark.parametrize("action", [lose_the_card, call_off])
def test_a_card_that_is_lost_is_named_although_its_memory_cannot_be_freed(
    action: Callable[[], None],
    runner: Runner,
    requests: dict[str, Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(device: torch.device, **how: bool) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr("pipelines.runner.free_caches", refuse)
    monkeypatch.setattr("pipelines.runner.is_lost", lambda device: True)
    with pytest.raises(CardLost, match="cpu stopped working for this process"):
        run(runner, requests["imagine"], at_second_step(action))


def test_a_failed_run_leaves_no_tensors_in_its_traceback(
    runner: Runner, requests: dict[str, Request]
) -> None:
    with pytest.raises(RenderFailed) as raised:
        run(runner, requests["imagine"], at_second_step(fail_unforeseen))
    cause = raised.value.__cause__
    assert cause is not None
    inner = [frame for frame in frames_of(cause.__traceback__) if is_of_diffusers(frame)]
    assert inner
    assert not any(frame.f_locals for frame in inner)


def test_out_of_memory_takes_every_model_off_the_card(
    catalog: Catalog, requests: dict[str, Request]
) -> None:
    runner = Runner(catalog, device="cpu")
    run(runner, requests["sketch"])
    assert runner.resident() == {"caption", "sketch"}
    with pytest.raises(OutOfMemory):
        run(runner, requests["imagine"], at_second_step(overfill_the_card))
    assert runner.resident() == frozenset()


def test_models_leave_the_card_when_they_are_told_to_and_come_back(
    catalog: Catalog, requests: dict[str, Request]
) -> None:
    reads: list[object] = []

    def load(model: Any, loader: Loader) -> Any:
        reads.append(model)
        return imagine.load(model, loader)

    runner = Runner(catalog, device="cpu", loads={ModelKey.IMAGINE: load})
    before = run(runner, requests["imagine"])
    runner.evict()
    assert runner.resident() == frozenset()
    assert run(runner, requests["imagine"]) == before
    assert reads == [catalog.imagine]  # once, and as it was told


def test_where_memory_ran_out_the_run_is_tried_again_in_less(
    catalog: Catalog, requests: dict[str, Request], caplog: pytest.LogCaptureFixture
) -> None:
    catalog = changed(catalog, imagine={"size": 64, "steps": 1})
    (undisturbed,) = run(Runner(catalog, device="cpu"), requests["animate"])
    runner = Runner(catalog, device="cpu")
    whole = runner.plans()[ModelKey.ANIMATE]
    failures = iter([overfill_the_card])
    context = at_second_step(lambda: next(failures, lambda: None)())
    with caplog.at_level(logging.WARNING):
        (video,) = run(runner, requests["animate"], context)
    assert "models.animate is held in" in caplog.text
    assert "decoded at a time" in caplog.text  # what is given up
    assert video.facts == undisturbed.facts
    assert len(frames_in(video)) == len(frames_in(undisturbed))
    assert runner.plans()[ModelKey.ANIMATE].peak < whole.peak
    for seed in range(20):
        run(runner, ImagineRequest(prompt=PROMPT, seed=seed))
    caplog.clear()
    run(runner, requests["animate"])
    assert "held in" not in caplog.text


@pytest.mark.parametrize(
    ("network", "key"),
    [
        ("ViTForImageClassification", ModelKey.SAFETY),
        ("BlipForConditionalGeneration", ModelKey.CAPTION),
    ],
)
def test_so_it_is_where_a_model_that_takes_the_least_ran_out(
    network: str,
    key: ModelKey,
    catalog: Catalog,
    models: Path,
    requests: dict[str, Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    safety = SafetyModel(source=f"{models}/classifier")
    runner = Runner(catalog.model_copy(update={"safety": safety}), device="cpu")
    before = dict(runner.plans())
    failures = iter([overfill_the_card])
    cls = getattr(transformers, network)
    name = "generate" if key is ModelKey.CAPTION else "forward"
    whole = getattr(cls, name)

    def once(*args: Any, **kwargs: Any) -> Any:
        next(failures, lambda: None)()
        return whole(*args, **kwargs)

    monkeypatch.setattr(cls, name, once)
    assert run(runner, requests["sketch"])
    assert next(failures, None) is None
    assert runner.plans() == before  # what else was used is not to blame


def test_where_nothing_is_left_to_give_up_it_fails(
    catalog: Catalog, requests: dict[str, Request]
) -> None:
    runner = Runner(catalog, device="cpu")
    tries = []

    def overfill_again() -> None:
        tries.append(1)
        overfill_the_card()

    for _ in range(8):
        with pytest.raises(OutOfMemory):
            run(runner, requests["animate"], at_second_step(overfill_again))
    assert len(tries) == 16  # what else takes the card may have gone
    assert run(runner, requests["animate"])


def test_a_blank_drawing_and_an_unknown_style_are_refused(
    runner: Runner, drawing: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (64, 64), "white").save(tmp_path / "blank.png")
    with pytest.raises(BadInput, match="blank"):
        run(runner, SketchRequest(drawing=tmp_path / "blank.png", seed=1))
    with pytest.raises(BadInput, match="ink, oil"):
        run(runner, SketchRequest(drawing=drawing, style="cubist", seed=1))


def test_a_model_that_is_not_configured(catalog: Catalog, requests: dict[str, Request]) -> None:
    runner = Runner(catalog.model_copy(update={"imagine": None}), device="cpu")
    for kind in ("imagine", "animate by prompt"):
        with pytest.raises(ModelMissing, match=r"\[models\.imagine\].*fetch"):
            run(runner, requests[kind])
    assert run(runner, requests["animate"])


def test_a_model_that_is_not_there(
    catalog: Catalog, requests: dict[str, Request], caplog: pytest.LogCaptureFixture
) -> None:
    absent = Checkpoint(source="/nowhere/vae")
    runner = Runner(changed(catalog, sketch={"vae": absent}), device="cpu")
    with pytest.raises(ModelMissing, match=r"models\.sketch\.vae: the folder /nowhere/vae") as said:
        run(runner, requests["sketch"])
    assert caplog.messages == [said.value.sentence]  # an owner looks there


def test_a_damaged_file_is_named_by_its_model(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sd3"
    for file in (models / "sd3").rglob("*.*"):
        target = folder / file.relative_to(models / "sd3")
        target.parent.mkdir(parents=True, exist_ok=True)
        damaged = file.parent.name == "transformer" and file.suffix == ".safetensors"
        target.write_bytes(file.read_bytes()[: 5000 if damaged else None])
    runner = Runner(Catalog(imagine=ImagineModel(source=str(folder))), device="cpu")
    with pytest.raises(ModelUnavailable) as raised:
        run(runner, ImagineRequest(prompt=PROMPT, seed=1))
    assert raised.value.sentence == (
        f"models.imagine: {folder} is not whole: transformer/diffusion_pytorch_model.safetensors "
        "is cut short or damaged. Copy it there again."
    )


def test_what_a_library_complains_of_is_said_without_the_path_once_more(
    models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sd3"
    shutil.copytree(models / "sd3", folder)
    config = folder / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"latent_channels": 8}))
    runner = Runner(Catalog(imagine=ImagineModel(source=str(folder))), device="cpu")
    with pytest.raises(ModelUnavailable, match=r"cannot be loaded: .*models\.imagine") as raised:
        run(runner, ImagineRequest(prompt=PROMPT, seed=1))
    assert raised.value.sentence.count(str(folder)) == 1


# --- the device and its room --------------------------------------------------------------------


def preload_all(runner: Runner) -> None:
    while runner.preload():
        pass


def planned(catalog: Catalog) -> dict[ModelKey, Plan]:
    return {
        key: plan_model(key, model, Card("cpu"), weigh(key, model))
        for key in ModelKey
        if (model := getattr(catalog, key)) is not None
    }


def test_preload_brings_in_what_fits(catalog: Catalog) -> None:
    catalog = changed(catalog, sketch={"size": 256}, imagine={"size": 256})
    runner = Runner(catalog, device="cpu")
    assert runner.resident() == frozenset()
    preload_all(runner)
    assert runner.resident() == {"caption", "sketch", "imagine", "animate", "upscale"}
    runner.close()
    assert runner.resident() == frozenset()
    plans = planned(catalog)
    room = plans[ModelKey.CAPTION].groups[PAINTER].size + plans[ModelKey.SKETCH].peak
    reads = Reads()
    preload_all(Runner(catalog, device="cpu", vram_gib=room / GIB, loads=reads.loads))
    assert reads.read == [
        "caption",
        "sketch",
        "animate",
        "upscale",
    ]  # imagine needs more to compute


def test_a_model_that_is_not_here_is_said_so_and_not_that_it_is_too_large(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pipelines")
    absent = Catalog(imagine=ImagineModel(source="/nowhere/sd3"))
    runner = Runner(absent, device="cpu", ram_gib=4)
    assert "models.imagine cannot be weighed; the usual one takes" in caplog.text
    preload_all(runner)
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "the folder /nowhere/sd3 does not hold the model" in warning.getMessage()


def test_a_caption_that_is_given_is_not_asked_for(runner: Runner, drawing: Path) -> None:
    phases: set[Phase] = set()

    def note(progress: Progress) -> None:
        phases.add(progress.phase)

    request = SketchRequest(drawing=drawing, caption="a star", seed=1)
    (artifact,) = run(runner, request, RunContext(note))
    assert artifact.facts["caption"] == "a star"
    assert Phase.CAPTIONING not in phases


@pytest.mark.parametrize("caption", ["", "a star"])
def test_what_is_not_allowed_to_be_seen_in_a_drawing_is_not_painted(
    runner: Runner, drawing: Path, caption: str
) -> None:
    seen: list[str] = []
    phases: set[Phase] = set()

    def refuse(words: str) -> None:
        seen.append(words)
        raise Withheld("Not this.")

    request = SketchRequest(drawing=drawing, caption=caption, seed=1)
    context = RunContext(lambda progress: phases.add(progress.phase), allow=refuse)
    with pytest.raises(Withheld):
        run(runner, request, context)
    assert len(seen) == 1 and seen[0] and (not caption or seen == [caption])
    assert Phase.PAINTING not in phases


def test_a_model_that_is_warmed_up_has_run_once(
    catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    runner = Runner(hasty(catalog), device="cpu")
    runner._warms_up = True  # as on a card
    with caplog.at_level(logging.INFO, "pipelines.runner"):
        preload_all(runner)
    for key in (ModelKey.SKETCH, ModelKey.IMAGINE, ModelKey.ANIMATE):
        assert f"warmed models.{key} up" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_preload_says_in_a_line_what_cannot_be_loaded(
    catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    absent = ImagineModel(source="/nowhere/sd3")
    runner = Runner(catalog.model_copy(update={"imagine": absent}), device="cpu")
    with caplog.at_level(logging.WARNING):
        preload_all(runner)
    assert runner.resident() == {"caption", "sketch", "animate", "upscale"}
    (record,) = caplog.records
    assert "models.imagine" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), CardLost.named("a card")])
def test_a_card_that_is_lost_while_models_are_preloaded_is_named(
    error: Exception, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: object, loader: object) -> None:
        raise error

    monkeypatch.setattr("pipelines.runner.is_lost", lambda device: True)
    runner = Runner(catalog, device="cpu", loads=dict.fromkeys(ModelKey, fail))
    with pytest.raises(CardLost, match="stopped working for this process"):
        runner.preload()


def test_models_take_turns_where_they_do_not_fit_together(
    catalog: Catalog, runner: Runner, requests: dict[str, Request]
) -> None:
    room = planned(catalog)[ModelKey.IMAGINE].groups[PAINTER].peak
    small = Runner(catalog, device="cpu", vram_gib=room / GIB)
    for kind in ("sketch", "animate", "imagine", "sketch", "imagine"):
        assert run(small, requests[kind]) == run(runner, requests[kind])
        assert kind in small.resident()
        assert kind != "imagine" or small.resident() == {"imagine"}


def hasty(catalog: Catalog) -> Catalog:
    """The same models, for as little work as they can have."""
    return changed(
        catalog,
        sketch={"size": 64, "steps": 1},
        imagine={"size": 64, "steps": 1},
        animate={"width": 64, "height": 64, "frames": 2, "steps": 1},
    )


class Reads:
    """How each model is read, which were, and those of their denoisers that are still in RAM."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.alive: WeakSet[torch.nn.Module] = WeakSet()
        self.loads = {key: self._counted(key) for key in LOADERS}

    def _counted(self, key: ModelKey) -> Load:
        def load(model: Any, loader: Loader) -> Any:
            self.read.append(key)
            made = LOADERS[key](model, loader)
            if key in (ModelKey.SKETCH, ModelKey.IMAGINE, ModelKey.ANIMATE):
                self.alive.add(denoiser_of(made))
            return made

        return load


def test_where_ram_is_too_small_for_all_the_model_used_longest_ago_is_read_again(
    catalog: Catalog, requests: dict[str, Request]
) -> None:
    plans = planned(catalog)
    ram = 1.01 * sum(plans[key].in_ram for key in (ModelKey.CAPTION, ModelKey.SKETCH))
    reads = Reads()
    runner = Runner(hasty(catalog), device="cpu", ram_gib=ram / GIB, loads=reads.loads)
    made = []
    for kind in ("sketch", "imagine", "animate") * 2:
        made.append(run(runner, requests[kind]))
        assert len(reads.alive) == 1
    assert made[3:] == made[:3]
    again = ["sketch", "imagine", "animate"]  # the captioner is small, and was not in the way
    assert reads.read == ["caption", *again, *again]
    for seed in range(20):
        run(runner, ImagineRequest(prompt=PROMPT, seed=seed))
    assert reads.read[7:] == ["imagine"]


def test_what_is_preloaded_drives_nothing_out_of_ram(catalog: Catalog) -> None:
    plans = planned(catalog)
    ram = sum(plans[key].in_ram for key in (ModelKey.CAPTION, ModelKey.SKETCH))
    reads = Reads()
    preload_all(Runner(catalog, device="cpu", ram_gib=1.01 * ram / GIB, loads=reads.loads))
    assert reads.read == ["caption", "sketch"]


def test_what_is_in_use_never_leaves_ram(catalog: Catalog) -> None:
    reads = Reads()
    models = Models(catalog, Card("cpu", ram=0.0), Loader(torch.device("cpu")), reads.loads)
    with models.use(ModelKey.IMAGINE) as pipeline:
        with models.use(ModelKey.CAPTION):
            assert models.resident() == {"imagine", "caption"}
        assert pipeline.transformer is not None
    with models.use(ModelKey.CAPTION):
        pass
    with models.use(ModelKey.UPSCALE):
        assert models.resident() == {"upscale"}
    assert reads.read == ["imagine", "caption", "upscale"]


def test_on_a_mac_models_leave_ram_for_what_another_computes(catalog: Catalog) -> None:
    catalog = changed(catalog, sketch={"size": 64}, imagine={"size": 256})
    reads, cpu = Reads(), Loader(torch.device("cpu"))
    plans = Models(catalog, Card("mps"), cpu, reads.loads).plans
    sketch, imagine = plans[ModelKey.SKETCH], plans[ModelKey.IMAGINE]
    room = imagine.in_ram + 2 * imagine.working()
    assert sketch.in_ram + imagine.in_ram + sketch.working() < room < sketch.in_ram + room
    models = Models(catalog, Card("mps", room, room), cpu, reads.loads)
    assert models.max_batch(ModelKey.IMAGINE) == 2
    for key in (ModelKey.IMAGINE, ModelKey.SKETCH, ModelKey.IMAGINE):
        assert models.fits(key)
        with models.use(key):
            pass
    with models.use(ModelKey.IMAGINE, batch=2):
        assert models.resident() == {"imagine"}  # though it was there already
    with models.use(ModelKey.SKETCH):
        assert models.resident() == {"imagine", "sketch"}
    assert reads.read == ["imagine", "sketch", "sketch"]
    models.evict_idle()
    assert not models._shelf.models()  # that their weights leave the card would free nothing


def test_each_plan_is_logged_in_a_line_before_anything_is_loaded(
    catalog: Catalog, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    safety = SafetyModel(source=f"{models}/classifier")
    catalog = catalog.model_copy(update={"safety": safety})
    with caplog.at_level(logging.INFO, "pipelines.runner"):
        Runner(catalog, device="cpu", ram_gib=0.05)
    lines = [record.getMessage() for record in caplog.records]
    for key in planned(catalog):
        (line,) = [line for line in lines if line.startswith(f"cpu: models.{key} takes ")]
        assert "GiB" in line and "\n" not in line
    assert lines[-1].startswith("cpu: models take ") and " of 0.1 together" in lines[-1]
    caplog.clear()
    whole = sum(plan.in_ram for plan in planned(catalog).values())
    with caplog.at_level(logging.INFO, "pipelines.runner"):
        Runner(catalog, device="cpu", ram_gib=whole / GIB)
    assert "together" not in caplog.text  # the classifier is counted once


def test_a_device_that_is_not_there(catalog: Catalog) -> None:
    with pytest.raises(DeviceMissing, match=r"gpu\.device is 'cuda:63'"):
        Runner(catalog, device="cuda:63")


def frames_of(trace: TracebackType | None) -> list[FrameType]:
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    return frames


def is_of_diffusers(frame: FrameType) -> bool:
    return "diffusers" in Path(frame.f_code.co_filename).parts


def test_what_is_configured_and_cannot_be_is_said_at_the_start(
    catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    assert catalog.imagine is not None
    fast = catalog.imagine.model_copy(update={"precision": "fp8-fast"})
    Runner(catalog.model_copy(update={"imagine": fast}), device="cpu")
    assert [line for line in caplog.messages if "NVIDIA" in line] == [
        'cpu: models.imagine.precision is "fp8-fast", which needs an NVIDIA card of compute '
        "capability 8.9 or more, and a torch for it. Without it the model is held as with "
        '"fp8".'
    ]
