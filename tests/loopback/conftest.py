"""A loopback Discord with a small bot on it, for the tests of the server itself."""

import asyncio
from collections.abc import AsyncIterator

import discord
import pytest
from discord import app_commands

from tests.loopback import LoopbackDiscord
from tests.loopback.fixtures import ada, server

__all__ = ["ada", "server"]


class SmallBot(discord.Client):
    """Answers /echo at once, /file with a file, /later after a defer, /ask with a modal."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents(guilds=True))
        self.tree = app_commands.CommandTree(self)
        self.seen: list[str] = []

    async def setup_hook(self) -> None:
        await self.tree.sync()


@pytest.fixture
async def bot(server: LoopbackDiscord) -> AsyncIterator[SmallBot]:
    bot = SmallBot()
    _add_commands(bot)
    running = asyncio.create_task(bot.start(server.token))
    await server.connected()
    yield bot
    await bot.close()
    await asyncio.gather(running, return_exceptions=True)


def _add_commands(bot: SmallBot) -> None:
    @bot.tree.command(description="Says it again")
    async def echo(interaction: discord.Interaction, text: str, times: int = 1) -> None:
        bot.seen.append(text)
        await interaction.response.send_message(text * times)

    @bot.tree.command(description="Sends a drawing back")
    async def mirror(interaction: discord.Interaction, drawing: discord.Attachment) -> None:
        await interaction.response.defer(thinking=True)
        file = await drawing.to_file()
        view = discord.ui.LayoutView()
        item = discord.MediaGalleryItem(f"attachment://{file.filename}")
        view.add_item(discord.ui.MediaGallery(item))
        row: discord.ui.ActionRow[discord.ui.LayoutView] = discord.ui.ActionRow()
        row.add_item(discord.ui.Button(label="Delete", custom_id="delete:1"))
        view.add_item(row)
        await interaction.edit_original_response(attachments=[file], view=view)

    @bot.tree.command(description="Opens a form")
    async def ask(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Form(bot))


class Form(discord.ui.Modal, title="A form"):
    name: discord.ui.TextInput["Form"] = discord.ui.TextInput(label="Name", custom_id="name")

    def __init__(self, bot: SmallBot) -> None:
        super().__init__(custom_id="form:1")
        self.bot = bot

    async def on_submit(self, interaction: discord.Interaction) -> None:
        self.bot.seen.append(str(self.name))
        await interaction.response.send_message(f"Hello {self.name}", ephemeral=True)
