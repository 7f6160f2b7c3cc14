"""The choice of what runs next. Pure: plain data in, a job's id out; no clock, no I/O.

There are two lanes, in each of which members take turns as `bot.jobs.turns` says. Whoever has used
their share of the day waits in the one behind, whose jobs run while nothing waits in front:

- A job in front waits for no job behind but those that are on the cards already. For the jobs in
  front both bounds of `bot.jobs.turns` hold whatever waits behind; for those behind they hold
  throughout any time in which nothing waits in front.
- Nobody waits behind for longer than a day: `forward` then lets a job take its turn in front. By
  then nothing counts any more of what its member had used when they asked.

The lanes share no turns: what ran while nobody else wanted the cards is held against nobody.
"""

from collections.abc import Iterable, Mapping, Sequence

from bot.jobs.turns import Models, Turns


def best_card(models: Models, free: Sequence[Models]) -> int:
    """On which of the free cards a job is to run: the index of what is resident there.

    It is one that has all its models, else one that has most of them, else one with the least to
    lose.
    """
    return max(range(len(free)), key=lambda i: (len(models & free[i]), -len(free[i]), -i))


class Policy:
    """Orders waiting jobs. Jobs come in by `add` and leave by `remove`.

    `patience` and `usage` are as in Turns, the latter of those in front.
    """

    def __init__(self, *, patience: float, usage: Mapping[int, float] | None = None) -> None:
        self._front = Turns(patience=patience, usage=usage)
        self._behind = Turns(patience=patience)
        self._added: dict[str, tuple[int, float, float, Models, float]] = {}  # those behind

    def __len__(self) -> int:
        return len(self._front) + len(self._behind)

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
        """Let a job wait. `cost` is its estimated GPU-seconds; a known job stays as it is."""
        if behind:
            self._added[job_id] = (owner, weight, cost, models, queued_at)
        self._lane(behind).add(job_id, owner, weight, cost, models, queued_at)

    def remove(self, job_id: str) -> None:
        """A job waits no longer: it was leased, or cancelled. Unknown ones are ignored."""
        behind = self._added.pop(job_id, None) is not None
        self._lane(behind).remove(job_id)

    def forward(self, job_id: str) -> None:
        """Let a job that waits behind wait in front."""
        if (added := self._added.get(job_id)) is not None:
            self.remove(job_id)
            self._front.add(job_id, *added)

    def charge(self, owner: int, weight: float, seconds: float, *, behind: bool = False) -> None:
        """Count `seconds` of the GPU to `owner`; a negative number gives some back."""
        self._lane(behind).charge(owner, weight, seconds)

    def pick(
        self, *, free: Iterable[Models], busy: Iterable[Models] = (), now: float
    ) -> str | None:
        """The job to run next, or None when none waits. It stays until it is removed.

        `free` says for each card that could take it what is resident there, `busy` for each of the
        others. `now` is in seconds of a clock that never goes back.
        """
        chosen = self._front.pick(free=free, busy=busy, now=now)
        if chosen is None:
            return self._behind.pick(free=free, busy=busy, now=now)
        if len(self._behind):
            self._behind.see(free=free, busy=busy, now=now)
        return chosen

    def place(self, job_id: str) -> int | None:
        """Where a job stands if nothing else came, 1 for the next; None if it does not wait.

        Reckoned with what was resident at the last decision on any card: each is free in turn.
        """
        if job_id not in self._added:
            return self._front.place(job_id)
        place = self._behind.place(job_id)
        return None if place is None else len(self._front) + place

    def first(self, count: int) -> list[str]:
        """The ids of the jobs in the first `count` places."""
        front = self._front.first(count)
        return front + self._behind.first(count - len(front)) if len(front) < count else front

    def _lane(self, behind: bool) -> Turns:
        return self._behind if behind else self._front
