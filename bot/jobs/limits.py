"""How much may wait, and when to come back where it is too much. Pure."""

import math
from dataclasses import dataclass, field

from bot.errors import QueueFull
from pipelines.contract.text import Counted, Text


@dataclass(frozen=True, slots=True)
class Limits:
    """How many jobs may be queued or running at once, of one member and in all.

    `cards` is how many run at a time, which shortens the wait. Once a member has used
    `daily_seconds` of the GPU within a day, what they ask for waits behind the others'. One prompt
    with braces may stand for `permutations` prompts.
    """

    waiting_per_member: int
    waiting_in_all: int
    cards: int = 1
    daily_seconds: float | None = None
    permutations: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What somebody may have who asks outside of servers, and how large a share of the GPU.

    `waiting` and `daily_seconds` are as in Limits.
    """

    waiting: int
    daily_seconds: float | None = None
    weight: float = 1.0


@dataclass(slots=True)
class Crowd:
    """The live jobs: how many each owner has, and their estimated GPU-seconds together."""

    jobs: dict[int, int] = field(default_factory=dict)
    count: int = 0
    seconds: float = 0.0

    def add(self, owner: int, jobs: int, seconds: float) -> None:
        """Count `jobs` more of `owner`, which will take `seconds` together."""
        self.jobs[owner] = self.jobs.get(owner, 0) + jobs
        self.count += jobs
        self.seconds += seconds

    def refusal(self, owner: int, limits: Limits, jobs: int = 1) -> QueueFull | None:
        """Why `jobs` more of `owner` cannot be taken together, or None when they can."""
        own = self.jobs.get(owner, 0)
        pause = self.seconds / max(1, self.count) / limits.cards  # from one job's end to the next's
        room = min(limits.waiting_per_member - own, limits.waiting_in_all - self.count)
        if jobs > room > 0:
            return QueueFull(
                "That would be {jobs} jobs, and there is room for {room} more of yours now. Please "
                "ask for fewer, or come back later.",
                after=pause,
                jobs=jobs,
                room=room,
            )
        if own >= limits.waiting_per_member:
            # Members take turns, so one of theirs ends about once in a round of everybody.
            again = pause * len(self.jobs)
            return QueueFull(
                "You already have {jobs} waiting, as many as one person may have. The next of "
                "yours should be done in {time}: please come back then.",
                after=again,
                jobs=_jobs(own),
                time=about(again),
            )
        if self.count >= limits.waiting_in_all:
            return QueueFull(
                "The queue is full: {jobs} in all. The next place should be free in {time}: please "
                "come back then.",
                after=pause,
                jobs=_jobs(self.count),
                time=about(pause),
            )
        return None


def about(seconds: float) -> Text:
    """A duration in words, rounded up: "about 4 minutes"."""
    minutes = max(1, math.ceil(seconds / 60))
    if minutes < 90:
        return Counted("about a minute", "about {n} minutes", minutes)
    return Counted("about an hour", "about {n} hours", math.ceil(minutes / 60))


def _jobs(count: int) -> Text:
    return Counted("{n} job", "{n} jobs", count)
