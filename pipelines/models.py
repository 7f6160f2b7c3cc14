"""The models of a catalogue: held as planned, and moved to the card when they are used.

    with models.use(ModelKey.SKETCH, context, TEXT) as pipeline:
        ...
    caption = models.answer(ModelKey.CAPTION, PAINTER, context, question)

An answer about a prompt or a drawing is remembered, so that the model which gives it need not be
moved in for the same again.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch

from pipelines.acceleration import attention
from pipelines.adapting import Adapters
from pipelines.catalog import PREVIEW, Catalog, ModelKey, SafetyModel
from pipelines.checkpoints import locate, weigh
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.errors import ModelUnavailable
from pipelines.device import is_out_of_memory, is_out_of_ram, send
from pipelines.loading import Loader
from pipelines.loras import Lora, find
from pipelines.placement import plan_model
from pipelines.plan import GIB, PAINTER, Card, Group, Plan
from pipelines.ram import plan_all, to_evict
from pipelines.residency import Residency
from pipelines.shelf import Load, Shelf, Shelved, group_key

log = logging.getLogger(__name__)

A = TypeVar("A", bound="str | Embeddings")
Embeddings = dict[str, torch.Tensor | None]
"""What text encoders say of prompts, by the names of the painter's arguments."""
_STEP_DOWN = 0.8  # of what a model took when memory ran out
_FOR_LORAS = 0.05  # of what models may take of RAM
REMEMBERED = 64  # answers: up to 6 MB of RAM each


@dataclass(frozen=True, slots=True)
class Question(Generic[A]):
    """What a model is asked: `ask` is given its pipeline. The answer depends on `about` alone."""

    about: Hashable
    ask: Callable[[Any], A]


