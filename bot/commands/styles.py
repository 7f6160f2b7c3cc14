"""/styles: the looks that /sketch offers, to be seen before one is chosen."""

from typing import Any

import discord
from discord import app_commands

from bot.ui.styles import page
from pipelines.catalog import Catalog


def styles(catalog: Catalog) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(name="styles", description="See the styles that /sketch offers")
    async def command(interaction: discord.Interaction) -> None:
        await interaction.response.defer(thinking=True, ephemeral=True)
        view, files = await page(interaction, catalog.styles, 1)
        await interaction.followup.send(view=view, files=files, ephemeral=True)

    return command
