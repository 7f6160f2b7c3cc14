"""What the bot makes of a card: SDXL, SD3.5 Large and Stable Video Diffusion XT at full size.

    python -m benchmarks.gpu                  about ten minutes on a card of 80 GB, no network
    python -m benchmarks.gpu cards swaps      parts of it
    python -m benchmarks.gpu --tiny           the same program on the demo's models, on a CPU

Weights are random (`benchmarks._full_size`): neither speed nor memory depends on them. Printed are

- **steps**: one denoising step of each model, stock and ours, and how much of it the card computes;
- **speed**: stock diffusers and ours in turns, at the same seed and steps; the median of each, the
  ratio, the fraction of the floor (the arithmetic at the card's peak, H100 alone), the peak of
  memory, and the distance of the two pictures beside that of stock to itself with another attention
  kernel;
- **cards**: the same models under caps of 8, 12, 16 and 24 GiB, one after the other as jobs would
  come: what a run of four steps takes, its peak of memory, and what is given up;
- **swaps**: weights moved in, as a fraction of what a plain pinned copy reaches;
- **recovery**: a job that runs out of memory, and twenty after it.

How long the GPU has nothing to do between two waiting jobs is measured by benchmarks.overhead.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from benchmarks._full_size import build
from benchmarks._report import report
from pipelines import animate, imagine, sketch
from pipelines.catalog import Acceleration, AnimateModel, Catalog, ImagineModel, ModelKey
from pipelines.catalog import SketchModel as Sdxl
from pipelines.contract.context import RunContext
from pipelines.device import card_of, free_caches
from pipelines.fitting import denoiser_of
from pipelines.loading import Loader, quiet_libraries
from pipelines.models import Models, Question
from pipelines.placement import GIB, TEXT, Precision
from pipelines.runner import LOADERS
from pipelines.weights import Weights

PROMPT = "a red star on a blue background"
KEYS = (ModelKey.SKETCH, ModelKey.IMAGINE, ModelKey.ANIMATE)
NAMES = {ModelKey.SKETCH: "SDXL", ModelKey.IMAGINE: "SD3.5 Large", ModelKey.ANIMATE: "SVD-XT"}
GOALS = {ModelKey.SKETCH: 2.0, ModelKey.IMAGINE: 1.8, ModelKey.ANIMATE: 1.8}  # of stock, on an H100
FLOORS = {ModelKey.SKETCH: 0.53, ModelKey.IMAGINE: 2.23, ModelKey.ANIMATE: 5.28}  # seconds, H100
CAPS = (8, 12, 16, 24)  # GiB
CAPPED_STEPS = 4  # memory does not depend on how many there are
SWAP_GOAL = 0.85
FULL = Catalog(
    sketch=Sdxl(source="./sdxl", steps=30),
    imagine=ImagineModel(source="./sd3", steps=28),
    animate=AnimateModel(source="./svd", steps=25),
    acceleration=Acceleration(compile=True),
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured, and on what. `load` makes the stock pipeline of a model, in RAM."""

    catalog: Catalog
    device: torch.device
    load: Callable[[ModelKey, Precision], Any]
    rounds: int

    @property
    def has_goals(self) -> bool:
        """Whether this is the real thing."""
        return self.device.type == "cuda"

    def models(self, gib: float = inf) -> Models:
        """Ours, on a card of at most `gib`."""
        card = card_of(self.device, None)
        card = replace(card, budget=min(card.budget, (gib - 1) * GIB), ram=inf)
        return Models(
            self.catalog, card, Loader(self.device), {key: self._loading(key) for key in KEYS}
        )

    def _loading(self, key: ModelKey) -> Callable[[Any, Loader], Any]:
        return lambda model, loader: self.load(key, loader.precision)

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


Pixels = NDArray[np.float32]
T = TypeVar("T")


