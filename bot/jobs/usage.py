"""What each member has had of the GPU lately, and what of it is charged to their share. Pure.

Turns count what was used, whatever came of it. A member's share of the day does not count jobs that
failed through no doing of theirs: what they used is refunded.
"""

import math

DAY = 86_400.0  # seconds for which what was used counts against a member's share
CHARGED = ("bad_input", "withheld", "undeliverable")
"""Codes of errors that are charged.

What the classifier withholds is: else its judgement could be tried out for nothing. So is what
could not be delivered, for it is kept; not so what the disk has lost. A cancelled job has no error:
it is charged what it used.
"""
HALF_LIFE = 86_400.0  # seconds: what was used a day ago counts half


def decayed(gpu_seconds: float, age: float) -> float:
    """What is left of `gpu_seconds` that were used `age` seconds ago."""
    return gpu_seconds * math.exp2(-max(age, 0.0) / HALF_LIFE)
