"""What the bot makes of a card: SDXL, SD3.5 Large and Stable Video Diffusion XT at full size.

    python -m benchmarks.gpu                  on a card of 80 GB, no network: as much as ten minutes
                                              (--minutes) allow, much of which compiling takes
    python -m benchmarks.gpu swaps idle       parts of it
    python -m benchmarks.gpu --tiny           the same program on the demo's models, on a CPU

Weights are random (`benchmarks._full_size`): neither speed nor memory depends on them. Printed are

- **cards**: the same models under caps of 8, 12, 16 and 24 GiB, less what CUDA takes beside them,
  one after the other as jobs would come: what a run of four steps takes with a prompt that was not
  asked before (while networks are compiled for speed, if that is measured too), its peak of memory,
  and what is given up. On a CPU, as planned for parts of what each takes at most;
- **speed**: stock diffusers and the bot's Runner in turns, at the same seed, prompt and steps: the
  median of each, the ratio, on an H100 or H200 the fraction of the floor (the arithmetic at an
  H100's peak), the peaks of memory; of both a step, and how long the card computes in it, and what.
  SD3.5 also with `precision = "fp8-fast"`, or as weights are held where the card cannot do that.
  The mean distance of the two pictures, before they are rounded to eight bits, may be twice that of
  stock to itself with another attention kernel;
- **swaps**: weights moved in, as a fraction of what a plain pinned copy reaches;
- **idle**: how long the card has nothing to do between two jobs in the bot's queue, from the last
  kernel that decodes a picture to the first that denoises the next, and for how much of that the
  disk takes down that the next one is begun; and how often the processor waits for the card within
  the steps;
- **recovery**: a video that runs out of memory is made in less, and twenty pictures after it are
  what they were.

Goals of speed are printed on an H100 or H200 alone, those of swaps and idle on any card.
"""

import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks._ahead import AHEAD, compiling
from benchmarks._bench import (
    KEYS,
    NAMES,
    Bench,
    Pixels,
    Seen,
    Stock,
    TimeUp,
    of_full_size,
    of_the_demo,
)
from benchmarks._idle import gaps, synchronisations
from benchmarks._report import report
from benchmarks._step import Step, step_of
from pipelines.catalog import ModelKey
from pipelines.contract.context import Progress, RunContext
from pipelines.contract.errors import AtelierError, OutOfMemory
from pipelines.device import free_caches
from pipelines.loading import Loader, quiet_libraries
from pipelines.plan import GIB, PAINTER, Precision
from pipelines.runner import Runner
from pipelines.weights import Weights

GOALS = {ModelKey.SKETCH: 2.0, ModelKey.IMAGINE: 1.8, ModelKey.ANIMATE: 1.8}  # of stock
FLOORS = {ModelKey.SKETCH: 0.53, ModelKey.IMAGINE: 2.23, ModelKey.ANIMATE: 5.28}  # seconds, H100
CAPS = (8, 12, 16, 24)  # GiB
CONTEXT = 0.6  # GiB of a card that CUDA takes for itself, which a cap does not reckon
WARM = 999  # a seed
SHARES = (1.0, 0.3)  # of what a model takes, on a CPU
TILED = 640  # pixels a side that are more than a tile
FEW = 4  # steps: memory does not depend on how many there are
SWAP_GOAL, IDLE_GOAL = 0.85, 5.0  # of a plain copy; milliseconds
DIFFERENCE_GOAL, ROUNDING = 2.0, 1e-6  # of stock's own difference; what float32 cannot tell apart
AFTERWARDS, WAITING = 20, 8  # jobs
NO_ROOM = "stock does not fit this card"


# --- speed --------------------------------------------------------------------------------------


class Made(NamedTuple):
    """A run."""

    seconds: float
    peak: float
    pixels: Pixels


