"""The one door to the GPU: requests in, artifacts out.

    runner = Runner(catalog)
    (artifacts,) = runner.run([request], RunContext())

One thread uses it from its construction to its end. Those of other cards may work beside it in the
same process: `pipelines.loading.BUILDING` keeps them apart where they must be.
"""

import logging
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import torch
from PIL import Image, ImageDraw

from pipelines import animate, describe, imagine, safety, sketch, upscale
from pipelines.batches import SIZES, Batches
from pipelines.catalog import AnimateModel, Catalog, ImagineModel, ModelKey, dimensions, fit
from pipelines.compilers import lacking
from pipelines.contract.context import RunContext
from pipelines.contract.errors import (
    AtelierError,
    Cancelled,
    CardLost,
    ModelMissing,
    ModelUnavailable,
    OutOfMemory,
    RenderFailed,
    causes,
)
from pipelines.contract.requests import (
    AnimateRequest,
    Aspect,
    DescribeRequest,
    ImagineRequest,
    Kind,
    Request,
    SketchRequest,
    UpscaleRequest,
    may_share,
)
from pipelines.contract.runner import Artifacts
from pipelines.device import (
    card_of,
    choose_device,
    free_caches,
    is_lost,
    is_out_of_memory,
    is_out_of_ram,
    leave_a_core,
    name_of,
    use_from_here,
)
from pipelines.loading import Loader, quiet_libraries
from pipelines.media import open_picture
from pipelines.models import Models
from pipelines.placement import slow, unmet
from pipelines.plan import Card, Plan
from pipelines.ram import together
from pipelines.shelf import Load

log = logging.getLogger(__name__)

T = TypeVar("T")


