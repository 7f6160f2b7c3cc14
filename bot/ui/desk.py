"""The moderators' desk: members report results, moderators decide, members are banned."""

import asyncio
import logging
import re
from collections.abc import Sequence

import discord
from discord import ui

from bot.access import require_moderator
from bot.errors import NoSuchJob, Refused, TooLate
from bot.jobs.files import FileStore
from bot.jobs.job import Job
from bot.jobs.queue import JobQueue
from bot.jobs.report import Decision, Report
from bot.languages import Language, language
from bot.ui.answers import language_of
from bot.ui.forms import Label, show_form, written
from bot.ui.origin import Origin
from bot.ui.reports import UNKNOWN, reports_view
from bot.ui.roads import UNREACHABLE, Roads, Upload
from pipelines import media
from pipelines.contract.errors import AtelierError
from pipelines.contract.requests import clean_text
from pipelines.contract.text import Text

log = logging.getLogger(__name__)

REASON_ID = re.compile(r"atelier:reason:(?P<job_id>[0-9a-f]{16}):[0-9]+")
LONGEST_REASON = 500
EVIDENCE_BYTES = 8 * 2**20  # of all files together: what every server takes


class Desk:
    """Takes reports and decisions, and bans. It shows nothing by itself: `LogChannel` does."""

    def __init__(self, queue: JobQueue, files: FileStore, roads: Roads) -> None:
        self._queue = queue
        self._moderation = queue.moderation
        self._files = files
        self._roads = roads
        self._deciding = asyncio.Lock()  # of two decisions the first holds, and alone is done

    # -- for members ------------------------------------------------------------------------

    async def open_form(self, interaction: discord.Interaction, job: Job) -> None:
        """Ask a member why they report a job. Raises NoSuchJob, Banned."""
        self._check(interaction, job)
        say = language_of(interaction).say
        reason: Label = ui.Label(
            text=say("What is wrong with it?"),
            description=say("The moderators of this server read it. It may be left empty."),
            component=ui.TextInput(
                custom_id="reason",
                style=discord.TextStyle.paragraph,
                required=False,
                max_length=LONGEST_REASON,
            ),
        )
        await show_form(interaction, say("Report"), f"atelier:reason:{job.id}", [reason])

    async def take_form(self, interaction: discord.Interaction, job_id: str) -> None:
        """Write a report down, once for each member and job, and thank the member in private."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        job = await self._queue.get(job_id)
        server = self._check(interaction, job)
        filled = written(interaction)
        origin = Origin.from_json(job.origin)
        new = await self._moderation.report(
            job.id,
            reporter=interaction.user.id,
            server=server,
            channel=origin.channel_id,
            message=origin.message_id,
            owner=job.owner,
            reason=clean_text(filled.get("reason", ""), "reason"),
        )
        await interaction.followup.send(self._thanks(interaction, new=new), ephemeral=True)

    def _check(self, interaction: discord.Interaction, job: Job) -> int:
        """The server in which a member may report a job. Raises NoSuchJob, Banned."""
        server = interaction.guild_id
        if server is None or job.server != server:
            raise NoSuchJob("This was not made in this server, so it cannot be reported here.")
        self._moderation.check(server, interaction.user.id)
        return server

    def _thanks(self, interaction: discord.Interaction, *, new: bool) -> str:
        say = language_of(interaction).say
        text = (
            say("Thank you: this was passed on to the moderators.")
            if new
            else say("You have reported this already: the moderators have it.")
        )
        if moderates(interaction) and (trouble := self.log_trouble(interaction)) is not None:
            text += "\n-# " + say(trouble)
        return text

    # -- for moderators ---------------------------------------------------------------------

    def log_trouble(self, interaction: discord.Interaction) -> Text | None:
        """Why nothing is written into a log channel here; None where something is."""
        channel = self.log_channel(interaction.guild_id or 0)
        if channel is None:
            return Text(
                "No log channel is set here, so open reports are found with `/moderate` alone. An "
                "administrator sets one with `/config`."
            )
        return log_channel_trouble(interaction.guild, channel)

    def log_channel(self, server: int) -> int | None:
        """Where the moderators of a server read what happened."""
        return self._queue.settings.of(server).log_channel

    def language_of(self, server: int) -> Language:
        """The language of what is written there."""
        return language(self._queue.settings.of(server).language or "en")

    async def decide(
        self, interaction: discord.Interaction, job_id: str, decision: Decision
    ) -> None:
        """Do what a moderator decided, once, and show in every place that it is done."""
        await interaction.response.defer()
        require_moderator(moderates=moderates(interaction))
        refused = None
        async with self._deciding:
            before = await self._moderation.reports_of(job_id)
            if not before or before[-1].server != interaction.guild_id:
                raise NoSuchJob(UNKNOWN)
            if before[-1].is_open:
                refused = await self._carry_out(before[-1], decision, interaction.user.id)
        await self._show_decided(interaction, before)
        if refused is not None:
            raise refused

    async def _show_decided(
        self, interaction: discord.Interaction, before: Sequence[Report]
    ) -> None:
        """Show what was decided, where the button was and where else moderators were told."""
        job_id, server = before[-1].job, before[-1].server
        reports = await self._moderation.reports_of(job_id) or before  # taken back meanwhile
        job, shared = await self._queue.find(job_id), self.language_of(server)
        here = interaction.message
        alone = here is not None and here.flags.ephemeral
        reader = language_of(interaction) if alone else shared
        own = reports_view(reports, job, reader)
        await interaction.edit_original_response(view=own, attachments=[])
        view = reports_view(reports, job, shared)
        pressed = here.id if here else None
        for channel, note in {(r.note_channel, r.note) for r in before if r.is_open}:
            if channel is not None and note is not None and note != pressed:
                try:
                    await self._roads.change(channel, note, view)
                except UNREACHABLE as error:
                    log.info("what was reported of job %s still looks open: %s", job_id, error)

    async def _carry_out(
        self, report: Report, decision: Decision, moderator: int
    ) -> Refused | None:
        """Act, then write it down. Returns what Discord refused, for the moderator to do."""
        refused = None
        if decision is Decision.BANNED:  # first, for Discord may refuse the rest
            # What a reporter said is for moderators alone: of a ban its member can read the reason.
            why = self.language_of(report.server).say("something was reported")
            await self.ban(report.server, report.owner, moderator, why)
        if decision is not Decision.KEPT:
            refused = await self._remove(report)
        await self._moderation.decide(report.job, decision, moderator)
        return refused

    async def _remove(self, report: Report) -> Refused | None:
        """Erase what a job made, or stop it, and delete its message."""
        job = await self._queue.find(report.job)
        if job is not None:
            try:
                await (self._queue.cancel if job.status.is_live else self._queue.erase)(job.id)
            except TooLate:  # it has ended meanwhile
                await self._queue.erase(job.id)
        try:
            await self._roads.delete(report.channel, report.message)
        except discord.NotFound:
            pass
        except discord.HTTPException as error:
            if error.status >= 500:  # trouble; what was done can be done again
                raise
            return Refused(  # no permission, or the thread is archived
                "What was made is erased, but I may not delete the message: please delete it "
                "yourself. {link}",
                link=report.link,
            )
        return None

    async def ban(self, server: int, member: int, moderator: int, reason: str) -> int | None:
        """Ban a member and cancel what they have waiting there. How many; None: banned already."""
        if not await self._moderation.ban(server, member, moderator=moderator, reason=reason):
            return None
        cancelled = 0
        for job in await self._queue.of(member):
            if job.status.is_live and job.server == server:
                try:
                    await self._queue.cancel(job.id)
                    cancelled += 1
                except (TooLate, NoSuchJob):
                    log.debug("job %s had just ended", job.id)
        return cancelled

    async def show(
        self, job_id: str, *, pictures: bool = True, reader: Language | None = None
    ) -> tuple[ui.LayoutView, list[Upload]]:
        """The reports of a job as moderators see them, and the files of that message.

        In the language of its `reader` where only one person sees it, else in the server's.
        """
        reports = await self._moderation.reports_of(job_id)
        if not reports:
            raise NoSuchJob(UNKNOWN)
        job = await self._queue.find(job_id)
        uploads = []
        if pictures and job is not None and reports[-1].is_open:
            uploads = await self._evidence(job)
        names = [upload.name for upload in uploads]
        reader = reader or self.language_of(reports[0].server)
        return reports_view(reports, job, reader, names), uploads

    async def _evidence(self, job: Job) -> list[Upload]:
        """What a job made, in a size that every server takes.

        Without what is gone or damaged, and what the classifier found: it is not to go further.
        """
        uploads = []
        for number, artifact in enumerate(job.artifacts, start=1):
            if artifact.sensitive:
                continue
            limit = EVIDENCE_BYTES // len(job.artifacts)
            try:
                data = await self._files.read(artifact.path)
                small, kind = await asyncio.to_thread(
                    media.shrink, data, artifact.media_type, limit
                )
            except AtelierError as error:
                log.warning("job %s: moderators do not see a picture: %s", job.id, error.sentence)
            else:
                uploads.append(Upload(f"reported-{number}{kind.suffix}", small))
        return uploads


def moderates(interaction: discord.Interaction) -> bool:
    """Whether somebody may decide what holds in a whole server, such as bans.

    Timeouts are the nearest that Discord has, and no channel can allow them on its own.
    """
    may = interaction.permissions
    return may.moderate_members or may.administrator


def log_channel_trouble(guild: discord.Guild | None, channel: int) -> Text | None:
    """Why nothing can be written into a log channel; None where it can, as far as is known."""
    if guild is None or guild.unavailable:
        return None  # nothing is known of it
    found = guild.get_channel_or_thread(channel)
    if found is not None:
        may = found.permissions_for(guild.me)
        is_thread = isinstance(found, discord.Thread)
        if may.view_channel and (may.send_messages_in_threads if is_thread else may.send_messages):
            return None
    return Text(
        "I cannot write into the log channel {channel}: give me View Channel, Send Messages and "
        "Attach Files there, or choose another with `/config`.",
        channel=f"<#{channel}>",
    )
