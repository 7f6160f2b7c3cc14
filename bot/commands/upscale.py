"""/upscale: a picture, twice or four times as large."""

from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bot.commands.intake import Intake
from pipelines.contract.requests import SCALES, UpscaleRequest


def upscale(intake: Intake) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(name="upscale", description="Make a picture larger, with sharp edges")
    @app_commands.describe(
        image="The picture: PNG, JPEG, WebP or GIF",
        scale="How many times as wide and as high. Usually 2",
    )
    @app_commands.choices(
        scale=[app_commands.Choice(name=f"×{scale}", value=scale) for scale in SCALES]
    )
    async def command(
        interaction: discord.Interaction, image: discord.Attachment, scale: int = SCALES[0]
    ) -> None:
        request = UpscaleRequest(image=Path(image.filename), scale=scale)
        await intake.submit(interaction, request, image=image)

    return command
