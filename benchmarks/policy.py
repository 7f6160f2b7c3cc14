"""How many decisions a second the policy takes with 10,000 jobs waiting.

A decision is what the worker does for each job: pick one, take it out, charge its owner. As one
leaves another comes, from 2,000 members with jobs of every kind, so that the queue stays as long;
every 500th decision finds other models resident. A second round also asks for the place of each
job that comes, as the bot does to tell its owner.
"""

import random
import sys
import time

from benchmarks._report import report
from bot.jobs.policy import Policy

GOAL = 5_000
WAITING, MEMBERS, DECISIONS = 10_000, 2_000, 20_000
SKETCH, IMAGINE, ANIMATE = frozenset({"caption", "sketch"}), frozenset({"imagine"}), frozenset("a")
KINDS = (SKETCH, IMAGINE, ANIMATE, IMAGINE | ANIMATE)


def seconds_per_decision(waiting: int, members: int, decisions: int, *, places: bool) -> float:
    """The mean over `decisions`, arrivals included, with `waiting` jobs at all times."""
    dice = random.Random(0)
    policy = Policy(patience=120.0)
    owners: dict[str, tuple[int, float]] = {}

    def come(number: int) -> str:
        job_id, owner, cost = str(number), dice.randrange(members), dice.uniform(2.0, 60.0)
        owners[job_id] = (owner, cost)
        policy.add(job_id, owner, 1.0 + owner % 3, cost, dice.choice(KINDS), float(number))
        return job_id

    for number in range(waiting):
        come(number)
    resident, now = IMAGINE, 0.0
    began = time.perf_counter()
    for number in range(waiting, waiting + decisions):
        chosen = policy.pick(free=[resident], now=now)
        assert chosen is not None, "the queue is kept full"
        policy.remove(chosen)
        owner, cost = owners.pop(chosen)
        policy.charge(owner, 1.0 + owner % 3, cost)
        now += cost
        newcomer = come(number)
        if places:
            policy.place(newcomer)
        if number % 500 == 0:
            resident = dice.choice(KINDS)
    return (time.perf_counter() - began) / decisions


def main() -> bool:
    """Measure with and without places, and print the figures."""
    alone, asked = (
        seconds_per_decision(WAITING, MEMBERS, DECISIONS, places=places) for places in (False, True)
    )
    figure = (
        f"{1 / alone:,.0f} decisions/s at {WAITING:,} waiting jobs "
        f"({1 / asked:,.0f} with everybody's place asked for)"
    )
    return report("policy", figure, f"≥ {GOAL:,}", met=1 / alone >= GOAL)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