def speed(bench: Bench) -> Iterator[bool]:
    """Each model of stock diffusers and of ours; those that take longest to compile last."""
    floor = f"{'of floor':>10}" if bench.has_goals else ""
    peaks = f"{'GiB, stock':>12}{'ours':>7}" if bench.on_card else ""
    print(f"{'':16}{'stock':>11}{'ours':>11}{'ratio':>8}{floor}{peaks}")
    timed: dict[ModelKey, tuple[float, Step] | None] = {}
    for key in sorted(KEYS, key=AHEAD.__contains__):
        bench.require_time()
        timed[key] = yield from _compare(bench, key)
        free_caches(bench.device)
    if (stock := timed.get(ModelKey.IMAGINE)) is not None:
        bench.require_time()
        _in_fp8(bench, *stock)


def _compare(bench: Bench, key: ModelKey) -> Generator[bool, None, tuple[float, Step] | None]:
    """Stock and ours in turns, and what a step of each is made of.

    Returns the seconds and the step of stock's, where it fits this card.
    """
    seen = Seen()
    runner, stock = bench.runner(watch=seen.watch), Stock(bench, key, seen)
    old: list[Made] = []
    new: list[Made] = []
    try:
        _ready(bench, key, runner, seen)
        bench.settle()
        _of_stock(bench.hurried(2), key, WARM, stock, runner, seen)  # chooses its kernels
        for seed in range(bench.rounds):
            old.append(_of_stock(bench, key, seed, stock, runner, seen))
            new.append(_of_ours(bench, key, seed, runner, seen))
        with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
            other = _of_stock(bench, key, seed, stock, runner, seen)
        with stock.there() as pipeline:
            run = partial(bench.stock, pipeline, key, WARM)
            before = step_of(bench, bench.steps(key), run)
        after = _our_step(bench, key, runner)
    except torch.OutOfMemoryError:
        seconds = _of_ours(bench, key, 0, runner, seen).seconds
        print(f"{NAMES[key]:16}{NO_ROOM}; ours takes {seconds:.2f} s", flush=True)
        return None
    finally:
        runner.close()
    took, takes = (statistics.median(made.seconds for made in each) for each in (old, new))
    floor = f"{FLOORS[key] / takes:10.0%}" if bench.has_goals else ""
    alone = old[0].peak  # before ours was beside it
    peaks = f"{alone:12.1f}{new[-1].peak:7.1f}" if bench.on_card else ""
    ratio = took / takes
    _print(NAMES[key], f"{took:9.2f} s{takes:9.2f} s{ratio:7.2f}×{floor}{peaks}", before, after)
    if bench.has_goals:
        figure, goal = f"{ratio:.2f}× as fast as stock", f"≥ {GOALS[key]}×"
        yield report(f"gpu, {NAMES[key]}", figure, goal, met=ratio >= GOALS[key])
    far, usual = (
        float(np.abs(each.pixels - old[-1].pixels).mean(dtype=np.float64))
        for each in (new[-1], other)
    )
    yield report(
        f"gpu, {NAMES[key]}",
        f"differs from stock by {far:.1e}, and stock by {usual:.1e} with another kernel",
        f"≤ {DIFFERENCE_GOAL:g}×",
        met=far <= max(DIFFERENCE_GOAL * usual, ROUNDING),
    )
    return took, before


def _in_fp8(bench: Bench, took: float, before: Step) -> None:
    """SD3.5 with its weights in fp8, beside stock's seconds and step."""
    bench, seen = bench.kept_in(Precision.FP8_FAST), Seen()
    runner = bench.runner(watch=seen.watch)
    kept = runner.plans()[ModelKey.IMAGINE].groups[PAINTER].precision
    takes = _of_ours(bench, ModelKey.IMAGINE, 0, runner, seen).seconds
    step = _our_step(bench, ModelKey.IMAGINE, runner)
    runner.close()
    _print(f"SD3.5, {kept}", f"{took:9.2f} s{takes:9.2f} s{took / takes:7.2f}×", before, step)


