"""Pauses between tries of what must succeed some day."""

from collections.abc import Iterator


def growing(first: float = 1.0, most: float = 60.0) -> Iterator[float]:
    """Seconds to wait after each failure, doubling up to `most`, without end."""
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, most)
