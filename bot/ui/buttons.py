"""The buttons under a job's message. They hold the job's id only, so they survive a restart."""

import re
from dataclasses import replace
from enum import StrEnum
from typing import Any, Protocol, Self, cast

import discord
from discord import ui

from bot.access import require_owner
from bot.errors import NoSuchJob
from bot.jobs.job import Status
from bot.jobs.queue import JobQueue
from bot.ui.answers import answering
from bot.ui.origin import acknowledge
from pipelines.contract.requests import new_seed


class Action(StrEnum):
    """What a button does to its job."""

    AGAIN = "again"
    DELETE = "delete"
    CANCEL = "cancel"


class HasQueue(Protocol):
    """What the buttons need of the client that hears them."""

    queue: JobQueue


CUSTOM_ID = re.compile(r"atelier:(?P<action>again|delete|cancel):(?P<job_id>[0-9a-f]{16})")


class JobButton(ui.DynamicItem[ui.Button[ui.LayoutView]], template=CUSTOM_ID):
    """Again, Delete or Cancel for one job."""

    def __init__(self, action: Action, job_id: str) -> None:
        style = (
            discord.ButtonStyle.primary if action is Action.AGAIN else discord.ButtonStyle.secondary
        )
        custom_id = f"atelier:{action}:{job_id}"
        super().__init__(ui.Button(label=action.capitalize(), style=style, custom_id=custom_id))
        self.action = action
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed; discord.py calls this."""
        return cls(Action(match["action"]), match["job_id"])

    async def callback(self, interaction: discord.Interaction) -> None:
        """Do what the label says; discord.py calls this."""
        queue = cast(HasQueue, interaction.client).queue
        async with answering(interaction):
            match self.action:
                case Action.AGAIN:
                    await _again(interaction, queue, self.job_id)
                case Action.DELETE:
                    await _delete(interaction, queue, self.job_id)
                case Action.CANCEL:
                    await _cancel(interaction, queue, self.job_id)


async def _again(interaction: discord.Interaction, queue: JobQueue, job_id: str) -> None:
    """The same request with a new seed, for whoever pressed."""
    origin = await acknowledge(interaction)
    job = await queue.get(job_id)
    await queue.submit(
        replace(job.request, seed=new_seed()),
        owner=interaction.user.id,
        origin=origin.to_json(),
        parent=job.id,
    )


async def _cancel(interaction: discord.Interaction, queue: JobQueue, job_id: str) -> None:
    """Stop a job. The message itself changes when the job has ended."""
    await interaction.response.defer()
    job = await queue.get(job_id)
    _require_owner(interaction, job.owner, "cancel")
    job = await queue.cancel(job_id)
    if job.status is Status.RUNNING:
        await interaction.followup.send("It will stop after the step it is on.", ephemeral=True)


async def _delete(interaction: discord.Interaction, queue: JobQueue, job_id: str) -> None:
    """Drop the job's results, then the message."""
    await interaction.response.defer()
    try:
        job = await queue.get(job_id)
        _require_owner(interaction, job.owner, "delete")
        await queue.erase(job_id)
    except NoSuchJob:
        _require_owner(interaction, _asker(interaction), "delete")
    try:
        await interaction.delete_original_response()
    except discord.NotFound:
        raise NoSuchJob("It has been deleted already.") from None


def _require_owner(interaction: discord.Interaction, owner: int, act: str) -> None:
    require_owner(
        owner, interaction.user.id, moderates=interaction.permissions.manage_messages, act=act
    )


def _asker(interaction: discord.Interaction) -> int:
    """Who asked for a message whose job the store has since forgotten; 0 if Discord cannot say."""
    message = interaction.message
    metadata = message.interaction_metadata if message else None
    return metadata.user.id if metadata else 0
