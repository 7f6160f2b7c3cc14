"""/sketch: a drawing becomes a picture."""

from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bot.access import offered
from bot.commands.intake import Intake
from bot.commands.options import (
    LORA_HELP,
    SEED_HELP,
    Choices,
    Prompt,
    Seed,
    check_lora,
    complete_lora,
    fitting,
)
from bot.ui.origin import settings_of
from bot.ui.whiteboard import PLACEHOLDER, Whiteboard
from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.requests import STRENGTH, USUAL_STRENGTH, SketchRequest, seed_or_new


def sketch(
    intake: Intake, catalog: Catalog, whiteboard: Whiteboard
) -> app_commands.Command[Any, ..., None]:
    """The command, offering the styles and the LoRAs of `catalog`."""
    styles = catalog.styles

    @app_commands.command(name="sketch", description="Turn a drawing into a picture")
    @app_commands.describe(
        drawing="A drawing or a photo: PNG, JPEG, WebP, GIF. Left out: draw in your browser",
        prompt="What it should become, in your words. Left out: what the bot sees in it",
        style="A look for the picture",
        strength=f"How firmly the lines are kept, from {STRENGTH[0]} (free) to {STRENGTH[-1]} "
        f"(held). Usually {USUAL_STRENGTH}",
        lora=LORA_HELP,
        seed=SEED_HELP,
        review="See what the bot takes your drawing for before it paints",
    )
    async def command(
        interaction: discord.Interaction,
        drawing: discord.Attachment | None = None,
        prompt: Prompt = "",
        style: str | None = None,
        strength: app_commands.Range[int, STRENGTH[0], STRENGTH[-1]] = USUAL_STRENGTH,
        lora: str | None = None,
        seed: Seed | None = None,
        review: bool = False,
    ) -> None:
        await check_lora(catalog.loras, ModelKey.SKETCH, lora)
        request = SketchRequest(
            drawing=Path(drawing.filename) if drawing else PLACEHOLDER,
            prompt=prompt,
            style=style,
            strength=strength,
            lora=lora,
            seed=seed_or_new(seed),
            review=review,
        )
        if drawing is None:
            await whiteboard.invite(interaction, request)
        else:
            await intake.submit(interaction, request, drawing=drawing)

    @command.autocomplete("style")
    async def complete(interaction: discord.Interaction, typed: str) -> Choices:
        names = offered(styles, settings_of(interaction).styles)
        labels = {n: f"{n} – {d}" if (d := styles[n].description) else n for n in names}
        return fitting(labels, typed)

    complete_lora(command, catalog.loras, ModelKey.SKETCH)
    return command