def ours(models: Models, catalog: Catalog, key: ModelKey, seed: int) -> Pixels:
    """A picture or a video, made as the bot makes it."""
    context = RunContext()
    if key is ModelKey.IMAGINE:
        assert catalog.imagine is not None
        size = (catalog.imagine.size, catalog.imagine.size)
        return _pixels(
            imagine.paint(catalog.imagine, models, context, prompt=PROMPT, size=size, seeds=[seed])
        )
    if key is ModelKey.SKETCH:
        model = catalog.sketch
        assert model is not None
        told = models.answer(
            key,
            TEXT,
            context,
            Question(
                PROMPT,
                lambda pipeline: sketch.encode(
                    pipeline, models.device, model, prompt=PROMPT, negative=""
                ),
            ),
        )
        with models.use(key) as pipeline:
            lines = Image.new("L", (model.size, model.size))
            return _pixels(
                [
                    sketch.paint(
                        pipeline, model, context, told=told, lines=lines, strength=0, seed=seed
                    )
                ]
            )
    assert catalog.animate is not None
    chunk = models.plans[key].decode_chunk or catalog.animate.decode_chunk
    with models.use(key) as pipeline:
        first = _first(catalog.animate)
        return _pixels(animate.move(pipeline, catalog.animate, context, first, 127, seed, chunk))


def stock(pipeline: Any, catalog: Catalog, key: ModelKey, seed: int) -> Pixels:
    """The same by diffusers alone."""
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        if key is ModelKey.ANIMATE:
            video = catalog.animate
            assert video is not None
            made = pipeline(
                _first(video),
                width=video.width,
                height=video.height,
                num_frames=video.frames,
                num_inference_steps=video.steps,
                min_guidance_scale=video.min_guidance,
                max_guidance_scale=video.max_guidance,
                fps=video.fps,
                motion_bucket_id=127,
                noise_aug_strength=video.noise,
                decode_chunk_size=video.decode_chunk,
                generator=generator,
            )
            return _pixels(made.frames[0])
        model = catalog.sketch if key is ModelKey.SKETCH else catalog.imagine
        assert model is not None
        more = {"max_sequence_length": model.text_tokens} if isinstance(model, ImagineModel) else {}
        made = pipeline(
            PROMPT,
            width=model.size,
            height=model.size,
            num_inference_steps=model.steps,
            guidance_scale=model.guidance,
            generator=generator,
            **more,
        )
        return _pixels(made.images)


def _first(model: AnimateModel) -> Image.Image:
    return Image.linear_gradient("L").convert("RGB").resize((model.width, model.height))


def _pixels(images: list[Image.Image]) -> Pixels:
    return np.asarray([np.asarray(image) for image in images], np.float32) / np.float32(255)


# --- what is measured ---------------------------------------------------------------------------


def steps(bench: Bench) -> bool:
    """The denoisers alone, on what the stock pipelines give them."""
    print(f"{'':12}{'stock':>11}{'busy':>9}{'ours':>11}{'busy':>9}{'ratio':>8}")
    for key in KEYS:
        pipeline, models = bench.load(key, Precision.FULL).to(bench.device), bench.models()
        given: list[Given] = []
        stock_net = denoiser_of(pipeline)
        hook = stock_net.register_forward_pre_hook(
            lambda net, args, kwargs, given=given: given.append((args, kwargs)), with_kwargs=True
        )
        stock(pipeline, bench.catalog.hurried(), key, 7)
        hook.remove()
        old, busy = _step(bench, stock_net, given[0])
        with models.use(key) as prepared:
            new, less = _step(bench, denoiser_of(prepared), given[0])
        print(f"{NAMES[key]:12}{old:8.1f} ms{busy:9.1f}{new:8.1f} ms{less:9.1f}{old / new:7.2f}×")
        models.clear()
        free_caches(bench.device)
    return True


Given = tuple[tuple[Any, ...], dict[str, Any]]


@torch.inference_mode()
def _step(bench: Bench, net: Any, given: Given) -> tuple[float, float]:
    """Milliseconds of a call of many in a row, and those of it in which the card computes."""
    args, kwargs = given
    for _ in range(3):  # compiles, and records
        net(*args, **kwargs)
    many = 10 if bench.has_goals else 1
    seconds, _ = _timed(bench, lambda: [net(*args, **kwargs) for _ in range(many)])
    if not bench.has_goals:
        return 1000 * seconds / many, 0.0
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        _timed(bench, lambda: net(*args, **kwargs))
    return 1000 * seconds / many, sum(e.self_device_time_total for e in seen.key_averages()) / 1000


