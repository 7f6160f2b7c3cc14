"""Whether one member who asks for very much takes anything from twenty who ask for little.

A week of a card that is never idle, on a virtual clock and with the bot's own policy: one member
has 1,000 jobs waiting at all times, twenty have five. They are of all kinds and lengths, their
estimates are wrong by up to a third, and members have the weight 1, 2 or 3. The clock counts
GPU-seconds, as charges do: loading is aside. It is the same on every machine.

- A wait is from asking to beginning. Its bound follows from that of `bot.jobs.turns`: while a
  member gets the S GPU-seconds of what they have before it, each other gets per weight at most
  what they do and `2 · patience + c₁/w₁ + c₂/w₂` more.
- A share is right where a member's part of all GPU-seconds is that of their weight.
"""

import random
import sys
from dataclasses import dataclass, field

from benchmarks._report import report
from bot.jobs.policy import Policy

WEEK = 7 * 86_400.0
GOAL = 0.05  # of a share
PATIENCE = 120.0
MEMBERS, FEW, MANY = 20, 5, 1_000
HOG = 0
SKETCH, IMAGINE, ANIMATE = frozenset({"caption", "sketch"}), frozenset({"imagine"}), frozenset("a")
KINDS = ((SKETCH, 9.0), (IMAGINE, 20.0), (ANIMATE, 45.0), (IMAGINE | ANIMATE, 65.0))
WRONG = 1 / 3  # by how much an estimate may be
LONGEST = 65.0 * (1 + WRONG)


@dataclass(frozen=True, slots=True)
class _Job:
    """`before` is what its owner had waiting when it came, in GPU-seconds."""

    owner: int
    estimate: float
    seconds: float
    models: frozenset[str]
    came: float
    before: float


@dataclass(slots=True)
class Week:
    """What was measured: GPU-seconds by member, and the longest wait, as a part of its bound."""

    weights: dict[int, float]
    served: dict[int, float] = field(default_factory=dict)
    longest: float = 0.0

    @property
    def error(self) -> float:
        """How far a share is off at most, as a part of what it should be."""
        served, weights = sum(self.served.values()), sum(self.weights.values())
        return max(
            abs(self.served[owner] / served / (weight / weights) - 1)
            for owner, weight in self.weights.items()
        )

    def bound(self, job: _Job) -> float:
        """How long `job` may wait at most."""
        own = self.weights[job.owner]
        per_weight = job.before / own + 2 * PATIENCE + LONGEST / own
        others = (w for owner, w in self.weights.items() if owner != job.owner)
        return job.before + LONGEST + sum(w * per_weight + LONGEST for w in others)


class _Studio:
    """The members, their jobs, and the card."""

    def __init__(self, members: int, few: int, many: int) -> None:
        self.week = Week({owner: 1.0 + owner % 3 for owner in range(members + 1)})
        self.policy = Policy(patience=PATIENCE)
        self.jobs: dict[str, _Job] = {}
        self.now = 0.0
        self._dice = random.Random(0)
        self._asked = 0
        self._waiting = dict.fromkeys(self.week.weights, 0.0)
        self._resident = IMAGINE
        for owner in self.week.weights:
            self.week.served[owner] = 0.0
            for _ in range(many if owner == HOG else few):
                self.ask(owner)

    def ask(self, owner: int) -> None:
        """Have a member ask for something."""
        models, estimate = self._dice.choice(KINDS)
        seconds = estimate * self._dice.uniform(1 - WRONG, 1 + WRONG)
        job = _Job(owner, estimate, seconds, models, self.now, self._waiting[owner])
        job_id, self._asked = str(self._asked), self._asked + 1
        self.jobs[job_id] = job
        self._waiting[owner] += seconds
        self.policy.add(job_id, owner, self.week.weights[owner], estimate, models, self.now)

    def run_next(self) -> None:
        """Run what the policy picks, as the queue does; its owner then asks for something else."""
        job_id = self.policy.pick(free=[self._resident], now=self.now)
        assert job_id is not None, "somebody always waits"
        job = self.jobs.pop(job_id)
        weight = self.week.weights[job.owner]
        self.policy.remove(job_id)
        self.policy.charge(job.owner, weight, job.estimate)
        self._look_at(job)
        self.now += job.seconds
        self.policy.charge(job.owner, weight, job.seconds - job.estimate)
        self._resident = job.models
        self._waiting[job.owner] -= job.seconds
        self.week.served[job.owner] += job.seconds
        self.ask(job.owner)

    def _look_at(self, job: _Job) -> None:
        waited = self.now - job.came
        self.week.longest = max(self.week.longest, waited / self.week.bound(job))


def simulate(seconds: float, members: int = MEMBERS, few: int = FEW, many: int = MANY) -> Week:
    """Let `members` with `few` jobs each, and one with `many`, share a card for so long."""
    studio = _Studio(members, few, many)
    while studio.now < seconds:
        studio.run_next()
    return studio.week


def main() -> bool:
    """Simulate the week and print the figures."""
    week = simulate(WEEK)
    figure = (
        f"GPU-seconds within {week.error:.1%} of the weights, the longest wait {week.longest:.0%} "
        f"of its bound, with {MANY:,} jobs of one member and {FEW} of {MEMBERS} each"
    )
    met = week.error <= GOAL and week.longest <= 1.0
    return report("fairness", figure, f"≤ {GOAL:.0%}, ≤ 100%", met=met)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
