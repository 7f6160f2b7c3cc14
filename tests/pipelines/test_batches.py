"""Pictures that are denoised together are those that they are alone, in as many calls as one."""

import io
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.artifact import Artifact
from pipelines.contract.context import Progress, RunContext
from pipelines.contract.errors import RenderFailed
from pipelines.contract.requests import AnimateRequest, Aspect, ImagineRequest, may_share
from pipelines.plan import PAINTER
from pipelines.runner import Runner

REQUESTS = [
    ImagineRequest(prompt="a red star on a blue background", seed=1),
    ImagineRequest(prompt="a green circle", negative="red", seed=2, count=2),
    ImagineRequest(prompt="a yellow square", seed=3),
]


def pixels(artifact: Artifact) -> "np.typing.NDArray[np.float64]":
    return np.asarray(Image.open(io.BytesIO(artifact.data)), dtype=np.float64)


def test_a_picture_is_the_same_in_company(runner: Runner) -> None:
    together = runner.run(REQUESTS, RunContext())
    alone = tuple(runner.run([request], RunContext())[0] for request in REQUESTS)
    assert [len(each) for each in together] == [1, 2, 1]
    for mine, theirs in zip(sum(together, ()), sum(alone, ()), strict=True):
        assert (mine.name, mine.facts) == (theirs.name, theirs.facts)
        assert np.abs(pixels(mine) - pixels(theirs)).max() <= 2


def calls(runner: Runner, requests: list[ImagineRequest], monkeypatch: pytest.MonkeyPatch) -> int:
    counted = count()
    with runner._models.use(ModelKey.IMAGINE) as pipeline, monkeypatch.context() as patch:
        whole = pipeline.transformer.forward
        patch.setattr(
            pipeline.transformer,
            "forward",
            lambda *args, **kwargs: (next(counted), whole(*args, **kwargs))[1],
        )
        runner.run(requests, RunContext())
    return next(counted)


def test_a_batch_takes_as_many_calls_as_one(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = calls(runner, REQUESTS[:1], monkeypatch)
    assert one == calls(runner, REQUESTS, monkeypatch) > 0


def test_one_that_is_no_picture_leaves_the_others_to_be_some(runner: Runner) -> None:
    with runner._models.use(ModelKey.IMAGINE) as pipeline:
        transformer = pipeline.transformer
    of_the_first = torch.ones(8, 1, 1, 1).index_fill(0, torch.tensor([0, 4]), torch.nan)
    overflow = transformer.register_forward_hook(lambda *call: (call[-1][0] * of_the_first,))
    (broken,), *others = runner.run(REQUESTS, RunContext())
    overflow.remove()
    with pytest.raises(RenderFailed, match=r"models\.imagine\.dtype"):
        _ = broken.data
    assert [len([artifact.data for artifact in each]) for each in others] == [2, 1]


def test_steps_are_those_of_the_batch(runner: Runner, catalog: Catalog) -> None:
    assert catalog.imagine is not None
    seen: list[Progress] = []
    runner.run(REQUESTS, RunContext(seen.append))
    assert max(progress.of for progress in seen) == catalog.imagine.steps


def test_what_has_no_room_together_is_painted_in_parts(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = calls(runner, REQUESTS[:1], monkeypatch)
    painter = runner.plans()[ModelKey.IMAGINE].groups[PAINTER]
    budget = painter.size + 2.5 * painter.working
    monkeypatch.setattr(runner._models._residency, "_budget", budget)
    assert calls(runner, REQUESTS, monkeypatch) == 2 * one


def test_other_shapes_are_painted_one_by_one(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = ImagineRequest(prompt="a red star", seed=1, aspect=Aspect.WIDE)
    one = calls(runner, REQUESTS[:1], monkeypatch)
    assert calls(runner, [REQUESTS[0], wide], monkeypatch) == 2 * one


def test_what_may_share_is_alike_but_for_words_and_seeds() -> None:
    assert may_share(REQUESTS)
    assert not may_share([*REQUESTS, replace(REQUESTS[0], aspect=Aspect.WIDE)])
    assert not may_share([*REQUESTS, replace(REQUESTS[0], lora="ink")])
    assert not may_share([AnimateRequest(prompt="a red star", seed=1)] * 2)
