"""What a right click on a message offers: Sketch, Animate, Describe this, Show settings, Report."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import discord
from discord import app_commands

from bot.commands.info import in_words
from bot.commands.intake import Intake, download
from bot.jobs.job import Job
from bot.jobs.queue import JobQueue
from bot.ui.answers import content_or_view, language_of
from bot.ui.buttons import CUSTOM_ID
from bot.ui.desk import Desk
from bot.ui.views import shown_ids
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import (
    AnimateRequest,
    DescribeRequest,
    Request,
    SketchRequest,
    new_seed,
)
from pipelines.contract.text import Text
from pipelines.facts import read_facts

Menu = app_commands.ContextMenu
NO_PICTURE = Text("There is no picture in this message that I could use.")


def menus(intake: Intake, queue: JobQueue, desk: Desk) -> list[Menu]:
    """The entries: as many as Discord takes."""

    async def begin(
        interaction: discord.Interaction,
        message: discord.Message,
        field: str,
        make: Callable[..., Request],
    ) -> None:
        """Submit what `make` makes of the picture in a message, which is its `field`."""
        parent, found = await _picture_in(message, queue)
        uploaded = {} if isinstance(found, Path) else {field: found}
        path = found if isinstance(found, Path) else Path(found.filename)
        await intake.submit(interaction, make(**{field: path}), parent, **uploaded)

    async def sketch_this(interaction: discord.Interaction, message: discord.Message) -> None:
        await begin(interaction, message, "drawing", partial(SketchRequest, seed=new_seed()))

    async def animate_this(interaction: discord.Interaction, message: discord.Message) -> None:
        await begin(interaction, message, "image", partial(AnimateRequest, seed=new_seed()))

    async def describe_this(interaction: discord.Interaction, message: discord.Message) -> None:
        await begin(interaction, message, "image", DescribeRequest)

    async def show_settings(interaction: discord.Interaction, message: discord.Message) -> None:
        await interaction.response.defer(thinking=True, ephemeral=True)
        facts = await _facts_of(message, queue, intake)
        text = in_words(facts, language_of(interaction))
        await interaction.followup.send(**content_or_view(text), ephemeral=True)

    @app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
    @app_commands.allowed_installs(guilds=True, users=False)  # elsewhere no moderator has /moderate
    async def report(interaction: discord.Interaction, message: discord.Message) -> None:
        job = await _job_of(message, queue)
        if job is None:
            raise BadInput(
                "Only what I made can be reported, and there is nothing of mine in this message."
            )
        await desk.open_form(interaction, job)

    return [
        Menu(name="Sketch this", callback=sketch_this),
        Menu(name="Animate this", callback=animate_this),
        Menu(name="Describe this", callback=describe_this),
        Menu(name="Show settings", callback=show_settings),
        Menu(name="Report", callback=report),
    ]


async def _job_of(message: discord.Message, queue: JobQueue) -> Job | None:
    """The job that a message of ours is about. Raises NoSuchJob where it is forgotten."""
    ours = [match["job_id"] for i in shown_ids(message) if (match := CUSTOM_ID.match(i))]
    return await queue.get(ours[0]) if ours else None


async def _picture_in(
    message: discord.Message, queue: JobQueue
) -> tuple[str | None, Path | discord.Attachment]:
    """The first picture: of a result, its job and file; else what was uploaded.

    Raises BadInput where there is none.
    """
    job = await _job_of(message, queue)
    if job is not None:
        for artifact in job.artifacts:
            if not artifact.media_type.is_video:
                return job.id, artifact.path
    for attachment in _attached(message):
        if (attachment.content_type or "").startswith("image/"):
            return None, attachment
    raise BadInput(NO_PICTURE)


async def _facts_of(message: discord.Message, queue: JobQueue, intake: Intake) -> dict[str, str]:
    """How what is in a message was made, by its job or as its file says. Raises BadInput."""
    job = await _job_of(message, queue)
    if job is not None and job.artifacts:
        return {key: str(value) for key, value in job.facts.items()}
    attachment = next(_attached(message), None)
    if attachment is None:
        raise BadInput(NO_PICTURE)
    intake.check_size(attachment)
    return await asyncio.to_thread(read_facts, await download(attachment))


def _attached(message: discord.Message) -> Iterator[discord.Attachment]:
    """The files of a message, and of those that it forwards."""
    yield from message.attachments
    for forwarded in message.message_snapshots:
        yield from forwarded.attachments
