"""Double clicks on buttons, and forms that were sent off twice; and what a message shows."""

from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

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


def shown_ids(message: discord.Message) -> Iterator[str]:
    """The custom_ids of a message's buttons, wherever they are in it."""
    return _all(message.components, "custom_id")


def shown_texts(message: discord.Message) -> Iterator[str]:
    """The texts of a message, in their order."""
    return _all(message.components, "content")


def _all(components: list[Any], name: str) -> Iterator[str]:
    """An attribute of all components that have it."""
    for component in components:
        if value := getattr(component, name, None):
            yield str(value)
        yield from _all(getattr(component, "children", []), name)
