"""/describe: what a picture shows, in words."""

from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bot.commands.intake import Intake
from pipelines.contract.requests import DescribeRequest


def describe(intake: Intake) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(name="describe", description="Say in words what a picture shows")
    @app_commands.describe(image="Any picture: PNG, JPEG, WebP or GIF")
    async def command(interaction: discord.Interaction, image: discord.Attachment) -> None:
        await intake.submit(interaction, DescribeRequest(image=Path(image.filename)), image=image)

    return command
