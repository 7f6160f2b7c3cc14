import random
from itertools import chain, combinations
from pathlib import Path

import pytest
import torch

from benchmarks import progress, residency, web
from benchmarks._bench import KEYS
from benchmarks._full_size import build
from benchmarks._report import report
from benchmarks.fairness import simulate
from benchmarks.policy import seconds_per_decision
from benchmarks.store import enqueues_per_second
from pipelines.estimates import USUAL
from pipelines.plan import Group


@pytest.mark.parametrize("places", [False, True])
def test_the_policy_benchmark_runs(places: bool) -> None:
    assert seconds_per_decision(waiting=50, members=10, decisions=600, places=places) > 0.0


async def test_the_store_benchmark_runs(tmp_path: Path) -> None:
    assert await enqueues_per_second(tmp_path, jobs=40, at_once=20) > 0.0


async def test_the_progress_benchmark_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.ui.progress.PAUSES", (0.1,))
    watched = await progress.watch(jobs=2, steps=10, step_seconds=0.05)
    assert 0 < watched.in_a_minute() <= progress.BUDGET
    assert watched.previews() > 0
    assert watched.after_the_end() == 0
    assert 0.0 < watched.longest_wait() < 30.0
    assert watched.lags


async def test_the_web_benchmark_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "WARM", 0.1)
    watched = await web.watch(seconds=0.5, watchers=3, stalled=1)
    assert watched.lags
    assert watched.growth < web.GROWTH_GOAL
    assert await web.slowdown(steps=5, turns=1) > -1


def test_the_fairness_benchmark_reaches_its_goal_in_a_day() -> None:
    day = simulate(86_400.0, members=8, few=3, many=100)  # on a virtual clock
    assert day.error < 0.05
    assert 0.5 < day.longest <= 1.0


@pytest.mark.parametrize(
    ("gib", "swaps", "moved"),  # of FIFO's
    [(8, 0.22, 0.29), (12, 0.28, 0.27), (16, 0.31, 0.31), (24, 0.27, 0.34)],
)
def test_the_residency_benchmark_is_as_good_as_it_was(gib: int, swaps: float, moved: float) -> None:
    for seed in range(2):  # on a virtual clock: it is the same on every machine
        day = residency.simulate(gib, residency.JOBS, seed)
        swapped, carried = day.of(day.fifo)
        assert swapped <= swaps
        assert carried <= moved
        assert max(day.of(day.stock)) <= 1 / 3
        assert day.least <= min(day.foreseen, day.ours.moved)


def test_the_offline_optimum_is_between_its_two_bounds() -> None:
    dice = random.Random(0)
    equal = 0
    for _ in range(100):
        groups = {name: Group(dice.randint(1, 6), dice.randint(0, 2)) for name in "abcd"}
        needed = dice.choices("abcd", k=9)
        budget = max(group.peak for group in groups.values()) + dice.randint(0, 6)
        best = optimum(needed, groups, budget)
        assert residency.least(needed, groups, budget) <= best
        assert best <= residency.foreseen(needed, groups, budget)
        equal += best == residency.foreseen(needed, groups, budget)
    assert 50 < equal < 100  # farthest next use is good, and not the optimum


def optimum(needed: list[str], groups: dict[str, Group], budget: float) -> int:
    """The fewest bytes, by trying everything that could be evicted each time."""
    best: dict[frozenset[str], int] = {frozenset(): 0}
    for name in needed:
        after: dict[frozenset[str], int] = {}
        for there, moved in best.items():
            total = moved + (0 if name in there else groups[name].size)
            others = there - {name}
            for kept in chain.from_iterable(
                combinations(others, n) for n in range(len(others) + 1)
            ):
                if sum(groups[n].size for n in kept) + groups[name].peak <= budget:
                    state = frozenset({name, *kept})
                    after[state] = min(after.get(state, total), total)
        best = after
    return min(best.values())


def test_the_full_size_models_are_those_that_plans_reckon_with() -> None:
    for key in KEYS:
        pipeline = build(key, torch.device("meta"), torch.bfloat16)
        for name, usual in USUAL[key].items():
            if name != "conditioner":
                count = sum(p.numel() for p in pipeline.components[name].parameters())
                assert count == pytest.approx(usual, rel=0.005)


def test_a_report_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert report("policy", "7 a second", "≥ 5", met=True)
    assert not report("store", "3 a second", "≥ 5", met=False)
    assert capsys.readouterr().out == (
        "policy: 7 a second (goal ≥ 5)\nstore: 3 a second (goal ≥ 5), missed\n"
    )