def speed(bench: Bench) -> Iterator[bool]:
    """Stock and ours in turns, for each model."""
    print(f"{'':12}{'stock':>9}{'ours':>9}{'ratio':>8}{'of floor':>10}{'peak GiB':>10}  difference")
    for key in KEYS:
        ratio = _compare(bench, key)
        free_caches(bench.device)
        if bench.has_goals:
            goal = GOALS[key]
            figure = f"{ratio:.2f}× stock"
            yield report(f"gpu, {NAMES[key]}", figure, f"≥ {goal}×", met=ratio >= goal)


def _compare(bench: Bench, key: ModelKey) -> float:
    """Print a line; return by how much ours is quicker."""
    models, pipeline = bench.models(), bench.load(key, Precision.FULL).to(bench.device)
    pipeline.set_progress_bar_config(disable=True)
    ways: dict[str, Callable[[], Pixels]] = {
        "stock": lambda: stock(pipeline, bench.catalog, key, 7),
        "ours": lambda: ours(models, bench.catalog, key, 7),
    }
    ways["ours"]()  # compiles
    times: dict[str, list[float]] = {name: [] for name in ways}
    made: dict[str, Pixels] = {}
    for _ in range(bench.rounds):
        for name, run in ways.items():
            _reset_peak(bench)
            seconds, made[name] = _timed(bench, run)
            times[name].append(seconds)
    peak = _peak(bench)  # of ours, which ran last
    with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        other = ways["stock"]()
    old, new = (statistics.median(times[name]) for name in ways)
    far, usual = (float(np.abs(each - made["stock"]).mean()) for each in (made["ours"], other))
    floor = f"{FLOORS[key] / new:.0%}" if bench.has_goals else "-"
    print(
        f"{NAMES[key]:12}{old:8.2f}s{new:8.2f}s{old / new:7.2f}×{floor:>10}{peak:10.1f}"
        f"  {far:.5f} ({usual:.5f} with another kernel)"
    )
    models.clear()
    return old / new


def _timed(bench: Bench, run: Callable[[], T]) -> tuple[float, T]:
    bench.wait()
    begun = time.perf_counter()
    made = run()
    bench.wait()
    return time.perf_counter() - begun, made


def cards(bench: Bench) -> bool:
    """The same models on smaller cards."""
    if bench.device.type != "cuda":
        return _on_a_card(bench, None)
    plain = bench.catalog.model_copy(update={"acceleration": Acceleration()})
    hurried = replace(bench, catalog=plain.hurried(CAPPED_STEPS))
    done = [_on_a_card(hurried, gib) for gib in CAPS]
    return all(done)


def _on_a_card(bench: Bench, gib: float | None) -> bool:
    """One run of each model, under a cap of `gib`."""
    load = bench.load

    def uncapped(key: ModelKey, precision: Precision) -> Any:
        with _cap(bench, None):  # random weights are made on the card, which takes them whole
            return load(key, precision)

    with _cap(bench, gib):
        models = replace(bench, load=uncapped).models(inf if gib is None else gib)
        done = [_line(bench, models, key, gib) for key in KEYS]
        models.clear()
    return all(done)


@contextmanager
def _cap(bench: Bench, gib: float | None) -> Iterator[None]:
    """Let this process have no more than `gib` of the card until the block ends."""
    if bench.device.type != "cuda":
        yield
        return
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


def _line(bench: Bench, models: Models, key: ModelKey, gib: float | None) -> bool:
    """Two runs, of which the second has its weights in RAM; the second is told of.

    Where memory runs out, once more in less of it, as the bot does.
    """
    name = f"{f'{gib:.0f} GiB' if gib else 'no cap':8}{NAMES[key]:12}"
    try:
        ours(models, bench.catalog, key, 1)
    except torch.OutOfMemoryError as error:
        print(f"{name}ran out of {models.plans[key].peak / GIB:.1f} GiB: {error}"[:160])
        models.evict_idle()
        free_caches(bench.device)
        if not models.step_down():
            return False
        ours(models, bench.catalog, key, 1)
    _reset_peak(bench)
    seconds, made = _timed(bench, lambda: ours(models, bench.catalog, key, 2))
    given_up = "; ".join(models.plans[key].given_up) or "nothing"
    print(f"{name}{seconds:8.1f} s {_peak(bench):6.1f} GiB  given up: {given_up}", flush=True)
    return bool(made.size)


