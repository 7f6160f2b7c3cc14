"""How a message is put together of its parts."""

from typing import Any

from discord import ui


def view_of(*parts: str | ui.Item[Any]) -> ui.LayoutView:
    """A message of these parts, one below the other. Its buttons never stop working."""
    view = ui.LayoutView(timeout=None)
    for part in parts:
        view.add_item(ui.TextDisplay(part) if isinstance(part, str) else part)
    return view
