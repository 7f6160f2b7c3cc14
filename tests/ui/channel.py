"""The real client in a simulated Discord channel, and members who use it.

SimCord waits after each action until the tasks that the action began have ended, which is what
the tests want of an interaction. Two things of the app must not count as such tasks:

- the worker and the deliveries, which never end: the app is started outside any action;
- the board's pauses: they are longer than SimCord's patience, so it lets them be, and all that
  they delay is a progress edit.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import discord
import simcord
from PIL import Image, ImageDraw
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle, GuildHandle
from simcord.results import InteractionResult

from bot.client import AtelierClient

PATIENCE = 2.0  # seconds
SECTION, TEXT, FILE = 9, 10, 13  # Discord's numbers for components
GALLERY, CONTAINER, BUTTON = 12, 17, 2
SELECTS = (3, 5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class Channel:
    """A text channel with the bot in it."""

    env: simcord.Env
    guild: GuildHandle
    handle: ChannelHandle

    @classmethod
    def create(cls, env: simcord.Env) -> Self:
        guild = env.create_guild("Atelier")
        return cls(env, guild, guild.create_text_channel("pictures"))

    def member(self, name: str, **permissions: bool) -> MemberActor:
        """Somebody who may do what everyone may, and `permissions`."""
        role = self.guild.create_role(name, permissions=discord.Permissions(**permissions))
        return self.guild.add_member(self.env.create_user(name), roles=[role])

    def shown(self) -> list["Shown"]:
        """The messages that everyone sees, oldest first."""
        history = self.handle.history()
        return [Shown(self.env, m) for m in history if not m.flags.ephemeral]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds`, which looks at messages: SimCord tells nobody when they change."""
        async with asyncio.timeout(10.0):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    def edits(self) -> int:
        """How many times the bot has edited a message."""
        return sum(r.method == "PATCH" and "/messages/" in r.path for r in self.env.http_requests)


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as a member sees it."""

    env: simcord.Env
    message: discord.Message

    @property
    def _components(self) -> list[dict[str, Any]]:
        stored = self.env.backend.get_message(self.message.channel.id, self.message.id)
        return list(_walk(stored.components))

    @property
    def text(self) -> str:
        """All its words, components in their order."""
        return "\n".join(c["content"] for c in self._components if c["type"] == TEXT)

    @property
    def buttons(self) -> list[str]:
        """The labels of its buttons."""
        return [c["label"] for c in self._components if c["type"] == BUTTON]

    @property
    def custom_ids(self) -> list[str]:
        """What its buttons send when they are pressed."""
        return [c["custom_id"] for c in self._components if c["type"] == BUTTON]

    @property
    def selects(self) -> list[str]:
        """The custom_ids of its select menus."""
        return [c["custom_id"] for c in self._components if c["type"] in SELECTS]

    @property
    def job_id(self) -> str:
        """The job that its buttons belong to."""
        return self.custom_ids[0].rsplit(":", 1)[1]

    @property
    def alt_texts(self) -> list[str | None]:
        """What a screen reader says for each item of its gallery."""
        return [item.get("description") for item in self._gallery]

    @property
    def attachments(self) -> int:
        """How many files it has, whether it shows them or not."""
        stored = self.env.backend.get_message(self.message.channel.id, self.message.id)
        return len(stored.attachments)

    @property
    def veiled(self) -> bool:
        """Whether what it shows has to be clicked on to be seen."""
        return any(item.get("spoiler") for item in self._gallery)

    async def files(self) -> list[bytes]:
        """What its gallery shows, as Discord serves it."""
        return [
            await self.env.bot.http.get_from_cdn(item["media"]["url"]) for item in self._gallery
        ]

    async def beside(self) -> dict[str, bytes]:
        """What is there to be saved and not shown, by its name."""
        shown = [c["file"]["url"] for c in self._components if c["type"] == FILE]
        return {
            url.partition("?")[0].rsplit("/", 1)[1]: await self.env.bot.http.get_from_cdn(url)
            for url in shown
        }

    async def thumbnails(self) -> list[bytes]:
        """The small pictures beside its words."""
        return [
            await self.env.bot.http.get_from_cdn(c["accessory"]["media"]["url"])
            for c in self._components
            if c["type"] == SECTION
        ]

    @property
    def _gallery(self) -> list[dict[str, Any]]:
        return [i for c in self._components if c["type"] == GALLERY for i in c["items"]]


def whispered(result: InteractionResult) -> str:
    """The sentence that the member alone got for an answer; nothing public may be left of it."""
    assert result.acknowledged
    if result.response is not None:
        assert result.ephemeral
        return result.response.content
    [followup] = result.followups
    assert followup.ephemeral
    return followup.content


def _walk(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for component in components:
        yield component
        yield from _walk(component.get("components", []))


@asynccontextmanager
async def connected(client: AtelierClient) -> AsyncIterator[simcord.Env]:
    """`client` in a simulated Discord.

    A fixture must yield the Env itself: by that SimCord knows which tests are to see its clock.
    """
    env = simcord.Env(client, check_errors=False, settle_timeout=PATIENCE)
    await env.start()
    try:
        yield env
    finally:
        await env.shutdown()


def drawing(width: int = 200, height: int = 150) -> bytes:
    """A house, black on white, as a PNG."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 4, height // 2, 3 * width // 4, height - 10), outline="black", width=4)
    draw.line((width // 4, height // 2, width // 2, 10, 3 * width // 4, height // 2), "black", 4)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
