from collections import Counter
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipelines.contract.context import Phase, Progress, RunContext
from pipelines.contract.errors import Cancelled, ModelMissing
from pipelines.residency import Residency

SIZES = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 9, "f": 4, "g": 4}


class Group(NamedTuple):
    """What a model needs, in whatever unit."""

    size: int
    working: int
    passing: int


class Weights:
    """What stands for a model: a thing that is in one place."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.on_gpu = False


class Shelf:
    """A Mover that keeps account of every move."""

    def __init__(self) -> None:
        self.loads: Counter[str] = Counter()
        self.on_gpu: dict[str, Weights] = {}
        self.lost: set[str] = set()

    def load(self, key: str) -> Weights:
        if key in self.lost:
            raise ModelMissing(f"models.{key} is gone.")
        self.loads[key] += 1
        return Weights(key)

    def move_in(self, key: str, model: Weights) -> None:
        assert model.key == key
        assert not model.on_gpu
        model.on_gpu = True
        self.on_gpu[key] = model

    def move_out(self, key: str, model: Weights) -> None:
        assert self.on_gpu.pop(key) is model
        model.on_gpu = False


def make(
    budget: float, passing: dict[str, int] | None = None, **working: int
) -> tuple[Residency[Weights], Shelf]:
    shelf, passing = Shelf(), passing or {}
    needs = {
        key: Group(size, working.get(key, 0), passing.get(key, 0)) for key, size in SIZES.items()
    }
    return Residency(budget, needs, shelf), shelf


def touch(models: Residency[Weights], *keys: str) -> None:
    for key in keys:
        with models.use(key):
            pass


def test_a_model_is_loaded_once_and_waits_in_ram_when_it_is_evicted() -> None:
    models, shelf = make(budget=4)
    touch(models, "c", "d", "c", "d", "c")
    assert models.resident() == {"c"}
    assert shelf.loads == {"c": 1, "d": 1}


def test_of_equals_the_one_that_was_used_longest_ago_leaves() -> None:
    models, _ = make(budget=8)
    touch(models, "d", "f", "d", "g")
    assert models.resident() == {"d", "g"}


def test_a_large_one_stays_until_it_was_not_used_for_long() -> None:
    models, _ = make(budget=13)
    touch(models, "e")
    stayed = 0
    while "e" in models.resident():
        touch(models, "df"[stayed % 2])  # which would fit beside each other
        stayed += 1
    assert 3 < stayed < 10
    assert models.resident() == {"d", "f"}


def test_nobody_leaves_for_nothing() -> None:
    models, _ = make(budget=6)
    touch(models, "a", "b", "c", "a")
    touch(models, "d")  # 4 more: a costs least, then b; but with c, b is not in the way
    assert models.resident() == {"b", "d"}


def test_what_is_used_stays_even_when_the_budget_is_overdrawn_and_the_idle_go() -> None:
    models, _ = make(budget=5)
    with models.use("c") as held:
        touch(models, "a")
        with models.use("d") as other:
            assert held.on_gpu
            assert other.on_gpu
            assert models.resident() == {"c", "d"}
        assert models.resident() == {"c"}


def test_room_is_kept_for_what_a_model_computes_and_only_while_it_does() -> None:
    models, _ = make(budget=8, c=3)
    touch(models, "a", "b")
    with models.use("c"):  # 3, and 3 to compute: with b it fits, with a it would not
        assert models.resident() == {"b", "c"}
    touch(models, "a")  # nobody computes any more
    assert models.resident() == {"a", "b", "c"}


def test_room_to_compute_is_made_for_a_model_that_is_there_already() -> None:
    models, _ = make(budget=8, c=4)
    touch(models, "c", "b", "a")
    with models.use("c"):
        assert models.resident() == {"a", "c"}


def test_what_fits_has_room_to_compute() -> None:
    models, _ = make(budget=7, a=3, b=3)
    touch(models, "c")
    assert models.fits("a")
    assert not models.fits("b")


def test_what_has_room_to_compute_without_another_leaving_is_ready() -> None:
    models, _ = make(budget=9, a=3, b=4, c=2)
    touch(models, "c", "b", "a")
    assert models.resident() == {"a", "b", "c"}
    assert models.ready() == {"a", "c"}  # three are free
    with models.use("b"):
        assert models.resident() == {"b", "c"}
        assert models.ready() == {"b"}
    assert models.ready() == {"b", "c"}
    large, _ = make(budget=4, d=9)
    touch(large, "d")  # which never has its room, but nobody is there who could leave
    assert large.ready() == {"d"}


def test_weights_that_pass_through_take_room_once_and_only_while_they_do() -> None:
    models, _ = make(budget=9, passing={"a": 3}, a=2)
    touch(models, "c")
    with models.use("a"):  # 1, 3 that pass, 2 to compute
        assert models.resident() == {"a", "c"}
    with models.use("a", batch=2):
        assert models.resident() == {"a"}
    assert models.max_batch("a") == 2
    touch(models, "c", "d")
    assert models.resident() == {"a", "c", "d"}


def test_loading_is_reported_when_there_is_something_to_wait_for() -> None:
    models, _ = make(budget=4)
    seen: list[Progress] = []
    context = RunContext(on_progress=seen.append)
    for key in ("a", "a", "d", "a"):
        with models.use(key, context):
            pass
    assert seen == [Progress(Phase.LOADING)] * 3


def test_a_cancelled_run_keeps_the_model_and_after_a_failed_one_it_leaves() -> None:
    models, shelf = make(budget=9)
    with pytest.raises(Cancelled), models.use("a"):
        raise Cancelled
    assert models.resident() == {"a"}
    with pytest.raises(ZeroDivisionError), models.use("a"):
        raise ZeroDivisionError
    assert models.resident() == frozenset()
    touch(models, "a")
    assert shelf.loads["a"] == 1  # what is in RAM was never touched


def test_a_model_that_cannot_be_loaded_leaves_no_trace() -> None:
    models, shelf = make(budget=9)
    shelf.lost.add("a")
    with pytest.raises(ModelMissing), models.use("a"):
        pass
    assert models.resident() == frozenset()
    shelf.lost.clear()
    touch(models, "a")
    assert models.resident() == {"a"}


def test_what_fits_beside_the_rest() -> None:
    models, _ = make(budget=5)
    touch(models, "c")
    assert models.fits("b")
    assert models.fits("c")
    assert not models.fits("d")


class Residencies(RuleBasedStateMachine):
    """Any sequence of nested uses, endings and evictions."""

    @initialize(budget=st.integers(4, 12))
    def begin(self, budget: int) -> None:
        self.budget = budget
        self.models, self.shelf = make(budget)
        self.held: list[tuple[str, ExitStack]] = []

    @rule(key=st.sampled_from(sorted(SIZES)))
    def enter(self, key: str) -> None:
        stack = ExitStack()
        model = stack.enter_context(self.models.use(key))
        assert model is self.shelf.on_gpu[key]
        self.held.append((key, stack))

    @rule(index=st.integers(0, 9), failed=st.booleans())
    def leave(self, index: int, failed: bool) -> None:
        if not self.held:
            return
        _, stack = self.held.pop(index % len(self.held))
        if not failed:
            stack.close()
            return
        error = ZeroDivisionError()
        assert not stack.__exit__(type(error), error, None)

    @rule()
    def evict_idle(self) -> None:
        self.models.evict_idle()
        assert self.models.resident() == {key for key, _ in self.held}

    @invariant()
    def what_is_used_is_there(self) -> None:
        if hasattr(self, "held"):
            assert {key for key, _ in self.held} <= self.models.resident()

    @invariant()
    def idle_models_never_overdraw_the_budget(self) -> None:
        if not hasattr(self, "held"):
            return
        resident = self.models.resident()
        idle = resident - {key for key, _ in self.held}
        assert not idle or sum(SIZES[key] for key in resident) <= self.budget

    @invariant()
    def the_account_and_the_gpu_agree(self) -> None:
        if hasattr(self, "held"):
            assert {key for key, weights in self.shelf.on_gpu.items() if weights.on_gpu} >= (
                self.models.resident()
            )


Residencies.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestResidencies = Residencies.TestCase
