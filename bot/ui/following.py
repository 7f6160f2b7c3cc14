"""A job that comes of another: for whoever asked, and linked to its parent."""

import discord

from bot.errors import NoSuchJob
from bot.jobs.job import Job
from bot.jobs.queue import JobQueue
from bot.ui.asking import submit
from bot.ui.origin import Origin
from pipelines.contract.requests import Request
from pipelines.contract.text import Text


async def submit_child(
    interaction: discord.Interaction,
    queue: JobQueue,
    origin: Origin,
    parent: Job,
    request: Request,
) -> None:
    """Queue `request`; its answer goes to `origin`.

    Raises NoSuchJob for a parent of another server, and what `submit` raises.
    """
    if parent.server != interaction.guild_id:
        raise NoSuchJob(Text("This was not made in this server."))
    await submit(interaction, queue, origin, request, parent=parent.id)
