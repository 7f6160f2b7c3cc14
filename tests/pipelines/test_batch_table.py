from pathlib import Path

import pytest

from pipelines.batches import Batches, Seconds, best_of
from pipelines.catalog import ImagineModel

MODEL = ImagineModel(source="a/b")


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({}, 1),
        ({1: 10.0}, 1),
        ({1: 10.0, 2: 9.1}, 1),
        ({1: 10.0, 2: 9.0, 4: 8.5}, 2),
        ({1: 10.0, 2: 9.5, 4: 8.0, 8: 7.5}, 4),
    ],
)
def test_a_batch_pays_that_saves_a_tenth(seconds: Seconds, best: int) -> None:
    assert best_of(seconds) == best


def test_what_was_measured_is_kept_by_card_model_and_size(tmp_path: Path) -> None:
    file = tmp_path / "data" / "batches.json"
    table = Batches.read(file)
    table.add("a card", MODEL, {1: 2.0, 2: 1.0})
    table.write()
    again = Batches.read(file)
    assert again.best("a card", MODEL) == 2
    assert again.best("another", MODEL) == 1
    assert again.best("a card", MODEL.model_copy(update={"size": 512})) == 1


def test_without_a_table_nothing_is_painted_together(tmp_path: Path) -> None:
    assert Batches.read(tmp_path / "none.json").best("a card", MODEL) == 1
    damaged = tmp_path / "batches.json"
    for text in ("{", "[]", '{"a card": 2}', '{"a card": {"a/b 1024": {"two": 1.0}}}'):
        damaged.write_text(text)
        assert Batches.read(damaged).best("a card", MODEL) == 1
