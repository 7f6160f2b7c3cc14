"""`python -m demo.train`: make the demo's models, or go on with making them."""

import logging
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from demo.train.room import OutOfTimeError, Room
from demo.train.stages import STAGES, MissingStageError, run
from pipelines.loading import quiet_libraries

HERE = Path(__file__).parent


def main(
    stages: Annotated[
        list[str] | None, typer.Argument(help=f"All, or some of: {', '.join(STAGES)}.")
    ] = None,
    state: Annotated[
        Path, typer.Option(help="Where training goes on from, and what it computed before.")
    ] = HERE / ".state",
    weights: Annotated[Path, typer.Option(help="Where the models go.")] = HERE.parent / "weights",
    device: Annotated[str, typer.Option(help="cpu, or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="What all chance comes from.")] = 1,
    minutes: Annotated[float, typer.Option(help="Stop after so long; run again to go on.")] = 1e9,
    scale: Annotated[
        float, typer.Option(help="How long to train: 0.01 to try it out, 3 on a GPU.")
    ] = 1.0,
    onwards: Annotated[
        bool, typer.Option("--onwards", help="Begin with the models that are there already.")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile networks first; needs a C++ compiler.")
    ] = False,
    threads: Annotated[int, typer.Option(help="How many CPU threads.")] = 2,
) -> None:
    """Make the demo's models, stage by stage. An interrupted run goes on where it stopped."""
    unknown = sorted(set(stages or ()) - set(STAGES))
    if unknown:
        raise typer.BadParameter(f"There is no stage {unknown[0]}. There are: {', '.join(STAGES)}.")
    torch.set_num_threads(threads)
    _log_to(state / "train.log")
    room = Room(
        state=state,
        weights=weights,
        device=torch.device(device),
        seed=seed,
        deadline=time.monotonic() + 60 * minutes,
        scale=scale,
        compiled=compiled,
        onwards=onwards,
    )
    try:
        for name in stages or STAGES:
            run(name, room)
    except OutOfTimeError as stage:
        print(f"Out of time in {stage}. The same command goes on from there.")
    except MissingStageError as missing:
        raise SystemExit(str(missing)) from None


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.captureWarnings(capture=True)
    quiet_libraries()


if __name__ == "__main__":
    typer.run(main)
