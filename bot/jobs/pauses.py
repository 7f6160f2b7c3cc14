"""Pauses between tries of what must succeed some day."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from bot.errors import StorageFailed

T = TypeVar("T")
FIRST, LONGEST = 1.0, 60.0  # seconds


def growing() -> Iterator[float]:
    """Seconds to wait after each failure: each twice the one before, up to the longest, forever."""
    pause = FIRST
    while True:
        yield pause
        pause = min(2 * pause, LONGEST)


async def once_stored(action: Callable[[], Awaitable[T]]) -> T:
    """What `action` returns once the store does not refuse, however long that takes."""
    pauses = growing()
    while True:
        try:
            return await action()
        except StorageFailed:
            await asyncio.sleep(next(pauses))
