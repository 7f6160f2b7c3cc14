import pytest
import torch

from benchmarks import memory
from benchmarks._bench import KEYS
from pipelines.catalog import ModelKey
from pipelines.placement import GIB

MIB = 2**20


def test_what_is_allocated_is_counted_until_it_is_freed() -> None:
    with memory.Taken() as taken:
        first = torch.zeros(MIB, dtype=torch.uint8)
        second = first.view(2, -1)[0] + 1  # a view takes nothing
        assert taken.peak == 1.5 * MIB
        del first, second
        third = torch.ones(MIB, dtype=torch.uint8)
        third.add_(1)
        assert taken.peak == 1.5 * MIB
        fourth = torch.ones_like(third)
        assert taken.peak == 2 * MIB
    assert fourth.numel() == MIB


def test_weights_that_were_there_are_not_counted() -> None:
    layer = torch.nn.Linear(256, 256, bias=False)
    with torch.inference_mode(), (taken := memory.Taken()):
        taken.know(layer)
        layer.weight.add_(1)
        layer(torch.zeros(1, 256))
    assert taken.peak == 2 * 4 * 256


@pytest.mark.parametrize("key", KEYS)
def test_plans_keep_enough_free_for_models_of_full_size(
    key: ModelKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CARDS", (6, 8, 80))
    rows = dict(memory.rows(key))
    for row in rows.values():
        assert 0.3 < row.taken < 0.9  # libraries and gaps want the rest
        assert row.work <= memory.GOAL
    assert rows[80].work == 1
    assert rows[80].run[memory.STEP].peak > 0.3 * GIB
