"""What members reported, what was decided, and who is banned from the bot, server by server.

Everything is in the store; the bans are in memory too, so that asking costs nothing and one holds
as soon as it is on the disk.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from bot.errors import Banned
from bot.jobs.database import Database
from bot.jobs.events import Events, MemberBanned, MemberUnbanned, Reported, ReportWithdrawn
from bot.jobs.report import Ban, Decision, Report


class Moderation:
    """The register of reports and bans. `read` is awaited once, before it is asked."""

    def __init__(
        self, database: Database, events: Events, *, now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._events = events
        self._now = now
        self._bans: dict[tuple[int, int], Ban] = {}

    async def read(self) -> None:
        """Take up the bans of earlier runs."""
        rows = await self._database.run("SELECT * FROM bans ORDER BY made_at")
        self._bans = {(ban.server, ban.member): ban for ban in (Ban(**row) for row in rows)}

    # -- reports ----------------------------------------------------------------------------

    async def report(
        self,
        job_id: str,
        *,
        reporter: int,
        server: int,
        channel: int,
        message: int,
        owner: int,
        reason: str,
    ) -> bool:
        """Write a member's report down. False: they had reported this job already."""
        report = Report(
            job=job_id,
            reporter=reporter,
            server=server,
            channel=channel,
            message=message,
            owner=owner,
            reason=reason,
            made_at=self._now(),
        )
        written = await self._change(
            "INSERT INTO reports (job, reporter, server, channel, message, owner, reason, made_at)"
            " VALUES (:job, :reporter, :server, :channel, :message, :owner, :reason, :made_at)"
            " ON CONFLICT DO NOTHING RETURNING job",
            **asdict(report),
        )
        if written:
            self._events.publish(Reported(report))
        return written > 0

    async def reports_of(self, job_id: str) -> list[Report]:
        """All reports of a job, in the order in which they came."""
        return await self._reports("job = :job", job=job_id)

    async def reports_by(self, member: int) -> list[Report]:
        """What a member has reported, oldest first."""
        return await self._reports("reporter = :member", member=member)

    async def open_reports(self, server: int | None = None) -> list[Report]:
        """What nobody has decided yet, of a server or of all, oldest first."""
        return await self._reports(
            "decision IS NULL AND server = coalesce(:server, server)", server=server
        )

    async def noted(
        self, job_id: str, reporters: Iterable[int], channel: int, message: int
    ) -> None:
        """The moderators were told what these members reported of a job, by that message."""
        await self._change(
            "UPDATE reports SET note_channel = :channel, note = :message WHERE job = :job"
            " AND decision IS NULL AND reporter IN (SELECT value FROM json_each(:reporters))"
            " RETURNING job",
            job=job_id,
            reporters=json.dumps(list(reporters)),
            channel=channel,
            message=message,
        )

    async def decide(self, job_id: str, decision: Decision, moderator: int) -> bool:
        """Write a decision into the open reports of a job. False: it was made already."""
        written = await self._change(
            "UPDATE reports SET decision = :decision, decided_by = :moderator, decided_at = :now"
            " WHERE job = :job AND decision IS NULL RETURNING job",
            job=job_id,
            decision=decision.value,
            moderator=moderator,
            now=self._now(),
        )
        return written > 0

    async def forget_reporter(self, member: int) -> int:
        """Delete what a member has reported. How many reports."""
        rows = await self._database.run(
            "DELETE FROM reports WHERE reporter = :member RETURNING *", member=member
        )
        for row in rows:
            self._events.publish(ReportWithdrawn(_report(dict(row))))
        return len(rows)

    async def servers(self) -> list[int]:
        """Where there are reports."""
        return [row[0] for row in await self._database.run("SELECT DISTINCT server FROM reports")]

    async def forget_before(self, before: float, server: int) -> int:
        """Delete the reports of a server that were made before a time. How many."""
        return await self._change(
            "DELETE FROM reports WHERE made_at < :before AND server = :server RETURNING job",
            before=before,
            server=server,
        )

    async def _reports(self, where: str, **values: object) -> list[Report]:
        rows = await self._database.run(
            f"SELECT * FROM reports WHERE {where} ORDER BY made_at, reporter", **values
        )
        return [_report(dict(row)) for row in rows]

    # -- bans -------------------------------------------------------------------------------

    def check(self, server: int | None, member: int) -> None:
        """Raise Banned for a member whom the moderators of a server have banned."""
        if server is not None and (server, member) in self._bans:
            raise Banned(
                "The moderators of this server have banned you from this bot. Please ask them if "
                "you think that this is a mistake."
            )

    def bans(self, server: int) -> list[Ban]:
        """Who is banned in a server, the first one first."""
        return [ban for ban in self._bans.values() if ban.server == server]

    def bans_of(self, member: int) -> list[Ban]:
        """Where a member is banned."""
        return [ban for ban in self._bans.values() if ban.member == member]

    async def ban(self, server: int, member: int, *, moderator: int, reason: str) -> bool:
        """Ban a member from the bot in a server, at once. False: they were banned already."""
        ban = Ban(
            server=server, member=member, moderator=moderator, reason=reason, made_at=self._now()
        )
        written = await self._change(
            "INSERT INTO bans VALUES (:server, :member, :moderator, :reason, :made_at)"
            " ON CONFLICT DO NOTHING RETURNING member",
            **asdict(ban),
        )
        if written:
            self._bans[server, member] = ban
            self._events.publish(MemberBanned(ban))
        return written > 0

    async def unban(self, server: int, member: int, *, moderator: int) -> bool:
        """Let a member use the bot again. False: they were not banned."""
        written = await self._change(
            "DELETE FROM bans WHERE server = :server AND member = :member RETURNING member",
            server=server,
            member=member,
        )
        if written:
            self._events.publish(MemberUnbanned(self._bans.pop((server, member)), moderator))
        return written > 0

    async def _change(self, sql: str, **values: object) -> int:
        """Run a statement that returns what it changed. How many rows."""
        return len(await self._database.run(sql, **values))


def _report(row: Mapping[str, Any]) -> Report:
    return Report(**{**row, "decision": row["decision"] and Decision(row["decision"])})
