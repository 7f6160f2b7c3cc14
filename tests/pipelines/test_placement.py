import math

import pytest

from pipelines.placement import GIB, Fit, Placement, place


@pytest.mark.parametrize(
    ("vram_gib", "budget", "expected"),
    [
        (10.0, math.inf, Placement(Fit.WHOLE, 10 * GIB)),
        (10.0, 23.0 * GIB, Placement(Fit.WHOLE, 10 * GIB)),
        (10.0, 10.0 * GIB, Placement(Fit.WHOLE, 10 * GIB)),
        (28.0, 23.0 * GIB, Placement(Fit.OFFLOADED, 23 * GIB)),
        (1.5, 1.0 * GIB, Placement(Fit.OFFLOADED, GIB)),
    ],
)
def test_a_model_is_whole_where_it_fits(
    vram_gib: float, budget: float, expected: Placement
) -> None:
    assert place(vram_gib, budget) == expected


def test_what_cannot_be_divided_is_tried_as_a_whole() -> None:
    assert place(1.5, 1.0 * GIB, divisible=False) == Placement(Fit.WHOLE, GIB)
