"""A job that comes of another: for whoever asked, and linked to its parent."""

import discord

from bot.errors import NoSuchJob
from bot.jobs.job import Job
from bot.jobs.queue import JobQueue
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

    Raises NoSuchJob for a parent of another server, and what JobQueue.submit raises.
    """
    if parent.origin.get("guild_id") != interaction.guild_id:
        raise NoSuchJob(Text("This was not made in this server."))
    await queue.submit(
        request, owner=interaction.user.id, origin=origin.to_json(), parent=parent.id
    )
