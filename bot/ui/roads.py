"""The roads by which the bot reaches a message it has to change."""

import asyncio
import time
from collections.abc import Callable

import discord


class Roads:
    """Edits and sends messages for jobs, by interaction token or by the bot's own token.

    Everyone waits here until the client has logged in, so jobs left over from an earlier run
    need no care about the order in which things start.
    """

    def __init__(self, client: discord.Client, *, now: Callable[[], float] = time.time) -> None:
        self._client = client
        self._now = now
        self._open = asyncio.Event()
