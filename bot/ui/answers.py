"""One place where an error becomes a sentence that only the member sees."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypedDict

import discord
from discord import app_commands, ui

from bot.errors import Refused, Unforeseen
from bot.languages import Language, language
from bot.ui.roads import UNREACHABLE
from bot.ui.views import view_of
from pipelines.contract.errors import AtelierError, BadInput
from pipelines.contract.text import Text

log = logging.getLogger(__name__)

ACKNOWLEDGED = 40060  # Discord took an answer, though the line broke before it said so
LONGEST = 2000  # characters that Discord takes in a message …
LONGEST_SHOWN = 4000  # … and in all the texts of a view
APOLOGY = Unforeseen().text
TROUBLE = Text("Discord had trouble with this. Please try again.")
CHANGED = Text(
    "This command has changed since Discord showed it to you. Reload Discord and try again."
)


def language_of(interaction: discord.Interaction) -> Language:
    """The language of whoever does something."""
    return language(str(interaction.locale))


@asynccontextmanager
async def answering(interaction: discord.Interaction) -> AsyncIterator[None]:
    """The boundary around everything that answers a member: what is raised inside is told."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - discord.py would only log it and leave the member waiting
        await answer_error(interaction, error)


async def answer_error(interaction: discord.Interaction, error: Exception) -> None:
    """Tell the member in an ephemeral message; a public "thinking …" of theirs is removed first."""
    sentence = language_of(interaction).say(_text(error))
    try:
        if not interaction.response.is_done():
            try:
                await interaction.response.send_message(**content_or_view(sentence), ephemeral=True)
                return
            except discord.HTTPException as refused:
                if refused.code != ACKNOWLEDGED:
                    raise
        elif interaction.response.type is discord.InteractionResponseType.deferred_channel_message:
            with suppress(*UNREACHABLE):  # what went wrong is said all the same
                await _take_back(interaction)
        await interaction.followup.send(**content_or_view(sentence), ephemeral=True)
    except UNREACHABLE as unreachable:
        log.warning("a member could not be told %r: %s", sentence, unreachable)


class _Content(TypedDict):
    content: str


class _View(TypedDict):
    view: ui.LayoutView


def content_or_view(sentence: str) -> _Content | _View:
    """The arguments to send a sentence with: its text, or a view where that would be too long."""
    if len(sentence) <= LONGEST:
        return {"content": sentence}
    return {"view": view_of(sentence[:LONGEST_SHOWN])}


async def _take_back(interaction: discord.Interaction) -> None:
    """Remove the public "thinking …".

    The first thing sent after it would be taken for its answer, and be as public. So an answer is
    given first, and deleted.
    """
    await interaction.edit_original_response(content="…")
    await interaction.delete_original_response()


def _text(error: Exception) -> Text:
    if isinstance(error, app_commands.CommandInvokeError):
        error = error.original
    if isinstance(error, AtelierError):
        if not isinstance(error, BadInput | Refused):
            log.warning("an interaction failed: %s", error.sentence)
        return error.text
    if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
        return CHANGED
    # Above all: too late to be acknowledged, or a channel that Discord has not told the bot of yet.
    if isinstance(error, (*UNREACHABLE, app_commands.TransformerError)):
        log.warning("Discord refused an answer: %s", error)
        return TROUBLE
    log.error("an interaction failed", exc_info=error)
    return APOLOGY
