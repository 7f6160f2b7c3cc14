"""/info: how a picture or a video was made."""

import asyncio
from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands

from bot.commands.intake import Intake, download
from bot.languages import Language
from bot.ui.answers import content_or_view, language_of
from bot.ui.text import plain
from pipelines.contract.text import Text
from pipelines.facts import read_facts

ROOM, IN_ALL = 1200, 3900  # characters for a fact, and for all: two long prompts and the rest
FACTS = {
    "prompt": Text("Prompt"),
    "negative": Text("Without"),
    "caption": Text("Caption"),
    "style": Text("Style"),
    "lora": Text("LoRA"),
    "preset": Text("Preset"),
    "precision": Text("Precision"),
    "strength": Text("Strength"),
    "motion": Text("Motion"),
    "seed": Text("Seed"),
    "variations": Text("Varied by"),
    "steps": Text("Steps"),
    "computed": Text("Steps computed"),
    "model": Text("Model"),
    "scale": Text("Scale"),
    "upscaler": Text("Upscaler"),
}
"""What is shown first, in this order; a file may say more."""
UNTOLD = Text(
    "This file does not say how it was made: this bot did not make it, or something on its way "
    "here took the words out, as most sites and phones do when they share a picture."
)

UNTOLD_HERE = Text(
    "This file does not say how it was made: the owner of this bot does not want its files to. A "
    "right click on the message that they came in, and Show settings, still says it."
)


def info(intake: Intake, *, told: bool = True) -> app_commands.Command[Any, ..., None]:
    """The command. `told` says whether the files of this bot say how they were made."""

    @app_commands.command(name="info", description="See how a picture or video of mine was made")
    @app_commands.describe(file="A picture or video that I made, as a file")
    async def command(interaction: discord.Interaction, file: discord.Attachment) -> None:
        intake.check_size(file)
        await interaction.response.defer(thinking=True, ephemeral=True)
        facts = await asyncio.to_thread(read_facts, await download(file))
        reader = language_of(interaction)
        text = in_words(facts, reader) if facts or told else reader.say(UNTOLD_HERE)
        await interaction.followup.send(**content_or_view(text), ephemeral=True)

    return command


def in_words(facts: Mapping[str, str], reader: Language) -> str:
    """The facts, one a line."""
    known = [(reader.say(name), facts[key]) for key, name in FACTS.items() if key in facts]
    other = [(plain(key, 40), value) for key, value in facts.items() if key not in FACTS]
    text = ""
    for name, value in [*known, *other]:
        line = f"**{name}** {plain(value, ROOM)}\n"
        if len(text) + len(line) <= IN_ALL:
            text += line
    return text or reader.say(UNTOLD)
