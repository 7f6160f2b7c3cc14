"""/privacy: what is kept of a member, a copy of it, and its deletion."""

import dataclasses
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bot.jobs.job import Job
from bot.jobs.proposals import Proposal
from bot.jobs.queue import JobQueue
from bot.jobs.report import Ban, Report
from bot.ui.answers import language_of
from bot.ui.origin import settings_of
from bot.ui.whiteboard import Whiteboard
from pipelines.contract.requests import Request
from pipelines.contract.text import Counted, Text

SHOW, EXPORT, DELETE = "show", "export", "delete"
ACTIONS = {
    SHOW: "Show me what you keep",
    EXPORT: "Give me a copy of it",
    DELETE: "Delete all of it now",
}


def privacy(queue: JobQueue, whiteboard: Whiteboard) -> app_commands.Command[Any, ..., None]:
    """The command."""

    @app_commands.command(
        name="privacy", description="See, copy or delete what this bot keeps of you"
    )
    @app_commands.describe(action="What to do. Usually: show what is kept")
    @app_commands.choices(
        action=[app_commands.Choice(name=name, value=value) for value, name in ACTIONS.items()]
    )
    async def command(interaction: discord.Interaction, action: str = SHOW) -> None:
        say = language_of(interaction).say
        await interaction.response.defer(thinking=True, ephemeral=True)
        owner = interaction.user.id
        if action == DELETE:
            gone, live = await queue.forget_owner(owner)
            reports = await queue.moderation.forget_reporter(owner)
            bans = queue.moderation.bans_of(owner)
            told = [*_deleted(gone, live), *_deleted_beside(reports, bans)]
            await interaction.followup.send(" ".join(map(say, told)), ephemeral=True)
            return
        kept = _Kept(
            jobs=await queue.of(owner),
            asked=await queue.proposals.of(owner),
            links=await whiteboard.kept_of(owner),
            reported=await queue.moderation.reports_by(owner),
            bans=queue.moderation.bans_of(owner),
        )
        if action == SHOW:
            days = settings_of(interaction).keep_days
            told = [*_said_of_jobs(kept.jobs, days), *_said_beside(kept)]
            await interaction.followup.send("\n".join(map(say, told)), ephemeral=True)
            return
        text, left_out = _copy(kept, interaction.filesize_limit)
        file = discord.File(io.BytesIO(text.encode()), "what-is-kept-of-me.json")
        told = [*_said_of_copy(left_out)]
        await interaction.followup.send(" ".join(map(say, told)), file=file, ephemeral=True)

    return command


@dataclass(frozen=True, slots=True)
class _Kept:
    """All that is known of a member."""

    jobs: Sequence[Job]
    asked: Sequence[Proposal]
    links: Sequence[Mapping[str, Any]]
    reported: Sequence[Report]
    bans: Sequence[Ban]


def _said_of_jobs(jobs: Sequence[Job], days: int) -> Iterator[Text]:
    """Line by line."""
    yield Counted(
        "Of each of your requests I keep the words and settings, the picture you gave, the "
        "result, when it was, and where the answer went: to make it again when you press a button, "
        "and to share the graphics card fairly. {n} day after its end it is deleted.",
        "Of each of your requests I keep the words and settings, the picture you gave, the "
        "result, when it was, and where the answer went: to make it again when you press a button, "
        "and to share the graphics card fairly. {n} days after its end it is deleted.",
        days,
    )
    if jobs:
        yield Counted(
            "There is **{n}** of them now, from {date}.",
            "There are **{n}** of them now, the oldest from {date}.",
            len(jobs),
            date=f"<t:{round(jobs[0].queued_at)}:D>",
        )
    else:
        yield Text("There are **0** of them now.")
    yield Text(
        "It stays on the computer of the person who runs this bot, and I learn nothing from it."
    )
    yield Text("-# `/privacy` can also give you a copy, or delete it all now.")


def _deleted(gone: int, live: int) -> Iterator[Text]:
    """Sentence by sentence."""
    yield Counted(
        "Deleted: {n} of your requests with its settings. Its pictures and videos follow within a "
        "day. What I posted in channels is still there; its buttons no longer work, but Delete "
        "does.",
        "Deleted: {n} of your requests with their settings. Their pictures and videos follow "
        "within a day. What I posted in channels is still there; its buttons no longer work, but "
        "Delete does.",
        gone,
    )
    if live:
        yield Counted(
            "{n} waits, runs or is on its way to you: cancel it or wait for it, then ask again.",
            "{n} wait, run or are on their way to you: cancel or await them, then ask again.",
            live,
        )