class Runner:
    """Owns the device and every model on it. Satisfies `pipelines.contract.runner.RunnerLike`.

    - `device`: `auto`, `cpu`, `mps`, `cuda` or `cuda:N`.
    - `vram_gib`: the budget for models; by default what the card has, less 1 GiB.
    - `models_folder`: the Hugging Face cache that `fetch` fills; by default the user's own.
    - `batches`: the file with what `measure` found to pay.
    - `number` and `cards`: which card this is, of how many in this machine. Each preloads other
      models first, and all together may take `ram_gib` of RAM; by default four fifths.
    - `loads`: how each model is read; by default from its checkpoint.

    Raises DeviceMissing.
    """

    def __init__(
        self,
        catalog: Catalog,
        device: str = "auto",
        vram_gib: float | None = None,
        models_folder: Path | None = None,
        *,
        batches: Path | None = None,
        number: int = 0,
        cards: int = 1,
        ram_gib: float | None = None,
        loads: Mapping[ModelKey, Load] | None = None,
    ) -> None:
        quiet_libraries()
        self._catalog = catalog
        self._device = choose_device(device)
        use_from_here(self._device)
        leave_a_core(self._device)
        self.card = name_of(self._device)
        self._table = None if batches is None else Batches.read(batches)
        card = card_of(self._device, vram_gib, cards, ram_gib)
        self._models = Models(catalog, card, Loader(self._device, models_folder), loads or LOADERS)
        keys = list(self._models.plans)
        first = number * len(keys) // cards
        self._unloaded = keys[first:] + keys[:first]
        self._warms_up = self._device.type == "cuda" or catalog.acceleration.compile
        self._log_plans(card)

    def _log_plans(self, whole: Card) -> None:
        card = self._models.card  # with the RAM that the classifier leaves
        for key, plan in self._models.plans.items():
            level, takes = logging.INFO if plan.fits else logging.WARNING, plan.in_words(card)
            if key in self._models.unweighed:
                level, takes = logging.INFO, f"cannot be weighed; the usual one {takes}"
            log.log(level, "%s: models.%s %s", self.card, key, takes)
            model = getattr(self._catalog, key)
            for told in filter(None, (unmet(model, card), slow(key, model, card))):
                log.warning("%s: %s", self.card, told)
        if self._catalog.acceleration.compile and (missing := lacking(card.kind)) is not None:
            log.warning("%s: networks are not compiled: %s", self.card, missing)
        if (words := together(self._models.plans, whole)) is not None:
            log.info("%s: %s", self.card, words)

    def run(self, requests: Sequence[Request], context: RunContext) -> tuple[Artifacts, ...]:
        """Render requests, together if they may share a batch; one tuple of artifacts for each.

        Raises an AtelierError: Cancelled, BadInput, ModelUnavailable, OutOfMemory, RenderFailed.
        After any of them the runner is as usable as before; after CardLost it is not.
        """
        if len(requests) > 1 and self._catalog.imagine and may_share(requests):
            made = self._run_together(requests, context, self._catalog.imagine)
        else:
            made = tuple(self._run_one(each, context.of(n)) for n, each in enumerate(requests))
        if self._catalog.metadata:
            return made
        return tuple(tuple(replace(each, facts_in_file=False) for each in one) for one in made)

    def _run_together(
        self, requests: Sequence[Request], context: RunContext, model: ImagineModel
    ) -> tuple[Artifacts, ...]:
        """Render a batch. If that fails, the caller may try its requests one by one."""
        wanted = [request for request in requests if isinstance(request, ImagineRequest)]
        return self._guarded(
            requests[0],
            lambda: imagine.render_together(wanted, model, self._models, context),
        )

    def batches(self) -> Mapping[Kind, int]:
        """How many pictures of a kind it pays to make together on this card; one, unless named."""
        model = self._catalog.imagine
        if model is None or self._table is None:
            return {}
        return {Kind.IMAGINE: self._table.best(self.card, model)}

    def measure(self) -> dict[int, float]:
        """The seconds that a picture of /imagine takes, by how many are painted together."""
        model = self._catalog.imagine
        if model is None:
            return {}
        most = self._models.max_batch(ModelKey.IMAGINE)
        return {
            size: imagine.seconds_a_picture(size, model, self._models)
            for size in SIZES
            if size <= most
        }

    def preload(self) -> bool:
        """Load the next model that fits without another leaving, and warm it up if that pays.

        Logs what cannot be loaded, and what is not here of a model that does not fit. Returns False
        when each model of the catalogue has had its turn. Raises CardLost.
        """
        if not self._unloaded:
            return False
        key = self._unloaded.pop(0)
        try:
            if self._models.fits(key):
                with self._models.use(key):
                    pass
                if self._warms_up:
                    self._warm_up(key)
            else:
                self._models.require_here(key)
        except CardLost:
            raise
        except AtelierError as error:
            log.warning("%s", error.sentence)
        except Exception as error:  # noqa: BLE001 - best effort: its first job will say more
            log.warning("models.%s cannot be loaded yet: %s", key, error)
            self._recover(error)
        return True

    def resident(self) -> frozenset[str]:
        """Keys of the models that are on the GPU, and can be used without another leaving it."""
        return self._models.resident()

    def plans(self) -> Mapping[ModelKey, Plan]:
        """How each model is held now: in less than at first, once memory ran out."""
        return MappingProxyType(self._models.plans)

    def evict(self) -> None:
        """Let every model leave the card; the next job moves in what it needs."""
        self._models.evict_idle()
        free_caches(self._device)

    def close(self) -> None:
        """Free everything."""
        self._models.clear()
        free_caches(self._device)

    def _run_one(self, request: Request, context: RunContext) -> Artifacts:
        """Render; if memory runs out, once more on the cleared card, in less of it if possible."""
        try:
            return self._tried(request, context)
        except OutOfMemory:
            self._models.step_down()
        return self._tried(request, context)

    def _tried(self, request: Request, context: RunContext) -> Artifacts:
        return self._guarded(request, lambda: self._render(request, context))

    def _guarded(self, request: Request, work: Callable[[], T]) -> T:
        """Do `work`; if it fails, clean up, and raise an AtelierError whatever it was."""
        try:
            return work()
        except AtelierError as error:
            if isinstance(error, ModelUnavailable):  # which is for the owner to mend
                log.warning("%s", error.sentence)
            self._recover(error)
            raise
        except Exception as error:  # the boundary: nothing else leaves the runner
            log.exception("%s failed", request.kind)
            ran_out = is_out_of_memory(error)
            self._recover(error, evict=ran_out)
            if ran_out:
                raise _out_of_memory(request, self._device, error) from error
            raise RenderFailed(
                "Something went wrong while this was being made. "
                "The server's log has the details; trying again may help."
            ) from error

    def _warm_up(self, key: ModelKey) -> None:
        """Make something in few steps, before a person waits for it.

        The first run chooses kernels, takes memory and compiles: for its own shape. Torch compiles
        for every shape when it meets a second one, so that is tried as well.
        """
        begun = time.perf_counter()
        compiles = self._catalog.acceleration.compile and key is not ModelKey.UPSCALE
        aspects = (Aspect.SQUARE, Aspect.PORTRAIT) if compiles else (Aspect.SQUARE,)
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "warm-up.png"
            for aspect in aspects:
                _ring(aspect).save(picture)
                if (request := _trial(key, picture, aspect)) is None:
                    return
                if not self._catalog.missing(request):
                    self._render(request, RunContext(), self._catalog.hurried())
        log.info("warmed models.%s up in %.1f s", key, time.perf_counter() - begun)

    def _render(
        self, request: Request, context: RunContext, catalog: Catalog | None = None
    ) -> Artifacts:
        """Take a request to the room that serves it."""
        catalog, models = catalog or self._catalog, self._models
        match request:
            case SketchRequest() if catalog.caption and catalog.sketch:
                return sketch.render(
                    request, catalog.caption, catalog.sketch, catalog.styles, models, context
                )
            case ImagineRequest() if catalog.imagine:
                return imagine.render(request, catalog.imagine, models, context)
            case AnimateRequest(image=Path() as path) if catalog.animate:
                picture = open_picture(path)
                return animate.render(request, picture, catalog.animate, models, context)
            case AnimateRequest() if catalog.animate and catalog.imagine:
                picture = self._paint_first(request, catalog.imagine, catalog.animate, context)
                return animate.render(request, picture, catalog.animate, models, context)
            case DescribeRequest() if catalog.caption:
                return describe.render(request, catalog.caption, models, context)
            case UpscaleRequest() if catalog.upscale:
                return upscale.render(request, catalog.upscale, models, context)
        raise ModelMissing(
            "models.{model} is not configured. Add a [models.{model}] table as in "
            "config.example.toml, then run `python -m bot fetch`.",
            model=str(catalog.missing(request)[0]),
        )

    def _paint_first(
        self,
        request: AnimateRequest,
        painter: ImagineModel,
        model: AnimateModel,
        context: RunContext,
    ) -> Image.Image:
        """The picture that a prompt describes, in the shape of the video."""
        wanted = ImagineRequest(prompt=request.prompt, seed=request.seed)
        size = fit(model.width, model.height, size=painter.size)
        return imagine.paint([wanted], size, painter, self._models, context)[0].image()

    def _recover(self, error: Exception, *, evict: bool = False) -> None:
        """Let go of what a failed run held; with `evict`, of every model's place on the GPU too.

        Raises CardLost.
        """
        if not isinstance(error, AtelierError) and is_lost(self._device):
            raise CardLost.named(self.card) from error
        for cause in causes(error):  # a traceback's frames hold tensors
            traceback.clear_frames(cause.__traceback__)
        try:
            if evict:
                self._models.evict_idle()
            free_caches(self._device, cycles=not isinstance(error, Cancelled))  # which leaves none
        except RuntimeError:
            if is_lost(self._device):  # not even memory can be freed there
                raise CardLost.named(self.card) from error
            raise