def _print(name: str, whole: str, before: Step, after: Step) -> None:
    """Rows of a model: what was said of the whole run, and a step of stock's and of ours."""
    print(f"{name:16}{whole}")
    ratio = before.took / after.took
    print(f"{'  a step':16}{before.took:8.1f} ms{after.took:8.1f} ms{ratio:7.2f}×")
    for whose, step in ("stock", before), ("ours", after):
        if step.kernels:
            print(f"    {whose:12}{step.in_words()}")
    sys.stdout.flush()


def _our_step(bench: Bench, key: ModelKey, runner: Runner) -> Step:
    def run(hear: Callable[[int], None]) -> None:
        request = bench.request(key, WARM)
        runner.run([request], RunContext(lambda done: hear(done.step) if done.step else None))

    return step_of(bench, bench.steps(key), run)


def _of_stock(
    bench: Bench, key: ModelKey, seed: int, stock: Stock, runner: Runner, seen: Seen
) -> Made:
    """Stock beside ours, else alone on the card. Raises torch.OutOfMemoryError."""
    try:
        with stock.there() as pipeline:
            return _made(bench, lambda: bench.stock(pipeline, key, seed), seen)
    except torch.OutOfMemoryError:
        seen.decoded.clear()
    runner.evict()
    with stock.there() as pipeline:
        return _made(bench, lambda: bench.stock(pipeline, key, seed), seen)


def _of_ours(bench: Bench, key: ModelKey, seed: int, runner: Runner, seen: Seen) -> Made:
    _ready(bench, key, runner, seen)
    request = bench.request(key, seed)
    return _made(bench, lambda: runner.run([request], RunContext()), seen)


def _ready(bench: Bench, key: ModelKey, runner: Runner, seen: Seen) -> None:
    """Have a model read, compiled and recorded, if it is not on the card."""
    if key not in runner.resident():
        runner.run([bench.request(key, WARM)], RunContext())
        seen.decoded.clear()


def _made(bench: Bench, run: Callable[[], object], seen: Seen) -> Made:
    bench.forget_peak()
    seconds, _ = bench.timed(run)
    return Made(seconds, bench.peak(), seen.take())


# --- cards --------------------------------------------------------------------------------------


def cards(bench: Bench) -> Iterator[bool]:
    """The same models on smaller cards."""
    peak = f"{'peak':>7}" if bench.on_card else ""
    print(f"{'':20}{'seconds':>9}{'planned':>9}{peak}  GiB; given up")
    done = list(_on_cards(bench.quick(FEW)) if bench.on_card else _as_planned(bench))
    figure = f"{sum(done)} of {len(done)} runs completed"
    yield report("gpu, cards", figure, "all", met=all(done))


def _on_cards(bench: Bench) -> Iterator[bool]:
    total = torch.cuda.get_device_properties(bench.device).total_memory
    caps: list[int | None] = [gib for gib in CAPS if gib * GIB < total]
    for gib in caps if len(caps) == len(CAPS) else [*caps, None]:
        with _cap(bench, None if gib is None else gib - CONTEXT):
            runner = _uncapped_while_built(bench).runner(None if gib is None else gib - 1)
            for key in KEYS:
                yield _line(bench, runner, key, "no cap" if gib is None else f"{gib} GiB")
            runner.close()


def _as_planned(bench: Bench) -> Iterator[bool]:
    """SDXL's pictures are larger than a tile; the demo's SD3 could not paint such."""
    catalog = bench.quick(2).catalog
    assert catalog.sketch is not None
    large = catalog.sketch.model_copy(update={"size": TILED})
    bench = replace(bench, catalog=catalog.model_copy(update={"sketch": large}))
    whole = bench.runner().plans()
    for share in SHARES:
        for key in KEYS:
            runner = bench.runner(share * whole[key].peak / GIB)
            yield _line(bench, runner, key, f"{share:.0%}")
            runner.close()


def _uncapped_while_built(bench: Bench) -> Bench:
    """Random weights are made on the card, which takes them whole."""

    def load(key: ModelKey, loader: Loader) -> Any:
        with _cap(bench, None):
            return bench.load(key, loader)

    return replace(bench, load=load)


