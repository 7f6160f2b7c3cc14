import json
from pathlib import Path

import pytest
from rich.console import Console

from bot.config import Config, GpuConfig
from bot.measure import measure
from pipelines import runner
from pipelines.catalog import Catalog
from tests.cli.command import command


def test_without_imagine_there_is_nothing_to_measure(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('gpu.device = "cpu"')
    ended = command("measure", cwd=tmp_path)
    assert ended.code == 0
    assert "nothing to measure" in ended.out


def written(folder: Path, models: Path) -> None:
    (folder / "config.toml").write_text(
        'gpu.device = "cpu"\n'
        f'models.imagine = {{source = "{models}/sd3", steps = 4, size = 64, text_tokens = 32}}'
    )


def test_what_pays_is_said_and_written_down(models: Path, tmp_path: Path) -> None:
    written(tmp_path, models)
    ended = command("measure", cwd=tmp_path)
    assert ended.code == 0
    assert ended.out.startswith("cpu: /imagine takes ")
    table = json.loads((tmp_path / "data" / "batches.json").read_text())
    ((name, seconds),) = table["cpu"].items()
    assert name.endswith("sd3 64")
    assert list(seconds) == ["1", "2", "4", "8"]


def test_it_measures_what_the_bot_runs_where_cards_share_the_ram(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = []

    class Planned(runner.Runner):
        def measure(self) -> dict[int, float]:
            plans.append(self._models.card.ram)
            raise KeyboardInterrupt

    monkeypatch.setattr(runner, "Runner", Planned)
    gpu = GpuConfig(device=("cpu", "cpu"), ram_gib=8.0)
    with pytest.raises(KeyboardInterrupt):
        measure(Config(gpu=gpu, models=catalog), Console(quiet=True))
    assert plans == [4.0 * 2**30]


def test_what_could_not_be_written_down_is_said_before_it_is_measured(
    models: Path, tmp_path: Path
) -> None:
    written(tmp_path, models)
    (tmp_path / "data" / "batches.json").mkdir(parents=True)
    ended = command("measure", cwd=tmp_path)
    assert ended.code == 2
    assert ended.complaint.startswith(f"{tmp_path}/data/batches.json cannot be written: Is a dir")
    assert "painting" not in ended.out
