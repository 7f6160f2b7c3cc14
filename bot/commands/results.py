"""/results: what could not be shown where it was asked for."""

from collections.abc import Sequence
from typing import Any

import discord
from discord import app_commands, ui

from bot.jobs.job import Job
from bot.jobs.queue import JobQueue
from bot.languages import Language
from bot.ui.answers import language_of
from bot.ui.buttons import Action, JobButton
from bot.ui.text import countdown, plain
from bot.ui.views import view_of
from pipelines.contract.text import Counted

SHOWN = 8  # at a time; each is three of the forty components that a message may have
PROMPT_ROOM = 200


def results(queue: JobQueue) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(
        name="results", description="Get your results that could not be shown where you asked"
    )
    async def command(interaction: discord.Interaction) -> None:
        await interaction.response.defer(thinking=True, ephemeral=True)
        jobs = await queue.undelivered(interaction.user.id)
        view = _waiting(jobs, language_of(interaction))
        await interaction.followup.send(view=view, ephemeral=True)

    return command


def _waiting(jobs: Sequence[Job], reader: Language) -> ui.LayoutView:
    """What waits, the newest first, each with a button that shows it here."""
    say = reader.say
    if not jobs:
        return view_of(
            say("Nothing waits for you: all that you asked for was shown where you asked for it.")
        )
    head = Counted(
        "**{n} result** could not be shown where you asked for it. Shown here, everyone here sees "
        "it.",
        "**{n} results** could not be shown where you asked for them. Shown here, everyone here "
        "sees them.",
        len(jobs),
    )
    view = view_of(say(head))
    for job in jobs[:SHOWN]:
        view.add_item(ui.TextDisplay(_line(job)))
        view.add_item(ui.ActionRow(JobButton(Action.SHOW, job.id, reader=reader)))
    if len(jobs) > SHOWN:
        view.add_item(ui.TextDisplay(say("These are the newest; the others come after them.")))
    return view


def _line(job: Job) -> str:
    ended = countdown(job.ended_at or job.queued_at)
    prompt = plain(job.request.prompt, PROMPT_ROOM)
    return " · ".join(filter(None, [f"`/{job.kind}`", prompt, ended]))
