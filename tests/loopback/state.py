"""What the routes share, and the shape in which every route answers."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.loopback.body import Body
from tests.loopback.messages import Messages
from tests.loopback.model import Channel, Clock, Interaction, Snowflakes, User
from tests.loopback.rules import Json

monotonic = time.monotonic
MIB = 1 << 20


@dataclass(eq=False)
class State:
    """Everything there is in this Discord. `upload_limit` is what it takes in one request."""

    token: str
    bot: User
    clock: Clock
    ids: Snowflakes
    messages: Messages
    upload_limit: int = 10 * MIB
    channels: dict[int, Channel] = field(default_factory=dict)
    direct: dict[int, Channel] = field(default_factory=dict)
    closed_to_direct: set[int] = field(default_factory=set)
    interactions: dict[str, Interaction] = field(default_factory=dict)
    commands: dict[str, Json] = field(default_factory=dict)

    def check_size(self, body: Body) -> None:
        """Raise 40005 where the body's files are more than the limit."""
        body.within(self.upload_limit)

    def standing(self, channel: Channel) -> Iterable[Any]:
        """Messages of a channel that are not deleted, oldest first."""
        return (m for m in self.messages.all.values() if m.channel is channel and not m.deleted)


def answer(payload: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """JSON without a charset, or discord.py takes it for text."""
    return web.Response(
        body=json.dumps(payload).encode(),
        status=status,
        content_type="application/json",
        headers=headers,
    )
