import re
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, progress, residency, web
from benchmarks._full_size import build
from benchmarks._report import report
from benchmarks.fairness import simulate
from benchmarks.policy import seconds_per_decision
from benchmarks.store import enqueues_per_second
from pipelines.placement import USUAL


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


def test_the_residency_benchmark_reaches_its_goal() -> None:
    assert residency.main()  # on a virtual clock: it is the same on every machine


def test_the_gpu_benchmark_runs_on_the_small_models(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.main(tiny=True)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for name in gpu.NAMES.values():
        assert re.search(rf"^{name} .* 0\.0000\d ", said, re.MULTILINE)  # stock's picture, exactly
    assert "3 of 3 as ever" in said


def test_the_full_size_models_are_those_that_plans_reckon_with() -> None:
    for key in gpu.KEYS:
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
