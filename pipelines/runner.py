"""The one door to the GPU: requests in, artifacts out.

    runner = Runner(catalog)
    (artifacts,) = runner.run([request], RunContext())

One thread uses it from its construction to its end: building a model patches `torch.nn.Module`
for the whole process, so loading, moving and inference must never overlap.
"""

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from pipelines import animate, imagine, sketch
from pipelines.catalog import AnimateModel, Catalog, ImagineModel, ModelKey, fit
from pipelines.contract.context import RunContext
from pipelines.contract.errors import AtelierError, ModelMissing, OutOfMemory, RenderFailed
from pipelines.contract.requests import AnimateRequest, ImagineRequest, Kind, Request, SketchRequest
from pipelines.contract.runner import Artifacts
from pipelines.device import (
    budget_of,
    choose_device,
    free_caches,
    is_out_of_memory,
    leave_a_core,
)
from pipelines.loading import Loader, quiet_libraries
from pipelines.media import open_picture
from pipelines.placement import Fit, Placement, place
from pipelines.residency import Residency

log = logging.getLogger(__name__)


class Runner:
    """Owns the device and every model on it. Satisfies `pipelines.contract.runner.RunnerLike`.

    `device` is `auto`, `cpu`, `mps`, `cuda` or `cuda:N`; `vram_gib` is the budget for models, by
    default what the card has less 1 GiB; `models_folder` is the Hugging Face cache that `fetch`
    fills, by default the user's own. Raises DeviceMissing.
    """

    def __init__(
        self,
        catalog: Catalog,
        device: str = "auto",
        vram_gib: float | None = None,
        models_folder: Path | None = None,
    ) -> None:
        quiet_libraries()
        self._catalog = catalog
        self._device = choose_device(device)
        leave_a_core(self._device)
        budget = budget_of(self._device, vram_gib)
        placements = _placements(catalog, budget, self._device)
        self._offloads = any(p.fit is Fit.OFFLOADED for p in placements.values())
        mover = _TorchMover(catalog, placements, Loader(self._device, models_folder))
        sizes = {key: placement.size for key, placement in placements.items()}
        self._models: Residency[Any] = Residency(budget, sizes, mover)
        self._unloaded = [key for key in ModelKey if key in placements]

    def run(self, requests: Sequence[Request], context: RunContext) -> tuple[Artifacts, ...]:
        """Render requests one after the other; one tuple of artifacts for each.

        Raises an AtelierError: Cancelled, BadInput, ModelUnavailable, OutOfMemory, RenderFailed.
        After any of them the runner is as usable as before.
        """
        return tuple(self._run_one(request, context) for request in requests)

    def preload(self) -> bool:
        """Load the next model that fits without another leaving. Logs what cannot be loaded.

        Returns False when each model of the catalogue has had its turn.
        """
        if not self._unloaded:
            return False
        key = self._unloaded.pop(0)
        try:
            if self._models.fits(key):
                with self._models.use(key):
                    pass
        except AtelierError as error:
            log.warning("%s", error.sentence)
        except Exception as error:  # noqa: BLE001 - best effort: its first job will say more
            log.warning("models.%s cannot be loaded yet: %s", key, error)
            self._recover(error)
        return True

    def resident(self) -> frozenset[str]:
        """Keys of the models that are on the GPU now."""
        return self._models.resident()

    def close(self) -> None:
        """Free everything."""
        self._models.clear()
        free_caches(self._device)

    def _run_one(self, request: Request, context: RunContext) -> Artifacts:
        """Render, and turn whatever goes wrong into an AtelierError."""
        try:
            return self._render(request, context)
        except AtelierError as error:
            self._recover(error)
            raise
        except Exception as error:  # the boundary: nothing else leaves the runner
            log.exception("%s failed", request.kind)
            ran_out = is_out_of_memory(error)
            self._recover(error, evict=ran_out)
            if ran_out:
                raise OutOfMemory(_out_of_memory(request, self._device)) from error
            raise RenderFailed(
                "Something went wrong while this was being made. "
                "The server's log has the details; trying again may help."
            ) from error

    def _render(self, request: Request, context: RunContext) -> Artifacts:
        """Take a request to the room that serves it."""
        catalog, models = self._catalog, self._models
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
        absent = catalog.missing(request)[0]
        raise ModelMissing(
            f"models.{absent} is not configured. Add a [models.{absent}] table as in "
            "config.example.toml, then run `python -m bot fetch`."
        )

    def _paint_first(
        self,
        request: AnimateRequest,
        painter: ImagineModel,
        model: AnimateModel,
        context: RunContext,
    ) -> Image.Image:
        """The picture that a prompt describes, in the shape of the video."""
        return imagine.paint(
            painter,
            self._models,
            context,
            prompt=request.prompt,
            size=fit(model.width, model.height, size=painter.size),
            seeds=[request.seed],
        )[0]

    def _recover(self, error: Exception, *, evict: bool = False) -> None:
        """Let go of what a failed run held; with `evict`, of every model's place on the GPU too."""
        cause: BaseException | None = error
        while cause is not None:  # a traceback's frames hold tensors
            traceback.clear_frames(cause.__traceback__)
            cause = cause.__cause__ or cause.__context__
        if evict or self._offloads:  # what is offloaded part by part may have stopped half-way
            self._models.evict_idle()
        free_caches(self._device)


class _TorchMover:
    """Moves models between disk, RAM and the GPU, each as it was placed."""

    def __init__(
        self, catalog: Catalog, placements: Mapping[str, Placement], loader: Loader
    ) -> None:
        self._catalog = catalog
        self._placements = placements
        self._loader = loader

    def load(self, key: str) -> Any:
        room = _LOADERS[ModelKey(key)]
        model = room(getattr(self._catalog, key), self._loader)
        if key != ModelKey.CAPTION:
            model.set_progress_bar_config(disable=True)
        if self._placements[key].fit is Fit.OFFLOADED:
            model.enable_model_cpu_offload(device=self._loader.device)
        return model

    def move_in(self, key: str, model: Any) -> None:
        if self._placements[key].fit is Fit.WHOLE:
            model.to(self._loader.device)

    def move_out(self, key: str, model: Any) -> None:
        if self._placements[key].fit is Fit.WHOLE:
            model.to("cpu")
        else:
            model.maybe_free_model_hooks()
        free_caches(self._loader.device)


_LOADERS: dict[ModelKey, Callable[[Any, Loader], Any]] = {
    ModelKey.CAPTION: sketch.load_captioner,
    ModelKey.SKETCH: sketch.load,
    ModelKey.IMAGINE: imagine.load,
    ModelKey.ANIMATE: animate.load,
}


def _placements(catalog: Catalog, budget: float, device: torch.device) -> dict[str, Placement]:
    """How each model of the catalogue is held. On a CPU nothing is gained by moving parts."""
    return {
        key: place(
            model.vram_gib,
            budget,
            divisible=device.type != "cpu" and key is not ModelKey.CAPTION,
        )
        for key in ModelKey
        if (model := getattr(catalog, key)) is not None
    }


def _out_of_memory(request: Request, device: torch.device) -> str:
    """What to do about it, for the member and for the owner."""
    where = "The server" if device.type == "cpu" else "The graphics card"
    lower = {
        Kind.SKETCH: "models.sketch.size",
        Kind.IMAGINE: "models.imagine.size",
        Kind.ANIMATE: "models.animate.decode_chunk",
    }[request.kind]
    return (
        f"{where} ran out of memory for this. Please try again; if it happens again, this bot's "
        f"owner can lower gpu.vram_gib or {lower} in its configuration."
    )
