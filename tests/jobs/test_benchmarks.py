from pathlib import Path

import pytest

from benchmarks._report import report
from benchmarks.policy import seconds_per_decision
from benchmarks.store import enqueues_per_second


@pytest.mark.parametrize("places", [False, True])
def test_the_policy_benchmark_runs(places: bool) -> None:
    assert seconds_per_decision(waiting=50, members=10, decisions=600, places=places) > 0.0


async def test_the_store_benchmark_runs(tmp_path: Path) -> None:
    assert await enqueues_per_second(tmp_path, jobs=40, at_once=20) > 0.0


def test_a_report_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert report("policy", "7 a second", "≥ 5", met=True)
    assert not report("store", "3 a second", "≥ 5", met=False)
    assert capsys.readouterr().out == (
        "policy: 7 a second (goal ≥ 5)\nstore: 3 a second (goal ≥ 5), missed\n"
    )
