"""A denoising step of a run: how long it takes, and what the card computes in it."""

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from torch.profiler import ProfilerActivity, profile

from benchmarks._bench import Bench
from pipelines.contract.errors import Cancelled

_ATTENTION: Final = ("sdpa", "flash", "fmha", "attention")
_PRODUCTS: Final = ("gemm", "nvjet", "cutlass", "xmma", "cublas", "conv", "fprop")
_LOOKED_INTO: Final = 2  # steps: each has thousands of kernels


@dataclass(frozen=True, slots=True)
class Step:
    """The milliseconds of a step, and those of each of its kernels, where there is a card."""

    took: float
    kernels: dict[str, float]

    def in_words(self) -> str:
        """How long the card computes, and which part of it is products, and which attention."""
        kinds: defaultdict[str, float] = defaultdict(float)
        for name, took in self.kernels.items():
            kinds[kind_of(name)] += took
        largest_first = sorted(kinds.items(), key=lambda part: part[1], reverse=True)
        parts = ", ".join(f"{kind} {took:.1f}" for kind, took in largest_first)
        return f"the card computes for {sum(self.kernels.values()):.1f} ms: {parts}"


def kind_of(kernel: str) -> str:
    """What a CUDA kernel computes, by its name."""
    name = kernel.lower()
    if name.startswith("triton_"):  # named after all that was fused into it
        return "the rest"
    if any(part in name for part in _ATTENTION):
        return "attention"
    return "products" if any(part in name for part in _PRODUCTS) else "the rest"


def step_of(bench: Bench, steps: int, run: Callable[[Callable[[int], None]], object]) -> Step:
    """A step of a run of so many, timed from an eighth of them on up to half-way.

    `run` tells how many steps are launched, and is ended when a few more were looked into.
    """
    watch = _Watch(bench, first=max(1, steps // 8), middle=max(2, steps // 2))
    with suppress(Cancelled):
        run(watch.hear)
    return watch.step()


@dataclass(slots=True)
class _Watch:
    """What goes on between certain steps."""

    bench: Bench
    first: int
    middle: int
    ends: list[float] = field(default_factory=list)
    seen: Any = None

    def hear(self, launched: int) -> None:
        """A step is launched. Raises Cancelled when all was seen."""
        if launched in (self.first, self.middle):
            self.bench.wait()
            self.ends.append(time.perf_counter())
        if launched == self.middle and self.bench.on_card:
            self.seen = profile(activities=[ProfilerActivity.CUDA], acc_events=True)
            self.seen.start()
        elif launched >= self.middle + _LOOKED_INTO * self.bench.on_card:
            self.bench.wait()
            if self.seen is not None:
                self.seen.stop()
            raise Cancelled

    def step(self) -> Step:
        """Raises ValueError where the run had not so many steps."""
        begun, ended = self.ends
        took = 1000 * (ended - begun) / (self.middle - self.first)
        events = [] if self.seen is None else self.seen.key_averages()
        return Step(
            took,
            {
                event.key: event.self_device_time_total / 1000 / _LOOKED_INTO
                for event in events
                if event.device_type.name == "CUDA"
            },
        )
