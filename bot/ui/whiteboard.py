"""/sketch without a file: a link to the whiteboard, and what becomes of the drawing made there.

The drawing is an ordinary job of the member's. Its message is another of the interaction's, which
lives for as long as the link.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import discord
from discord import ui

from bot.errors import DiscordFailed, LinkInvalid, LinkUsed
from bot.jobs import codec
from bot.jobs.job import Job, Standing, new_job_id
from bot.jobs.links import Link, Links
from bot.jobs.queue import JobQueue
from bot.jobs.settings import Settings
from bot.languages import language
from bot.permutations import permutations
from bot.tasks import Tasks
from bot.ui.answers import TROUBLE
from bot.ui.asking import check, check_as, since
from bot.ui.origin import Origin, origin_of, standing_of
from bot.ui.placeholders import placeholders
from bot.ui.roads import TOKEN_LIFE, UNREACHABLE, Roads
from bot.ui.text import countdown
from bot.ui.views import view_of
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import Kind, SketchRequest
from pipelines.contract.text import Text

log = logging.getLogger(__name__)

PLACEHOLDER = Path("drawing.png")  # of what is not drawn yet


class Whiteboard:
    """Invites members to draw, and takes in what they drew. Closed until `open`."""

    def __init__(self, queue: JobQueue, roads: Roads) -> None:
        self._queue = queue
        self._roads = roads
        self._links: Links | None = None
        self._url = ""
        self._arriving: set[str] = set()
        self._tasks = Tasks()

    def open(self, links: Links, url: str) -> None:
        """From now on there is a whiteboard at `url`."""
        self._links, self._url = links, url.rstrip("/")

    async def invite(self, interaction: discord.Interaction, request: SketchRequest) -> None:
        """Answer with a link, for the member alone, to draw what `request` lacks.

        Raises BadInput where there is no whiteboard, or for a prompt that stands for several, and
        what `check` and JobQueue.check raise.
        """
        if self._links is None:
            raise BadInput(
                "Please attach a drawing: a picture, or a photo of one. To draw in the browser "
                "instead, the bot's owner sets web.port and web.url in the configuration."
            )
        check(interaction, self._queue, request)
        permutations(request.prompt, 1)  # one drawing is for one prompt
        made_at = time.time()
        await interaction.response.defer(thinking=True, ephemeral=True)
        await self._queue.check(
            [request],
            owner=interaction.user.id,
            origin=origin_of(interaction, 0, made_at).to_json(),
            standing=standing_of(interaction),
        )
        link = Link(
            job_id=new_job_id(),
            member=interaction.user.id,
            channel=interaction.channel_id or 0,
            ends_at=int(made_at + TOKEN_LIFE),
        )
        text = await self._links.make(link, _to_keep(interaction, request, made_at))
        view = _invitation(f"{self._url}/draw/{text}", link, str(interaction.locale))
        await interaction.followup.send(view=view, ephemeral=True)

    def read(self, text: str, late: float = 0.0) -> Link:
        """What a link says, until `late` seconds after its end. Raises LinkInvalid, LinkExpired."""
        if self._links is None:
            raise LinkInvalid("There is no whiteboard here any more. Attach a drawing to /sketch.")
        return self._links.read(text, late)

    async def shown(self, link: Link) -> Mapping[str, Any]:
        """What the page says of a link: for which channel it is, as whom, and what was asked."""
        kept, job = await self._kept(link), await self._queue.find(link.job_id)
        asked = _request(kept)
        return {
            "channel": kept["channel_name"],
            "member": kept["member_name"],
            "expires": link.ends_at,
            "job": job.id if job else None,
            "request": {
                "prompt": asked.prompt,
                "style": asked.style,
                "strength": asked.strength,
                "lora": asked.lora,
                "seed": asked.seed,
            },
        }

    async def kept_of(self, member: int) -> list[Mapping[str, Any]]:
        """What is kept of a member for their links: where, until when, and what was asked for."""
        links = await self._links.of(member) if self._links is not None else []
        return [
            {
                "channel": kept["channel_name"],
                "ends_at": kept["ends_at"],
                "request": _request(kept),
            }
            for kept in links
        ]

    async def settings(self, link: Link) -> Settings:
        """What holds in the channel of a link."""
        standing = (await self._kept(link))["standing"]
        return self._queue.settings.of(standing["server"], standing["channel"])

    async def asked(self, link: Link) -> SketchRequest:
        """What the command asked for, of a drawing that is yet to come."""
        return _request(await self._kept(link))

    async def checked(self, link: Link, request: SketchRequest) -> SketchRequest:
        """The request as `take` wants it: the rules that hold in the channel are asked again.

        Raises LinkUsed, and what `check` and JobQueue.check raise.
        """
        await self._require_unused(link)
        kept = await self._kept(link)
        [prompt] = permutations(request.prompt, 1)
        request = replace(request, prompt=prompt)
        standing = _standing(kept)
        check_as(self._queue, request, member=link.member, since=kept["since"], standing=standing)
        await self._queue.check(
            [request], owner=link.member, origin=kept["origin"], standing=standing
        )
        return request

    async def take(self, link: Link, request: SketchRequest) -> Job:
        """Queue a drawing as the member's own, its answer in the channel of the link.

        Who stops waiting for it does not stop it. Raises LinkUsed, DiscordFailed, and what
        JobQueue.submit raises.
        """
        if link.job_id in self._arriving:
            raise _used()
        self._arriving.add(link.job_id)
        name = f"take the drawing of job {link.job_id}"
        return await self._tasks.shielded(self._take_once(link, request), name=name)

    async def _take_once(self, link: Link, request: SketchRequest) -> Job:
        try:
            await self._require_unused(link)
            return await self._take(link, request)
        finally:
            self._arriving.discard(link.job_id)

    async def _take(self, link: Link, request: SketchRequest) -> Job:
        kept = await self._kept(link)
        here = Origin.from_json(kept["origin"])
        try:
            async with placeholders(self._queue, self._roads, here, [request]) as [origin]:
                return await self._queue.submit(
                    request,
                    owner=link.member,
                    origin=origin.to_json(),
                    standing=_standing(kept),
                    job_id=link.job_id,
                )
        except UNREACHABLE as error:
            log.warning("Discord refused the message of a drawing: %s", error)
            gone = isinstance(error, discord.NotFound)
            why = Text("Discord says that the channel is gone.") if gone else TROUBLE
            raise DiscordFailed(why) from error

    async def _require_unused(self, link: Link) -> None:
        if await self._queue.find(link.job_id) is not None:
            raise _used()

    async def _kept(self, link: Link) -> dict[str, Any]:
        assert self._links is not None
        return await self._links.kept(link)


def _to_keep(
    interaction: discord.Interaction, request: SketchRequest, made_at: float
) -> dict[str, Any]:
    """All that is needed to queue the drawing later, JSON-shaped."""
    standing = standing_of(interaction)
    return {
        "origin": origin_of(interaction, 0, made_at).to_json(),
        "standing": {
            "server": standing.server,
            "channel": standing.channel,
            "roles": sorted(standing.roles),
        },
        "since": since(interaction.user),
        "request": codec.encode_request(request, Path()),
        "channel_name": getattr(interaction.channel, "name", None) or "",
        "member_name": interaction.user.display_name,
    }


def _request(kept: Mapping[str, Any]) -> SketchRequest:
    """What was asked for, of what is kept for a link."""
    request = codec.decode_request(Kind.SKETCH, kept["request"], Path())
    assert isinstance(request, SketchRequest)
    return request


def _standing(kept: Mapping[str, Any]) -> Standing:
    """Where the member stood who was given a link."""
    return Standing(**{**kept["standing"], "roles": frozenset(kept["standing"]["roles"])})


def _invitation(url: str, link: Link, locale: str) -> ui.LayoutView:
    say = language(locale).say
    text = say(
        "**Draw it in your browser.** The picture is posted here, in your name. The link is for "
        "you alone, for one drawing; it ends {when}.",
        when=countdown(link.ends_at),
    )
    button = ui.Button[ui.LayoutView](label=say("Draw"), url=url)
    return view_of(text, ui.ActionRow(button))


def _used() -> LinkUsed:
    return LinkUsed("This link was used already: look in the channel. Type /sketch for a new one.")
