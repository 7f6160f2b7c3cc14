"""The models of a catalogue: each as its plan says, and on the card for its turn.

    with models.use(ModelKey.SKETCH, context, TEXT) as pipeline:
        ...

What the rooms (sketch, imagine, animate) work with.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch

from pipelines.acceleration import accelerate, attention, forget_recordings
from pipelines.adapting import Adapters
from pipelines.catalog import PREVIEW, Catalog, ModelKey, Network, SafetyModel
from pipelines.checkpoints import check_preview, weigh
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.errors import ModelUnavailable
from pipelines.fitting import divide, fit_to, modules_of, stream
from pipelines.loading import BUILDING, Loader
from pipelines.loras import Lora, find
from pipelines.placement import GIB, PAINTER, Card, Held, Plan, plan_model, unmet
from pipelines.residency import Residency
from pipelines.weights import Weights

log = logging.getLogger(__name__)

A = TypeVar("A", bound="str | Embeddings")
Load = Callable[[Any, Loader], Any]
Embeddings = dict[str, torch.Tensor | None]
"""What a painter is told, by the names of its pipeline's arguments."""
EMBEDS = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
)
"""In the order in which the text encoders of SDXL and SD3.5 give them."""
_LESS = 0.8  # of what a model took when memory ran out
REMEMBERED = 64  # answers: up to 6 MB of RAM each


@dataclass(frozen=True, slots=True)
class Question(Generic[A]):
    """What a model is asked. The answer depends on `about` alone; `ask` is given the pipeline."""

    about: Hashable
    ask: Callable[[Any], A]


@dataclass(frozen=True, slots=True)
class _Group:
    """A pipeline, and those of its weights that are on the card with this group."""

    pipeline: Any
    weights: Weights
    """But those that are streamed, which come and go by their own hooks."""
    decoder: Any = None
    """Of its previews, beside the painter."""


class Models:
    """Owns every model of `catalog` on one card; `loads` says how each is read. Not thread-safe."""

    def __init__(
        self, catalog: Catalog, card: Card, loader: Loader, loads: Mapping[ModelKey, Load]
    ) -> None:
        self.device = loader.device
        self.plans: dict[ModelKey, Plan] = {}
        self._catalog = catalog
        self._card = card
        self._loader = loader
        self._sizes: dict[str, int] = {}
        self._working: dict[str, int] = {}
        self._shelf = _Shelf(catalog, card, self.plans, loader, loads)
        self._residency: Residency[_Group] = Residency(
            card.budget, self._sizes, self._shelf, self._working
        )
        self._adapters = Adapters(loader.device)
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self._latest: ModelKey | None = None
        for key in ModelKey:
            if getattr(catalog, key) is not None:
                self._adopt(key, self._planned(key, card))

    def _planned(self, key: ModelKey, card: Card) -> Plan:
        model = getattr(self._catalog, key)
        return plan_model(key, model, card, _weights(key, model, self._loader))

    def _adopt(self, key: ModelKey, plan: Plan) -> None:
        self.plans[key] = plan
        for name, group in plan.groups.items():
            self._sizes[_name(key, name)] = group.size
            self._working[_name(key, name)] = group.working

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

        There is room for a batch of so many, if there can be: see `most`.
        Reports Phase.LOADING where they were not there. Raises ModelUnavailable.
        """
        before, self._latest = self._latest, key
        context = context or RunContext()
        kernel = attention(self._catalog.acceleration)
        with (
            self._residency.use(_name(key, group), context, batch) as held,
            self._adapted(held.pipeline, context, lora),
            kernel,
        ):
            yield held.pipeline
        if before is not None and self._residency.in_use(_name(before, PAINTER)):
            self._latest = before  # this was on the way, as for a preview

    def decoder(self, key: ModelKey) -> Any:
        """What makes previews of a model, while its painter is used; None where nothing does."""
        return self._shelf.load(_name(key, PAINTER)).decoder

    def _adapted(
        self, pipeline: Any, context: RunContext, lora: Lora | None
    ) -> AbstractContextManager[None]:
        if lora is None:
            return nullcontext()
        return self._adapters.beside(
            pipeline,
            lora,
            on_read=lambda: context.step(Phase.LOADING),
            make_room=self._residency.make_room,
        )

    def lora(self, key: ModelKey, name: str | None) -> Lora | None:
        """The LoRA of that name, None without one. Raises BadInput."""
        return None if name is None else find(self._catalog.loras, key, name)

    @property
    def safety(self) -> SafetyModel | None:
        """The classifier's entry, if there is one."""
        return self._catalog.safety

    def most(self, key: ModelKey) -> int:
        """How many pictures the painter of a model has room for at once."""
        return self._residency.most(_name(key, PAINTER))

    def step_down(self) -> bool:
        """Hold the model that was used last in less, after memory ran out.

        Nobody may be using it. It is read from disk anew. Returns False when it takes the least
        that it can.
        """
        if self._latest is None:
            return False
        key, old = self._latest, self.plans[self._latest]
        less = replace(self._card, budget=_LESS * min(old.peak, self._card.budget))
        plan = self._planned(key, less)
        if plan.peak >= old.peak:
            return False
        log.warning(
            "memory ran out: models.%s is held in %.1f GiB instead of %.1f from now on: %s",
            key,
            plan.peak / GIB,
            old.peak / GIB,
            "; ".join(plan.given_up),
        )
        for name in old.groups:
            self._residency.drop(_name(key, name))
            self._shelf.drop(_name(key, name))
        self._adopt(key, plan)
        return True

    def answer(
        self,
        key: ModelKey,
        group: str,
        context: RunContext,
        question: Question[A],
        coming: Callable[[], Iterable[Question[A]]] = tuple,
    ) -> A:
        """What the model says, its tensors on the device. Asked again, the answer is remembered.

        If the group had to be moved in for this, `coming` questions are asked on the way. One that
        fails is left to the run that it belongs to.
        """
        known = self.known(key, group, question.about)
        if known is None:
            there = _name(key, group) in self._residency.resident()
            with self.use(key, context, group) as pipeline, torch.inference_mode():
                self._remember(key, group, question.about, question.ask(pipeline))
                if not there:
                    self._ask_ahead(key, group, context, pipeline, coming())
            known = self.known(key, group, question.about)
        answer: A = _to(known, self.device)
        return answer

    def known(self, key: ModelKey, group: str, about: Hashable) -> Any:
        """The answer to a question that was asked lately, in RAM, else None."""
        if (key, group, about) in self._answers:
            self._answers.move_to_end((key, group, about))
        return self._answers.get((key, group, about))

    def _remember(self, key: ModelKey, group: str, about: Hashable, answer: Any) -> None:
        self._answers[key, group, about] = _to(answer, "cpu")
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
        """Keys of the models whose painter is on the card."""
        there = self._residency.resident()
        return frozenset(key for key in self.plans if _name(key, PAINTER) in there)

    def fits(self, key: ModelKey) -> bool:
        """Whether a model's painter is on the card, or could be without another leaving."""
        return self._residency.fits(_name(key, PAINTER))

    def evict_idle(self) -> None:
        """Let every model that nobody uses leave the card."""
        self._residency.evict_idle()

    def clear(self) -> None:
        """Drop every model."""
        self._residency.clear()
        self._shelf.clear()
        self._adapters.clear()
        self._answers.clear()


