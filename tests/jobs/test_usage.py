import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.jobs.usage import HALF_LIFE, decayed

ages = st.floats(0, 100 * HALF_LIFE)


def test_a_day_halves() -> None:
    assert decayed(8.0, 0.0) == 8.0
    assert decayed(8.0, HALF_LIFE) == pytest.approx(4.0)
    assert decayed(8.0, 3 * HALF_LIFE) == pytest.approx(1.0)


def test_the_future_does_not_grow() -> None:
    assert decayed(8.0, -5.0) == 8.0


@given(st.floats(0, 1e9), ages, ages)
def test_decaying_twice_is_decaying_for_both_times(used: float, first: float, then: float) -> None:
    assert decayed(decayed(used, first), then) == pytest.approx(decayed(used, first + then))
