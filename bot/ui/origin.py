"""Where a job's answer goes."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, Self, cast

import discord

from bot.config import ModerationConfig, Sensitive
from bot.jobs.job import Job, Standing
from bot.jobs.queue import JobQueue
from bot.jobs.settings import Settings


class HasQueue(Protocol):
    """What is needed of the client that hears an interaction."""

    queue: JobQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The message that a member sees for a job, and the interaction that made it.

    `token` is the interaction's, good for 15 minutes from `token_made_at` (Unix seconds), and
    empty for a message that the bot posted by itself. `filesize_limit` is in bytes.
    `age_restricted` is what the channel was when it was asked in. `locale` is the language of what
    everyone sees: the member's, or the one that was set for the channel; `reader` is the member's.
    `may_post` is false where a member brought the bot along to a place that it is not in: there the
    token is the only way.
    """

    application_id: int
    token: str
    token_made_at: float
    channel_id: int
    message_id: int
    guild_id: int | None
    user_id: int
    filesize_limit: int
    locale: str
    age_restricted: bool = False
    may_post: bool = True
    reader: str = ""

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """The origin that `to_json` wrote."""
        return cls(**fields)

    def to_json(self) -> dict[str, Any]:
        """JSON-shaped, for the job's row."""
        return asdict(self)

    def moved(self, message_id: int) -> Self:
        """The origin once the bot itself has posted the message anew, in the same place."""
        return replace(self, message_id=message_id, token="")


def has_message(job: Job) -> bool:
    """Whether a job was asked for on Discord; what others made is fetched, and not posted."""
    return "message_id" in job.origin


def exposure_of(job: Job, moderation: ModerationConfig) -> Sensitive:
    """Whether a job's result is shown, veiled or withheld where it was asked for."""
    if not job.is_sensitive:
        return "show"
    return moderation.for_sensitive(adults=bool(job.origin.get("age_restricted")))


async def acknowledge(interaction: discord.Interaction) -> Origin:
    """Tell Discord that an answer will come, and return where it goes.

    Everyone in the channel sees "thinking …" from here on. Nothing slow may come before.
    """
    made_at = time.time()
    callback = await interaction.response.defer(thinking=True)
    message_id = callback.message_id if callback else None
    if message_id is None:
        message_id = (await interaction.original_response()).id
    return origin_of(interaction, message_id, made_at)


def origin_of(interaction: discord.Interaction, message_id: int, made_at: float) -> Origin:
    """The origin of a job whose message is one of this interaction's, which came at `made_at`."""
    return Origin(
        application_id=interaction.application_id,
        token=interaction.token,
        token_made_at=made_at,
        channel_id=interaction.channel_id or 0,
        message_id=message_id,
        guild_id=interaction.guild_id,
        user_id=interaction.user.id,
        filesize_limit=interaction.filesize_limit,
        locale=settings_of(interaction).language or str(interaction.locale),
        age_restricted=_is_age_restricted(interaction.channel),
        may_post=not _is_brought_along(interaction),
        reader=str(interaction.locale),
    )


def _is_brought_along(interaction: discord.Interaction) -> bool:
    """Whether a member's own installation alone brought the bot here. Never so in its own DMs."""
    by_member = interaction.is_user_integration() and not interaction.is_guild_integration()
    return by_member and not interaction.context.dm_channel


def standing_of(interaction: discord.Interaction) -> Standing:
    """Where a member asks, and with which roles, as Discord says in this very interaction."""
    channel = interaction.channel
    parent = channel.parent_id if isinstance(channel, discord.Thread) else None
    return Standing(
        server=interaction.guild_id,
        channel=parent or interaction.channel_id or 0,
        roles=frozenset(_roles(interaction.user)),
    )


def _roles(user: discord.User | discord.Member) -> Iterator[int]:
    """Ids of the roles that came with the interaction, which discord.py has in no public place.

    `Member.roles` leaves out those of which the server has not told yet: after READY, all of them.
    """
    if isinstance(user, discord.Member):
        yield from user._roles
        yield user.guild.id  # everyone's


def settings_of(interaction: discord.Interaction) -> Settings:
    """What holds where a member asks."""
    standing = standing_of(interaction)
    queue = cast(HasQueue, interaction.client).queue
    return queue.settings.of(standing.server, standing.channel)


def _is_age_restricted(channel: object) -> bool:
    """Whether a channel, or the one that a thread is in, is for adults only."""
    return bool(channel.is_nsfw()) if hasattr(channel, "is_nsfw") else False
