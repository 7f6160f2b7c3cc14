"""/animate: a picture, or words, become a short video."""

from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bot.commands.intake import Intake
from bot.commands.options import SEED_HELP, Prompt, Seed
from pipelines.contract.requests import MOTION, USUAL_MOTION, AnimateRequest, seed_or_new


def animate(intake: Intake) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(name="animate", description="Make a short video from a picture or words")
    @app_commands.describe(
        image="The picture to set in motion: PNG, JPEG, WebP or GIF. Or give a prompt instead",
        prompt="What to paint and then set in motion. Or give a picture instead",
        motion=f"How much moves, from {MOTION[0]} (still) to {MOTION[-1]} (lively). "
        f"Usually {USUAL_MOTION}",
        seed=SEED_HELP,
    )
    async def command(
        interaction: discord.Interaction,
        image: discord.Attachment | None = None,
        prompt: Prompt = "",
        motion: app_commands.Range[int, MOTION[0], MOTION[-1]] = USUAL_MOTION,
        seed: Seed | None = None,
    ) -> None:
        request = AnimateRequest(
            image=Path(image.filename) if image else None,
            prompt=prompt,
            motion=motion,
            seed=seed_or_new(seed),
        )
        await intake.submit(interaction, request, image=image)

    return command
