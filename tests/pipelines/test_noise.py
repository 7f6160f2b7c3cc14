"""Variations: pictures that begin a little beside another."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines import noise
from pipelines.contract.context import RunContext
from pipelines.contract.requests import ImagineRequest, SketchRequest
from pipelines.runner import Runner

Varied = ImagineRequest | SketchRequest


@pytest.fixture(scope="module", params=["imagine", "sketch"])
def request_(request: pytest.FixtureRequest, drawing: Path) -> Varied:
    if request.param == "imagine":
        return ImagineRequest(prompt="a red star on a blue background", seed=5)
    return SketchRequest(drawing=drawing, prompt="red on a blue background", strength=0, seed=5)


def painted(runner: Runner, request: Varied) -> NDArray[np.float64]:
    (artifacts,) = runner.run([request], RunContext())
    return np.asarray(Image.open(io.BytesIO(artifacts[0].data)), np.float64)


def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.abs(one - other).mean())


def test_a_variation_is_nearer_than_another_picture(runner: Runner, request_: Varied) -> None:
    first = painted(runner, request_)
    varied = [painted(runner, replace(request_, variations=(n,))) for n in range(4)]
    others = [painted(runner, replace(request_, seed=100 + n)) for n in range(4)]
    assert min(apart(first, each) for each in varied) > 0
    nearer, farther = ([apart(first, each) for each in some] for some in (varied, others))
    assert np.median(nearer) < 0.8 * np.median(farther)
    assert (painted(runner, replace(request_, variations=(2,))) == varied[2]).all()


def test_it_starts_where_the_picture_starts(
    runner: Runner, request_: Varied, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variation by nothing is the picture itself, to the last bit."""
    monkeypatch.setattr(noise, "ANGLE", 0.0)
    assert (painted(runner, request_) == painted(runner, replace(request_, variations=(9,)))).all()
