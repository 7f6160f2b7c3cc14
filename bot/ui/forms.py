"""Forms: how one is shown, and what was filled in.

A form is answered by its custom_id, so that one that was open while the bot restarted is still
taken. It ends with the interaction's id: two of one kind can be open at a time, and discord.py
keeps one for each custom_id.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import discord
from discord import ui

from pipelines.contract.text import Text

Say = Callable[[str | Text], str]
Label = ui.Label[ui.Modal]

TITLE = 45  # characters that Discord takes


async def show_form(
    interaction: discord.Interaction, title: str, custom_id: str, labels: Iterable[Label]
) -> None:
    """Answer with a form, whose custom_id begins with `custom_id`."""
    form = ui.Modal(title=title[:TITLE], custom_id=f"{custom_id}:{interaction.id}")
    for label in labels:
        form.add_item(label)
    await interaction.response.send_modal(form)
    form.stop()  # it is answered by its custom_id: discord.py need not keep it


def chosen(interaction: discord.Interaction) -> dict[str, list[str]]:
    """What was chosen or written into the form that was sent off, by field."""
    data = cast(dict[str, Any], interaction.data)
    inner = (label.get("component", {}) for label in data["components"])
    return {
        each["custom_id"]: [str(value) for value in each.get("values", [each.get("value", "")])]
        for each in inner
        if each
    }


def written(interaction: discord.Interaction) -> dict[str, str]:
    """What was written into the form that was sent off, by field; all of them take text."""
    return {field: text for field, [text] in chosen(interaction).items()}
