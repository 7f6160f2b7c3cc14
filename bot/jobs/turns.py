"""Members take turns, by GPU-seconds. Pure: plain data in, a job's id out; no clock, no I/O.

Not by jobs: each member has a *turn*, a virtual time in seconds. Running a job moves its owner's
turn on by the job's GPU-seconds divided by the owner's weight, and the member whose turn is
earliest goes next. A member's own jobs run in the order in which they came. Whoever comes with
nothing waiting starts at the earliest turn among those who wait, or at their own if that is later:
to have been away earns nothing and costs nothing. This is start-time fair queueing (Goyal, Vin and
Cheng, "Start-time Fair Queueing", SIGCOMM 1996) with members for flows and GPU-seconds for bytes.

One thing is put before fairness: a job whose models are all resident on one card that is free
counts as if its turn were `patience` seconds earlier. What is resident on a busy card only does not
count, for no job waits for a card while another is free. Two bounds hold that in check, whatever
arrives and however many cards there are:

- *Fairness.* Two members who both have jobs waiting throughout some time get GPU-seconds per
  weight in it that differ by at most `2 · patience + c₁/w₁ + c₂/w₂`, where c is the member's
  longest job and w their weight. For no job is chosen whose turn is later than the earliest by
  more than `patience`, so the turns of all who wait lie within `patience + c/w` of the earliest.
  Without patience this is Goyal's Theorem 1. A job's seconds count from its decision on, so that
  those of several cards are one sequence.
- *Time.* A job that was next by its turn and was passed over is chosen at the first decision
  that comes `patience` seconds later, whatever is resident; of several, the first passed over.

An operation takes O(log n) for n waiting jobs, amortised, times the few sets of models in use.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from bot.jobs.ranking import Ranking, Turn

Models = frozenset[str]


@dataclass(slots=True, eq=False)
class _Waiting:
    """A waiting job. `seconds` are its cost by its owner's weight; `came` counts the jobs added."""

    id: str
    owner: int
    seconds: float
    models: Models
    queued_at: float
    came: int
    passed: bool = False
    overdue: int | None = None
    gone: bool = False

    def __lt__(self, other: "_Waiting") -> bool:
        return (self.queued_at, self.came) < (other.queued_at, other.came)


@dataclass(slots=True, eq=False)
class _Member:
    """An owner's turn and their waiting jobs, as a heap. `stamp` dates entries in other heaps."""

    turn: float
    jobs: list[_Waiting] = field(default_factory=list)
    stamp: int = 0

    def head(self) -> _Waiting | None:
        """The job that comes next of theirs."""
        while self.jobs and self.jobs[0].gone:
            heappop(self.jobs)
        return self.jobs[0] if self.jobs else None


_Entry = tuple[Turn, int, int]
"""A head's turn, its owner, and the stamp that the owner had then."""


