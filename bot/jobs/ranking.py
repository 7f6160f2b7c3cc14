"""Everyone's place in the queue, kept sorted so that asking costs next to nothing. Pure.

When each member's next job is compared with the others' next, and a member's own jobs keep their
order, the jobs come out sorted by the latest turn among a job and those that its owner has before
it. So the ranking is one sorted list. A change re-sorts its owner's jobs only.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from itertools import accumulate

Turn = tuple[float, float, int]
"""When it is a job's turn; ties go to who has waited longest, then to who came first."""

_Rank = tuple[Turn, int, str]
"""A job's turn, its index among its owner's jobs, and its id."""


class Ranking:
    """The places of all waiting jobs, 1 for the next."""

    def __init__(self) -> None:
        self._sorted: list[_Rank] = []
        self._ranks: dict[int, dict[str, _Rank]] = {}

    def set_owner(self, owner: int, jobs: Sequence[str], turns: Iterable[Turn]) -> None:
        """`jobs`, in the order in which they will run, are all that `owner` has waiting."""
        for rank in self._ranks.pop(owner, {}).values():
            del self._sorted[bisect_left(self._sorted, rank)]
        ranks = _ranks(jobs, turns)
        for rank in ranks:
            insort(self._sorted, rank)
        if ranks:
            self._ranks[owner] = dict(zip(jobs, ranks, strict=True))

    def set_all(self, owners: Iterable[tuple[int, Sequence[str], Iterable[Turn]]]) -> None:
        """As `set_owner` for everyone at once: quicker where most have changed."""
        self._ranks = {
            owner: dict(zip(jobs, _ranks(jobs, turns), strict=True))
            for owner, jobs, turns in owners
        }
        self._sorted = sorted(rank for ranks in self._ranks.values() for rank in ranks.values())

    def place(self, owner: int, job_id: str) -> int:
        """Where the job stands."""
        return bisect_left(self._sorted, self._ranks[owner][job_id]) + 1

    def first(self, count: int) -> list[str]:
        """The jobs in the first `count` places."""
        return [job for _, _, job in self._sorted[:count]]


def _ranks(jobs: Sequence[str], turns: Iterable[Turn]) -> list[_Rank]:
    """A job is never ahead of its owner's earlier ones; the index parts it from them."""
    latest = accumulate(turns, max)
    return [(turn, i, job) for i, (turn, job) in enumerate(zip(latest, jobs, strict=True))]
