"""Whoever runs models has torch read the same settings, which it does only when it is imported."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from bot.config import Config, StorageConfig
from bot.measure import measure
from bot.render import painter
from bot.runner import build_runner
from pipelines import environment, runner
from pipelines.catalog import Catalog

NAMES = ("PYTORCH_CUDA_ALLOC_CONF", "TORCHINDUCTOR_CACHE_DIR")
GROWS = "expandable_segments:True"


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is as it was at the end
        del os.environ[name]
    monkeypatch.setattr(environment.sys, "platform", "linux")  # type: ignore[attr-defined]
    yield


class _SoFarSoGoodError(Exception):
    """Ends a command where it would begin to load models."""


def _render(config: Config) -> None:
    with painter(config, Console(quiet=True)):
        pass


@pytest.mark.parametrize(
    "command",
    [
        build_runner,
        lambda config: measure(config, Console(quiet=True)),
        _render,
    ],
    ids=["run", "measure", "render"],
)
def test_the_bot_measure_and_render_prepare_torch_alike(
    command: Callable[[Config], object],
    catalog: Catalog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = {}

    def build(*args: object, **kwargs: object) -> None:
        read.update({name: os.environ.get(name) for name in NAMES})
        raise _SoFarSoGoodError

    monkeypatch.setattr(runner, "Runner", build)
    with pytest.raises(_SoFarSoGoodError):
        command(Config(storage=StorageConfig(folder=tmp_path), models=catalog))
    assert read == dict(zip(NAMES, (GROWS, str(tmp_path / "compiled")), strict=True))


def test_what_the_owner_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAMES[0], "backend:cudaMallocAsync")
    environment.prepare_torch()
    assert os.environ[NAMES[0]] == "backend:cudaMallocAsync"


def test_where_nothing_can_be_written_torch_keeps_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the storage folder should be")
    environment.prepare_torch(tmp_path / "data" / "compiled")
    assert NAMES[1] not in os.environ


@pytest.mark.skipif(sys.platform != "linux", reason="segments grow on Linux alone")
def test_a_benchmark_prepares_torch_before_it_is_imported() -> None:
    check = (
        "import os, sys; import benchmarks; assert 'torch' not in sys.modules;"
        f"print(os.environ.get({NAMES[0]!r}))"
    )
    root = Path(__file__).parents[1]
    ended = subprocess.run(
        [sys.executable, "-c", check], cwd=root, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == GROWS
