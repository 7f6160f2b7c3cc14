"""A prompt that stands for several is asked about first: how many, which, how long; Go or Cancel.

The buttons hold the proposal's id, and the proposal is a row of the store: both survive a restart.
Each of its jobs has a message of its own, which comes of the click on Go.
"""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import Any, Protocol, Self, cast

import discord
from discord import ui

from bot.jobs.proposals import Proposal
from bot.jobs.queue import JobQueue
from bot.languages import language
from bot.permutations import permutations
from bot.ui.answers import answering, language_of
from bot.ui.asking import check, submit
from bot.ui.origin import HasQueue, Origin, acknowledge, origin_of, standing_of
from bot.ui.placeholders import ROOM, placeholders
from bot.ui.roads import UNREACHABLE, Roads
from bot.ui.text import countdown, plain, seconds
from bot.ui.views import view_of
from pipelines.contract.requests import DescribeRequest, Request, UpscaleRequest
from pipelines.contract.text import Counted, Text

SHOWN = 6  # of the prompts
FOLLOWUPS_ALONE = 5  # messages that Discord lets an app send where only a member has installed it
PROPOSAL_ID = re.compile(r"atelier:(?P<answer>go|drop):(?P<proposal_id>[0-9a-f]{16})")


TakeIn = Callable[[Sequence[Request], Origin], Awaitable[dict[str, Any]]]
"""Stores what was uploaded for requests whose answer goes to that origin: file by field."""


class HasRoads(Protocol):
    """What Go needs of the client that hears it, beside its queue."""

    roads: Roads


class Answer(StrEnum):
    """What a member may answer."""

    GO = "go"
    DROP = "drop"


LABELS = {Answer.GO: Text("Go"), Answer.DROP: Text("Cancel")}


def expanded(interaction: discord.Interaction, queue: JobQueue, request: Request) -> list[Request]:
    """The requests that one stands for by the braces in its prompt. Raises BadInput."""
    if isinstance(request, DescribeRequest | UpscaleRequest):
        return [request]
    most = queue.most_prompts(standing_of(interaction))
    if interaction.is_user_integration() and not interaction.is_guild_integration():
        most = min(most, FOLLOWUPS_ALONE)
    return [replace(request, prompt=prompt) for prompt in permutations(request.prompt, most)]


async def submit_or_ask(
    interaction: discord.Interaction,
    queue: JobQueue,
    request: Request,
    *,
    parent: str | None = None,
    take_in: TakeIn | None = None,
) -> None:
    """Queue what a member asks for, which came of the job `parent`; if that is several, ask first.

    What can be refused at once is refused before the acknowledgement, and thus in private. Raises
    what `check`, `expanded`, `take_in`, JobQueue.propose and JobQueue.submit raise.
    """
    check(interaction, queue, request)
    requests = expanded(interaction, queue, request)
    if len(requests) > 1:
        await interaction.response.defer(thinking=True, ephemeral=True)
        origin = origin_of(interaction, 0, time.time())
    else:
        origin = await acknowledge(interaction)
    if take_in is not None:
        files = await take_in(requests, origin)
        requests = [replace(each, **files) for each in requests]
    if len(requests) > 1:
        await _ask(interaction, queue, requests, origin, parent)
    else:
        await submit(interaction, queue, origin, requests[0], parent=parent)


async def _ask(
    interaction: discord.Interaction,
    queue: JobQueue,
    requests: Sequence[Request],
    here: Origin,
    parent: str | None,
) -> None:
    """Ask a member, `here`, whether all of `requests` are meant, which came of the job `parent`."""
    for request in requests:
        check(interaction, queue, request)
    proposal = await queue.propose(
        requests,
        owner=interaction.user.id,
        origin=here.to_json(),
        standing=standing_of(interaction),
        parent=parent,
    )
    view = question(proposal, queue.expect(requests), str(interaction.locale))
    await interaction.followup.send(view=view, ephemeral=True)


def question(proposal: Proposal, expected: float | None, locale: str) -> ui.LayoutView:
    """The question. `expected` are the seconds that all of it should take."""
    say = language(locale).say
    requests = proposal.requests
    lines = [
        say("Your prompt stands for **{n} prompts**. Shall I make all of them?", n=len(requests))
    ]
    lines += [f"{i}. {plain(r.prompt, ROOM)}" for i, r in enumerate(requests[:SHOWN], start=1)]
    if len(requests) > SHOWN:
        more = len(requests) - SHOWN
        lines.append(say(Counted("… and {n} more", "… and {n} more", more)))
    notes = [say("all with seed {seed}", seed=requests[0].seed)]
    if expected is not None:
        notes.append(say("they should take {time} together", time=seconds(expected)))
    notes.append(say("this question ends {when}", when=countdown(proposal.ends_at)))
    lines.append("-# " + " · ".join(notes))
    buttons = [ProposalButton(answer, proposal.id, locale) for answer in Answer]
    return view_of("\n".join(lines), ui.ActionRow(*buttons))


class ProposalButton(ui.DynamicItem[ui.Button[ui.LayoutView]], template=PROPOSAL_ID):
    """Go, or Cancel."""

    def __init__(self, answer: Answer, proposal_id: str, locale: str = "") -> None:
        primary, other = discord.ButtonStyle.primary, discord.ButtonStyle.secondary
        super().__init__(
            ui.Button(
                label=language(locale).say(LABELS[answer]),
                style=primary if answer is Answer.GO else other,
                custom_id=f"atelier:{answer}:{proposal_id}",
            )
        )
        self.answer = answer
        self.proposal_id = proposal_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed; discord.py calls this."""
        return cls(Answer(match["answer"]), match["proposal_id"])

    async def callback(self, interaction: discord.Interaction) -> None:
        """Queue all, or nothing; discord.py calls this."""
        queue = cast(HasQueue, interaction.client).queue
        async with answering(interaction):
            made_at = time.time()
            await interaction.response.defer()
            proposal = await queue.proposals.take(self.proposal_id, interaction.user.id)
            say = language_of(interaction).say
            text = say("Nothing was queued.")
            if self.answer is Answer.GO:
                await _queue_all(interaction, queue, proposal, made_at)
                text = say("**Queued**, each in a message of its own.")
            with suppress(*UNREACHABLE):  # it is done, whether it can be said here or not
                await interaction.edit_original_response(view=view_of(text))


async def _queue_all(
    interaction: discord.Interaction, queue: JobQueue, proposal: Proposal, made_at: float
) -> None:
    """Queue a job and post a message for each request, or neither: then the question stays."""
    roads = cast(HasRoads, interaction.client).roads
    try:
        for request in proposal.requests:
            check(interaction, queue, request)
        standing = standing_of(interaction)
        here = origin_of(interaction, 0, made_at)
        await queue.check(
            proposal.requests, owner=proposal.owner, origin=here.to_json(), standing=standing
        )
        async with placeholders(queue, roads, here, proposal.requests) as posted:
            origins = [origin.to_json() for origin in posted]
            await queue.accept(proposal, origins, standing=standing)
    except Exception:
        await queue.proposals.keep(proposal)
        raise
