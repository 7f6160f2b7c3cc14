from dataclasses import replace
from pathlib import Path

import pytest

from bot.jobs.costs import Costs
from pipelines.contract.requests import (
    AnimateRequest,
    Aspect,
    ImagineRequest,
    SketchRequest,
    UpscaleRequest,
)
from tests.jobs.samples import CATALOG

ONE = ImagineRequest(prompt="a fox", seed=1)
FOUR = ImagineRequest(prompt="a fox", seed=1, count=4)
SKETCH = SketchRequest(drawing=Path("x.png"), seed=1)
STILL = AnimateRequest(image=Path("x.png"), seed=1)
PAINTED = AnimateRequest(prompt="a fox", seed=1)


@pytest.fixture
def costs() -> Costs:
    return Costs(CATALOG)


def test_the_first_guess_grows_with_the_work(costs: Costs) -> None:
    assert costs.estimate(FOUR) == 4 * costs.estimate(ONE)
    assert costs.estimate(PAINTED) == costs.estimate(STILL) + costs.estimate(ONE)


def test_the_first_measurement_replaces_the_guess(costs: Costs) -> None:
    costs.learn(FOUR, 12.0)
    assert costs.estimate(ONE) == 3.0
    assert costs.estimate(SKETCH) == Costs(CATALOG).estimate(SKETCH)


def test_the_estimate_follows_a_change_and_shrugs_off_one_odd_job(costs: Costs) -> None:
    for seconds in (10.0, 10.0, 90.0):
        costs.learn(ONE, seconds)
    assert costs.estimate(ONE) == 10.0
    for _ in range(9):
        costs.learn(ONE, 20.0)
    assert costs.estimate(ONE) == 20.0


def test_each_size_has_a_measure_of_its_own_and_lends_it_where_there_is_none(costs: Costs) -> None:
    wide, tall = (replace(ONE, aspect=aspect) for aspect in (Aspect.WIDE, Aspect.TALL))
    costs.learn(ONE, 10.0)
    costs.learn(wide, 14.0)
    assert (costs.expect(ONE), costs.expect(wide), costs.expect(tall)) == (10.0, 14.0, 14.0)


def test_the_steps_that_an_enlarged_picture_was_painted_in_say_nothing_of_it(costs: Costs) -> None:
    larger = UpscaleRequest(image=Path("x.png"), scale=2)
    costs.learn(larger, 3.0, steps="28")
    assert costs.expect(larger) == 3.0


def test_a_picture_made_twice_as_large_says_little_of_one_made_four_times(costs: Costs) -> None:
    twice, four_times = (UpscaleRequest(image=Path("x.png"), scale=scale) for scale in (2, 4))
    costs.learn(four_times, 8.0)
    costs.learn(twice, 2.0)
    assert (costs.expect(twice), costs.expect(four_times)) == (2.0, 8.0)


def test_what_took_other_steps_than_are_configured_now_is_not_learnt_from(costs: Costs) -> None:
    assert CATALOG.imagine is not None
    costs.learn(ONE, 10.0, CATALOG.imagine.steps + 1)
    assert costs.expect(ONE) is None
    costs.learn(ONE, 10.0, CATALOG.imagine.steps)
    assert costs.expect(ONE) == 10.0


def test_nothing_is_free(costs: Costs) -> None:
    costs.learn(ONE, 0.0)
    assert costs.estimate(ONE) > 0.0
