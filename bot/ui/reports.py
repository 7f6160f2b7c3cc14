"""What moderators see of a report, and the buttons by which they decide."""

import re
from collections.abc import Sequence
from typing import Any, Protocol, Self, cast

import discord
from discord import ui

from bot.jobs.job import Job
from bot.jobs.report import Decision, Report
from bot.languages import Language
from bot.ui.answers import answering
from bot.ui.messages import GREY, RED
from bot.ui.text import countdown, plain
from bot.ui.views import view_of
from pipelines.contract.text import Counted, Text

UNKNOWN = Text("This report is no longer kept.")
SHOWN = 5  # reports of one job; the rest is counted
REASON_ROOM, PROMPT_ROOM = 250, 300

REPORT_ID = re.compile(r"atelier:report:(?P<decision>kept|removed|banned):(?P<job_id>[0-9a-f]{16})")
LABELS = {
    Decision.REMOVED: Text("Remove"),
    Decision.KEPT: Text("Keep"),
    Decision.BANNED: Text("Remove and ban"),
}
"""In the order of the buttons."""
STYLES = {
    Decision.REMOVED: discord.ButtonStyle.primary,
    Decision.KEPT: discord.ButtonStyle.secondary,
    Decision.BANNED: discord.ButtonStyle.danger,
}


class Decides(Protocol):
    """Who takes a moderator's decision."""

    async def decide(
        self, interaction: discord.Interaction, job_id: str, decision: Decision
    ) -> None:
        """Do it, and show that it is done."""
        ...


class HasDesk(Protocol):
    """What the buttons need of the client that hears them."""

    desk: Decides


class ReportButton(ui.DynamicItem[ui.Button[ui.LayoutView]], template=REPORT_ID):
    """One decision about one job."""

    def __init__(self, decision: Decision, job_id: str, label: str = "") -> None:
        custom_id = f"atelier:report:{decision}:{job_id}"
        super().__init__(ui.Button(label=label, style=STYLES[decision], custom_id=custom_id))
        self.decision = decision
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed; discord.py calls this."""
        return cls(Decision(match["decision"]), match["job_id"])

    async def callback(self, interaction: discord.Interaction) -> None:
        """Do what the label says; discord.py calls this."""
        desk = cast(HasDesk, interaction.client).desk
        async with answering(interaction):
            await desk.decide(interaction, self.job_id, self.decision)


def reports_view(
    reports: Sequence[Report], job: Job | None, language: Language, names: Sequence[str] = ()
) -> ui.LayoutView:
    """The reports of a job: with its veiled files `names` and the buttons while they are open."""
    latest = reports[-1]
    container = ui.Container[ui.LayoutView](accent_colour=RED if latest.is_open else GREY)
    container.add_item(ui.TextDisplay("\n".join(_lines(reports, job, language))))
    if not latest.is_open:
        container.add_item(ui.TextDisplay(_decided(latest, language)))
    else:
        if names:
            container.add_item(_veiled(names))
        buttons = (
            ReportButton(decision, latest.job, language.say(label))
            for decision, label in LABELS.items()
        )
        container.add_item(ui.ActionRow(*buttons))
    return view_of(container)


def no_longer_kept(language: Language) -> ui.LayoutView:
    """In the place of reports whose members have had them forgotten."""
    return view_of(language.say(UNKNOWN))


def _lines(reports: Sequence[Report], job: Job | None, language: Language) -> list[str]:
    first, say = reports[0], language.say
    lines = [
        say(
            "**Reported** {link}, asked for by {member}",
            link=first.link,
            member=f"<@{first.owner}>",
        )
    ]
    if job is not None and job.request.prompt:
        lines.append(f"-# `/{job.kind}` {plain(job.request.prompt, PROMPT_ROOM)}")
    for report in reports[:SHOWN]:
        reason = plain(report.reason, REASON_ROOM) or say("no reason given")
        lines.append(say("By {member}: {reason}", member=f"<@{report.reporter}>", reason=reason))
    if (more := len(reports) - SHOWN) > 0:
        lines.append(say(Counted("And one member more.", "And {n} members more.", more)))
    return lines


def _decided(report: Report, language: Language) -> str:
    by = {"member": f"<@{report.decided_by}>", "when": countdown(report.decided_at or 0)}
    match report.decision:
        case Decision.KEPT:
            return language.say("**Kept** by {member} {when}", **by)
        case Decision.BANNED:
            return language.say("**Removed, and its member banned** by {member} {when}", **by)
        case _:
            return language.say("**Removed** by {member} {when}", **by)


def _veiled(names: Sequence[str]) -> ui.MediaGallery[ui.LayoutView]:
    return ui.MediaGallery(
        *(discord.MediaGalleryItem(f"attachment://{name}", spoiler=True) for name in names)
    )
