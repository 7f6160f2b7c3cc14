"""Steps that are extrapolated: fewer calls of the denoiser, for nearly the same picture."""

import io
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from demo.sample import draw_sample
from pipelines.caching import cached, computed, is_computed
from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.artifact import Artifact
from pipelines.contract.context import Progress, RunContext
from pipelines.contract.errors import Cancelled
from pipelines.contract.requests import ImagineRequest, Request, SketchRequest
from pipelines.runner import Runner
from tests.pipelines.catalogs import changed
from tests.pipelines.painting import PROMPT, made


class Line(nn.Module):
    """Answers with a straight line over its calls, bent at the fourth."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[float] = []

    def forward(self, at: float) -> tuple[torch.Tensor]:
        self.calls.append(at)
        return (torch.tensor([2 * at + (10 if at > 3 else 0)]),)


def sampler(timesteps: int) -> Any:
    return SimpleNamespace(timesteps=range(timesteps))


def test_what_is_between_computed_steps_is_on_the_line_through_the_last_two() -> None:
    network = Line()
    with cached(network, sampler(9), steps=9, interval=2):
        answers = [network(float(step))[0].item() for step in range(9)]
    assert network.calls == [0, 1, 2, 4, 6, 8]
    assert answers[3] == 6  # as before the bend
    assert answers[4] == 18
    assert answers[5] == 18 + (18 - 4) / 2
    assert answers[6:] == [22, 24, 26]
    network(3.0)
    assert network.calls[-1] == 3


def test_what_is_asked_second_in_a_step_is_on_a_line_of_its_own() -> None:
    network = Line()
    with cached(network, sampler(2 * 9 - 1), steps=9, interval=2):  # as Heun's, with one at the end
        answers = [network(at)[0].item() for at in (0, 1000, 1, 1001, 2, 1002, 3, 1003, 4, 1004, 5)]
    assert network.calls == [0, 1000, 1, 1001, 2, 1002, 4, 1004]
    assert answers[6:8] == [6, 2016]
    assert answers[-1] == 18 + (18 - 4) / 2


def test_a_sampler_that_asks_once_more_at_the_beginning_has_as_many_steps_computed() -> None:
    network = Line()
    with cached(network, sampler(10), steps=9, interval=2):
        for at in (0, 0.5, *range(1, 9)):
            network(at)
    assert network.calls == [0, 0.5, 1, 2, 4, 6, 8]


@pytest.mark.parametrize(
    ("steps", "interval", "count"),
    [(28, 1, 28), (28, 2, 16), (30, 2, 17), (30, 3, 12), (30, 4, 10), (4, 4, 4), (1, 2, 1)],
)
def test_how_many_steps_are_computed(steps: int, interval: int, count: int) -> None:
    assert computed(steps, interval) == count
    assert is_computed(0, steps, interval)
    assert is_computed(steps - 1, steps, interval)


def test_a_run_that_is_cancelled_leaves_nothing_behind() -> None:
    network = Line()
    with pytest.raises(Cancelled), cached(network, sampler(9), steps=9, interval=2):
        raise Cancelled
    assert [network(float(step))[0].item() for step in range(3)] == [0, 2, 4]
    assert network._compiled_call_impl is None


def pixels(artifact: Artifact) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(artifact.data)).convert("RGB")) / 255


@pytest.mark.parametrize(
    ("key", "network"),
    [
        (ModelKey.SKETCH, "UNet2DConditionModel"),
        (ModelKey.IMAGINE, "SD3Transformer2DModel"),
    ],
)
def test_a_picture_is_nearer_than_with_as_few_steps(
    key: ModelKey, network: str, catalog: Catalog, calls: Counter[str], tmp_path: Path
) -> None:
    draw_sample().save(tmp_path / "drawing.png")
    request: Request = (
        SketchRequest(drawing=tmp_path / "drawing.png", caption=PROMPT, strength=80, seed=3)
        if key is ModelKey.SKETCH
        else ImagineRequest(prompt=PROMPT, seed=3)
    )
    whole, fewer, half = (
        made(changed(catalog, **{key: settings}), request)
        for settings in ({"steps": 30}, {"steps": 17}, {"steps": 30, "cache_interval": 2})
    )
    assert calls[network] == 30 + 17 + 17
    assert half.facts["computed"] == 17
    assert half.facts["steps"] == 30
    assert "computed" not in whole.facts
    far, farther = (np.abs(pixels(each) - pixels(whole)).mean() for each in (half, fewer))
    assert far < 0.6 * farther
    assert far < 0.01


def test_the_pictures_of_a_run_do_not_see_each_other(catalog: Catalog) -> None:
    quick = changed(catalog, imagine={"steps": 8, "cache_interval": 2})
    (both,) = Runner(quick, device="cpu").run(
        [ImagineRequest(prompt=PROMPT, seed=3, count=2)], RunContext()
    )
    assert np.array_equal(
        pixels(both[1]), pixels(made(quick, ImagineRequest(prompt=PROMPT, seed=4)))
    )


def test_all_steps_are_still_reported(catalog: Catalog) -> None:
    seen: list[Progress] = []
    quick = changed(catalog, imagine={"steps": 8, "cache_interval": 2})
    Runner(quick, device="cpu").run(
        [ImagineRequest(prompt=PROMPT, seed=3)], RunContext(seen.append)
    )
    assert max(each.step for each in seen) == 8