@contextmanager
def _cap(bench: Bench, gib: float | None) -> Iterator[None]:
    """Let this process have no more than `gib` of the card until the block ends."""
    total = torch.cuda.get_device_properties(bench.device).total_memory
    before = torch.cuda.get_per_process_memory_fraction(bench.device)
    free_caches(bench.device)
    torch.cuda.set_per_process_memory_fraction(
        1.0 if gib is None else min(1.0, gib * GIB / total), bench.device
    )
    try:
        yield
    finally:
        free_caches(bench.device)
        torch.cuda.set_per_process_memory_fraction(before, bench.device)


def _line(bench: Bench, runner: Runner, key: ModelKey, card: str) -> bool:
    """Two runs, of which the second has its weights in RAM; the second is told of."""
    bench.require_time()
    name = f"{card:8}{NAMES[key]:12}"
    planned = runner.plans()[key]
    try:
        runner.run([bench.request(key, 1)], RunContext())
        bench.forget_peak()
        seconds, _ = bench.timed(lambda: runner.run([bench.request(key, 2)], RunContext()))
    except AtelierError as error:
        why = error.__cause__ or error.sentence
        print(f"{name}not made in {planned.peak / GIB:.2f} GiB: {why}"[:160], flush=True)
        return False
    plan = runner.plans()[key]
    peak = f"{bench.peak():7.1f}" if bench.on_card else ""
    given_up = "; ".join(plan.given_up) or "nothing"
    if plan is not planned:
        given_up += ", after memory ran out"
    print(f"{name}{seconds:8.1f}s{plan.peak / GIB:9.2f}{peak}  {given_up}", flush=True)
    return True


# --- swaps, recovery, idle ----------------------------------------------------------------------


def swaps(bench: Bench) -> Iterator[bool]:
    """How fast weights come in, beside a plain copy of as many pinned bytes."""
    bench.settle()
    pipeline = bench.load(ModelKey.SKETCH, Loader(bench.device))
    weights = Weights([pipeline.unet], bench.device, packed=True)
    plain = torch.empty(weights.size, dtype=torch.uint8, pin_memory=bench.on_card)
    there = torch.empty_like(plain, device=bench.device)
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(5):
        for name, move in (
            ("plain", lambda: there.copy_(plain, non_blocking=True)),
            ("ours", weights.move_in),
        ):
            bench.wait()
            begun = time.perf_counter()
            move()
            bench.wait()
            times[name].append(time.perf_counter() - begun)
            weights.move_out()
    copied, moved = (statistics.median(times[name][1:]) for name in ("plain", "ours"))
    figure = f"{weights.size / moved / GIB:.1f} GiB/s, {copied / moved:.0%} of a plain copy"
    if bench.on_card:
        met = copied / moved >= SWAP_GOAL
        yield report("gpu, swaps", figure, f"≥ {SWAP_GOAL:.0%}", met=met)
    else:
        print(f"gpu, swaps: {figure}, within RAM")


def recovery(bench: Bench) -> Iterator[bool]:
    """A run for which memory runs out half-way, and those after it."""
    bench.settle()  # its memory runs out for all on the card
    bench, seen = bench.quick(FEW), Seen()
    runner = bench.runner(watch=seen.watch)
    before = _of_ours(bench, ModelKey.IMAGINE, 1, runner, seen).pixels
    whole = runner.plans()[ModelKey.ANIMATE].peak
    failures = iter([_fill])

    def listen(progress: Progress) -> None:
        if progress.step == 2:
            next(failures, lambda bench: None)(bench)

    try:
        runner.run([bench.request(ModelKey.ANIMATE, 1)], RunContext(listen))
        less = runner.plans()[ModelKey.ANIMATE].peak
        how = f"made in {less / GIB:.2f} GiB instead of {whole / GIB:.2f}"
    except OutOfMemory:
        less, how = whole, "not made"
    seen.decoded.clear()
    same = [
        float(np.abs(_of_ours(bench, ModelKey.IMAGINE, 1, runner, seen).pixels - before).mean())
        < 1e-3
        for _ in range(AFTERWARDS)
    ]
    runner.close()
    figure = f"a video {how}, {sum(same)} of {len(same)} pictures after it as before"
    yield report("gpu, recovery", figure, "all", met=less < whole and all(same))


