"""Options that more than one command has."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from pipelines import loras
from pipelines.catalog import ModelKey
from pipelines.contract.requests import MAX_NAME, MAX_PROMPT, MAX_SEED

Prompt = app_commands.Range[str, 1, MAX_PROMPT]
Seed = app_commands.Range[int, 0, MAX_SEED]
Choices = list[app_commands.Choice[str]]

SEED_HELP = "The same number and words give the same result again. Left out: a new one every time."
LORA_HELP = "A style that was taught to the model, by its name"
MAX_CHOICES = 25  # that Discord shows
LOOK = 1.0  # seconds, of the three that Discord waits for an acknowledgement


def fitting(labels: Mapping[str, str], typed: str) -> Choices:
    """The choices, by value, whose labels hold what was typed so far."""
    found = [(v, label) for v, label in labels.items() if typed.casefold() in label.casefold()]
    return [
        app_commands.Choice(name=shortened(label), value=value)
        for value, label in found[:MAX_CHOICES]
    ]


def shortened(text: str) -> str:
    """As much of `text` as Discord shows of a choice."""
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 1]}…"


def complete_lora(
    command: app_commands.Command[Any, ..., None], folder: Path | None, key: ModelKey
) -> None:
    """Have the option `lora` of a command offer what is in its model's folder now."""

    @command.autocomplete("lora")
    async def complete(interaction: discord.Interaction, typed: str) -> Choices:
        names = await asyncio.to_thread(loras.names, folder, key)
        return fitting({name: name for name in names}, typed)


async def check_lora(folder: Path | None, key: ModelKey, name: str | None) -> None:
    """Raise BadInput for a LoRA that is not there. What a slow folder holds shows when it is used.

    The command is acknowledged only after this, so that its member alone reads of the mistake.
    """
    if name is None:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK):
            await asyncio.to_thread(loras.find, folder, key, name)