def _weights(key: ModelKey, model: Any, loader: Loader) -> dict[str, int] | None:
    """A model's weights by part. What is wrong with its files is said when it is loaded."""
    try:
        return weigh(key, model, loader.models_folder)
    except ModelUnavailable:
        return None


def dtype_of(told: Embeddings) -> torch.dtype:
    """The type that a painter is told in, and begins in."""
    words = told["prompt_embeds"]
    assert words is not None
    return words.dtype


def _to(answer: Any, device: torch.device | str) -> Any:
    """An answer with its tensors on `device`."""
    if isinstance(answer, dict):
        return {name: _to(value, device) for name, value in answer.items()}
    return answer.to(device) if isinstance(answer, torch.Tensor) else answer


def _name(key: ModelKey, group: str) -> str:
    return f"{key}.{group}"


class _Shelf:
    """Reads pipelines from disk, divides them, and moves the groups."""

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
        self._groups: dict[str, _Group] = {}

    def load(self, name: str) -> _Group:
        if name not in self._groups:
            key = ModelKey(name.partition(".")[0])
            with BUILDING:
                self._groups |= self._read(key)
        return self._groups[name]

    def _read(self, key: ModelKey) -> dict[str, _Group]:
        """All groups of a model, its weights in RAM."""
        plan, device = self._plans[key], self._loader.device
        if lacking := unmet(getattr(self._catalog, key), self._card):
            raise ModelUnavailable(lacking)
        loader = replace(self._loader, precision=plan.groups[PAINTER].precision)
        whole = self._loads[key](getattr(self._catalog, key), loader)
        if isinstance(getattr(self._catalog, key), Network):
            return {_name(key, PAINTER): _Group(whole, Weights([whole.model], device))}
        accelerate(whole, self._catalog.acceleration, plan, device, roomy=self._has_room_for_all())
        groups = {}
        for group, pipeline in divide(whole).items():
            pipeline.set_progress_bar_config(disable=True)
            modules = modules_of(whole, group)
            if plan.groups[group].held is Held.STREAMED:
                modules = stream(modules, device)
            decoder = self._decoder(key, loader) if group == PAINTER else None
            weights = Weights([*modules, *([] if decoder is None else [decoder])], device)
            groups[_name(key, group)] = _Group(pipeline, weights, decoder)
        fit_to(whole, plan)
        return groups

    def _decoder(self, key: ModelKey, loader: Loader) -> Any:
        """The tiny decoder of a model's latents. Where it cannot serve, the model does without."""
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

    def move_in(self, name: str, group: _Group) -> None:
        group.weights.move_in()

    def move_out(self, name: str, group: _Group) -> None:
        if not isinstance(getattr(self._catalog, name.partition(".")[0]), Network):
            forget_recordings(group.pipeline)
        group.weights.move_out()

    def _has_room_for_all(self) -> bool:
        """Whether all models, and what each computes, are on the card at once."""
        plans = self._plans.values()
        return (
            sum(group.peak for plan in plans for group in plan.groups.values()) <= self._card.budget
        )

    def drop(self, name: str) -> None:
        self._groups.pop(name, None)

    def clear(self) -> None:
        self._groups.clear()