def swaps(bench: Bench) -> bool:
    """How fast weights come in, beside a plain copy of as many pinned bytes."""
    pipeline = bench.load(ModelKey.SKETCH, Precision.FULL)
    weights = Weights([pipeline.unet], bench.device, packed=True)
    pinned = bench.device.type == "cuda"
    plain = torch.empty(weights.size, dtype=torch.uint8, pin_memory=pinned)
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
    speed_of = f"{weights.size / moved / GIB:.1f} GiB/s, {copied / moved:.0%} of a plain copy"
    return report("gpu, swaps", speed_of, f"≥ {SWAP_GOAL:.0%}", met=copied / moved >= SWAP_GOAL)


def recovery(bench: Bench) -> bool:
    """A run that fails half-way, and twenty after it that are as ever."""
    models = bench.models()
    before = ours(models, bench.catalog, ModelKey.IMAGINE, 1)
    try:
        with models.use(ModelKey.IMAGINE):
            _fill(bench)
    except torch.OutOfMemoryError:
        models.evict_idle()
        free_caches(bench.device)
        models.step_down()
    same = []
    for _ in range(20 if bench.has_goals else 3):
        after = ours(models, bench.catalog, ModelKey.IMAGINE, 1)
        same.append(bool(np.abs(after - before).mean() < 0.05))
    figure = f"{sum(same)} of {len(same)} as ever after running out of memory"
    return report("gpu, recovery", figure, "all", met=all(same))


def _fill(bench: Bench) -> None:
    """Run out of memory."""
    if bench.device.type == "cuda":
        torch.empty(2**50, dtype=torch.uint8, device=bench.device)
    raise torch.OutOfMemoryError("as a card would say")


def _reset_peak(bench: Bench) -> None:
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(bench.device)


def _peak(bench: Bench) -> float:
    """GiB that were allocated at most."""
    if bench.device.type != "cuda":
        return 0.0
    return torch.cuda.max_memory_allocated(bench.device) / GIB


def _full(device: torch.device) -> Bench:
    def load(key: ModelKey, precision: Precision) -> Any:
        dtype = torch.bfloat16 if key is ModelKey.IMAGINE else torch.float16
        pipeline = build(key, device, dtype).to("cpu")
        if precision is Precision.FP8:
            imagine.keep_in_eight_bits(pipeline.transformer)
        return pipeline

    return Bench(FULL, device, load, rounds=3)


def _tiny() -> Bench:
    from demo.evaluate import catalog  # a card's benchmark needs nothing of the bot

    models = catalog()
    assert models.sketch is not None
    models = models.model_copy(
        update={"sketch": models.sketch.model_copy(update={"conditioner": None})}
    )
    loader = Loader(torch.device("cpu"))
    return Bench(
        models,
        loader.device,
        lambda key, precision: LOADERS[key](getattr(models, key), loader),
        rounds=1,
    )


class Part(StrEnum):
    """What can be measured by itself."""

    STEPS = "steps"
    SPEED = "speed"
    CARDS = "cards"
    SWAPS = "swaps"
    RECOVERY = "recovery"


def main(
    parts: Annotated[list[Part] | None, typer.Argument(help="All, if none is named.")] = None,
    tiny: Annotated[bool, typer.Option(help="On the demo's models and a CPU.")] = False,
) -> None:
    """Measure, print, and exit with 1 where a goal is missed."""
    quiet_libraries()
    if not tiny and not torch.cuda.is_available():
        raise SystemExit(
            "There is no CUDA device here. `python -m benchmarks.gpu --tiny` tries it."
        )
    bench = _tiny() if tiny else _full(torch.device("cuda", 0))
    met = [each for part in parts or Part for each in _measured(part, bench)]
    sys.exit(0 if all(met) or tiny else 1)


def _measured(part: Part, bench: Bench) -> Iterable[bool]:
    match part:
        case Part.STEPS:
            return [steps(bench)]
        case Part.SPEED:
            return speed(bench)
        case Part.CARDS:
            return [cards(bench)]
        case Part.SWAPS:
            return [swaps(bench)]
        case Part.RECOVERY:
            return [recovery(bench)]


if __name__ == "__main__":
    typer.run(main)
