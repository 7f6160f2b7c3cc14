"""/history: what a member asked for lately, and what it came of."""

import re
from typing import Any

import discord
from discord import app_commands

from bot.commands.options import MAX_CHOICES, Choices, fitting
from bot.jobs.job import Job
from bot.jobs.queue import JobQueue
from bot.ui.history import Reader, last_ones, line_of
from pipelines.contract.errors import BadInput

LINK = re.compile(
    r"https://(?:\w+\.)?discord(?:app)?\.com/channels/[0-9@me]+/(\d{1,20})/(\d{1,20})"
)


def history(queue: JobQueue) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(
        name="history", description="See your last requests, and what each was made from"
    )
    @app_commands.describe(
        of="One of your requests, or the link to a message of mine here. Left out: your last ones"
    )
    async def command(interaction: discord.Interaction, of: str | None = None) -> None:
        await interaction.response.defer(thinking=True, ephemeral=True)
        reader = Reader.of(interaction)
        if of is None:
            view = await last_ones(reader, queue)
        else:
            view = await line_of(reader, queue, await _meant(interaction, queue, of))
        await interaction.followup.send(view=view, ephemeral=True)

    @command.autocomplete("of")
    async def complete(interaction: discord.Interaction, typed: str) -> Choices:
        jobs = await queue.last(interaction.user.id, MAX_CHOICES)
        labels = {job.id: f"/{job.kind} {job.request.prompt}".strip() for job in jobs}
        return fitting(labels, typed)

    return command


async def _meant(interaction: discord.Interaction, queue: JobQueue, of: str) -> Job:
    """The job that somebody chose, or whose message they gave the link to. Raises BadInput."""
    if re.fullmatch("[0-9a-f]{16}", of):
        return await queue.get(of)
    link = LINK.search(of)
    if link is None:
        raise BadInput(
            "Please choose one of your requests from the list, or paste the link to one of my "
            "messages: a right click on it, then Copy Message Link."
        )
    channel, message = int(link[1]), int(link[2])
    if channel != interaction.channel_id:
        raise BadInput("That message is in another channel. Please ask there.")
    job = await queue.shown_in(message)
    if job is None:
        raise BadInput(
            "I know nothing of that message: it is not one of mine, or what I made is no longer "
            "kept. Choose one of your requests from the list instead."
        )
    return job
