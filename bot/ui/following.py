"""A job that comes of another: for whoever asked, and linked to its parent."""

from dataclasses import replace

import discord

from bot.errors import NoSuchJob
from bot.jobs.job import Job
from bot.jobs.queue import JobQueue
from bot.ui.asking import submit
from bot.ui.origin import Origin
from pipelines.contract.requests import (
    DescribeRequest,
    ImagineRequest,
    Request,
    SketchRequest,
    new_seed,
)
from pipelines.contract.text import Text


def next_request(job: Job) -> Request:
    """What a job leads to: a review to its painting, a description to a picture of these words.

    Any other leads to the same once more. Raises BadInput for a description without words.
    """
    request = job.request
    if isinstance(request, SketchRequest) and request.review:
        return replace(request, review=False, caption=job.caption)
    if isinstance(request, DescribeRequest):
        return ImagineRequest(prompt=job.caption, seed=new_seed())
    return request


def require_made_here(interaction: discord.Interaction, parent: Job) -> None:
    """Raise NoSuchJob for a job of another server than that where somebody goes on with it."""
    if parent.server != interaction.guild_id:
        raise NoSuchJob(Text("This was not made in this server."))


async def submit_child(
    interaction: discord.Interaction,
    queue: JobQueue,
    origin: Origin,
    parent: Job,
    request: Request,
    *,
    job_id: str | None = None,
) -> None:
    """Queue `request`; its answer goes to `origin`.

    Raises NoSuchJob for a parent of another server, and what `submit` raises.
    """
    require_made_here(interaction, parent)
    await submit(interaction, queue, origin, request, parent=parent.id, job_id=job_id)
