"""How long a cold start takes until a model is in memory, and what reading ahead saves of it.

    python -m benchmarks.start      a few minutes, 5 GB of disk and 14 GB of memory, no network

Stable Video Diffusion at full size, with random weights, is written to the current folder's file
system. Then a fresh process imports the libraries, loads it in half precision and packs it into the
blocks from which it would visit a card, after what is in the operating system's cache of it was
dropped: with reading ahead and without, in turns.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks._report import report
from pipelines.catalog import AnimateModel, Catalog
from pipelines.reading import read_ahead

GOAL = 0.95  # of the time without: that it pays at all
ROUNDS = 3


def _write(folder: Path) -> None:
    import torch

    from benchmarks._full_size import build
    from pipelines.catalog import ModelKey

    pipeline = build(ModelKey.ANIMATE, torch.device("cpu"), torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)


def _forget(folder: Path) -> None:
    """Drop the files from the operating system's cache."""
    for file in folder.rglob("*.safetensors"):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _start(folder: Path, *, ahead: bool) -> None:
    """What the GPU's thread does at a start; prints the seconds that it took."""
    begun = time.perf_counter()
    if ahead:
        read_ahead(Catalog(animate=AnimateModel(source=str(folder))))
    import torch
    from diffusers import StableVideoDiffusionPipeline

    from pipelines.fitting import modules_of
    from pipelines.plan import PAINTER
    from pipelines.weights import Weights

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipeline = StableVideoDiffusionPipeline.from_pretrained(folder, dtype=torch.float16)
    Weights(modules_of(pipeline, PAINTER), device, packed=True)
    print(time.perf_counter() - begun, flush=True)


def _seconds(folder: Path, *, ahead: bool) -> float:
    _forget(folder)
    command = [sys.executable, "-m", "benchmarks.start", f"--child={folder}"]
    if ahead:
        command.append("--ahead")
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main(
    child: Annotated[Path | None, typer.Option(hidden=True)] = None,
    ahead: Annotated[bool, typer.Option("--ahead", hidden=True)] = False,
) -> None:
    """Measure, print, and exit with 1 where reading ahead does not pay."""
    if child is not None:
        _start(child, ahead=ahead)
        return
    times: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        _write(Path(name))
        size = sum(file.stat().st_size for file in Path(name).rglob("*.safetensors")) / 2**30
        for _ in range(ROUNDS):
            for way, taken in times.items():
                taken.append(_seconds(Path(name), ahead=way))
    without, read = (statistics.median(times[way]) for way in (False, True))
    figure = (
        f"{read:.1f} s from nothing to {size:.1f} GiB in memory, {read / without:.2f} of "
        f"{without:.1f} s without reading ahead"
    )
    met = report("start", figure, f"≤ {GOAL}", met=read / without <= GOAL)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    typer.run(main)
