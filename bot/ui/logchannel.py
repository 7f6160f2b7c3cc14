"""A server's log channel: what was withheld, refused, reported and banned, a line each.

Only listens to events. Whatever Discord says, no job waits for it: lines wait in memory and are
posted together; reports are in the store, and are posted once Discord takes them.
"""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import discord
from discord import ui

from bot.config import ModerationConfig
from bot.errors import NoSuchJob, StorageFailed
from bot.jobs.events import (
    Event,
    Events,
    JobEnded,
    JobRefused,
    MemberBanned,
    MemberUnbanned,
    Reported,
    ReportWithdrawn,
)
from bot.jobs.job import Job, Status
from bot.jobs.pauses import growing, once_stored
from bot.jobs.queue import JobQueue
from bot.jobs.report import Report
from bot.tasks import Tasks
from bot.ui.desk import Desk
from bot.ui.origin import exposure_of
from bot.ui.reports import no_longer_kept
from bot.ui.roads import UNREACHABLE, Roads, Upload
from bot.ui.text import plain
from pipelines.contract.text import Text

log = logging.getLogger(__name__)

MOST = 50  # lines that wait for a server; where there are more, the oldest are dropped
LONGEST = 1900  # characters of a message
CLOSED = (401, 403, 404)
PICTURELESS = (400, 403, 413)  # what may be about the files alone
AGAIN = 3600.0  # seconds after which a channel that was closed is tried once more


@dataclass(slots=True, eq=False)
class _Outbox:
    """What waits to be written for a server, beside its reports, and how that goes.

    `more` came while it was being written. A channel that was `closed` is not tried before
    `closed_until`. After trouble another try is made `later`, after the next of `pauses`.
    """

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=MOST))
    writing: bool = False
    more: bool = False
    closed: int | None = None
    closed_until: float = 0.0
    later: bool = False
    pauses: Iterator[float] | None = None


