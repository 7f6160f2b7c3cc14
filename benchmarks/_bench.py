"""What benchmarks.gpu measures: three models, as the bot runs them and as diffusers alone does."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn

from benchmarks._full_size import build
from pipelines.catalog import (
    Acceleration,
    AnimateModel,
    CaptionModel,
    Catalog,
    Checkpoint,
    ImagineModel,
    ModelKey,
)
from pipelines.catalog import SketchModel as Sdxl
from pipelines.contract.requests import (
    USUAL_MOTION,
    AnimateRequest,
    ImagineRequest,
    Request,
    SketchRequest,
)
from pipelines.device import finish, free_caches, name_of
from pipelines.imagine import quantise
from pipelines.loading import Loader
from pipelines.plan import GIB, Precision
from pipelines.runner import LOADERS, Runner
from pipelines.weights import Weights

PROMPT = "a red star on a blue background"
KEYS = (ModelKey.SKETCH, ModelKey.IMAGINE, ModelKey.ANIMATE)
NAMES = {ModelKey.SKETCH: "SDXL", ModelKey.IMAGINE: "SD3.5 Large", ModelKey.ANIMATE: "SVD-XT"}
FULL = Catalog(
    caption=CaptionModel(source="./blip"),  # which is never asked: drawings come with captions
    sketch=Sdxl(source="./sdxl", vae=Checkpoint(source="./vae"), steps=30),
    imagine=ImagineModel(source="./sd3", steps=28),
    animate=AnimateModel(source="./svd", steps=25),
    acceleration=Acceleration(compile=True),
)
GOALS_ARE_OF = ("H100", "H200")  # in the names of cards

Pixels = NDArray[np.float32]
T = TypeVar("T")


class TimeUp(Exception):
    """As long as it was to take, it has taken."""


def after_decoding(pipeline: Any, hear: Callable[[Any], None]) -> Any:
    """The pipeline, from now on telling what its decoder makes."""
    decode = pipeline.vae.decode

    def watched(*args: Any, **kwargs: Any) -> Any:
        made = decode(*args, **kwargs)
        hear(made)
        return made

    pipeline.vae.decode = watched
    return pipeline


@dataclass(slots=True)
class Seen:
    """What pipelines decode, as it is before it is rounded to eight bits."""

    decoded: list[Tensor] = field(default_factory=list)

    def watch(self, pipeline: Any) -> Any:
        """The pipeline, from now on watched."""
        return after_decoding(pipeline, self._note)

    def _note(self, made: Any) -> None:
        self.decoded.append(made[0] if isinstance(made, tuple) else made.sample)

    def take(self) -> Pixels:
        """What was decoded since the last time, 0 being black and 1 white."""
        pixels = torch.cat([each.float() for each in self.decoded]) / 2 + 0.5
        self.decoded.clear()
        taken: Pixels = pixels.clamp(0, 1).cpu().numpy()
        return taken


def _prompt(seed: int) -> str:
    return f"{PROMPT} {seed}"


def _unwatched(pipeline: Any) -> Any:
    return pipeline


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured, and on what. `load` makes the stock pipeline of a model, in RAM.

    `folder` is for the pictures that requests come with.
    """

    catalog: Catalog
    device: torch.device
    load: Callable[[ModelKey, Loader], Any]
    folder: Path
    rounds: int
    until: float = math.inf
    """When no more is begun, by `time.perf_counter`."""
    settle: Callable[[], None] = lambda: None
    """Waits until nothing of the benchmark's own computes beside what is measured."""

    @property
    def on_card(self) -> bool:
        """Whether this is the real thing."""
        return self.device.type == "cuda"

    @property
    def has_goals(self) -> bool:
        """Whether it is the card that the goals and the floors are of."""
        return any(name in name_of(self.device) for name in GOALS_ARE_OF)

    def hurried(self, steps: int) -> "Bench":
        """The same in few steps."""
        return replace(self, catalog=self.catalog.hurried(steps))

    def quick(self, steps: int) -> "Bench":
        """The same in few steps, and nothing compiled."""
        plain = self.catalog.model_copy(update={"acceleration": Acceleration()})
        return replace(self, catalog=plain).hurried(steps)

    def kept_in(self, precision: Precision) -> "Bench":
        """The same with SD3.5 in another precision."""
        assert self.catalog.imagine is not None
        imagine = self.catalog.imagine.model_copy(update={"precision": str(precision)})
        return replace(self, catalog=self.catalog.model_copy(update={"imagine": imagine}))

    def runner(self, gib: float | None = None, watch: Callable[[Any], Any] = _unwatched) -> Runner:
        """The bot's own, with `gib` of the card for models; `watch` is given each that is read."""
        loads = {key: partial(self._read, key, watch) for key in KEYS}
        return Runner(self.catalog, str(self.device), gib, ram_gib=math.inf, loads=loads)

    def _read(
        self, key: ModelKey, watch: Callable[[Any], Any], model: object, loader: Loader
    ) -> Any:
        return watch(self.load(key, loader))

    def steps(self, key: ModelKey) -> int:
        """How many a run of a model has."""
        steps: int = getattr(self.catalog, key).steps
        return steps

    def request(self, key: ModelKey, seed: int) -> Request:
        """What a member asks for; with another seed in other words, which have to be read."""
        match key:
            case ModelKey.SKETCH:
                drawing = self._picture(256, 256)
                return SketchRequest(drawing=drawing, caption=_prompt(seed), seed=seed)
            case ModelKey.IMAGINE:
                return ImagineRequest(prompt=_prompt(seed), seed=seed)
            case _:
                return AnimateRequest(image=self._first(), motion=USUAL_MOTION, seed=seed)

    def stock(
        self, pipeline: Any, key: ModelKey, seed: int, hear: Callable[[int], None] = lambda _: None
    ) -> None:
        """The same by diffusers alone; `hear` is told how many steps are launched."""

        def heard(pipeline: object, index: int, *_: object) -> dict[str, Any]:
            hear(index + 1)
            return {}

        is_video = key is ModelKey.ANIMATE
        settings = self._of_video() if is_video else self._of_picture(key, _prompt(seed))
        with torch.inference_mode():
            pipeline(
                generator=torch.Generator().manual_seed(seed),
                callback_on_step_end=heard,
                **settings,
            )

    def _of_video(self) -> dict[str, Any]:
        model = self.catalog.animate
        assert model is not None
        return {
            "image": Image.open(self._first()),
            "width": model.width,
            "height": model.height,
            "num_frames": model.frames,
            "num_inference_steps": model.steps,
            "min_guidance_scale": model.min_guidance,
            "max_guidance_scale": model.max_guidance,
            "fps": model.fps,
            "motion_bucket_id": USUAL_MOTION,
            "noise_aug_strength": model.noise,
            "decode_chunk_size": model.decode_chunk,
        }

    def _of_picture(self, key: ModelKey, prompt: str) -> dict[str, Any]:
        model = self.catalog.sketch if key is ModelKey.SKETCH else self.catalog.imagine
        assert model is not None
        more = {"max_sequence_length": model.text_tokens} if isinstance(model, ImagineModel) else {}
        return {
            "prompt": prompt,
            "width": model.size,
            "height": model.size,
            "num_inference_steps": model.steps,
            "guidance_scale": model.guidance,
            **more,
        }

    def _first(self) -> Path:
        assert self.catalog.animate is not None
        return self._picture(self.catalog.animate.width, self.catalog.animate.height)

    def _picture(self, width: int, height: int) -> Path:
        path = self.folder / f"{width}x{height}.png"
        if not path.exists():
            picture = Image.new("RGB", (width, height), "white")
            box = (width // 4, height // 4, 3 * width // 4, 3 * height // 4)
            ImageDraw.Draw(picture).ellipse(box, outline="black", width=max(2, height // 40))
            picture.save(path)
        return path

    # -- time and memory ---------------------------------------------------------------------

    def timed(self, run: Callable[[], T]) -> tuple[float, T]:
        """The seconds until the device has done all that `run` gives it, and what it returns."""
        self.wait()
        begun = time.perf_counter()
        made = run()
        self.wait()
        return time.perf_counter() - begun, made

    def require_time(self) -> None:
        """Raise TimeUp where there is none left."""
        if time.perf_counter() > self.until:
            raise TimeUp

    def wait(self) -> None:
        """Until the device has done what it was given."""
        finish(self.device)

    def forget_peak(self) -> None:
        """Reckon the peak of memory from now on."""
        if self.on_card:
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> float:
        """GiB that were allocated at most."""
        return torch.cuda.max_memory_allocated(self.device) / GIB if self.on_card else 0.0


class Stock:
    """A pipeline of diffusers as it is, on the card for as long as it is used."""

    def __init__(self, bench: Bench, key: ModelKey, seen: Seen | None = None) -> None:
        self._pipeline = bench.load(key, Loader(bench.device))
        self._pipeline.set_progress_bar_config(disable=True)
        if seen is not None:
            seen.watch(self._pipeline)
        modules = [m for m in self._pipeline.components.values() if isinstance(m, nn.Module)]
        self._weights = Weights(modules, bench.device)

    @contextmanager
    def there(self) -> Iterator[Any]:
        """The pipeline, on the card until the block ends. Raises torch.OutOfMemoryError."""
        try:
            self._weights.move_in()
            yield self._pipeline
        finally:
            self._weights.move_out()


# --- the two that there are ---------------------------------------------------------------------


def of_full_size(device: torch.device, folder: Path) -> Bench:
    """Models of full size with random weights, each made once."""

    @cache
    def made(key: ModelKey) -> Any:
        dtype = torch.bfloat16 if key is ModelKey.IMAGINE else torch.float16
        try:
            return build(key, device, dtype).to("cpu")
        except torch.OutOfMemoryError:
            pass
        free_caches(device)
        return build(key, torch.device("cpu"), dtype)  # takes minutes

    def load(key: ModelKey, loader: Loader) -> Any:
        pipeline = twin(made(key))
        if key is ModelKey.IMAGINE:
            quantise(pipeline, loader)
        return pipeline

    return Bench(FULL, device, load, folder, rounds=2)


def twin(pipeline: Any) -> Any:
    """A pipeline that may be changed, with the same weights in the same memory until they move."""
    other = copy.copy(pipeline)
    for name, part in pipeline.components.items():
        if isinstance(part, nn.Module):
            own: dict[int, Any] = {
                id(weights): nn.Parameter(weights.data, requires_grad=False)
                for weights in part.parameters()
            }
            own |= {id(buffer): buffer.detach() for buffer in part.buffers()}
            setattr(other, name, copy.deepcopy(part, own))
        elif hasattr(part, "from_config"):  # a scheduler counts its steps
            setattr(other, name, type(part).from_config(part.config))
    return other


def of_the_demo(folder: Path) -> Bench:
    """The demo's models, in few steps and few pixels."""
    from demo.evaluate import catalog  # a card's benchmark needs nothing of it

    models = catalog()
    assert models.sketch is not None
    assert models.imagine is not None
    assert models.animate is not None
    small = {"steps": 2, "frames": 4, "width": 128, "height": 128}
    models = models.model_copy(
        update={
            "safety": None,
            "sketch": models.sketch.model_copy(update={"conditioner": None, "steps": 4}),
            "imagine": models.imagine.model_copy(update={"steps": 4}),
            "animate": models.animate.model_copy(update=small),
        }
    )

    def load(key: ModelKey, loader: Loader) -> Any:
        return LOADERS[key](getattr(models, key), loader)

    return Bench(models, torch.device("cpu"), load, folder, rounds=1)
