"""What every request passes on its way from a member to the queue: the rules of the place."""

import time

import discord

from bot.access import require_age, require_allowed
from bot.jobs.job import Job, Standing
from bot.jobs.queue import JobQueue
from bot.ui.origin import Origin, standing_of
from pipelines.contract.requests import Request


def check(interaction: discord.Interaction, queue: JobQueue, request: Request) -> None:
    """Hold a request against the rules that now hold for that member in that place.

    Raises Banned, TooNew, NotAllowed, BadInput.
    """
    check_made(interaction, queue, request)
    queue.check_catalog(request)


def check_made(interaction: discord.Interaction, queue: JobQueue, request: Request) -> None:
    """As `check`, for a request that was made already: its model may be gone since.

    Raises Banned, TooNew, NotAllowed.
    """
    standing = standing_of(interaction)
    _check_rules(queue, request, interaction.user.id, since(interaction.user), standing)


def check_as(
    queue: JobQueue, request: Request, *, member: int, since: float, standing: Standing
) -> None:
    """As `check`, for somebody who stood there a while ago."""
    _check_rules(queue, request, member, since, standing)
    queue.check_catalog(request)


def _check_rules(
    queue: JobQueue, request: Request, member: int, since: float, standing: Standing
) -> None:
    settings = queue.settings.of(standing.server, standing.channel)
    queue.moderation.check(standing.server, member)
    require_age(since, settings.minimum_age_days, now=time.time())
    require_allowed(settings, request, standing.roles)


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
