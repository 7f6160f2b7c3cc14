"""What each member has had of the GPU lately. Pure."""

import math

HALF_LIFE = 86_400.0  # seconds: what was used a day ago counts half


def decayed(gpu_seconds: float, age: float) -> float:
    """What is left of `gpu_seconds` that were used `age` seconds ago."""
    return gpu_seconds * math.exp2(-max(age, 0.0) / HALF_LIFE)