class Models:
    """Owns every model of `catalog` on one card; `loads` says how each is read. Not thread-safe."""

    def __init__(
        self, catalog: Catalog, card: Card, loader: Loader, loads: Mapping[ModelKey, Load]
    ) -> None:
        self.device = loader.device
        self.plans: dict[ModelKey, Plan] = {}
        models = {key: model for key in ModelKey if (model := getattr(catalog, key)) is not None}
        weights = {key: _weights(key, model, loader) for key, model in models.items()}
        self._catalog = catalog
        self.unweighed = {key for key, sizes in weights.items() if sizes is None}
        self.card, plans = plan_all(card, models, weights)
        self._loader = loader
        self._groups: dict[str, Group] = {}
        self._shelf = Shelf(catalog, card, self.plans, loader, loads)
        self._residency: Residency[Shelved] = Residency(card.budget, self._groups, self._shelf)
        self._adapters = Adapters(loader.device)
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self._ran_out: ModelKey | None = None
        for key, plan in plans.items():
            self._adopt(key, plan)

    def _adopt(self, key: ModelKey, plan: Plan) -> None:
        self.plans[key] = plan
        for name, group in plan.groups.items():
            self._groups[group_key(key, name)] = group

    @contextmanager
    def use(
        self,
        key: ModelKey,
        context: RunContext | None = None,
        group: str = PAINTER,
        *,
        batch: int = 1,
        lora: Lora | None = None,
    ) -> Iterator[Any]:
        """The pipeline, with the parts of `group` on the card until the block ends.

        There is room for a batch of so many, up to `max_batch`; `lora` is at work meanwhile.
        Reports Phase.LOADING if the parts were not there. Raises ModelUnavailable.
        """
        context = context or RunContext()
        kernel = attention(self._catalog.acceleration)
        try:
            self._make_room_in_ram(key, batch)
            with (
                self._residency.use(group_key(key, group), context, batch) as held,
                self._adapted(held.pipeline, context, lora, self._room_for_loras(key, batch)),
                kernel,
            ):
                try:
                    yield held.pipeline
                finally:  # also after a run that was cancelled, whose model stays
                    held.settle()
        except Exception as error:
            self._ran_out = key if self._is_too_large(error) else None
            raise

    def _is_too_large(self, error: Exception) -> bool:
        """Whether memory ran out, and to hold the model in less of it could help.

        What is planned is the card's memory; only on a CPU is that RAM.
        """
        has_card = self.device.type != "cpu"
        return is_out_of_memory(error) and not (has_card and is_out_of_ram(error))

    def _make_room_in_ram(self, key: ModelKey, batch: int) -> None:
        """If this model is not in RAM yet, drop those used longest ago until it has room there.

        In unified memory what it computes needs room as well, whenever it is used.
        """
        self._shelf.touch(key)
        held = self._in_ram()
        if key is ModelKey.SAFETY or (key in held and not self.card.unified):
            return
        used = {key, *(other for other in held if self._in_use(other))}
        wanted = self.plans[key].takes_of_ram(self.card, batch) - held.get(key, 0)
        for other in to_evict(wanted, held, used, self.card.ram):
            log.info("models.%s leaves RAM, where models.%s needs the room", other, key)
            self._drop(other)
        self._adapters.keep_within(self._room_for_loras(key, batch))

    def _room_for_loras(self, key: ModelKey, batch: int) -> float:
        """The bytes of RAM that LoRAs may take beside the models that are there and this one."""
        taken = self._in_ram() | {key: self.plans[key].takes_of_ram(self.card, batch)}
        free = self.card.ram - sum(taken.values())
        return max(0, min(_FOR_LORAS * self.card.ram, free))

    def _in_ram(self) -> dict[ModelKey, int]:
        """The bytes of each model in RAM that may leave it, the one used longest ago first."""
        there = [key for key in self._shelf.models() if key is not ModelKey.SAFETY]
        return {key: self.plans[key].in_ram for key in there}

    def _in_use(self, key: ModelKey) -> bool:
        return any(self._residency.in_use(group_key(key, name)) for name in self.plans[key].groups)

    def _drop(self, key: ModelKey) -> None:
        """Forget a model that nobody uses."""
        for name in self.plans[key].groups:
            self._residency.drop(group_key(key, name))
        self._shelf.drop(key)

    def decoder(self, key: ModelKey) -> Any:
        """The decoder of a model's previews, if it has one. It is on the card with the painter."""
        return self._shelf.load(group_key(key, PAINTER)).decoder

    def _adapted(
        self, pipeline: Any, context: RunContext, lora: Lora | None, room: float
    ) -> AbstractContextManager[None]:
        if lora is None:
            return nullcontext()
        return self._adapters.beside(
            pipeline,
            lora,
            on_read=lambda: context.step(Phase.LOADING),
            make_room=self._residency.make_room,
            room=room,
        )

    def lora(self, key: ModelKey, name: str | None) -> Lora | None:
        """The LoRA of that name, None without one. Raises BadInput."""
        return None if name is None else find(self._catalog.loras, key, name)

    @property
    def safety(self) -> SafetyModel | None:
        """The classifier's entry, if there is one."""
        return self._catalog.safety

    def max_batch(self, key: ModelKey) -> int:
        """How many pictures the painter of a model has room for at once; one at the least."""
        most = self._residency.max_batch(group_key(key, PAINTER))
        if self.card.unified:
            plan = self.plans[key]
            free = self.card.ram - plan.in_ram
            most = min(most, max(1, int(free // plan.groups[PAINTER].working)))
        return most

    def step_down(self) -> None:
        """Plan the model for which memory ran out last anew, if it can do with less memory.

        Nobody may be using the model. It is read from disk again.
        """
        key, self._ran_out = self._ran_out, None
        if key is None:
            return
        old = self.plans[key]
        less = replace(self.card, budget=_STEP_DOWN * min(old.takes(self.card), self.card.budget))
        model = getattr(self._catalog, key)
        plan = plan_model(key, model, less, _weights(key, model, self._loader))
        if plan.peak >= old.peak:
            return
        log.warning(
            "memory ran out: models.%s is held in %.1f GiB instead of %.1f from now on: %s",
            key,
            plan.peak / GIB,
            old.peak / GIB,
            "; ".join(plan.given_up),
        )
        self._drop(key)
        self._adopt(key, plan)

    def answer(
        self,
        key: ModelKey,
        group: str,
        context: RunContext,
        question: Question[A],
        coming: Callable[[], Iterable[Question[A]]] = tuple,
    ) -> A:
        """What a model answers; not asked again if it was asked lately. Tensors are on the device.

        If the group had to be moved in for this, the questions that are `coming` are asked as well,
        up to the first that fails: that is left to the run that it belongs to.
        """
        known = self.known(key, group, question.about)
        if known is None:
            there = group_key(key, group) in self._residency.resident()
            with self.use(key, context, group) as pipeline, torch.inference_mode():
                self._remember(key, group, question.about, question.ask(pipeline))
                if not there:
                    self._ask_ahead(key, group, context, pipeline, coming())
            known = self.known(key, group, question.about)
        answer: A = _map_tensors(known, lambda tensor: send(tensor, self.device))
        return answer

    def known(self, key: ModelKey, group: str, about: Hashable) -> Any:
        """The answer to a question that was asked lately, its tensors in RAM; else None."""
        if (key, group, about) in self._answers:
            self._answers.move_to_end((key, group, about))
        return self._answers.get((key, group, about))

    def _remember(self, key: ModelKey, group: str, about: Hashable, answer: Any) -> None:
        self._answers[key, group, about] = _map_tensors(answer, torch.Tensor.cpu)
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    def _ask_ahead(
        self,
        key: ModelKey,
        group: str,
        context: RunContext,
        pipeline: Any,
        questions: Iterable[Question[Any]],
    ) -> None:
        for question in questions:
            if context.cancel.is_set():
                return
            if self.known(key, group, question.about) is not None:
                continue
            try:
                self._remember(key, group, question.about, question.ask(pipeline))
            except Exception as error:  # noqa: BLE001 - not what this run is for
                log.debug("not asked ahead: %s", error)
                return

    def resident(self) -> frozenset[str]:
        """Keys of the models whose painter is on the card, and runs without another leaving it."""
        there = self._residency.ready()
        return frozenset(key for key in self.plans if group_key(key, PAINTER) in there)

    def fits(self, key: ModelKey) -> bool:
        """Whether a model could be used without another leaving the card or RAM."""
        stays = self._in_ram()
        if key is not ModelKey.SAFETY:
            stays[key] = self.plans[key].takes_of_ram(self.card)
        has_ram = sum(stays.values()) <= self.card.ram
        return has_ram and self._residency.fits(group_key(key, PAINTER))

    def require_here(self, key: ModelKey) -> None:
        """Raise ModelUnavailable where a model cannot be read, without reading it."""
        for place, checkpoint in self._catalog.checkpoints():
            whose, _, part = place.partition(".")
            if whose == key and part != PREVIEW:
                locate(place, checkpoint, self._loader.models_folder)

    def evict_idle(self) -> None:
        """Let every model that nobody uses leave the card, and RAM if that is the card's memory."""
        self._residency.evict_idle()
        if self.card.unified:
            for key in self._shelf.models():
                if not self._in_use(key):
                    self._drop(key)

    def clear(self) -> None:
        """Drop every model."""
        self._residency.clear()
        self._shelf.clear()
        self._adapters.clear()
        self._answers.clear()


def _weights(key: ModelKey, model: Any, loader: Loader) -> dict[str, int] | None:
    """A model's weights by part; None if its files cannot serve, as is said when it is loaded."""
    try:
        return weigh(key, model, loader.models_folder)
    except ModelUnavailable:
        return None


def _map_tensors(answer: Any, do: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """An answer in which each tensor is what `do` makes of it."""
    if isinstance(answer, dict):
        return {name: _map_tensors(value, do) for name, value in answer.items()}
    return do(answer) if isinstance(answer, torch.Tensor) else answer
