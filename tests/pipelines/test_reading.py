"""Weights that are read before they are asked for."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import reading
from pipelines.catalog import Catalog, ImagineModel
from pipelines.checkpoints import weight_files
from pipelines.reading import read_ahead

ROOT = Path(__file__).parents[2]


def size_of(catalog: Catalog) -> int:
    return sum(
        file.stat().st_size
        for place, checkpoint in catalog.checkpoints()
        for file in weight_files(place, checkpoint, None)
    )


def read(catalog: Catalog, caplog: pytest.LogCaptureFixture) -> str:
    with caplog.at_level(logging.DEBUG, "pipelines.reading"):
        read_ahead(catalog).join()
    return caplog.records[-1].getMessage()


def test_all_weights_are_read_once(catalog: Catalog, caplog: pytest.LogCaptureFixture) -> None:
    assert size_of(catalog) > 20 << 20
    assert read(catalog, caplog) == f"read {size_of(catalog) >> 20} MiB ahead"


def test_no_more_than_memory_holds(
    catalog: Catalog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_free", lambda: 5 << 20)
    megabytes = int(read(catalog, caplog).split()[1])
    assert 0 < megabytes <= 3


def test_what_is_not_there_is_left_to_the_loader(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = Catalog(imagine=ImagineModel(source=str(tmp_path / "sd3")))
    assert read(nothing, caplog) == "read 0 MiB ahead"


def test_a_process_that_ends_waits_for_no_disk() -> None:
    script = (
        "import threading\n"
        "from pipelines import reading\n"
        "from pipelines.catalog import Catalog\n"
        "begun = threading.Event()\n"
        "def never(piece):\n"
        "    begun.set()\n"
        "    threading.Event().wait()\n"
        "reading._pieces = lambda files: [(('file', 0), 1)]\n"
        "reading._read_piece = never\n"
        "reading.read_ahead(Catalog())\n"
        "begun.wait()\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)
