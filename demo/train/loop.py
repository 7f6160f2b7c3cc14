"""The one training loop: seeded step by step, so that an interrupted run ends as another would."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from demo.train.room import OutOfTimeError, Room

log = logging.getLogger(__name__)

SAVE_EVERY = 60.0  # seconds
LOG_EVERY = 50  # steps
ROUGH = 0.97  # of the steps are done in bfloat16, which takes half the time
Loss = Callable[[int], Tensor]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast. The rate warms up, then falls along a cosine to a fiftieth."""

    steps: int
    rate: float = 1e-3
    warm: int = 200
    decay: float = 0.01
    average: float = 0.999
    """How slowly the exponential moving average of the weights, which is kept, follows."""


def fit(name: str, model: nn.Module, loss: Loss, recipe: Recipe, room: Room) -> None:
    """Train `model` by `loss`, which is given the step's number and may draw random numbers.

    Afterwards `model` holds the averaged weights. Goes on from what `name` left in the room's
    state. Raises OutOfTimeError.
    """
    run = _Run(model, recipe, room, room.state / f"{name}.pt")
    run.resume()
    if room.compiled:
        for part in model if isinstance(model, nn.ModuleList) else (model,):
            part.compile(dynamic=False)
    with _bar() as bar, _quick_attention(room):
        task = bar.add_task(name, total=run.steps, completed=run.step, loss="")
        mean, saved = math.nan, time.monotonic()
        while run.step < run.steps:
            value = run.advance(loss)
            mean = value if math.isnan(mean) else 0.98 * mean + 0.02 * value
            bar.update(task, completed=run.step, loss=f"{mean:.4f}")
            if run.step % LOG_EVERY == 0:
                log.info("%s step %d of %d: loss %.5f", name, run.step, run.steps, mean)
            if time.monotonic() - saved > SAVE_EVERY or room.is_out_of_time:
                run.save()
                saved = time.monotonic()
            if room.is_out_of_time and run.step < run.steps:
                raise OutOfTimeError(name)
    run.save()
    model.load_state_dict(run.averaged)
    model.eval().requires_grad_(False)


class _Run:
    """A model on its way, with all that has to be saved with it."""

    def __init__(self, model: nn.Module, recipe: Recipe, room: Room, path: Path) -> None:
        self.model = model.to(room.device).train()
        self.recipe = recipe
        self.room = room
        self.path = path
        self.step = 0
        self.steps = max(1, round(recipe.steps * room.scale))
        self.averaged = {key: value.clone() for key, value in model.state_dict().items()}
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, recipe.rate, (0.9, 0.99), 1e-8, recipe.decay, fused=True
        )

    def advance(self, loss: Loss) -> float:
        """One step; returns its loss."""
        torch.manual_seed(self.room.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.zero_grad(set_to_none=True)
        rough = self.step < ROUGH * self.steps
        with torch.autocast(self.room.device.type, torch.bfloat16, enabled=rough):
            value = loss(self.step)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._average()
        return value.item()

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / self.recipe.warm)
        fallen = 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        return self.recipe.rate * warm * (0.02 + 0.98 * fallen)

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        for key, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.averaged[key].lerp_(value, 1 - keep)
            else:
                self.averaged[key].copy_(value)

    def save(self) -> None:
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)

    def resume(self) -> None:
        if not self.path.exists():
            return
        state: dict[str, Any] = torch.load(
            self.path, map_location=self.room.device, weights_only=True
        )
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.averaged = state["averaged"]
        self.optimizer.load_state_dict(state["optimizer"])
        log.info("resumed %s at step %d", self.path.stem, self.step)


@contextmanager
def _quick_attention(room: Room) -> Iterator[None]:
    """On a CPU, attention as plain products of matrices.

    There the fused kernel is slow backwards in bfloat16, and was the dearest part of a step.
    """
    if room.device.type != "cpu":
        yield
        return
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # for CPUs too, despite the name
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(False)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
