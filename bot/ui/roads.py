"""The roads by which the bot reaches a message it has to change."""

import asyncio
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp
import discord
from discord import ui

from bot.ui.origin import Origin

TOKEN_LIFE = 14 * 60.0  # Discord says 15 minutes; the last one is for uploads under way
UNREACHABLE = (discord.HTTPException, discord.RateLimited, aiohttp.ClientError, OSError)
"""What any road may raise: Discord's refusals, its rate limits, a lost connection."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a message, kept as bytes so that it can be sent more than once."""

    name: str
    data: bytes = field(repr=False)

    def open(self) -> discord.File:
        """A fresh file for one request."""
        return discord.File(io.BytesIO(self.data), self.name)


class Roads:
    """Edits and sends messages for jobs, by interaction token or by the bot's own token.

    Every method waits until the client has logged in, so callers need not care whether it has.
    """

    def __init__(self, client: discord.Client) -> None:
        self._client = client
        self._logged_in = asyncio.Event()

    def open(self) -> None:
        """Let everyone through: the client has logged in."""
        self._logged_in.set()

    def token_lives(self, origin: Origin) -> bool:
        """Whether Discord still takes the interaction's token."""
        return bool(origin.token) and time.time() - origin.token_made_at < TOKEN_LIFE

    def filesize_limit(self, origin: Origin) -> int:
        """Bytes a file may have: the lower of what the interaction and the server say now."""
        guild = self._client.get_guild(origin.guild_id) if origin.guild_id else None
        return min(origin.filesize_limit, guild.filesize_limit) if guild else origin.filesize_limit

    async def edit(
        self, origin: Origin, view: ui.LayoutView, uploads: Sequence[Upload] = ()
    ) -> None:
        """Change the message by the token while that lives, else as the bot.

        Here as below, files that were there before and are not among `uploads` are gone.
        """
        if self.token_lives(origin):
            await self.edit_by_token(origin, view, uploads)
        else:
            await self.edit_as_bot(origin, view, uploads)

    async def edit_by_token(
        self, origin: Origin, view: ui.LayoutView, uploads: Sequence[Upload]
    ) -> None:
        """Change the message by the interaction's token, which needs no permission."""
        webhook = await self._webhook(origin)
        files = [upload.open() for upload in uploads]
        await webhook.edit_message(origin.message_id, view=view, attachments=files)

    async def edit_as_bot(
        self, origin: Origin, view: ui.LayoutView, uploads: Sequence[Upload]
    ) -> None:
        """Change the message by the bot's own token, which needs to see the channel."""
        await self.change(origin.channel_id, origin.message_id, view, uploads)

    async def send(
        self, origin: Origin, view: ui.LayoutView, uploads: Sequence[Upload], nonce: str
    ) -> int:
        """Post a new message that pings the member, and return its id.

        Discord drops a second one with the same nonce, should the first have seemed to fail.
        """
        channel = await self._channel(origin.channel_id)
        message = await channel.send(
            view=view,
            files=[upload.open() for upload in uploads],
            nonce=nonce,
            allowed_mentions=discord.AllowedMentions(users=[discord.Object(origin.user_id)]),
        )
        return message.id

    async def post(
        self, channel_id: int, said: str | ui.LayoutView, uploads: Sequence[Upload] = ()
    ) -> int:
        """Post a message that belongs to no job, pinging nobody. Returns its id."""
        channel = await self._channel(channel_id)
        files = [upload.open() for upload in uploads]
        if isinstance(said, str):
            return (await channel.send(said, suppress_embeds=True)).id
        return (await channel.send(view=said, files=files)).id

    async def change(
        self,
        channel_id: int,
        message_id: int,
        view: ui.LayoutView,
        uploads: Sequence[Upload] = (),
    ) -> None:
        """Change a message of the bot's; of its files only `uploads` stay."""
        message = (await self._channel(channel_id)).get_partial_message(message_id)
        await message.edit(view=view, attachments=[upload.open() for upload in uploads])

    async def delete(self, channel_id: int, message_id: int) -> None:
        """Delete a message of the bot's."""
        await (await self._channel(channel_id)).get_partial_message(message_id).delete()

    async def follow(self, origin: Origin, view: ui.LayoutView) -> int:
        """Post another message of the interaction's, for everyone. Returns its id."""
        webhook = await self._webhook(origin)
        return (await webhook.send(view=view, wait=True)).id

    async def delete_by_token(self, origin: Origin, message_id: int) -> None:
        """Delete a message of the interaction's."""
        webhook = await self._webhook(origin)
        await webhook.delete_message(message_id)

    async def whisper(self, origin: Origin, sentence: str) -> None:
        """Tell only the member, under the command they gave."""
        webhook = await self._webhook(origin)
        await webhook.send(sentence, ephemeral=True)

    async def write_to(self, origin: Origin, sentence: str) -> None:
        """Tell only the member, in a direct message."""
        await self._logged_in.wait()
        direct = await self._client.create_dm(discord.Object(origin.user_id))
        await direct.send(sentence)

    async def _webhook(self, origin: Origin) -> discord.Webhook:
        await self._logged_in.wait()
        webhook = discord.Webhook.partial(origin.application_id, origin.token, client=self._client)
        webhook.type = discord.WebhookType.application  # which may send ephemeral messages
        return webhook

    async def _channel(self, channel_id: int) -> discord.PartialMessageable:
        await self._logged_in.wait()
        return self._client.get_partial_messageable(channel_id)
