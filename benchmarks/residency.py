"""How much the bot moves over the bus, in a simulation of a busy day on cards of several sizes.

The real policy, the real residency and the real plans, on a virtual clock: 1,000 jobs of twenty
members, sketches, pictures and videos, a quarter of them with a prompt asked before, arriving at
random. Nothing is computed; a job takes the seconds that its kind takes on such a card, and moving
weights takes their bytes at BANDWIDTH. Days differ by their seed. Compared are

- stock: first come, first served, every part moved in for its turn and out after it, as diffusers'
  `enable_model_cpu_offload` does;
- FIFO: first come, first served, on our plans; what was used last stays as long as there is room.
  The goal is a third of its swaps and bytes; of stock's a third would be less to ask;
- ours: the policy, which prefers what is on the card by at most `patience`; the prompts and
  drawings of the next AHEAD jobs read whenever the readers have to be moved in; and our residency,
  where those leave that cost least to bring back.

The offline optimum, the fewest bytes in our order by any way to evict, is between two figures of
perfect foresight, both printed as parts of what ours moves:

- foreseen: what is needed farthest in the future leaves first (Belady, IBM Systems J. 1966), which
  is the optimum for parts of one size and only good for these;
- least: the same where models may leave piece by piece. For pieces of one size it is the optimum,
  and who evicts whole models evicts pieces too, so no way to evict moves less.

Weights that are streamed cross the bus in any case, while they compute, and are not counted; a
group of which nothing else comes in still counts as a swap.

"Passed over" is how long a job waited from when its turn came until it was taken, at most; it may
be `patience` and the job that ran then.
"""

import math
import random
import statistics
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf

from benchmarks._report import report
from bot.jobs.policy import Policy
from pipelines.catalog import (
    AnimateModel,
    CaptionModel,
    Checkpoint,
    Conditioner,
    ImagineModel,
    Model,
    ModelKey,
    SketchModel,
    painters,
)
from pipelines.placement import plan_model
from pipelines.plan import GIB, PAINTER, TEXT, Card, Group
from pipelines.residency import Residency

GOAL = 1 / 3  # of what FIFO moves
SEEDS = range(10)
CARDS = (8, 12, 16, 24)  # GiB
AHEAD = 16  # jobs, as in bot.jobs.queue
JOBS, MEMBERS = 1_000, 20
PATIENCE = 120.0  # seconds
BANDWIDTH = 20 * GIB  # a second, from pinned memory
LOAD = 1.3  # seconds of work that arrive in a second: evenings, when it matters
REPEATED = 0.25  # of prompts
CAPTIONER = f"{ModelKey.CAPTION}.{PAINTER}"
SECONDS = {
    ModelKey.CAPTION: 0.3,
    ModelKey.SKETCH: 6.0,
    ModelKey.IMAGINE: 15.0,
    ModelKey.ANIMATE: 40.0,
}
MIX: tuple[tuple[tuple[ModelKey, ...], int], ...] = (
    ((ModelKey.CAPTION, ModelKey.SKETCH), 4),
    ((ModelKey.IMAGINE,), 4),
    ((ModelKey.ANIMATE,), 1),
    ((ModelKey.IMAGINE, ModelKey.ANIMATE), 1),
)
MODELS: dict[ModelKey, Model] = {
    ModelKey.CAPTION: CaptionModel(source="a/b"),
    ModelKey.SKETCH: SketchModel(
        source="a/b",
        vae=Checkpoint(source="a/b"),
        conditioner=Conditioner(source="a/b", type="t2i-adapter"),
    ),
    ModelKey.IMAGINE: ImagineModel(source="a/b"),
    ModelKey.ANIMATE: AnimateModel(source="a/b"),
}


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the day. `new` is whether its prompt has to be read."""

    id: str
    owner: int
    came: float
    models: tuple[ModelKey, ...]
    new: bool

    @property
    def seconds(self) -> float:
        """Of work, loading aside."""
        return sum(SECONDS[key] for key in self.models)

    def groups(self) -> Iterator[str]:
        """What it has on the card, in its order."""
        for key in self.models:
            if key in (ModelKey.SKETCH, ModelKey.IMAGINE):
                yield f"{key}.{TEXT}"
            yield f"{key}.{PAINTER}"

    def needs_reading(self, name: str) -> bool:
        """Whether a group only reads, so that what it says can be remembered."""
        return name == CAPTIONER or name.endswith(f".{TEXT}")


def day(jobs: int, seed: int = 0) -> list[Job]:
    """Jobs as they come."""
    dice = random.Random(seed)
    kinds, weights = [kind for kind, _ in MIX], [weight for _, weight in MIX]
    mean = sum(w * sum(SECONDS[k] for k in kind) for kind, w in MIX) / sum(weights)
    now, made = 0.0, []
    for number in range(jobs):
        now += dice.expovariate(LOAD / mean)
        kind = dice.choices(kinds, weights)[0]
        new = dice.random() >= REPEATED
        made.append(Job(str(number), dice.randrange(MEMBERS), now, kind, new))
    return made


@dataclass(slots=True)
class Bus:
    """A Mover that counts."""

    groups: dict[str, Group]
    moved: int = 0
    swaps: int = 0

    def load(self, key: str) -> str:
        """Nothing to read."""
        return key

    def move_in(self, key: str, model: str) -> None:
        """Over the bus."""
        self.moved += self.groups[key].size
        self.swaps += 1

    def move_out(self, key: str, model: str) -> None:
        """Free: the copy in RAM never left."""


@dataclass(slots=True)
class Outcome:
    """What a day came to."""

    moved: int
    swaps: int
    waits: list[float]
    passed_over: float = 0.0
    used: list[str] = field(default_factory=list)


class Oldest(Residency[str]):
    """Lets leave what was used longest ago."""

    def to_evict(self, idle: Sequence[str], size: float) -> Sequence[str]:
        """The first that make room, in the order in which they were used."""
        freed = accumulate((self._needs[key].size for key in idle), initial=0)
        return [key for key, free in zip(idle, freed, strict=False) if free < size]


class Line:
    """First come, first served."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def add(self, job: Job) -> None:
        """Let a job wait."""
        self._jobs.append(job)

    def take(self, resident: frozenset[str], now: float) -> Job | None:
        """The next job, which waits no longer."""
        return self._jobs.popleft() if self._jobs else None

    def first(self, count: int) -> list[Job]:
        """The jobs that come next."""
        return list(self._jobs)[:count]

    passed_over = 0.0


