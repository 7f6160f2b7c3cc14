"""The policy's rules in their plainest form: no heaps, every answer from a look at everything."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

Models = frozenset[str]


@dataclass(frozen=True)
class PlainJob:
    id: str
    owner: int
    weight: float
    cost: float
    models: Models
    queued_at: float
    came: int


@dataclass
class PlainTurns:
    patience: float
    jobs: dict[str, PlainJob] = field(default_factory=dict)
    turns: dict[int, float] = field(default_factory=dict)
    earliest: float = 0.0
    passed: list[tuple[float, str]] = field(default_factory=list)
    came: "count[int]" = field(default_factory=count)

    def add(
        self,
        job_id: str,
        owner: int,
        weight: float,
        cost: float,
        models: Models,
        queued_at: float,
    ) -> None:
        if owner not in {j.owner for j in self.jobs.values()}:
            self.turns[owner] = max(self.turns.get(owner, 0.0), self.earliest)
        self.jobs[job_id] = PlainJob(
            job_id, owner, weight, cost, models, queued_at, next(self.came)
        )

    def remove(self, job_id: str) -> None:
        self.jobs.pop(job_id, None)

    def charge(self, owner: int, weight: float, seconds: float) -> None:
        self.turns[owner] = self.turns.get(owner, 0.0) + seconds / weight

    def heads(self) -> dict[int, PlainJob]:
        heads: dict[int, PlainJob] = {}
        for job in sorted(self.jobs.values(), key=lambda j: (j.queued_at, j.came)):
            heads.setdefault(job.owner, job)
        return heads

    def turn(self, job: PlainJob) -> tuple[float, float, int]:
        return (self.turns[job.owner], job.queued_at, job.came)

    def fairest(self) -> PlainJob | None:
        """The job that is next by its turn."""
        return min(self.heads().values(), key=self.turn, default=None)

    def pick(
        self, *, free: Sequence[Models], busy: Sequence[Models] = (), now: float
    ) -> str | None:
        heads = self.heads()
        self.passed = [(at, job_id) for at, job_id in self.passed if job_id in self.jobs]
        for at, job_id in self.passed:
            if at + self.patience <= now and heads[self.jobs[job_id].owner].id == job_id:
                return job_id
        fairest = self.fairest()
        if fairest is None:
            return None
        self.earliest = max(self.earliest, self.turns[fairest.owner])

        def preferred(job: PlainJob) -> tuple[tuple[float, float, int], ...]:
            turn, *ties = self.turn(job)
            turn -= self.patience if any(job.models <= there for there in free) else 0.0
            return ((turn, ties[0], job.came),)

        chosen = min(heads.values(), key=preferred)
        if chosen is not fairest and fairest.id not in {job_id for _, job_id in self.passed}:
            self.passed.append((now, fairest.id))
        return chosen.id


class PlainPolicy:
    """Two lanes: whoever waits behind runs when nobody waits in front."""

    def __init__(self, patience: float) -> None:
        self.front, self.behind = PlainTurns(patience), PlainTurns(patience)

    @property
    def jobs(self) -> dict[str, PlainJob]:
        return self.front.jobs | self.behind.jobs

    def lane(self, behind: bool) -> PlainTurns:
        return self.behind if behind else self.front

    def add(
        self,
        job_id: str,
        owner: int,
        weight: float,
        cost: float,
        models: Models,
        queued_at: float,
        *,
        behind: bool = False,
    ) -> None:
        self.lane(behind).add(job_id, owner, weight, cost, models, queued_at)

    def remove(self, job_id: str) -> None:
        self.front.remove(job_id)
        self.behind.remove(job_id)

    def forward(self, job_id: str) -> None:
        if (job := self.behind.jobs.pop(job_id, None)) is not None:
            self.front.add(job.id, job.owner, job.weight, job.cost, job.models, job.queued_at)

    def charge(self, owner: int, weight: float, seconds: float, *, behind: bool = False) -> None:
        self.lane(behind).charge(owner, weight, seconds)

    def pick(
        self, *, free: Sequence[Models], busy: Sequence[Models] = (), now: float
    ) -> str | None:
        lane = self.front if self.front.jobs else self.behind
        return lane.pick(free=free, busy=busy, now=now)
