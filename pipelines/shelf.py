"""The models in RAM: read from disk, divided into groups, and moved from here to the card."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from pipelines.acceleration import accelerate, forget_recordings
from pipelines.catalog import PREVIEW, Catalog, ModelKey, Network
from pipelines.checkpoints import check_preview
from pipelines.contract.errors import ModelUnavailable
from pipelines.device import free_ram
from pipelines.fitting import divide, fit_to, modules_of, stream, streamable
from pipelines.loading import BUILDING, Loader
from pipelines.plan import PAINTER, TEXT, Card, Held, Plan, Precision
from pipelines.weights import Weights

log = logging.getLogger(__name__)

Load = Callable[[Any, Loader], Any]


@dataclass(frozen=True, slots=True)
class Shelved:
    """A group in RAM: its pipeline, and its weights, which visit the card.

    `decoder` makes previews, and is on the card with the painter.
    """

    pipeline: Any
    weights: Weights
    decoder: Any = None

    def settle(self) -> None:
        """Let an autoencoder that was cast during a run be where `move_in` put it.

        diffusers casts one that is not made for float16 to float32 to decode, and then back, which
        leaves a second copy in the card's memory.
        """
        vae = getattr(self.pipeline, "vae", None)
        if vae is not None and vae.config.get("force_upcast") and vae.dtype is torch.float16:
            self.weights.settle([vae])


def group_key(key: ModelKey, group: str) -> str:
    """The key of a group in `pipelines.residency`: `sketch.painter`."""
    return f"{key}.{group}"


class Shelf:
    """The Mover of groups. A model is read with all its groups, and stays until it is dropped."""

    def __init__(
        self,
        catalog: Catalog,
        card: Card,
        plans: Mapping[ModelKey, Plan],
        loader: Loader,
        loads: Mapping[ModelKey, Load],
    ) -> None:
        self._catalog = catalog
        self._card = card
        self._plans = plans
        self._loader = loader
        self._loads = loads
        self._models: dict[ModelKey, dict[str, Shelved]] = {}  # what was used longest ago first

    def load(self, name: str) -> Shelved:
        """A group by its key, with its model read from disk if that is not here.

        Raises ModelUnavailable.
        """
        key = ModelKey(name.partition(".")[0])
        if key not in self._models:
            with BUILDING:
                self._models[key] = self._read(key)
        return self._models[key][name]

    def models(self) -> list[ModelKey]:
        """The models that are here, the one used longest ago first."""
        return list(self._models)

    def touch(self, key: ModelKey) -> None:
        """Make a model the one used last, if it is here."""
        if key in self._models:
            self._models[key] = self._models.pop(key)

    def drop(self, key: ModelKey) -> None:
        """Forget a model, and free its memory."""
        if self._models.pop(key, None) is not None:
            free_ram(self._loader.device)  # only the garbage collector frees pipelines

    def clear(self) -> None:
        """Forget all."""
        self._models.clear()

    def move_in(self, name: str, group: Shelved) -> None:
        """Weights to the card."""
        group.weights.move_in()

    def move_out(self, name: str, group: Shelved) -> None:
        """Weights off the card, and with them the CUDA graphs that read them there."""
        if not isinstance(getattr(self._catalog, name.partition(".")[0]), Network):
            forget_recordings(group.pipeline)
        group.weights.move_out()

    def _read(self, key: ModelKey) -> dict[str, Shelved]:
        """A model's groups by their keys, as its plan says, with all weights in RAM."""
        plan, device = self._plans[key], self._loader.device
        precisions = {name: group.precision for name, group in plan.groups.items()}
        loader = replace(
            self._loader,
            precision=precisions[PAINTER],
            text_precision=precisions.get(TEXT, Precision.FULL),
        )
        whole = self._loads[key](getattr(self._catalog, key), loader)
        if isinstance(getattr(self._catalog, key), Network):
            return {group_key(key, PAINTER): Shelved(whole, Weights([whole.model], device))}
        accelerate(whole, self._catalog.acceleration, plan, device, roomy=self._has_room_for_all())
        groups = {}
        for group, pipeline in divide(whole).items():
            pipeline.set_progress_bar_config(disable=True)
            decoder = self._decoder(key, loader) if group == PAINTER else None
            modules = modules_of(whole, group) + ([] if decoder is None else [decoder])
            is_streamed = plan.groups[group].held is Held.STREAMED
            streamed = streamable(modules_of(whole, group)) if is_streamed else []
            visiting = [module for module in modules if module not in streamed]
            weights = Weights(visiting, device, streamed=streamed)
            stream(streamed, device)
            groups[group_key(key, group)] = Shelved(pipeline, weights, decoder)
        fit_to(whole, plan)
        return groups

    def _decoder(self, key: ModelKey, loader: Loader) -> Any:
        """The tiny decoder for a model's previews, if it has one that serves; else a warning."""
        model = getattr(self._catalog, key)
        if (preview := getattr(model, PREVIEW, None)) is None:
            return None
        from diffusers import AutoencoderTiny

        try:
            check_preview(key, model, loader.models_folder)
            tiny = loader.load(AutoencoderTiny, f"{key}.{PREVIEW}", preview, model.dtype)
        except ModelUnavailable as error:
            log.warning("%s Until then nothing is shown while it paints.", error.sentence)
            return None
        return tiny.eval()

    def _has_room_for_all(self) -> bool:
        """Whether all models, and what each computes, fit the card at once."""
        peaks = (group.peak for plan in self._plans.values() for group in plan.groups.values())
        return sum(peaks) <= self._card.budget