def _trial(key: ModelKey, picture: Path, aspect: Aspect) -> Request | None:
    """What a model is warmed up with; None for those that run on the way to others."""
    match key:
        case ModelKey.SKETCH:
            return SketchRequest(drawing=picture, prompt="a ring", seed=0)
        case ModelKey.IMAGINE:
            return ImagineRequest(prompt="a ring", aspect=aspect, seed=0)
        case ModelKey.ANIMATE:
            return AnimateRequest(image=picture, seed=0)
        case ModelKey.UPSCALE:
            return UpscaleRequest(image=picture, scale=2)
        case ModelKey.SAFETY | ModelKey.CAPTION:
            return None


def _ring(aspect: Aspect) -> Image.Image:
    """A drawing of a ring."""
    picture = Image.new("RGB", dimensions(aspect, 256), "white")
    ImageDraw.Draw(picture).ellipse((64, 64, 192, 192), outline="black", width=6)
    return picture


LOADERS: Mapping[ModelKey, Load] = {
    ModelKey.SAFETY: safety.load,
    ModelKey.CAPTION: describe.load,
    ModelKey.SKETCH: sketch.load,
    ModelKey.IMAGINE: imagine.load,
    ModelKey.ANIMATE: animate.load,
    ModelKey.UPSCALE: upscale.load,
}
"""How each model is read."""


def _out_of_memory(request: Request, device: torch.device, error: Exception) -> OutOfMemory:
    """What to do about it, for the member and for the owner."""
    lower = {
        Kind.SKETCH: "models.sketch.size",
        Kind.IMAGINE: "models.imagine.size",
        Kind.ANIMATE: "models.animate.decode_chunk",
        Kind.DESCRIBE: "models.caption.dtype",
        Kind.UPSCALE: "models.upscale.tile",
    }[request.kind]
    if device.type == "cpu":
        return OutOfMemory(
            "The server ran out of memory for this. Please try again; if it happens again, this "
            "bot's owner can lower gpu.vram_gib or {setting} in its configuration.",
            setting=lower,
        )
    if is_out_of_ram(error):
        return OutOfMemory(
            "The server ran out of RAM for this. Please try again; if it happens again, this bot's "
            "owner can lower gpu.ram_gib in its configuration, or enlarge the swap space (on "
            "Windows, the paging file)."
        )
    return OutOfMemory(
        "The graphics card ran out of memory for this. Please try again; if it happens again, this "
        "bot's owner can lower gpu.vram_gib or {setting} in its configuration.",
        setting=lower,
    )
