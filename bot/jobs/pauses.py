"""Pauses between tries of what must succeed some day."""

from collections.abc import Iterator

FIRST, LONGEST = 1.0, 60.0  # seconds


def growing() -> Iterator[float]:
    """Seconds to wait after each failure: each twice the one before, up to the longest, forever."""
    pause = FIRST
    while True:
        yield pause
        pause = min(2 * pause, LONGEST)
