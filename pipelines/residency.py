"""What is on the GPU and what waits in RAM.

    with residency.use("sketch.painter", context) as group:
        ...

A cache of models by bytes. While a model is used it stays on the GPU, and room is kept for what it
computes; when another needs the room, those leave that cost least to bring back. Not thread-safe:
the GPU thread owns it.
"""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, sqrt
from typing import Generic, Protocol, TypeVar

from pipelines.contract.context import Phase, RunContext
from pipelines.contract.errors import AtelierError

log = logging.getLogger(__name__)

K = TypeVar("K")
M = TypeVar("M")


def to_free(sizes: Mapping[K, int], wanted: float) -> list[K]:
    """Which of `sizes`, the first ones first, together free `wanted` bytes, or all that there are.

    The first that add up to it are taken; then the largest of them that can be spared stay.
    """
    going = []
    for key, size in sizes.items():
        if wanted > 0:
            going.append(key)
            wanted -= size
    for key in sorted(going, key=lambda key: sizes[key], reverse=True):
        if wanted + sizes[key] <= 0:
            going.remove(key)
            wanted += sizes[key]
    return going


class Mover(Protocol[M]):
    """Loads and moves models for Residency, which never looks inside one."""

    def load(self, key: str) -> M:
        """From disk into RAM. Raises ModelUnavailable."""
        ...

    def move_in(self, key: str, model: M) -> None:
        """From RAM onto the GPU."""
        ...

    def move_out(self, key: str, model: M) -> None:
        """Off the GPU, and as `load` gave it, even if a failed run left it half changed."""
        ...


class Needs(Protocol):
    """What a model needs of the card, in bytes."""

    @property
    def size(self) -> int:
        """Weights, for as long as it is there."""
        ...

    @property
    def working(self) -> int:
        """What it computes, for each of a batch, while it is used."""
        ...

    @property
    def passing(self) -> int:
        """Weights that come and go while it is used."""
        ...


@dataclass(slots=True)
class _Resident(Generic[M]):
    """A model on the GPU. `used_at` counts uses; `failed` says that a run with it did."""

    model: M
    used_at: int = 0
    users: int = 0
    batch: int = 1
    failed: bool = False


class Residency(Generic[M]):
    """Keeps models on the GPU within `budget` bytes.

    `needs` are of all models. Those of a model that is not on the GPU may change.
    """

    def __init__(self, budget: float, needs: Mapping[str, Needs], mover: Mover[M]) -> None:
        self._budget = budget
        self._needs = needs
        self._mover = mover
        self._resident: dict[str, _Resident[M]] = {}  # the one used longest ago comes first
        self._waiting: dict[str, M] = {}
        self._uses = 0

    @contextmanager
    def use(self, key: str, context: RunContext | None = None, batch: int = 1) -> Iterator[M]:
        """The model, on the GPU until the block ends, with room to compute for a batch of so many.

        Reports Phase.LOADING if it was not there. A model whose block failed leaves the GPU: it may
        have been half-way through a cast. One that was cancelled, between two steps, is whole and
        stays.
        """
        resident = self._bring_in(key, context or RunContext(), batch)
        resident.users += 1
        resident.batch = batch
        self.make_room(0)
        try:
            yield resident.model
        except AtelierError:
            raise
        except BaseException:
            resident.failed = True
            raise
        finally:
            resident.users -= 1
            if resident.failed and not resident.users and key in self._resident:
                self._evict(key)
            self.make_room(0)

    def resident(self) -> frozenset[str]:
        """Keys of the models on the GPU."""
        return frozenset(self._resident)

    def ready(self) -> frozenset[str]:
        """Keys of the models on the GPU that can be used without another leaving it."""
        if len(self._resident) == 1:
            return self.resident()
        free = self._budget - self._taken()
        return frozenset(
            key
            for key, resident in self._resident.items()
            if resident.users or self._peak(key) - self._needs[key].size <= free
        )

    def in_use(self, key: str) -> bool:
        """Whether a model is being used."""
        return key in self._resident and self._resident[key].users > 0

    def fits(self, key: str) -> bool:
        """Whether a model is on the GPU, or could be without another leaving."""
        return key in self._resident or self._taken() + self._peak(key) <= self._budget

    def evict_idle(self) -> None:
        """Move every model that nobody uses into RAM."""
        for key in [k for k, r in self._resident.items() if not r.users]:
            self._evict(key)

    def drop(self, key: str) -> None:
        """Forget a model that nobody uses; it is loaded anew when it is needed."""
        if key in self._resident:
            self._evict(key)
        self._waiting.pop(key, None)

    def clear(self) -> None:
        """Drop every model."""
        self._resident.clear()
        self._waiting.clear()

    def max_batch(self, key: str) -> int:
        """The largest batch for which a model has room, if all others leave; one at the least."""
        needs = self._needs[key]
        if not needs.working or self._budget == inf:
            return sys.maxsize
        weights = needs.size + needs.passing
        return max(1, int((self._budget - weights) // needs.working))

    def _bring_in(self, key: str, context: RunContext, batch: int) -> _Resident[M]:
        found = self._resident.pop(key, None)
        if found is None:
            context.step(Phase.LOADING)
            self.make_room(self._peak(key, batch))
            model = self._waiting.pop(key) if key in self._waiting else self._mover.load(key)
            self._mover.move_in(key, model)  # if that fails, the model is in neither dict: dropped
            found = _Resident(model)
        self._uses += 1
        found.used_at = self._uses
        self._resident[key] = found  # now the one used last
        return found

    def make_room(self, size: int) -> None:
        """Evict idle models until `size` more bytes fit, or until none is left."""
        over = self._taken() + size - self._budget
        for key in self.to_evict([k for k, r in self._resident.items() if not r.users], over):
            self._evict(key)

    def to_evict(self, idle: Sequence[str], size: float) -> Sequence[str]:
        """Which of `idle`, the one used longest ago first, leave for `size` bytes to become free.

        First those whose return costs least: a model costs its bytes to bring back, and is the less
        likely to be needed soon the longer it was not used. With the square root of that time
        `benchmarks.residency` moves fewest bytes.
        """
        cheapest_first = sorted(idle, key=self._cost_to_lose)
        return to_free({key: self._needs[key].size for key in cheapest_first}, size)

    def _cost_to_lose(self, key: str) -> float:
        age = self._uses - self._resident[key].used_at
        return self._needs[key].size / sqrt(age + 1)

    def _evict(self, key: str) -> None:
        model = self._resident.pop(key).model
        self._mover.move_out(key, model)
        self._waiting[key] = model
        log.debug("evicted %s", key)

    def _taken(self) -> int:
        return sum(
            self._peak(key, resident.batch) if resident.users else self._needs[key].size
            for key, resident in self._resident.items()
        )

    def _peak(self, key: str, batch: int = 1) -> int:
        needs = self._needs[key]
        return needs.size + needs.passing + batch * needs.working
