"""/moderate: who may not use the bot here, and what was reported."""

from typing import Any

import discord
from discord import app_commands

from bot.access import require_moderator
from bot.jobs.moderation import Moderation
from bot.jobs.report import Ban
from bot.languages import Language
from bot.ui.answers import language_of
from bot.ui.desk import Desk, moderates
from bot.ui.text import countdown, plain
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import clean_text
from pipelines.contract.text import Counted

BAN, UNBAN, BANS, REPORTS = "ban", "unban", "bans", "reports"
ACTIONS = {
    BAN: "Ban a member from the bot",
    UNBAN: "Let a member use the bot again",
    BANS: "Show who is banned",
    REPORTS: "Show the oldest open report",
}
IN_ALL = 1800  # characters; Discord takes 2000
MAX_REASON = 300


def moderate(desk: Desk, moderation: Moderation) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(name="moderate", description="Ban members from the bot, review reports")
    @app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.default_permissions(moderate_members=True)
    @app_commands.describe(
        action="What to do",
        member="The member to ban, or to let use the bot again",
        reason="Why, for the other moderators",
    )
    @app_commands.choices(
        action=[app_commands.Choice(name=name, value=value) for value, name in ACTIONS.items()]
    )
    async def command(
        interaction: discord.Interaction,
        action: str,
        member: discord.User | None = None,
        reason: app_commands.Range[str, 0, MAX_REASON] = "",
    ) -> None:
        require_moderator(moderates=moderates(interaction))
        if action in (BAN, UNBAN) and member is None:
            raise BadInput("Please say whom: choose a member as well.")
        await interaction.response.defer(thinking=True, ephemeral=True)
        server, moderator = interaction.guild_id or 0, interaction.user.id
        reader = language_of(interaction)
        if action == REPORTS:
            await _show_report(interaction, desk, moderation, reader)
            return
        if action == BAN and member is not None:
            count = await desk.ban(server, member.id, moderator, clean_text(reason, "reason"))
            text = _banned(member.id, count, reader)
        elif action == UNBAN and member is not None:
            done = await moderation.unban(server, member.id, moderator=moderator)
            text = _unbanned(member.id, reader, done=done)
        else:
            text = _listed(moderation.bans(server), reader)
        await interaction.followup.send(text, ephemeral=True)

    return command


async def _show_report(
    interaction: discord.Interaction, desk: Desk, moderation: Moderation, reader: Language
) -> None:
    server = interaction.guild_id or 0
    reports = await moderation.open_reports(server)
    trouble = desk.log_trouble(interaction)
    if not reports:
        text = reader.say("No report is open.")
        text += "" if trouble is None else "\n-# " + reader.say(trouble)
        await interaction.followup.send(text, ephemeral=True)
        return
    view, uploads = await desk.show(reports[0].job, reader=reader)
    files = [upload.open() for upload in uploads]
    await interaction.followup.send(view=view, files=files, ephemeral=True)
    left = len({report.job for report in reports}) - 1
    words = [reader.say(Counted("One more is open.", "{n} more are open.", left))] if left else []
    words += [] if trouble is None else [reader.say(trouble)]
    if words:
        await interaction.followup.send("\n".join(f"-# {each}" for each in words), ephemeral=True)


def _banned(member: int, cancelled: int | None, reader: Language) -> str:
    who = f"<@{member}>"
    if cancelled is None:
        return reader.say("{member} is banned from this bot already.", member=who)
    text = reader.say("{member} can no longer use this bot here.", member=who)
    if cancelled:
        what = Counted(
            "One of their jobs, which waited or ran, was cancelled.",
            "{n} of their jobs, which waited or ran, were cancelled.",
            cancelled,
        )
        text += " " + reader.say(what)
    return text


def _unbanned(member: int, reader: Language, *, done: bool) -> str:
    if not done:
        return reader.say("{member} was not banned from this bot here.", member=f"<@{member}>")
    return reader.say("{member} can use this bot again.", member=f"<@{member}>")


def _listed(bans: list[Ban], reader: Language) -> str:
    """Who is banned, the latest first."""
    if not bans:
        return reader.say("Nobody is banned from this bot here.")
    text = reader.say("**Banned from this bot here**")
    for shown, ban in enumerate(reversed(bans)):
        line = reader.say(
            "<@{member}> by <@{moderator}> {when}: {reason}",
            member=ban.member,
            moderator=ban.moderator,
            when=countdown(ban.made_at),
            reason=plain(ban.reason, MAX_REASON) or reader.say("no reason given"),
        )
        if len(text) + len(line) > IN_ALL:
            left = Counted("… and {n} more", "… and {n} more", len(bans) - shown)
            return f"{text}\n{reader.say(left)}"
        text += f"\n{line}"
    return text