class Fair:
    """The bot's policy; beside it one without patience, which says whose turn it is."""

    def __init__(self) -> None:
        self._policy, self._strict = Policy(patience=PATIENCE), Policy(patience=0.0)
        self._jobs: dict[str, Job] = {}
        self._due: dict[str, float] = {}
        self.passed_over = 0.0

    def add(self, job: Job) -> None:
        """Let a job wait."""
        self._jobs[job.id] = job
        for policy in (self._policy, self._strict):
            policy.add(job.id, job.owner, 1.0, job.seconds, painters(job.models), job.came)

    def take(self, resident: frozenset[str], now: float) -> Job | None:
        """The next job, which waits no longer."""
        chosen = self._policy.pick(free=[resident], now=now)
        if chosen is None:
            return None
        due = self._strict.pick(free=[frozenset()], now=now)
        assert due is not None, "both know the same jobs"
        self._due.setdefault(due, now)
        job = self._jobs.pop(chosen)
        self.passed_over = max(self.passed_over, now - self._due.pop(chosen, now))
        for policy in (self._policy, self._strict):
            policy.remove(chosen)
            policy.charge(job.owner, 1.0, job.seconds)
        return job

    def first(self, count: int) -> list[Job]:
        """The jobs that come next."""
        return [self._jobs[each] for each in self._policy.first(count)]


def run(
    jobs: list[Job], groups: dict[str, Group], budget: float, queue: Line | Fair, ahead: int = 0
) -> Outcome:
    """A day on a card of `budget` bytes, with as many jobs read `ahead`."""
    bus = Bus(groups)
    kind = Oldest if isinstance(queue, Line) else Residency[str]
    residency = kind(budget, groups, bus)
    coming, now, outcome = deque(jobs), 0.0, Outcome(0, 0, [])
    read: set[tuple[str, str]] = {
        (job.id, f"{key}.{TEXT}") for job in jobs if not job.new for key in job.models
    }
    while True:
        while coming and coming[0].came <= now:
            queue.add(coming.popleft())
        there = residency.ready()
        job = queue.take(frozenset(k for k in ModelKey if f"{k}.{PAINTER}" in there), now)
        if job is None:
            if not coming:
                break
            now = coming[0].came
            continue
        before = bus.moved
        for name in job.groups():
            if (job.id, name) in read:
                continue
            if job.needs_reading(name) and name not in residency.resident():
                behind = [each for each in queue.first(ahead) if name in each.groups()]
                read.update((each.id, name) for each in behind)
            with residency.use(name):
                outcome.used.append(name)
        now += job.seconds + (bus.moved - before) / BANDWIDTH
        outcome.waits.append(now - job.came)
    outcome.moved, outcome.swaps, outcome.passed_over = bus.moved, bus.swaps, queue.passed_over
    return outcome


def stock(jobs: list[Job], groups: dict[str, Group]) -> Outcome:
    """A day on which every part comes for its turn, and leaves after it."""
    names = [name for job in jobs for name in job.groups()]
    return Outcome(sum(groups[name].size for name in names), len(names), [])


