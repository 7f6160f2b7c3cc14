"""/config: the rules of a server and of its channels, for its administrators."""

from typing import Any

import discord
from discord import app_commands

from bot.jobs.queue import JobQueue
from bot.jobs.settings import SERVER
from bot.ui.rule_board import require_rules_of, rule_board


def config_(queue: JobQueue) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(name="config", description="See and change the rules of this server")
    @app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.default_permissions(administrator=True)
    @app_commands.describe(channel="The channel whose rules to look at. Left out: the whole server")
    async def command(
        interaction: discord.Interaction,
        channel: discord.TextChannel
        | discord.VoiceChannel
        | discord.StageChannel
        | discord.ForumChannel
        | None = None,
    ) -> None:
        where = SERVER if channel is None else channel.id
        require_rules_of(interaction, where)
        view = rule_board(interaction, queue, where)
        await interaction.response.send_message(view=view, ephemeral=True)

    return command