class Turns:
    """Orders waiting jobs. Jobs come in by `add` and leave by `remove`.

    `patience` is in seconds. `usage` is what owners used lately, in GPU-seconds: those who used
    more begin later, by `patience` at most.
    """

    def __init__(self, *, patience: float, usage: Mapping[int, float] | None = None) -> None:
        self._patience = patience
        self._usage = dict(usage or {})
        self._earliest = 0.0  # the earliest turn among those who wait, as of the last decision
        self._jobs: dict[str, _Waiting] = {}
        self._members: dict[int, _Member] = {}
        self._heads: dict[Models, list[_Entry]] = {}
        self._passed: deque[tuple[float, _Waiting]] = deque()  # since when, earliest first
        self._overdue: deque[_Waiting] = deque()
        self._came = count()
        self._late_ones = count()
        self._ranking = Ranking()
        self._unranked: set[int] = set()  # owners whose jobs have moved since they were ranked
        self._free: frozenset[Models] = frozenset()
        self._cards: frozenset[Models] = frozenset()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(
        self,
        job_id: str,
        owner: int,
        weight: float,
        cost: float,
        models: Models,
        queued_at: float,
    ) -> None:
        """Let a job wait. `cost` is its estimated GPU-seconds; a known job stays as it is."""
        if job_id in self._jobs:
            return
        job = _Waiting(job_id, owner, cost / weight, models, queued_at, next(self._came))
        member = self._member(owner, weight)
        before = member.head()
        if before is None:
            member.turn = max(member.turn, self._earliest)
        heappush(member.jobs, job)
        self._jobs[job_id] = job
        self._unranked.add(owner)
        if member.head() is not before:
            self._offer(owner, member)

    def remove(self, job_id: str) -> None:
        """A job waits no longer: it was leased, or cancelled. Unknown ones are ignored."""
        job = self._jobs.pop(job_id, None)
        if job is None:
            return
        member = self._members[job.owner]
        was_head = member.head() is job
        job.gone = True
        self._unranked.add(job.owner)
        if was_head:
            self._offer(job.owner, member)

    def charge(self, owner: int, weight: float, seconds: float) -> None:
        """Count `seconds` of the GPU to `owner`; a negative number gives some back."""
        member = self._member(owner, weight)
        member.turn += seconds / weight
        if member.head() is not None:
            self._unranked.add(owner)
            self._offer(owner, member)

    def pick(
        self, *, free: Iterable[Models], busy: Iterable[Models] = (), now: float
    ) -> str | None:
        """The job to run next, or None when none waits. It stays until it is removed.

        `free` says for each card that could take it what is resident there, `busy` for each of the
        others. `now` is in seconds of a clock that never goes back.
        """
        self.see(free=free, busy=busy, now=now)
        if (late := self._late()) is not None:
            return late.id
        tops = [(models, top) for models in self._heads if (top := self._top(models)) is not None]
        if not tops:
            return None
        fairest = min(top for _, top in tops)
        self._earliest = max(self._earliest, fairest[0][0])
        chosen = min((self._preferred(top[0], models, self._free), top) for models, top in tops)[1]
        if chosen is not fairest:
            self._pass_over(self._head_of(fairest), now)
        return self._head_of(chosen).id

    def see(self, *, free: Iterable[Models], busy: Iterable[Models] = (), now: float) -> None:
        """Take note of what is resident where, and whose patience has run out, as `pick` does."""
        self._free = frozenset(free)
        if (cards := self._free.union(busy)) != self._cards:
            self._cards = cards
            self._unranked.update(self._members)
        while self._passed and self._passed[0][0] + self._patience <= now:
            job = self._passed.popleft()[1]
            job.overdue = next(self._late_ones)
            self._overdue.append(job)
            self._unranked.add(job.owner)

    def place(self, job_id: str) -> int | None:
        """Where a job stands if nothing else came, 1 for the next; None if it does not wait.

        Reckoned with what was resident at the last decision on any card: each is free in turn.
        """
        job = self._jobs.get(job_id)
        if job is None:
            return None
        self._rank()
        return self._ranking.place(job.owner, job_id)

    def first(self, count: int) -> list[str]:
        """The ids of the jobs in the first `count` places."""
        self._rank()
        return self._ranking.first(count)

    # -- turns ------------------------------------------------------------------------------

    def _member(self, owner: int, weight: float) -> _Member:
        member = self._members.get(owner)
        if member is None:
            used = min(self._usage.pop(owner, 0.0) / weight, self._patience)
            member = self._members[owner] = _Member(turn=used)
        return member

    def _offer(self, owner: int, member: _Member) -> None:
        """Enter the member's head, as it is now, among the others of its models."""
        member.stamp += 1
        job = member.head()
        if job is None:
            return
        heap = self._heads.setdefault(job.models, [])
        heappush(heap, ((member.turn, job.queued_at, job.came), owner, member.stamp))
        if len(heap) > 2 * len(self._members) + 64:
            heap[:] = [entry for entry in heap if self._is_current(entry)]
            heapify(heap)

    def _top(self, models: Models) -> _Entry | None:
        """The earliest head among those of the same models."""
        heap = self._heads[models]
        while heap and not self._is_current(heap[0]):
            heappop(heap)
        return heap[0] if heap else None

    def _is_current(self, entry: _Entry) -> bool:
        member = self._members[entry[1]]
        return member.stamp == entry[2] and member.head() is not None

    def _head_of(self, entry: _Entry) -> _Waiting:
        head = self._members[entry[1]].head()
        assert head is not None, "an entry is current only while its owner has a head"
        return head

    def _preferred(self, turn: Turn, models: Models, cards: Iterable[Models]) -> Turn:
        for resident in cards:
            if models <= resident:
                return (turn[0] - self._patience, *turn[1:])
        return turn

    # -- patience ---------------------------------------------------------------------------

    def _pass_over(self, job: _Waiting, now: float) -> None:
        if not job.passed:
            job.passed = True
            self._passed.append((now, job))

    def _late(self) -> _Waiting | None:
        """The job whose patience ran out first."""
        while self._overdue and self._overdue[0].gone:
            self._overdue.popleft()
        return next((job for job in self._overdue if self._is_head(job)), None)

    def _is_head(self, job: _Waiting) -> bool:
        """Whether `job` is its owner's next: an older one may have been put back before it."""
        return not job.gone and self._members[job.owner].head() is job

    # -- places -----------------------------------------------------------------------------

    def _rank(self) -> None:
        """Bring the ranking up to date with those who have moved."""
        if len(self._unranked) * 20 > len(self._jobs):
            owners = [owner for owner, member in self._members.items() if member.jobs]
            self._ranking.set_all((owner, *self._agenda(owner)) for owner in owners)
        else:
            for owner in self._unranked:
                self._ranking.set_owner(owner, *self._agenda(owner))
        self._unranked.clear()

    def _agenda(self, owner: int) -> tuple[list[str], Iterator[Turn]]:
        """A member's waiting jobs in order, and when the turn of each will be."""
        member = self._members[owner]
        jobs = sorted(job for job in member.jobs if not job.gone)
        return [job.id for job in jobs], self._turns(member.turn, jobs)

    def _turns(self, turn: float, jobs: list[_Waiting]) -> Iterator[Turn]:
        for job in jobs:
            if job.overdue is not None:
                yield (-inf, job.overdue, job.came)
            else:
                yield self._preferred((turn, job.queued_at, job.came), job.models, self._cards)
            turn += job.seconds
