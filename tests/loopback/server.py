"""The server: every route on one port of 127.0.0.1, its faults, and waiting for what it sees."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self, TypeVar

from aiohttp import web

from tests.loopback.faults import Cut, Fault, Faults
from tests.loopback.gateway import Gateway, Session
from tests.loopback.interactions import InteractionRoutes
from tests.loopback.member import Member
from tests.loopback.messages import Messages
from tests.loopback.model import (
    ORDINARY,
    Channel,
    Clock,
    Interaction,
    Message,
    Snowflakes,
    User,
    as_member,
)
from tests.loopback.problems import ApiProblem
from tests.loopback.rest import BotRoutes
from tests.loopback.rules import Json
from tests.loopback.state import MIB, State, answer, monotonic

API = "/api/v10"
TOKEN = "bG9vcGJhY2s.a-token.of-no-worth"
T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the REST API or the CDN. `status` is 0 where the connection was cut."""

    method: str
    path: str
    status: int
    at: float


class LoopbackDiscord:
    """One guild with one text channel, and the bot that connects. `async with` opens it."""

    def __init__(self, *, token: str = TOKEN, boost_tier: int = 0) -> None:
        clock = Clock()
        ids = Snowflakes(clock)
        self.token = token
        self.boost_tier = boost_tier
        self.attachment_size_limit = 10 * MIB
        self.clock = clock
        self.faults = Faults()
        self.calls: list[Call] = []
        self.gateway = Gateway(token, self._greeting)
        self.gateway.changed = self._notify
        self.state = State(
            token=token,
            bot=User(ids.new(), "atelier", bot=True),
            clock=clock,
            ids=ids,
            messages=Messages(clock, ids, lambda: self.base),
        )
        self.guild_id = ids.new()
        self.channel = self.add_channel("pictures")
        self.members: list[Member] = []
        self.base = ""
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._serve], client_max_size=256 * MIB)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        app.router.add_get("/gateway/", self.gateway.serve)
        app.router.add_get("/attachments/{channel}/{file}/{name}", self._cdn)
        BotRoutes(self.state, "").add_to(app.router, API)
        InteractionRoutes(self.state).add_to(app.router, API)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.faults.clear()
        await self.gateway.close()
        await self._runner.cleanup()

    @property
    def gateway_url(self) -> str:
        return self.base.replace("http", "ws", 1) + "/gateway/"

    @property
    def messages(self) -> list[Message]:
        """Every message that stands, oldest first."""
        return [m for m in self.state.messages.all.values() if not m.deleted]

    @property
    def interactions(self) -> list[Interaction]:
        return list(self.state.interactions.values())

    def add_channel(self, name: str, permissions: int = ORDINARY) -> Channel:
        """A text channel. One that the bot is to see is added before it connects."""
        channel = Channel(self.state.ids.new(), name, self.guild_id, permissions)
        self.state.channels[channel.id] = channel
        return channel

    def member(self, name: str, *, permissions: int = ORDINARY) -> Member:
        """Somebody in the guild, who can also be written to directly."""
        user = User(self.state.ids.new(), name)
        direct = Channel(self.state.ids.new(), name, None, recipient=user)
        self.state.direct[user.id] = direct
        self.members.append(member := Member(self, user, permissions, direct))
        return member

    def called(self, method: str, part: str) -> list[Call]:
        """The calls so far of a method to paths that hold `part`."""
        return [c for c in self.calls if c.method == method and part in c.path]

    async def wait_for(self, ready: Callable[[], T | None], timeout: float = 20.0) -> T:
        """Wait until `ready` gives something true, and return it. `timeout` is in seconds."""
        found: T | None = None

        def check() -> bool:
            nonlocal found
            found = ready()
            return bool(found)

        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(check)
        except TimeoutError:
            raise AssertionError(f"not within {timeout} s; {self._lately()}") from None
        assert found is not None
        return found

    def expire_links(self) -> None:
        """Let a day pass for the CDN: no file uploaded so far can be had any more."""
        self.state.messages.cdn.clear()

    async def connected(self, timeout: float = 20.0) -> None:
        """Wait until a bot is on the line and its commands are registered."""
        await self.wait_for(lambda: self.gateway.connected and self.state.commands, timeout)

    async def send(self, interaction: Interaction) -> None:
        """Tell the bot of an interaction."""
        self.state.interactions[interaction.token] = interaction
        interaction.sent = monotonic()
        await self.gateway.dispatch("INTERACTION_CREATE", interaction.payload)

    def _greeting(self, session: Session) -> list[tuple[str, Json]]:
        guild: Json = {
            "id": str(self.guild_id),
            "name": "Loopback",
            "owner_id": "1",
            "premium_tier": self.boost_tier,
            "member_count": len(self.members) + 1,
            "roles": [_everyone(self.guild_id)],
            "members": [as_member(self.state.bot, ORDINARY)],
            "channels": [c.payload() for c in self.state.channels.values()],
            "preferred_locale": "en-US",
        }
        ready: Json = {
            "v": 10,
            "user": self.state.bot.payload(),
            "guilds": [{"id": str(self.guild_id), "unavailable": True}],
            "session_id": session.id,
            "resume_gateway_url": self.gateway_url,
            "application": {"id": str(self.state.bot.id), "flags": 0},
        }
        return [("READY", ready), ("GUILD_CREATE", guild)]

    @web.middleware
    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request meet its fault, answer problems as Discord does, and take note."""
        path = request.path.removeprefix(API)
        uploads = request.content_type.startswith("multipart/")
        fault = self.faults.meet(request.method, path, uploads=uploads)
        if path == "/gateway/":
            return await self._answer(request, handler, fault)  # which lasts as long as the line
        if fault is not None and fault.cut is Cut.BEFORE:
            await request.read()
            return await self._cut(request, path)
        response = await self._answer(request, handler, fault)
        if fault is not None and fault.cut is Cut.AFTER:
            return await self._cut(request, path)
        await self._note(Call(request.method, path, response.status, monotonic()))
        return response

    async def _answer(
        self, request: web.Request, handler: Handler, fault: Fault | None
    ) -> web.StreamResponse:
        if fault is not None and fault.gate is not None:
            await request.read()
            await fault.gate.passed()
        try:
            if fault is not None and fault.problem is not None:
                await request.read()
                raise fault.problem
            return await handler(request)
        except ApiProblem as problem:
            return answer(problem.body(), problem.status, problem.headers)

    async def _cut(self, request: web.Request, path: str) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        await self._note(Call(request.method, path, 0, monotonic()))
        return web.Response()

    async def _note(self, call: Call) -> None:
        self.calls.append(call)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _cdn(self, request: web.Request) -> web.Response:
        file = self.state.messages.cdn.get(int(request.match_info["file"]))
        if file is None:
            raise web.HTTPNotFound
        return web.Response(body=file.data, content_type="application/octet-stream")

    def _lately(self) -> str:
        calls = deque(self.calls, maxlen=8)
        return f"on the line: {self.gateway.connected}; last calls: {[*calls]}"


def _everyone(guild_id: int) -> Json:
    return {
        "id": str(guild_id),
        "name": "@everyone",
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "position": 0,
        "permissions": str(ORDINARY),
        "managed": False,
        "mentionable": False,
        "flags": 0,
    }
