"""Steps are reported as they are done, however far ahead they were launched."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import diffusers
import pytest
import torch
from diffusers.schedulers import KarrasDiffusionSchedulers

from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.context import Phase, Progress, RunContext
from pipelines.contract.requests import AnimateRequest, ImagineRequest, Request, SketchRequest
from pipelines.runner import Runner
from pipelines.steps import Steps
from tests.pipelines.catalogs import changed

STEPS = 5


class Queue:
    """Of a card that does nothing before somebody waits for it; stands in for CUDA's events."""

    def __init__(self) -> None:
        self.launched = self.done = 0

    def event(self, **kwargs: object) -> Any:
        queue = self

        class Event:
            def record(self, stream: object) -> Self:
                self.step = queue.launched = queue.launched + 1
                return self

            def synchronize(self) -> None:
                queue.done = max(queue.done, self.step)

        return Event()


def test_the_processor_is_one_step_ahead_of_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, ahead = Queue(), []
    monkeypatch.setattr(torch.cuda, "Event", queue.event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)

    def listen(progress: Progress) -> None:
        ahead.append(progress.step - queue.done)

    steps = Steps(RunContext(listen), Phase.PAINTING, STEPS)
    latents: Any = SimpleNamespace(is_cuda=True, device="cuda:0")
    pipeline = SimpleNamespace(num_timesteps=STEPS)
    for index in range(STEPS):
        steps.on_step_end(pipeline, index, None, {"latents": latents})
    assert ahead == [0, 1, 1, 1, 1, 1]


def test_what_prepares_the_first_step_ends_with_it() -> None:
    begun: list[int] = []
    steps = Steps(RunContext(), Phase.ANIMATING, STEPS, begun=lambda: begun.append(len(begun)))
    assert begun == []
    steps.on_step_end(SimpleNamespace(num_timesteps=STEPS), 0, None, {})
    assert begun == [0]


@pytest.fixture(scope="module")
def small(catalog: Catalog) -> Catalog:
    return changed(
        catalog, sketch={"size": 64}, imagine={"size": 64}, animate={"width": 64, "height": 64}
    )


@pytest.fixture(scope="module")
def runners(small: Catalog) -> dict[str, Runner]:
    assert small.sketch is not None
    free = small.sketch.model_copy(update={"conditioner": None})
    return {
        "sketch": Runner(small, device="cpu"),
        "sketch, free": Runner(small.model_copy(update={"sketch": free}), device="cpu"),
    }


UNAVAILABLE = {"LMSDiscreteScheduler", "DPMSolverSDEScheduler"}  # they need other packages
OF_SDXL = sorted({s.name for s in KarrasDiffusionSchedulers} - UNAVAILABLE)
OF_SVD = ["EulerDiscreteScheduler", "HeunDiscreteScheduler"]
AS_PUBLISHED: dict[str, dict[str, Any]] = {
    "PNDMScheduler": {"skip_prk_steps": True},
    "EDMEulerScheduler": {"sigma_min": 0.002, "sigma_max": 80.0},
}


@pytest.mark.parametrize(
    ("kind", "sampler"),
    [
        *(("sketch, free", sampler) for sampler in OF_SDXL),
        ("sketch", "HeunDiscreteScheduler"),
        ("sketch", "PNDMScheduler"),
        ("imagine", "FlowMatchHeunDiscreteScheduler"),
        *(("animate", sampler) for sampler in OF_SVD),
    ],
)
def test_all_samplers_are_as_far_as_they_say(
    kind: str, sampler: str, runners: dict[str, Runner], drawing: Path, calls: Counter[str]
) -> None:
    """By the calls of the network, of which some samplers make two in a step."""
    key = ModelKey(kind.split(",")[0])
    requests: dict[ModelKey, Request] = {
        ModelKey.SKETCH: SketchRequest(drawing=drawing, caption="a heart", seed=1),
        ModelKey.IMAGINE: ImagineRequest(prompt="a heart", count=2, seed=1),
        ModelKey.ANIMATE: AnimateRequest(image=drawing, seed=1),
    }
    request = requests[key]
    runner = runners.get(kind, runners["sketch"])
    with runner._models.use(key) as pipeline:
        settings = {**pipeline.scheduler.config, **AS_PUBLISHED.get(sampler, {})}
        pipeline.scheduler = getattr(diffusers, sampler).from_config(settings)
        network = type(getattr(pipeline, "unet", None) or pipeline.transformer).__name__
    reports: list[tuple[int, int, int]] = []

    def listen(progress: Progress) -> None:
        if progress.of:
            reports.append((progress.step, progress.of, calls[network]))

    runner.run([request], RunContext(listen))
    steps = request.count if isinstance(request, ImagineRequest) else 1
    assert reports[-1][:2] == (4 * steps if key is not ModelKey.ANIMATE else 3,) * 2
    for step, of, made in reports:
        assert abs(step / of - made / calls[network]) < 1 / of
        assert (step == of) == (made == calls[network])


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA here; on a machine with a GPU: pytest -m gpu"
)
def test_on_a_card_a_step_is_reported_when_the_one_before_it_is_done() -> None:
    launched: list[torch.cuda.Event] = []
    ahead = []

    def listen(progress: Progress) -> None:
        ahead.append(sum(not event.query() for event in launched))  # type: ignore[no-untyped-call]

    steps = Steps(RunContext(listen), Phase.PAINTING, STEPS)
    latents = torch.zeros(1, device="cuda")
    pipeline = SimpleNamespace(num_timesteps=STEPS)
    for index in range(STEPS):
        torch.cuda._sleep(100_000_000)  # type: ignore[no-untyped-call]  # cycles
        launched.append(torch.cuda.Event())  # type: ignore[no-untyped-call]
        launched[-1].record()
        steps.on_step_end(pipeline, index, None, {"latents": latents})
    assert max(ahead) <= 1