class LogChannel:
    """Writes into the log channels of servers that have one. `stop` ends it."""

    def __init__(
        self,
        desk: Desk,
        queue: JobQueue,
        roads: Roads,
        events: Events,
        config: ModerationConfig,
    ) -> None:
        self._desk = desk
        self._moderation = queue.moderation
        self._roads = roads
        self._config = config
        self._outboxes: dict[int, _Outbox] = defaultdict(_Outbox)  # by server
        self._tasks = Tasks()
        events.subscribe(self._on_event)

    def start(self) -> None:
        """Post the reports that an earlier run could not."""
        self._tasks.start(self._catch_up(), name="log channels: catch up")

    async def stop(self) -> None:
        """Post no more."""
        await self._tasks.stop()

    async def _catch_up(self) -> None:
        reports = await once_stored(self._moderation.open_reports)
        for server in {report.server for report in reports}:
            self._write_soon(server)

    def _on_event(self, event: Event) -> None:
        match event:
            case Reported(report):
                self._write_soon(report.server)
            case ReportWithdrawn(report):
                self._tasks.start(self._withdraw(report), name=f"withdraw report of {report.job}")
            case MemberBanned(ban):
                self._tell(
                    ban.server,
                    Text(
                        "**Banned from the bot** {member}, by {moderator}: {reason}",
                        member=f"<@{ban.member}>",
                        moderator=f"<@{ban.moderator}>",
                        reason=plain(ban.reason, 300) or Text("no reason given"),
                    ),
                )
            case MemberUnbanned(ban, moderator):
                self._tell(
                    ban.server,
                    Text(
                        "**No longer banned from the bot** {member}, by {moderator}",
                        member=f"<@{ban.member}>",
                        moderator=f"<@{moderator}>",
                    ),
                )
            case JobRefused(owner, origin=origin, rule=rule) if rule:
                self._tell(
                    origin.get("guild_id"),
                    Text(
                        "**Word refused** {member} in {channel}: “{rule}”",
                        member=f"<@{owner}>",
                        channel=f"<#{origin.get('channel_id')}>",
                        rule=plain(rule, 100),
                    ),
                )
            case JobEnded(job):
                self._on_end(job)

    def _on_end(self, job: Job) -> None:
        """What the rules or the classifier found on the way, or in the end."""
        found = None
        match job.status, job.error_code:
            case Status.FAILED, "word":
                words = job.error_text.values.get("words", "") if job.error_text else ""
                found = Text(
                    "**Word seen in a picture** “{words}”, nothing was made of it",
                    words=plain(str(words), 100),
                )
            case Status.FAILED, "withheld":
                found = Text("**Upload withheld** by the classifier")
            case Status.RENDERED, _:
                found = {
                    "withhold": Text("**Result withheld** for what the classifier found"),
                    "spoiler": Text("**Result veiled** for what the classifier found"),
                }.get(exposure_of(job, self._config))
        if found is not None:
            self._tell(
                job.server,
                Text(
                    "{found}: `/{kind}` of {member} in {channel}",
                    found=found,
                    kind=str(job.kind),
                    member=f"<@{job.owner}>",
                    channel=f"<#{job.origin.get('channel_id')}>",
                ),
            )

    # -- writing ----------------------------------------------------------------------------

    def _tell(self, server: int | None, text: Text) -> None:
        if server is not None and self._channel(server) is not None:
            self._outboxes[server].lines.append(self._desk.language_of(server).say(text))
            self._write_soon(server)

    def _channel(self, server: int) -> int | None:
        """The channel to write to, if there is one that takes what is written."""
        channel, outbox = self._desk.log_channel(server), self._outboxes[server]
        is_closed = channel == outbox.closed and time.monotonic() < outbox.closed_until
        return None if is_closed else channel

    def _write_soon(self, server: int) -> None:
        """Have what waits for a server written, one message at a time."""
        outbox = self._outboxes[server]
        outbox.more = True
        if not outbox.writing:
            outbox.writing = True
            self._tasks.start(self._write(server), name=f"log channel of {server}")

    async def _write(self, server: int) -> None:
        outbox = self._outboxes[server]
        try:
            while outbox.more:
                outbox.more = False
                await self._write_what_waits(server)
        finally:
            outbox.writing = False

    async def _write_what_waits(self, server: int) -> None:
        channel = self._channel(server)
        if channel is None:
            return
        outbox = self._outboxes[server]
        try:
            await self._post_lines(outbox.lines, channel)
            await self._post_reports(server, channel)
        except (*UNREACHABLE, StorageFailed) as error:
            log.warning("the log channel of server %d cannot be written to: %s", server, error)
            if isinstance(error, discord.HTTPException) and error.status in CLOSED:
                outbox.closed, outbox.closed_until = channel, time.monotonic() + AGAIN
                outbox.lines.clear()
            elif not outbox.later:
                outbox.later = True
                self._tasks.start(self._write_later(server), name=f"log channel of {server}: later")
        else:
            outbox.pauses = None

    async def _write_later(self, server: int) -> None:
        outbox = self._outboxes[server]
        outbox.pauses = outbox.pauses or growing()
        await asyncio.sleep(next(outbox.pauses))
        outbox.later = False
        self._write_soon(server)

    async def _post_lines(self, lines: deque[str], channel: int) -> None:
        while lines:
            written = [lines[0]]
            for line in islice(lines, 1, None):
                if sum(map(len, written)) + len(written) + len(line) > LONGEST:
                    break
                written.append(line)
            await self._roads.post(channel, "\n".join(written)[:LONGEST])
            for line in written:
                if lines and lines[0] is line:  # else it was dropped meanwhile
                    lines.popleft()

    async def _post_reports(self, server: int, channel: int) -> None:
        """Post the open reports that the moderators were not told of; one message for each job."""
        reports = await self._moderation.open_reports(server)
        notes = {report.job: report.note for report in reports if report.note_channel == channel}
        for job_id in dict.fromkeys(report.job for report in reports if report.note is None):
            try:
                message = await self._post_report(channel, job_id, notes.get(job_id))
            except NoSuchJob:  # the report was deleted a moment ago
                continue
            # Who reports it while it is being posted may not be in it: that is another round.
            told = [report.reporter for report in reports if report.job == job_id]
            note = partial(self._moderation.noted, job_id, told, channel, message)
            await once_stored(note)  # a refusing disk must not post it twice

    async def _withdraw(self, report: Report) -> None:
        """Take what was reported out of the note that moderators have of it."""
        if report.note_channel is None or report.note is None:
            return
        view, uploads = no_longer_kept(self._desk.language_of(report.server)), list[Upload]()
        with suppress(NoSuchJob):  # unless somebody else has reported it, too
            view, uploads = await self._desk.show(report.job)
        try:
            await self._roads.change(report.note_channel, report.note, view, uploads)
        except UNREACHABLE as error:
            log.warning("what was reported of job %s is still in its note: %s", report.job, error)

    async def _post_report(self, channel: int, job_id: str, note: int | None) -> int:
        """Post the reports of a job, or add them to its `note`; without pictures if it must be."""
        view, uploads = await self._desk.show(job_id)
        try:
            return await self._put(channel, note, view, uploads)
        except discord.HTTPException as error:
            if not uploads or error.status not in PICTURELESS:
                raise
        view, _ = await self._desk.show(job_id, pictures=False)
        return await self._put(channel, note, view)

    async def _put(
        self, channel: int, note: int | None, view: ui.LayoutView, uploads: Sequence[Upload] = ()
    ) -> int:
        if note is not None:
            try:
                await self._roads.change(channel, note, view, uploads)
                return note
            except discord.NotFound:
                log.info(
                    "message %d in the log channel %d was deleted: another follows", note, channel
                )
        return await self._roads.post(channel, view, uploads)