def _next_uses(needed: Sequence[str]) -> list[float]:
    """When each of what is needed in turn is needed again."""
    next_use: list[float] = []
    last: dict[str, int] = {}
    for at in range(len(needed) - 1, -1, -1):
        next_use.append(last.get(needed[at], inf))
        last[needed[at]] = at
    next_use.reverse()
    return next_use


def foreseen(needed: Sequence[str], groups: Mapping[str, Group], budget: float) -> int:
    """The bytes moved for groups needed in turn, when what is needed last always leaves first."""
    next_use = _next_uses(needed)
    there: dict[str, float] = {}
    moved = 0
    for at, name in enumerate(needed):
        if name not in there:
            moved += groups[name].size
        there.pop(name, None)
        while there and sum(groups[n].size for n in there) + groups[name].peak > budget:
            there.pop(max(there, key=lambda n: there[n]))
        there[name] = next_use[at]
    return moved


def least(needed: Sequence[str], groups: Mapping[str, Group], budget: float) -> int:
    """Bytes below which nobody who evicts can get: the same, but groups may leave in pieces."""
    next_use = _next_uses(needed)
    there: dict[str, int] = {}
    due: dict[str, float] = {}
    moved = 0
    for at, name in enumerate(needed):
        group = groups[name]
        moved += group.size - there.get(name, 0)
        there[name], due[name] = group.size, next_use[at]
        over = sum(there.values()) + group.peak - group.size - budget
        for other in sorted(there.keys() - {name}, key=lambda n: due[n], reverse=True):
            if over <= 0:
                break
            gone = min(there[other], math.ceil(over))
            there[other] -= gone
            over -= gone
    return moved


@dataclass(frozen=True, slots=True)
class Compared:
    """One day on one card, in all ways."""

    stock: Outcome
    fifo: Outcome
    ours: Outcome
    foreseen: int
    least: int

    def of(self, other: Outcome) -> tuple[float, float]:
        """Our swaps and bytes, as parts of another's."""
        return self.ours.swaps / other.swaps, self.ours.moved / other.moved


def groups_on(card: Card) -> dict[str, Group]:
    """What the plans make of all models on a card."""
    return {
        f"{key}.{name}": group
        for key, model in MODELS.items()
        for name, group in plan_model(key, model, card).groups.items()
    }


def simulate(gib: int, jobs: int, seed: int) -> Compared:
    """A day on a card of `gib`."""
    card = Card("cuda", (gib - 1) * GIB, 48 * GIB, (8, 9))
    groups, trace = groups_on(card), day(jobs, seed)
    fifo = run(trace, groups, card.budget, Line())
    ours = run(trace, groups, card.budget, Fair(), AHEAD)
    bounds = (foresight(ours.used, groups, card.budget) for foresight in (foreseen, least))
    return Compared(stock(trace, groups), fifo, ours, *bounds)


def main(jobs: int = JOBS) -> bool:
    """Print a table for cards of several sizes, and the figure."""
    print(f"swaps, and bytes moved, in the median of {len(SEEDS)} days (on the worst)")
    print(f"{'':6}{'ours':>16}{'of stock':>27}{'of FIFO':>27}{'least, foreseen':>18}  passed over")
    missed, longest = [], 0.0
    for gib in CARDS:
        days = [simulate(gib, jobs, seed) for seed in SEEDS]
        of_stock = [day.of(day.stock) for day in days]
        of_fifo = [day.of(day.fifo) for day in days]
        if max(map(statistics.median, zip(*of_fifo, strict=True))) > GOAL:
            missed.append(f"{gib} GiB")
        over = max(day.ours.passed_over for day in days)
        longest = max(longest, over)
        swaps = statistics.median(day.ours.swaps for day in days)
        moved = statistics.median(day.ours.moved for day in days) / GIB
        low = statistics.median(day.least / day.ours.moved for day in days)
        high = statistics.median(day.foreseen / day.ours.moved for day in days)
        ours, foresight = f"{swaps:.0f}, {moved:,.0f} GiB", f"{low:.2f}, {high:.2f}"
        print(f"{gib:2} GiB{ours:>16}{_spread(of_stock):>27}{_spread(of_fifo):>27}", end="")
        print(f"{foresight:>18}{over:11.0f} s")
    bound = PATIENCE + max(sum(SECONDS[k] for k in kind) for kind, _ in MIX) + 5
    where = f"missed on {' and '.join(missed)}" if missed else "kept on all cards"
    figure = f"a third of FIFO's swaps and bytes {where}; passed over {longest:.0f} s at most"
    goal = f"≤ {GOAL:.2f} on all cards, and ≤ {bound:.0f} s"
    return report("residency", figure, goal, met=not missed and longest <= bound)


def _spread(days: Sequence[tuple[float, float]]) -> str:
    """Of swaps and of bytes, the median of all days and the worst."""
    both = zip(*days, strict=True)
    return ", ".join(f"{statistics.median(each):.2f} ({max(each):.2f})" for each in both)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
