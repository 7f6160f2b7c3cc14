"""/imagine: words become pictures."""

from typing import Any

import discord
from discord import app_commands

from bot.commands.intake import Intake
from bot.commands.options import (
    LORA_HELP,
    SEED_HELP,
    Prompt,
    Seed,
    check_lora,
    complete_lora,
)
from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.requests import MAX_COUNT, Aspect, ImagineRequest, seed_or_new

ASPECTS = {
    Aspect.SQUARE: "Square",
    Aspect.PHOTO: "Photo",
    Aspect.PORTRAIT: "Portrait",
    Aspect.WIDE: "Wide",
    Aspect.TALL: "Tall",
}


def imagine(intake: Intake, catalog: Catalog) -> app_commands.Command[Any, ..., None]:
    """The command, offering the LoRAs of `catalog`."""

    @app_commands.command(name="imagine", description="Paint a picture from words")
    @app_commands.describe(
        prompt="What to paint",
        negative="What to keep out of the picture",
        aspect="The picture's shape, width to height. Usually square",
        count="How many pictures, each from a seed of its own",
        lora=LORA_HELP,
        seed=SEED_HELP,
    )
    @app_commands.choices(
        aspect=[
            app_commands.Choice(name=f"{name} {aspect}", value=aspect.value)
            for aspect, name in ASPECTS.items()
        ]
    )
    async def command(
        interaction: discord.Interaction,
        prompt: Prompt,
        negative: Prompt = "",
        aspect: str = Aspect.SQUARE.value,
        count: app_commands.Range[int, 1, MAX_COUNT] = 1,
        lora: str | None = None,
        seed: Seed | None = None,
    ) -> None:
        await check_lora(catalog.loras, ModelKey.IMAGINE, lora)
        request = ImagineRequest(
            prompt=prompt,
            negative=negative,
            aspect=Aspect(aspect),
            count=count,
            lora=lora,
            seed=seed_or_new(seed),
        )
        await intake.submit(interaction, request)

    complete_lora(command, catalog.loras, ModelKey.IMAGINE)
    return command
