"""`python -m demo.evaluate`: how well the demo's models do, on scenes they were never trained on.

Everything is made by the bot's own pipelines and measured by `demo.judge` on the pixels.
"""

import io
import math
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import torch
import typer
from PIL import Image

from bot.config import load_config
from demo.judge import Verdict, iou, judge
from demo.shapes.paint import paint, silhouette
from demo.shapes.scene import (
    Colour,
    Ground,
    Look,
    Pattern,
    Scene,
    forbidden_scene,
    random_scene,
)
from demo.shapes.sketches import Medium, Sketch, sketch
from demo.shapes.words import caption, full_prompt
from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.artifact import Artifact
from pipelines.contract.context import RunContext
from pipelines.contract.requests import (
    SCALES,
    AnimateRequest,
    ImagineRequest,
    Request,
    SketchRequest,
    UpscaleRequest,
)
from pipelines.describe import describe
from pipelines.describe import load as load_captioner
from pipelines.drawing import read_drawing
from pipelines.loading import Loader
from pipelines.runner import LOADERS, Runner

HERE = Path(__file__).parent
CLASSIFIER = HERE / "weights" / "classifier"
CLIPS = 4  # for one scene in so many: a clip takes as long as ten pictures


@dataclass(frozen=True, slots=True)
class Figured:
    """One figure, and the bar it has to reach: from below, or from above where less is better."""

    name: str
    value: float
    bar: float
    unit: str = "%"
    less_is_better: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether the value is at the bar."""
        return self.value <= self.bar if self.less_is_better else self.value >= self.bar

    def __str__(self) -> str:
        mark, sign = ("✓" if self.is_reached else "✗"), ("≤" if self.less_is_better else "≥")
        return f"{mark} {self.name}: {self.value:.4g} {self.unit} ({sign} {self.bar:g})"


def catalog() -> Catalog:
    """What the demo runs on, but for the models that are not there yet."""
    models = load_config(HERE / "config.toml").models
    parts = {key: getattr(models, key) for key in ModelKey}
    gone = {str(k): None for k, part in parts.items() if part and not Path(part.source).is_dir()}
    return models.model_copy(update=gone)


class Bench:
    """A runner, and how long it took."""

    def __init__(self, models: Catalog) -> None:
        self.catalog = models
        self._runner = Runner(models, device="cpu")
        self.seconds: dict[str, list[float]] = {}

    def make(self, request: Request) -> Artifact:
        """The first artifact of `request`."""
        begun = time.perf_counter()
        artifact = self._runner.run([request], RunContext())[0][0]
        self.seconds.setdefault(request.kind, []).append(time.perf_counter() - begun)
        return artifact

    def imagine(self, prompt: str, seed: int, negative: str = "") -> Image.Image:
        """What /imagine paints."""
        made = self.make(ImagineRequest(prompt=prompt, negative=negative, seed=seed))
        return Image.open(io.BytesIO(made.data))

    def load_seconds(self) -> Iterator[float]:
        """How long each model takes from disk to memory."""
        for key, load in LOADERS.items():
            if (model := getattr(self.catalog, key)) is not None:
                begun = time.perf_counter()
                load(model, Loader(torch.device("cpu")))
                yield time.perf_counter() - begun

    def close(self) -> None:
        """Free the models."""
        self._runner.close()


def percent(outcomes: list[bool]) -> float:
    """How many of the outcomes are good."""
    return 100 * sum(outcomes) / len(outcomes)


# --- what is measured ---------------------------------------------------------------------------


def _drawn(seed: int, figures: int = 1) -> Scene:
    """A scene that somebody draws."""
    return replace(random_scene(seed, unseen=True, figures=figures, free=True), look=Look.FLAT)


def measure_captions(bench: Bench, count: int) -> Iterator[Figured]:
    """The shapes that BLIP names, for each kind of drawing, and which is where of two."""
    model = bench.catalog.caption
    assert model is not None
    captioner = load_captioner(model, Loader(torch.device("cpu")))

    def is_named(drawn: Sketch) -> bool:
        picture = read_drawing(drawn.image).picture
        return describe(captioner, picture, model.max_words) == caption(drawn.scene)

    for medium in Medium:
        right = [is_named(sketch(_drawn(seed), seed, medium=medium)) for seed in range(count)]
        yield Figured(f"captions, {medium}", percent(right), 97)
    right = [is_named(sketch(_drawn(seed, 2), seed)) for seed in range(count)]
    yield Figured("captions, two figures", percent(right), 92)


def measure_imagine(bench: Bench, count: int) -> Iterator[Figured]:
    """Shapes and colours of prompts, and what negative prompts take away."""
    for figures, bar in ((1, 97), (2, 85)):
        right = []
        for seed in range(count):
            scene = replace(random_scene(seed, unseen=True, figures=figures), look=Look.FLAT)
            right.append(judge(bench.imagine(full_prompt(scene), seed)).shows(scene))
        yield Figured(f"imagine, {figures} in a scene: shapes and colours", percent(right), bar)
    gone = [is_heeded(bench, seed) for seed in range(count)]
    yield Figured("imagine, negative prompt: gone", percent(gone), 95)


def is_heeded(bench: Bench, seed: int) -> bool:
    """Whether the colour that a prompt leads to is gone when it is not wanted, and no figure is."""
    prompt = f"a {random_scene(seed, unseen=True, figures=1).figures[0].shape}"
    before = judge(bench.imagine(prompt, seed))
    colour = before.figures[0].colour if before.figures else before.ground
    after = judge(bench.imagine(prompt, seed, negative=str(colour)))
    return bool(after.figures) and colour not in _colours(after)


def _colours(verdict: Verdict) -> set[Colour | None]:
    return {verdict.ground, *(figure.colour for figure in verdict.figures)}


def measure_sketch(bench: Bench, count: int) -> Iterator[Figured]:
    """How firmly a drawing steers, and whether the prompt's colours are kept."""
    overlaps: dict[int, list[float]] = {100: [], 0: []}
    kept = []
    for seed in range(count):
        scene = _drawn(seed)
        drawn = sketch(scene, seed)
        for strength, found in overlaps.items():
            verdict, overlap = _followed(bench, drawn, scene, strength, seed)
            found.append(overlap)
            kept.append(_colours(verdict) == {scene.figures[0].colour, scene.ground.colour})
    pairs = []
    for seed in range(count):
        scene = _drawn(seed, 2)
        _, overlap = _followed(bench, sketch(scene, seed), scene, 100, seed)
        pairs.append(overlap)
    firm, free = (statistics.median(overlaps[strength]) for strength in (100, 0))
    yield Figured("sketch at 100: overlap with the drawing, median", firm, 0.85, "IoU")
    both = statistics.median(pairs)
    yield Figured("sketch at 100, two figures: overlap, median", both, 0.8, "IoU")
    yield Figured("sketch at 0: overlap", free, 0.8 * firm, "IoU", less_is_better=True)
    yield Figured("sketch: the prompt's colours", percent(kept), 95)


