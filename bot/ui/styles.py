"""The catalogue of styles, a page at a time, with a picture of each."""

import asyncio
import io
import logging
import math
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Protocol, Self, cast

import discord
from discord import ui

from bot.access import offered
from bot.ui.answers import answering, language_of
from bot.ui.origin import settings_of
from bot.ui.text import plain
from bot.ui.views import view_of
from pipelines.catalog import Style
from pipelines.contract.errors import BadInput
from pipelines.media import thumbnail

log = logging.getLogger(__name__)

A_PAGE = 8  # styles: each is three of the 40 components that a message may have
PAGE_ID = re.compile(r"atelier:styles:(?P<number>[1-9][0-9]{0,3})")
Styles = Mapping[str, Style]
Page = tuple[ui.LayoutView, Sequence[discord.File]]


class HasStyles(Protocol):
    """What the buttons need of the client that hears them."""

    styles: Styles


async def page(interaction: discord.Interaction, styles: Styles, number: int) -> Page:
    """The page with that number, the nearest one if there is none, and the pictures on it.

    Only what is offered there is shown.
    """
    say = language_of(interaction).say
    allowed = settings_of(interaction).styles
    styles = {name: styles[name] for name in offered(styles, allowed)}
    if not styles:
        return view_of(say("No styles have been set up here.")), ()
    pages = math.ceil(len(styles) / A_PAGE)
    number = min(number, pages)
    shown = dict(islice(styles.items(), (number - 1) * A_PAGE, number * A_PAGE))
    pictures = await asyncio.to_thread(_pictures, shown)
    headline = say("**Styles**, for the option `style` of `/sketch`")
    view = view_of(headline, *(_entry(n, style, pictures.get(n)) for n, style in shown.items()))
    if pages > 1:
        turns = [(number - 1, say("Back")), (number + 1, say("More"))]
        buttons = [PageButton(to, label) for to, label in turns if 1 <= to <= pages]
        view.add_item(ui.ActionRow(*buttons))
    return view, list(pictures.values())


def _entry(name: str, style: Style, picture: discord.File | None) -> ui.Item[Any]:
    """A style's name and description, beside its picture if there is one."""
    text = f"**{plain(name, 200)}**"
    if style.description:
        text += f"\n{plain(style.description, 250)}"
    if picture is None:
        return ui.TextDisplay(text)
    return ui.Section(text, accessory=ui.Thumbnail(picture, description=name))


def _pictures(styles: Styles) -> dict[str, discord.File]:
    """The previews that can be read, small."""
    found = {}
    for number, (name, style) in enumerate(styles.items(), start=1):
        if style.preview is None:
            continue
        try:
            data = thumbnail(style.preview.read_bytes())
        except (OSError, BadInput) as error:
            log.warning("the preview of style %s cannot be shown: %s", name, error)
        else:
            found[name] = discord.File(io.BytesIO(data), f"style-{number}.webp")
    return found


class PageButton(ui.DynamicItem[ui.Button[ui.LayoutView]], template=PAGE_ID):
    """Turns to a page of the catalogue."""

    def __init__(self, number: int, label: str = "…") -> None:
        super().__init__(ui.Button(label=label, custom_id=f"atelier:styles:{number}"))
        self.number = number

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed; discord.py calls this."""
        return cls(int(match["number"]))

    async def callback(self, interaction: discord.Interaction) -> None:
        """Show the page; discord.py calls this."""
        async with answering(interaction):
            await interaction.response.defer()
            styles = cast(HasStyles, interaction.client).styles
            view, files = await page(interaction, styles, self.number)
            await interaction.edit_original_response(view=view, attachments=files)
