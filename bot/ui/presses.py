"""Double clicks on buttons, and forms that were sent off twice."""

from collections import OrderedDict
from datetime import datetime, timedelta

import discord

DOUBLE = timedelta(seconds=1)
REMEMBERED = 1000  # presses


class Presses:
    """Knows which buttons were pressed a moment ago, and by whom."""

    def __init__(self) -> None:
        self._latest: OrderedDict[tuple[int, str], datetime] = OrderedDict()

    def is_double(self, interaction: discord.Interaction, custom_id: str) -> bool:
        """Whether the same member had just pressed the same button, by Discord's clock."""
        key, now = (interaction.user.id, custom_id), interaction.created_at
        before = self._latest.pop(key, None)
        self._latest[key] = now
        if len(self._latest) > REMEMBERED:
            self._latest.popitem(last=False)
        return before is not None and now - before < DOUBLE
