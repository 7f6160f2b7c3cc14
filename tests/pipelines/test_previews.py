"""What is shown of a picture while it is painted: small, for whom it is, and nothing of the result
changes by it."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.catalog import Catalog, ModelKey, SafetyModel
from pipelines.checkpoints import check_preview, weigh
from pipelines.contract.context import RunContext
from pipelines.contract.errors import ModelMissing, ModelUnavailable
from pipelines.contract.requests import AnimateRequest, ImagineRequest, Request, SketchRequest
from pipelines.contract.runner import Artifacts
from pipelines.plan import PAINTER
from pipelines.runner import Runner
from tests.pipelines.watching import SIDE, Watcher, with_previews

STAR = ImagineRequest(prompt="a red star on a blue background", seed=1)


@pytest.fixture(scope="module")
def runner(catalog: Catalog, models: Path) -> Runner:
    return Runner(with_previews(catalog, models), device="cpu")


def watched(runner: Runner, *requests: Request) -> tuple[list[Watcher], tuple[Artifacts, ...]]:
    watchers = [Watcher() for _ in requests]
    return watchers, runner.run(requests, RunContext(viewers=watchers))


@pytest.mark.parametrize("kind", ["sketch", "imagine"])
def test_a_picture_is_seen_to_come_and_is_the_same(
    runner: Runner, drawing: Path, kind: str
) -> None:
    request = (
        SketchRequest(drawing=drawing, caption="a heart", seed=1) if kind == "sketch" else STAR
    )
    [watcher], shown = watched(runner, request)
    assert shown == runner.run([request], RunContext())
    assert len(watcher.shown) == 3  # of four steps; after the first there is only noise
    assert all(len(preview or b"") < 20_000 for preview in watcher.shown)
    [[result]] = shown
    final = np.asarray(Image.open(io.BytesIO(result.data)), dtype=np.float64)
    distances = [np.abs(picture - final).mean() for picture in watcher.pictures()]
    assert watcher.pictures()[0].shape == (SIDE, SIDE, 3)
    assert distances[-1] < 12  # of 255: nearly the picture itself
    assert distances[-1] <= distances[0]


def test_none_is_made_that_nobody_wants(runner: Runner) -> None:
    one = Watcher(most=1)
    runner.run([STAR], RunContext(viewers=[one]))
    assert len(one.shown) == 1


def test_each_of_a_batch_sees_its_own(runner: Runner) -> None:
    circles = ImagineRequest(prompt="a green circle", seed=2, count=2)
    together, _ = watched(runner, STAR, circles)
    for watcher, request in zip(together, (STAR, circles), strict=True):
        [alone], _ = watched(runner, request)
        mine, theirs = watcher.pictures()[-1], alone.pictures()[2]  # its first picture's last
        assert np.abs(mine - theirs).max() <= 16


def test_who_asks_for_the_same_in_a_batch_sees_it_too(runner: Runner) -> None:
    (one, other), _ = watched(runner, STAR, STAR)
    assert one.shown == other.shown and len(one.shown) == 3


def test_those_that_run_one_by_one_see_their_own_too(runner: Runner, drawing: Path) -> None:
    heart = SketchRequest(drawing=drawing, caption="a heart", seed=1)
    (star, drawn), _ = watched(runner, STAR, heart)
    [alone], _ = watched(runner, heart)
    assert drawn.shown == alone.shown != star.shown


def test_the_painting_before_a_video_is_seen(runner: Runner) -> None:
    [watcher], _ = watched(runner, AnimateRequest(prompt="a red star", seed=1))
    assert len(watcher.shown) == 3


# -- where it cannot be ----------------------------------------------------------------------


def test_a_decoder_of_other_latents_is_said_and_done_without(
    catalog: Catalog, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = with_previews(catalog, models, imagine="preview-of-four-channels")
    assert wrong.imagine is not None
    with pytest.raises(ModelUnavailable) as raised:
        check_preview(ModelKey.IMAGINE, wrong.imagine)
    assert raised.value.sentence == (
        f"models.imagine.preview: {models}/preview-of-four-channels decodes latents of 4 channels, "
        "and models.imagine paints in 16. Correct models.imagine.preview.source."
    )
    with caplog.at_level(logging.WARNING):
        [watcher], made = watched(Runner(wrong, device="cpu"), STAR)
    assert made
    assert watcher.shown == []
    assert raised.value.sentence in caplog.text


def test_a_decoder_that_is_not_there_changes_nothing_else(catalog: Catalog, models: Path) -> None:
    gone = with_previews(catalog, models, imagine="gone")
    assert gone.imagine is not None
    with pytest.raises(ModelMissing, match=r"models\.imagine\.preview"):
        check_preview(ModelKey.IMAGINE, gone.imagine)
    assert catalog.imagine is not None
    assert weigh(ModelKey.IMAGINE, gone.imagine) == weigh(ModelKey.IMAGINE, catalog.imagine)
    [watcher], made = watched(Runner(gone, device="cpu"), STAR)
    assert made
    assert watcher.shown == []


def test_a_decoder_is_weighed_with_its_painter(catalog: Catalog, models: Path) -> None:
    model = with_previews(catalog, models).imagine
    assert model is not None
    weights = weigh(ModelKey.IMAGINE, model)
    assert weights is not None
    assert 0 < weights["preview"] < 1_000_000


def test_a_preview_that_fails_fails_alone(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(preview: bytes | None) -> None:
        raise RuntimeError("the decoder is out of order")

    watcher = Watcher()
    monkeypatch.setattr(watcher, "show", fail)
    assert runner.run([STAR], RunContext(viewers=[watcher]))
    assert caplog.text.count("previews do not work") == 1
    assert "Traceback" in caplog.text


def test_previews_without_their_classifier_are_told_of_in_a_line(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(preview: bytes | None) -> None:
        raise ModelMissing("models.safety is gone.")

    watcher = Watcher()
    monkeypatch.setattr(watcher, "show", fail)
    assert runner.run([STAR], RunContext(viewers=[watcher]))
    [told] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert told.getMessage().endswith("this one goes on without: models.safety is gone.")
    assert not told.exc_info


def test_what_is_no_picture_is_not_shown(runner: Runner) -> None:
    decoder = runner._models.decoder(ModelKey.IMAGINE)
    overflow = decoder.decoder.register_forward_hook(lambda *call: call[-1] * torch.nan)
    [watcher], made = watched(runner, STAR)
    overflow.remove()
    assert watcher.shown == []
    assert made[0][0].data


# -- what must not be seen -------------------------------------------------------------------


def guarded(catalog: Catalog, models: Path, **settings: object) -> Runner:
    safety = SafetyModel.model_validate({"source": f"{models}/classifier", **settings})
    update = {"safety": safety}
    return Runner(with_previews(catalog, models).model_copy(update=update), device="cpu")


def test_what_the_classifier_finds_is_not_shown(catalog: Catalog, models: Path) -> None:
    """With the classes the other way round all that is harmless is unwanted."""
    [watcher], _ = watched(guarded(catalog, models, labels=["normal"]), STAR)
    assert watcher.shown == [None]  # the first is taken back, and no other is made


def test_what_is_harmless_is_shown(catalog: Catalog, models: Path) -> None:
    [watcher], _ = watched(guarded(catalog, models), STAR)
    assert watcher.shown
    assert None not in watcher.shown


def test_without_room_for_the_classifier_nothing_is_shown(
    catalog: Catalog, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = guarded(catalog, models)
    painter = runner.plans()[ModelKey.IMAGINE].groups[PAINTER]
    monkeypatch.setattr(runner._models._residency, "_budget", painter.size + painter.working)
    [watcher], made = watched(runner, STAR)
    assert made
    assert watcher.shown == []


def test_memory_that_runs_out_later_is_still_the_painters(catalog: Catalog, models: Path) -> None:
    """A look at a preview on the way is not what a step down is to save on, even if it failed."""
    held = guarded(catalog, models)._models
    before = dict(held.plans)

    def run_out() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError), held.use(ModelKey.ANIMATE):
        with pytest.raises(torch.OutOfMemoryError), held.use(ModelKey.SAFETY):
            run_out()
        run_out()
    held.step_down()
    assert [key for key in before if before[key] != held.plans[key]] == [ModelKey.ANIMATE]
    held.step_down()  # for nothing
    assert [key for key in before if before[key] != held.plans[key]] == [ModelKey.ANIMATE]