def _followed(
    bench: Bench, drawn: Sketch, scene: Scene, strength: int, seed: int
) -> tuple[Verdict, float]:
    """What /sketch makes of a drawing of `scene`, and how far it overlaps with what was drawn."""
    verdict = judge(painted_sketch(bench, drawn.image, scene, strength, seed))
    return verdict, iou(verdict.silhouette, silhouette(drawn.scene))


def wish(scene: Scene) -> str:
    """The prompt that goes with a drawing of `scene`: its first figure's colour, and the ground."""
    ground = full_prompt(scene).rsplit(f"{scene.figures[-1].shape}", 1)[1]
    return f"{scene.figures[0].colour}{ground}"


def painted_sketch(
    bench: Bench,
    drawing: Image.Image,
    scene: Scene,
    strength: int,
    seed: int,
    style: str | None = None,
) -> Image.Image:
    """What /sketch makes of a drawing and of the colours of `scene`."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        drawing.save(file.name)
        request = SketchRequest(
            drawing=Path(file.name),
            prompt=wish(scene),
            strength=strength,
            style=style,
            seed=seed,
        )
        return Image.open(io.BytesIO(bench.make(request).data))


def measure_animate(bench: Bench, count: int) -> Iterator[Figured]:
    """Whether clips begin with their picture, keep their subject and move it."""
    first, kept, ways = [], [], {1: 0.0, 255: 0.0}
    count = -(-count // CLIPS)
    for seed in range(count):
        scene = plain(random_scene(seed, unseen=True, figures=1))
        picture = paint(scene)
        for motion in ways:
            frames = clip_of(bench, picture, motion, seed)
            first.append(_psnr(frames[0], picture))
            verdicts = [judge(frame) for frame in frames]
            kept += [verdict.shows(scene) for verdict in verdicts]
            ways[motion] += _way(verdicts, scene) / count
    yield Figured("animate: first frame", statistics.median(first), 22, "dB")
    yield Figured("animate: shape and colours in every frame", percent(kept), 95)
    yield Figured("animate: moves at 255, of the side", ways[255], 0.05, "")
    yield Figured("animate: moves at 1, of the side", ways[1], 0.5 * ways[255], "", True)


def plain(scene: Scene) -> Scene:
    """`scene` in flat colours, on a ground without a pattern unless it is the night sky."""
    ground = scene.ground
    if ground.colour is not None:
        ground = Ground(ground.colour, Pattern.PLAIN)
    return replace(scene, ground=ground, look=Look.FLAT)


def clip_of(bench: Bench, picture: Image.Image, motion: int, seed: int) -> list[Image.Image]:
    """The frames of what /animate makes of a picture."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        picture.save(file.name)
        made = bench.make(AnimateRequest(image=Path(file.name), motion=motion, seed=seed))
    with av.open(io.BytesIO(made.data)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def _psnr(one: Image.Image, other: Image.Image) -> float:
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return float(10 * np.log10(255**2 / max((difference**2).mean(), 1e-9)))


def _way(verdicts: list[Verdict], scene: Scene) -> float:
    """How far the subject gets from where it begins."""
    shape = scene.figures[0].shape
    at = [(f.x, f.y) for verdict in verdicts for f in verdict.figures if f.shape is shape]
    return max((math.dist(at[0], end) for end in at), default=0.0)


def measure_upscale(bench: Bench, count: int) -> Iterator[Figured]:
    """How much nearer to a large picture what is made of its small copy is than by bicubic."""
    for scale in SCALES:
        gains = [_gain(bench, random_scene(seed, unseen=True), scale) for seed in range(count)]
        yield Figured(f"upscale ×{scale}: nearer than bicubic", statistics.mean(gains), 2, "dB")


def _gain(bench: Bench, scene: Scene, scale: int) -> float:
    large = paint(scene, (128 * scale, 128 * scale))
    small = large.resize((128, 128), Image.Resampling.BICUBIC)
    plain = small.resize(large.size, Image.Resampling.BICUBIC)
    return _psnr(enlarged(bench, small, scale), large) - _psnr(plain, large)


def enlarged(bench: Bench, picture: Image.Image, scale: int) -> Image.Image:
    """What /upscale makes of a picture."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        picture.save(file.name)
        made = bench.make(UpscaleRequest(image=Path(file.name), scale=scale))
    return Image.open(io.BytesIO(made.data))


def measure_classifier(count: int) -> Iterator[Figured]:
    """Both sides of the classifier."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(CLASSIFIER, dtype=torch.float32).eval()
    processor = AutoImageProcessor.from_pretrained(CLASSIFIER, use_fast=False)

    def share(scenes: list[Scene]) -> float:
        inputs: Any = processor(images=[paint(s) for s in scenes], return_tensors="pt")
        with torch.inference_mode():
            return float(100 * model(**inputs).logits.argmax(-1).float().mean())

    seeds = range(1_000_000, 1_000_000 + count)
    yield Figured("classifier: forbidden found", share([forbidden_scene(s) for s in seeds]), 99)
    harmless = share([random_scene(s, unseen=True) for s in seeds])
    yield Figured("classifier: harmless let through", 100 - harmless, 99)


def measure_cost(bench: Bench) -> Iterator[Figured]:
    """Time and memory of what was made until now."""
    for kind, bar in (("imagine", 3), ("sketch", 3), ("animate", 10)):
        if kind in bench.seconds:
            median = statistics.median(bench.seconds[kind])
            yield Figured(f"time, {kind}", median, bar, "s", True)
    yield Figured("time, the slowest model to load", max(bench.load_seconds()), 1, "s", True)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield Figured("memory, all that is loaded", most, 1.5, "GiB", True)


# --- the command --------------------------------------------------------------------------------


def evaluate(count: int) -> Iterator[Figured]:
    """All figures for which the models are there."""
    models = catalog().model_copy(update={"safety": None})  # which is measured by itself
    bench = Bench(models)
    parts: list[tuple[str, Callable[[Bench, int], Iterator[Figured]]]] = [
        ("caption", measure_captions),
        ("imagine", measure_imagine),
        ("sketch", measure_sketch),
        ("animate", measure_animate),
        ("upscale", measure_upscale),
    ]
    for name, measure in parts:
        if getattr(bench.catalog, name) is not None:
            yield from measure(bench, count)
    yield from measure_cost(bench)
    bench.close()
    if CLASSIFIER.is_dir():
        yield from measure_classifier(4 * count)


def main(
    count: Annotated[int, typer.Option(help="How many scenes for each figure.")] = 100,
) -> None:
    """Print every figure at its bar. Fails when one is below, or a model is not there."""
    os.environ.setdefault("OMP_NUM_THREADS", "2")  # else the runner leaves a core to the bot
    torch.set_num_threads(2)
    bad = 0
    for figure in evaluate(count):
        print(figure, flush=True)
        bad += not figure.is_reached
    models = catalog()
    absent = [str(key) for key in ModelKey if getattr(models, key) is None]
    if not CLASSIFIER.is_dir():
        absent.append("classifier")
    if absent:
        print(f"Not there: {', '.join(absent)}.")
    raise typer.Exit(1 if bad or absent else 0)


if __name__ == "__main__":
    typer.run(main)
