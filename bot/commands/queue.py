"""/queue: what runs and what waits, in which order, and why."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot.jobs.job import Job
from bot.jobs.queue import JobQueue
from bot.ui.answers import language_of
from bot.ui.text import countdown, seconds
from pipelines.contract.text import Counted, Text

Named = Callable[[Job], Text]

SHOWN = 8  # of those that run, and of those that wait


def queue_(queue: JobQueue) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(name="queue", description="See what runs, what waits, and in which order")
    async def command(interaction: discord.Interaction) -> None:
        await interaction.response.defer(thinking=True, ephemeral=True)
        named = partial(_named, interaction.user.id, interaction.guild_id)
        lines = [
            *_running(queue, queue.running(), named),
            *_waiting(queue, await queue.first(SHOWN), queue.length(), named),
            _why(await queue.usage(interaction.user.id)),
        ]
        say = language_of(interaction).say
        await interaction.followup.send("\n".join(map(say, lines)), ephemeral=True)

    return command


def _running(queue: JobQueue, jobs: Sequence[Job], named: Named) -> Iterator[Text]:
    if not jobs:
        yield Text("**Nothing runs.**")
        return
    yield Text("**Running**")
    for job in jobs[:SHOWN]:
        if (ends := queue.ends(job)) is None:
            yield named(job)
        else:
            yield Text("{job} · done {when}", job=named(job), when=countdown(ends))
    yield from _more(len(jobs) - SHOWN)


def _waiting(queue: JobQueue, jobs: Sequence[Job], in_all: int, named: Named) -> Iterator[Text]:
    if not jobs:
        yield Text("**Nothing waits.**")
        return
    yield Text("**Waiting**")
    for place, job in enumerate(jobs, start=1):
        if (begins := queue.begins(job.id)) is None:
            yield Text("{place}. {job}", place=place, job=named(job))
        else:
            yield Text(
                "{place}. {job} · begins {when}",
                place=place,
                job=named(job),
                when=countdown(begins),
            )
    yield from _more(in_all - len(jobs))


def _more(count: int) -> Iterator[Text]:
    if count > 0:
        yield Counted("… and {n} more", "… and {n} more", count)


def _named(reader: int, server: int | None, job: Job) -> Text:
    """A job without its words, which are its member's own until it is shown.

    Who it is for is for those in the same server.
    """
    is_known = job.owner == reader or (server is not None and job.server == server)
    member = f"<@{job.owner}>" if is_known else Text("somebody elsewhere")
    named = {"command": f"`/{job.kind}`", "member": member}
    if job.relaxed:
        return Text("{command} for {member}, whose share of today is used up", **named)
    return Text("{command} for {member}", **named)


def _why(used: float) -> Text:
    return Text(
        "-# Members take turns by the GPU time that they use, so nobody waits behind one who asks "
        "for much; a job whose models are loaded may go a little earlier. You used {used} of it "
        "lately, what is a day old counted half.",
        used=seconds(used),
    )
