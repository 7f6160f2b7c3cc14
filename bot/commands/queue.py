"""/queue: what runs and what waits, in which order, and why."""

from collections.abc import Sequence
from typing import Any

import discord
from discord import app_commands

from bot.jobs.job import Job
from bot.jobs.queue import JobQueue
from bot.ui.text import countdown, seconds

SHOWN = 10  # of those that wait
WHY = (
    "-# Members take turns by the GPU time that they use, so nobody waits behind one who asks for "
    "much; a job whose models are loaded may go a little earlier. You used {used} of it lately, "
    "what is a day old counted half."
)


def queue_(queue: JobQueue) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(name="queue", description="See what runs, what waits, and in which order")
    async def command(interaction: discord.Interaction) -> None:
        await interaction.response.defer(thinking=True, ephemeral=True)
        text = "\n".join(
            [
                *_running(queue, queue.running()),
                *_waiting(queue, await queue.first(SHOWN), queue.length()),
                WHY.format(used=seconds(await queue.usage(interaction.user.id))),
            ]
        )
        await interaction.followup.send(text, ephemeral=True)

    return command


def _running(queue: JobQueue, jobs: Sequence[Job]) -> list[str]:
    if not jobs:
        return ["**Nothing runs.**"]
    lines = []
    for job in jobs:
        ends = queue.ends(job)
        when = "" if ends is None else f" · done {countdown(ends)}"
        lines.append(f"{_named(job)}{when}")
    return ["**Running**", *lines]


def _waiting(queue: JobQueue, jobs: Sequence[Job], in_all: int) -> list[str]:
    if not jobs:
        return ["**Nothing waits.**"]
    lines = []
    for place, job in enumerate(jobs, start=1):
        begins = queue.begins(job.id)
        when = "" if begins is None else f" · begins {countdown(begins)}"
        lines.append(f"{place}. {_named(job)}{when}")
    if in_all > len(jobs):
        lines.append(f"… and {in_all - len(jobs)} more")
    return ["**Waiting**", *lines]


def _named(job: Job) -> str:
    """A job without its words, which are its member's own until it is shown."""
    return f"`/{job.kind}` for <@{job.owner}>"
