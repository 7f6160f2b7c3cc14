"""What a member asked for lately, and what each of it came of.

Words are shown to whom they belong, and to everyone in the channel where they were shown already.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self, cast

import discord
from discord import ui

from bot.errors import NotAllowed
from bot.jobs.job import Job, Status
from bot.jobs.queue import JobQueue
from bot.languages import Language
from bot.ui.answers import answering, language_of
from bot.ui.messages import asked_for
from bot.ui.origin import HasQueue, Origin, has_message
from bot.ui.text import countdown, plain
from bot.ui.views import view_of
from pipelines.contract.requests import Kind, anew
from pipelines.contract.text import Text

LISTED, GENERATIONS = 8, 12  # jobs in the list, and in one line of descent
BRIEFLY = 3  # ancestors of each in the list
ROOM = 60  # characters of markdown for what was asked
IN_ALL = 3000  # of a message's 4,000
MINE = "mine"
HISTORY_ID = re.compile(r"atelier:history:(?P<of>[0-9a-f]{16}|mine)")

GONE = Text("made from something that was deleted, or is too old to be kept")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks, and from which channel."""

    user: int
    channel: int
    language: Language

    @classmethod
    def of(cls, interaction: discord.Interaction) -> Self:
        """Whoever did it."""
        return cls(interaction.user.id, interaction.channel_id or 0, language_of(interaction))

    def may_read(self, job: Job) -> bool:
        """Whether its words are theirs to read."""
        is_here = has_message(job) and Origin.from_json(job.origin).channel_id == self.channel
        return job.owner == self.user or is_here

    def named(self, job: Job) -> str:
        """A job in a few words, with a link to its message."""
        say = self.language.say
        if not self.may_read(job):
            return say("`/{command}` of somebody else, in another channel", command=job.kind)
        words = plain(asked_for(job) or job.caption, ROOM) or say("without words")
        if job.status in (Status.RENDERED, Status.DELIVERED) and not job.artifacts:
            deleted = say("deleted")
            return f"`/{job.kind}` {words} · {deleted}"
        return f"`/{job.kind}` [{words}]({_link(job)})"


async def last_ones(reader: Reader, queue: JobQueue) -> ui.LayoutView:
    """What the reader asked for lately, the newest first."""
    say = reader.language.say
    jobs = await queue.last(reader.user, LISTED)
    known = await queue.ancestry(jobs, BRIEFLY + 1)
    lines = [say("**Your last requests**") if jobs else say("You have not asked for anything yet.")]
    named = [
        f"{number}. {reader.named(job)} · {countdown(job.queued_at)}"
        for number, job in enumerate(jobs, start=1)
    ]
    left = IN_ALL - sum(map(len, named))
    for line, job in zip(named, jobs, strict=True):
        lines.append(line)
        descent = _descent(reader, _line(job, known, BRIEFLY), known)
        if descent and (told := _within(left, descent)):
            left -= len(told)
            lines.append(told)
    buttons = [HistoryButton(job.id, str(n)) for n, job in enumerate(jobs, start=1) if job.parent]
    if buttons:
        lines.append(say("-# A number shows where that one comes from."))
    return _message(lines, buttons)


async def line_of(reader: Reader, queue: JobQueue, job: Job) -> ui.LayoutView:
    """A job and what it came of, generation by generation. Raises NotAllowed."""
    if not reader.may_read(job):
        raise NotAllowed("This is not yours, and it was not made in this channel.")
    say = reader.language.say
    known = await queue.ancestry([job], GENERATIONS + 1)
    line = _line(job, known, GENERATIONS)
    lines = [say("**Where it comes from**"), f"{reader.named(job)} · {countdown(job.queued_at)}"]
    lines += [f"↑ {step}" for step in _descent(reader, line, known)]
    buttons = [HistoryButton(MINE, say("My last requests"))]
    if len(line) > 1:
        buttons.insert(0, HistoryButton(line[1].id, say("Up")))
    if job.parent is None:
        lines.append(say("It begins here: it was not made from another result."))
    return _message(lines, buttons)


def _line(job: Job, known: Mapping[str, Job], most: int) -> list[Job]:
    """A job and what it came of, as far as that is known and at most `most` generations back."""
    line = [job]
    while len(line) <= most and (parent := known.get(line[-1].parent or "")) is not None:
        line.append(parent)
    return line


def _descent(reader: Reader, line: Sequence[Job], known: Mapping[str, Job]) -> list[str]:
    """What was done to come from each generation to the next, and whether there was another."""
    say = reader.language.say
    steps = [say(relation(child, parent, reader.named(parent))) for child, parent in pairwise(line)]
    oldest = line[-1].parent
    if oldest is not None:
        steps.append("…" if oldest in known else say(GONE))
    return steps


def _within(room: int, descent: Sequence[str]) -> str:
    """As much of a line of descent, the latest first, as there is room for."""
    for count in range(len(descent), 0, -1):
        steps = descent if count == len(descent) else [*descent[:count], "…"]
        if len(told := f"-# {', '.join(steps)}") <= room:
            return told
    return ""


def relation(child: Job, parent: Job, named: str) -> Text:
    """What a job is to the one that it came of, which is `named` so."""
    ours, theirs = child.request, parent.request
    if ours.kind is not theirs.kind and ours.kind is Kind.ANIMATE:
        return Text("animated from {parent}", parent=named)
    if ours.kind is not theirs.kind and ours.kind is Kind.UPSCALE:
        return Text("made larger from {parent}", parent=named)
    if ours.kind is not theirs.kind or getattr(theirs, "review", False):
        return Text("made from {parent}", parent=named)
    if len(getattr(ours, "variations", ())) > len(getattr(theirs, "variations", ())):
        return Text("varied from {parent}", parent=named)
    if anew(ours, 0) == anew(theirs, 0):
        return Text("repeated from {parent}", parent=named)
    return Text("edited from {parent}", parent=named)


def _link(job: Job) -> str:
    origin = Origin.from_json(job.origin)
    place = origin.guild_id or "@me"
    return f"https://discord.com/channels/{place}/{origin.channel_id}/{origin.message_id}"


def _message(lines: Sequence[str], buttons: Sequence["HistoryButton"]) -> ui.LayoutView:
    view = view_of("\n".join(lines))
    for first in range(0, len(buttons), 5):
        view.add_item(ui.ActionRow(*buttons[first : first + 5]))
    return view


class HistoryButton(ui.DynamicItem[ui.Button[ui.LayoutView]], template=HISTORY_ID):
    """Goes to the history of a job, or to the reader's own last ones."""

    def __init__(self, of: str, label: str = "…") -> None:
        super().__init__(ui.Button(label=label, custom_id=f"atelier:history:{of}"))
        self.of = of

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed; discord.py calls this."""
        return cls(match["of"])

    async def callback(self, interaction: discord.Interaction) -> None:
        """Show it in the same message; discord.py calls this."""
        queue = cast(HasQueue, interaction.client).queue
        async with answering(interaction):
            await interaction.response.defer()
            reader = Reader.of(interaction)
            if self.of == MINE:
                view = await last_ones(reader, queue)
            else:
                view = await line_of(reader, queue, await queue.get(self.of))
            await interaction.edit_original_response(view=view)
