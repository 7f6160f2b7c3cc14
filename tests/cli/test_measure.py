import json
from pathlib import Path

from tests.cli.command import command


def test_without_imagine_there_is_nothing_to_measure(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('gpu.device = "cpu"')
    ended = command("measure", cwd=tmp_path)
    assert ended.code == 0
    assert "nothing to measure" in ended.out


def test_what_pays_is_said_and_written_down(models: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'gpu.device = "cpu"\n'
        f'models.imagine = {{source = "{models}/sd3", steps = 4, size = 64, text_tokens = 32}}'
    )
    ended = command("measure", cwd=tmp_path)
    assert ended.code == 0
    assert ended.out.startswith("cpu: /imagine takes ")
    table = json.loads((tmp_path / "data" / "batches.json").read_text())
    ((name, seconds),) = table["cpu"].items()
    assert name.endswith("sd3 64")
    assert list(seconds) == ["1", "2", "4", "8"]
