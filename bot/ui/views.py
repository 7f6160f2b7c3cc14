"""How a message is put together of its parts, and what parts one has."""

from collections.abc import Iterator
from typing import Any

import discord
from discord import ui


def view_of(*parts: str | ui.Item[Any]) -> ui.LayoutView:
    """A message of these parts, one below the other. Its buttons never stop working."""
    view = ui.LayoutView(timeout=None)
    for part in parts:
        view.add_item(ui.TextDisplay(part) if isinstance(part, str) else part)
    return view


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
