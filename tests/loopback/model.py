"""What this Discord remembers: people, channels, files, messages and interactions."""

import asyncio
import itertools
import mimetypes
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.loopback.rules import EPHEMERAL, LOADING, Json, media_of, text_of, walk

EPOCH_MS = 1_420_070_400_000
TEXT_CHANNEL, DIRECT = 0, 1
MANAGE_MESSAGES = 1 << 13
VIEW, SEND, ATTACH, HISTORY = 1 << 10, 1 << 11, 1 << 15, 1 << 16
TIME_OUT = 1 << 40
ORDINARY = VIEW | SEND | ATTACH | HISTORY


class Clock:
    """The time here, in Unix seconds. `advance` moves it, as a member who waits would."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


class Snowflakes:
    """Ids that hold the time at which they were made."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = itertools.count()

    def new(self) -> int:
        made = int(self._clock.now() * 1000) - EPOCH_MS
        return made << 22 | next(self._count) & 0x3FFFFF


@dataclass(frozen=True, slots=True)
class User:
    id: int
    name: str
    bot: bool = False

    def payload(self) -> Json:
        return {
            "id": str(self.id),
            "username": self.name,
            "global_name": self.name.title(),
            "discriminator": "0",
            "avatar": None,
            "bot": self.bot,
        }


@dataclass(eq=False)
class Channel:
    """`permissions` are the bot's own here; take some away to shut it out."""

    id: int
    name: str
    guild_id: int | None
    permissions: int = ORDINARY
    recipient: User | None = None
    age_restricted: bool = False

    def payload(self) -> Json:
        common: Json = {"id": str(self.id), "last_message_id": None}
        if self.recipient is not None:
            return common | {"type": DIRECT, "recipients": [self.recipient.payload()]}
        return common | {
            "type": TEXT_CHANNEL,
            "guild_id": str(self.guild_id),
            "name": self.name,
            "position": 0,
            "permission_overwrites": [],
            "nsfw": self.age_restricted,
            "permissions": str(self.permissions),
        }


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file on this Discord's CDN. `claimed` is the size it is said to have."""

    id: int
    filename: str
    url: str
    data: bytes = field(repr=False)
    claimed: int | None = None

    def payload(self) -> Json:
        return {
            "id": str(self.id),
            "filename": self.filename,
            "size": len(self.data) if self.claimed is None else self.claimed,
            "url": self.url,
            "proxy_url": self.url,
            "content_type": mimetypes.guess_type(self.filename)[0],
        }


@dataclass(frozen=True, slots=True)
class Version:
    """How a message once looked. `at` is of this Discord's clock."""

    at: float
    text: str
    custom_ids: tuple[str, ...]
    files: tuple[str, ...]


FORWARD = 1
SNAPSHOT = (
    "type",
    "content",
    "embeds",
    "attachments",
    "timestamp",
    "edited_timestamp",
    "flags",
    "mentions",
    "mention_roles",
    "components",
)
"""What of a message is in one that forwards it."""


@dataclass(eq=False)
class Message:
    """A message as it stands, with all that it was before in `versions`, oldest first."""

    id: int
    channel: Channel
    author: User
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    flags: int = 0
    files: list[StoredFile] = field(default_factory=list)
    nonce: str | None = None
    reply_to: int | None = None
    forwards: "Message | None" = None
    allowed_mentions: Json | None = None
    created_at: float = 0.0
    edited_at: float | None = None
    deleted: bool = False
    versions: list[Version] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All that it says, in content and components."""
        return "\n".join(part for part in (self.content, text_of(self.components)) if part)

    @property
    def custom_ids(self) -> tuple[str, ...]:
        """Of its controls that can be used."""
        return tuple(
            c["custom_id"]
            for c in walk(self.components)
            if c.get("custom_id") and not c.get("disabled")
        )

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        """Whether it still says "is thinking"."""
        return bool(self.flags & LOADING)

    def file(self, name: str) -> StoredFile | None:
        return next((f for f in self.files if f.filename == name), None)

    def keep_version(self, at: float) -> None:
        names = tuple(f.filename for f in self.files)
        self.versions.append(Version(at, self.text, self.custom_ids, names))

    def payload(self) -> Json:
        shown = {media["url"] for media in media_of(self.components)}
        payload: Json = {
            "id": str(self.id),
            "channel_id": str(self.channel.id),
            "author": self.author.payload(),
            "type": 0,
            "content": self.content,
            "embeds": self.embeds,
            "components": self.components,
            "flags": self.flags,
            "attachments": [f.payload() for f in self.files if f.url not in shown],
            "timestamp": _iso(self.created_at),
            "edited_timestamp": None if self.edited_at is None else _iso(self.edited_at),
            "tts": False,
            "pinned": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "nonce": self.nonce,
        }
        if self.channel.guild_id is not None:
            payload["guild_id"] = str(self.channel.guild_id)
        if self.reply_to is not None:
            payload["message_reference"] = {"message_id": str(self.reply_to)}
        if self.forwards is not None:
            of = self.forwards.payload()
            place = {"message_id": of["id"], "channel_id": of["channel_id"]}
            payload["message_reference"] = {"type": FORWARD, **place}
            payload["message_snapshots"] = [{"message": {name: of[name] for name in SNAPSHOT}}]
        return payload


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


@dataclass(eq=False)
class Interaction:
    """What a member did, and what the bot answered.

    `sent` and `acknowledged` are of the monotonic clock; `made_at` is of this Discord's.
    """

    id: int
    token: str
    type: int
    user: User
    channel: Channel
    made_at: float
    payload: Json = field(repr=False)
    source: Message | None = None
    sent: float = 0.0
    acknowledged: float | None = None
    answer: int | None = None
    original: Message | None = None
    modal: Json | None = None
    followups: list[Message] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    callback: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waited(self) -> float | None:
        """Seconds from the command to its acknowledgement."""
        return None if self.acknowledged is None else self.acknowledged - self.sent

    @property
    def messages(self) -> list[Message]:
        """What was answered and still stands."""
        own = [] if self.original is None or self.original is self.source else [self.original]
        return [m for m in (*own, *self.followups) if not m.deleted]

    @property
    def said(self) -> str:
        """All that its messages say, "is thinking" aside."""
        return "\n".join(m.text for m in self.messages if not m.loading)


def as_member(user: User, permissions: int) -> dict[str, Any]:
    """`user` as a member of the guild."""
    return {
        "user": user.payload(),
        "roles": [],
        "flags": 0,
        "deaf": False,
        "mute": False,
        "joined_at": "2024-01-01T00:00:00+00:00",
        "permissions": str(permissions),
    }