def _fill(bench: Bench) -> None:
    """Run out of memory."""
    taken = []
    while bench.on_card:
        taken.append(torch.empty(GIB, dtype=torch.uint8, device=bench.device))
    raise torch.OutOfMemoryError("as a card would say")


def idle(bench: Bench) -> Iterator[bool]:
    """What is between two jobs, and within the steps of one."""
    bench.settle()
    bench = bench.quick(FEW)
    between, leases = asyncio.run(gaps(bench, WAITING))
    middle, lease = statistics.median(between), statistics.median(leases)
    figure = (
        f"{middle:.1f} ms between two of {WAITING} jobs, {lease:.1f} of them for the disk, "
        f"{max(between):.1f} ms at most"
    )
    if not bench.on_card:
        print(f"gpu, idle: {figure}")
        return
    yield report("gpu, idle", figure, f"≤ {IDLE_GOAL:g} ms", met=middle <= IDLE_GOAL)
    runner = bench.runner()
    for key in KEYS:
        request = bench.request(key, 1)
        runner.run([request], RunContext())
        count = synchronisations(partial(runner.run, [request]))
        name = f"gpu, steps of {NAMES[key]}"
        yield report(name, f"{count} synchronisations", "0", met=count == 0)
    runner.close()


# --- the command --------------------------------------------------------------------------------


class Part(StrEnum):
    """What can be measured by itself."""

    CARDS = "cards"
    SPEED = "speed"
    SWAPS = "swaps"
    IDLE = "idle"
    RECOVERY = "recovery"


PARTS: dict[Part, Callable[[Bench], Iterator[bool]]] = {
    Part.CARDS: cards,  # first: what others leave on the card would count
    Part.SPEED: speed,
    Part.SWAPS: swaps,
    Part.IDLE: idle,
    Part.RECOVERY: recovery,
}
"""Each prints what it measures, and yields whether each of its goals is met."""


@contextmanager
def _no_log() -> Iterator[None]:
    """What goes wrong is in the tables, and not in between."""
    log = logging.getLogger("pipelines")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def _measured(part: Part, bench: Bench) -> Iterator[bool]:
    begun = time.perf_counter()
    try:
        bench.require_time()
        yield from PARTS[part](bench)
        how = "in"
    except TimeUp:
        how = f"the time is up: python -m benchmarks.gpu {part} measures it alone; cut short after"
    print(f"{part}: {how} {time.perf_counter() - begun:.0f} s\n", flush=True)


def main(
    parts: Annotated[list[Part] | None, typer.Argument(help="All, if none is named.")] = None,
    tiny: Annotated[bool, typer.Option(help="On the demo's models and a CPU.")] = False,
    minutes: Annotated[float, typer.Option(help="After which nothing more is begun.")] = 10.0,
) -> None:
    """Measure, print, and exit with 1 where a goal is missed."""
    quiet_libraries()
    if not tiny and not torch.cuda.is_available():
        raise SystemExit(
            "There is no CUDA device here. `python -m benchmarks.gpu --tiny` tries it."
        )
    with tempfile.TemporaryDirectory() as name, _no_log():
        folder = Path(name)
        card = torch.device("cuda", 0)
        bench = of_the_demo(folder) if tiny else of_full_size(card, folder)
        bench = replace(bench, until=time.perf_counter() + 60 * minutes)
        wanted = parts or list(Part)
        with compiling(bench) if Part.SPEED in wanted else nullcontext(lambda: None) as settle:
            bench = replace(bench, settle=settle)
            met = [each for part in wanted for each in _measured(part, bench)]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    typer.run(main)
