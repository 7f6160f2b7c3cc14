"""/usage: what a member has had of the GPU today, and for moderators what everyone had."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import discord
from discord import app_commands

from bot.access import require_moderator
from bot.jobs.queue import JobQueue
from bot.jobs.settings import Settings
from bot.jobs.store import Used
from bot.ui.answers import language_of
from bot.ui.desk import moderates
from bot.ui.origin import settings_of
from bot.ui.text import seconds
from pipelines.contract.text import Counted, Text

MINE, EVERYONES = "mine", "everyone"
WHOSE = {MINE: "Mine", EVERYONES: "Everyone's, for moderators"}
SHOWN = 20  # members


def usage(queue: JobQueue) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(name="usage", description="See how much of the GPU was used in 24 hours")
    @app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
    @app_commands.describe(whose="Whose use to show. Usually: mine")
    @app_commands.choices(
        whose=[app_commands.Choice(name=name, value=value) for value, name in WHOSE.items()]
    )
    async def command(interaction: discord.Interaction, whose: str = MINE) -> None:
        if whose == EVERYONES:
            require_moderator(moderates=moderates(interaction))
        await interaction.response.defer(thinking=True, ephemeral=True)
        server, member = interaction.guild_id, interaction.user.id
        if whose == EVERYONES:
            lines = _everyones(await queue.used_in(server))
        else:
            share = await queue.share_used(member, server)
            used = await queue.used_in(server, member)
            lines = _mine(used, share, settings_of(interaction))
        say = language_of(interaction).say
        await interaction.followup.send("\n".join(map(say, lines)), ephemeral=True)

    return command


def _mine(used: Sequence[Used], share: float, settings: Settings) -> Iterator[Text]:
    if not used:
        yield Text("You have used nothing of the GPU here in the last 24 hours.")
    else:
        yield Text(
            "You have used **{time}** of the GPU here in the last 24 hours.", time=_time(used)
        )
    for each in used:
        yield Counted(
            "{command} · {time} · {n} job",
            "{command} · {time} · {n} jobs",
            each.jobs,
            command=f"`/{each.kind}`",
            time=seconds(each.seconds),
        )
    if settings.daily_seconds is not None:
        yield _left(settings.daily_seconds, share)
    yield Text(
        "-# What waits counts by what it should take. What failed through no doing of yours does "
        "not count."
    )


def _left(daily: float, share: float) -> Text:
    if share >= daily:
        return Text(
            "Your share of {share} is used up: what you ask for now waits behind others, and "
            "begins when nobody else needs the GPU.",
            share=seconds(daily),
        )
    return Text(
        "Of your share of {share}, **{left}** are left; what waits behind others is not counted.",
        share=seconds(daily),
        left=seconds(daily - share),
    )


def _everyones(used: Sequence[Used]) -> Iterator[Text]:
    members, jobs = defaultdict[int, float](float), defaultdict[int, int](int)
    for each in used:
        members[each.owner] += each.seconds
        jobs[each.owner] += each.jobs
    most = sorted(members.items(), key=lambda item: -item[1])
    yield Counted(
        "**{time}** of the GPU used here by {n} member in the last 24 hours",
        "**{time}** of the GPU used here by {n} members in the last 24 hours",
        len(members),
        time=_time(used),
    )
    for owner, spent in most[:SHOWN]:
        yield Counted(
            "{member} · {time} · {n} job",
            "{member} · {time} · {n} jobs",
            jobs[owner],
            member=f"<@{owner}>",
            time=seconds(spent),
        )
    if len(members) > SHOWN:
        yield Counted("… and {n} more", "… and {n} more", len(members) - SHOWN)


def _time(used: Sequence[Used]) -> Text:
    return seconds(sum(each.seconds for each in used))