def _said_beside(kept: _Kept) -> Iterator[Text]:
    """What there is beside requests."""
    if kept.asked:
        yield Counted(
            "{n} prompt with braces waits for your Go; after half an hour it is deleted.",
            "{n} prompts with braces wait for your Go; after half an hour they are deleted.",
            len(kept.asked),
        )
    if kept.links:
        yield Counted(
            "I keep {n} link to the whiteboard, with what you asked for; after a quarter of an "
            "hour it is deleted.",
            "I keep {n} links to the whiteboard, with what you asked for; after a quarter of an "
            "hour they are deleted.",
            len(kept.links),
        )
    if kept.reported:
        yield Counted(
            "Of what you reported to moderators I keep {n} report, with your reason.",
            "Of what you reported to moderators I keep {n} reports, with your reasons.",
            len(kept.reported),
        )
    if kept.bans:
        yield Counted(
            "I keep that the moderators of {n} server have banned you from this bot.",
            "I keep that the moderators of {n} servers have banned you from this bot.",
            len(kept.bans),
        )


def _deleted_beside(reports: int, bans: Sequence[Ban]) -> Iterator[Text]:
    if reports:
        yield Counted(
            "Deleted too: {n} report of yours.", "Deleted too: {n} reports of yours.", reports
        )
    if bans:
        yield Text("That you are banned is kept: otherwise the ban would not hold.")


def _said_of_copy(left_out: int) -> Iterator[Text]:
    """Sentence by sentence."""
    if left_out:
        yield Counted(
            "This is all that fits into a file here: {n} entry, the oldest, is left out.",
            "This is all that fits into a file here: {n} entries, the oldest, are left out.",
            left_out,
        )
    else:
        yield Text("This is all that I keep in words.")
    yield Text("Your pictures and videos are not in it: they are where I posted them.")


def _copy(kept: _Kept, limit: int) -> tuple[str, int]:
    """All that is known, as JSON, and how many of the oldest did not fit in `limit` bytes."""
    told = {
        "requests": [_told(job) for job in kept.jobs],
        "questions": [_told_proposal(proposal) for proposal in kept.asked],
        "links": [
            {
                "channel": link["channel"],
                "until": _iso(link["ends_at"]),
                "request": _told_request(link["request"]),
            }
            for link in kept.links
        ],
        "reports": [_told_report(report) for report in kept.reported],
        "bans": [
            {"server": ban.server, "since": _iso(ban.made_at), "reason": ban.reason}
            for ban in kept.bans
        ],
    }
    entries = sum(map(len, told.values()))
    while len((text := json.dumps(told, ensure_ascii=False, indent=1)).encode()) > limit:
        longest = max(told, key=lambda key: len(told[key]))
        told[longest] = told[longest][(len(told[longest]) + 1) // 2 :]
    return text, entries - sum(map(len, told.values()))


def _told_report(report: Report) -> dict[str, Any]:
    """A report as its reporter may know it: not who decided about it."""
    return {
        "request": report.job,
        "server": report.server,
        "channel": report.channel,
        "reason": report.reason,
        "at": _iso(report.made_at),
        "decision": report.decision,
    }


def _told_proposal(proposal: Proposal) -> dict[str, Any]:
    """What a prompt stands for that waits for its member's word."""
    return {
        "command": f"/{proposal.requests[0].kind}",
        "requests": [_told_request(request) for request in proposal.requests],
        "asked": _iso(proposal.made_at),
    }


def _told_request(request: Request) -> dict[str, Any]:
    return {
        field.name: value.name if isinstance(value, Path) else value
        for field in dataclasses.fields(request)
        if (value := getattr(request, field.name)) not in (None, "", ())
    }


def _told(job: Job) -> dict[str, Any]:
    times = {"asked": job.queued_at, "began": job.started_at, "ended": job.ended_at}
    return {
        "id": job.id,
        "command": f"/{job.kind}",
        "request": _told_request(job.request),
        **{name: _iso(at) for name, at in times.items() if at is not None},
        "status": job.status,
        "gpu_seconds": job.gpu_seconds,
        "server": job.origin.get("guild_id"),
        "channel": job.origin.get("channel_id"),
        "results": [
            {"name": each.name, "bytes": each.size, "facts": dict(each.facts)}
            for each in job.artifacts
        ],
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
