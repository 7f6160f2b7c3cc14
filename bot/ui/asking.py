"""Where every request goes through on its way from a member to the queue."""

import time

import discord

from bot.access import require_age, require_allowed
from bot.jobs.job import Job, Standing
from bot.jobs.queue import JobQueue
from bot.ui.origin import Origin, standing_of
from pipelines.contract.requests import Request


def check(interaction: discord.Interaction, queue: JobQueue, request: Request) -> None:
    """Hold a request against the rules that hold there for that member now, at once.

    Raises Banned, TooNew, NotAllowed, BadInput.
    """
    check_as(
        queue,
        request,
        member=interaction.user.id,
        since=since(interaction.user),
        standing=standing_of(interaction),
    )


def check_as(
    queue: JobQueue, request: Request, *, member: int, since: float, standing: Standing
) -> None:
    """The same for somebody who stood there a while ago."""
    settings = queue.settings.of(standing.server, standing.channel)
    queue.moderation.check(standing.server, member)
    require_age(since, settings.minimum_age_days, now=time.time())
    require_allowed(settings, request, standing.roles)
    queue.check_catalog(request)


async def submit(
    interaction: discord.Interaction,
    queue: JobQueue,
    origin: Origin,
    request: Request,
    *,
    parent: str | None = None,
    job_id: str | None = None,
) -> Job:
    """Queue `request` for whoever asks; its answer goes to `origin`.

    Raises what `check` and JobQueue.submit raise.
    """
    check(interaction, queue, request)
    return await queue.submit(
        request,
        owner=interaction.user.id,
        origin=origin.to_json(),
        standing=standing_of(interaction),
        parent=parent,
        job_id=job_id,
    )


def since(user: discord.User | discord.Member) -> float:
    """Since when somebody is in the server, or outside of servers on Discord; Unix time."""
    joined = user.joined_at if isinstance(user, discord.Member) else None
    return (joined or user.created_at).timestamp()
