"""The gateway: one bot's websocket, its session, what it missed and how the line breaks."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.loopback.rules import Json

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID, HELLO, ACK = 0, 1, 2, 6, 7, 9, 10, 11
PRIVILEGED = 1 << 1 | 1 << 8 | 1 << 15
AUTHENTICATION_FAILED, DISALLOWED_INTENTS = 4004, 4014


@dataclass(eq=False)
class Session:
    """What was sent in it, each with its number, and the line it goes out on."""

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    sent: list[str] = field(default_factory=list)
    line: web.WebSocketResponse | None = None


class Gateway:
    """Serves one bot. A bot that identifies again gets a new session, and the old one is over."""

    def __init__(self, token: str, greet: Callable[[Session], list[tuple[str, Json]]]) -> None:
        self.session: Session | None = None
        self.identifies: list[Json] = []
        self.resumes = 0
        self.heartbeats = 0
        self.changed: Callable[[], Awaitable[None]]
        self._token = token
        self._greet = greet
        self._lines: set[web.WebSocketResponse] = set()

    @property
    def connected(self) -> bool:
        return self.session is not None and self.session.line is not None

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One connection, from its hello to its end."""
        line = web.WebSocketResponse(max_msg_size=0)
        await line.prepare(request)
        self._lines.add(line)
        try:
            await line.send_json({"op": HELLO, "d": {"heartbeat_interval": 41_250}})
            async for message in line:
                if message.type is WSMsgType.TEXT:
                    await self._receive(line, json.loads(message.data))
        finally:
            self._lines.discard(line)
            if self.session is not None and self.session.line is line:
                self.session.line = None
            await self.changed()
        return line

    async def _receive(self, line: web.WebSocketResponse, message: Json) -> None:
        op, data = message["op"], message.get("d")
        if op == HEARTBEAT:
            self.heartbeats += 1
            await line.send_json({"op": ACK})
        elif op == IDENTIFY:
            await self._identify(line, data)
        elif op == RESUME:
            await self._resume(line, data)
        await self.changed()

    async def _identify(self, line: web.WebSocketResponse, data: Any) -> None:
        self.identifies.append(data)
        if data["token"] != self._token:
            await line.close(code=AUTHENTICATION_FAILED, message=b"Authentication failed.")
        elif data["intents"] & PRIVILEGED:
            await line.close(code=DISALLOWED_INTENTS, message=b"Disallowed intent(s).")
        else:
            self.session = Session(line=line)
            for event, payload in self._greet(self.session):
                await self.dispatch(event, payload)

    async def _resume(self, line: web.WebSocketResponse, data: Any) -> None:
        session = self.session
        if session is None or session.id != data["session_id"]:
            await line.send_json({"op": INVALID, "d": False})
            return
        self.resumes += 1
        number = data["seq"]
        while number < len(session.sent):  # what is dispatched meanwhile joins the end
            await line.send_str(session.sent[number])
            number += 1
        session.line = line
        await self.dispatch("RESUMED", {})

    async def dispatch(self, event: str, data: Json) -> bool:
        """Send an event, or keep it for a resume. Returns whether it went out now."""
        session = self.session
        if session is None:
            return False
        number = len(session.sent) + 1
        text = json.dumps({"op": DISPATCH, "t": event, "s": number, "d": data})
        session.sent.append(text)
        if session.line is None:
            return False
        try:
            await session.line.send_str(text)
        except ConnectionResetError:
            return False
        return True

    async def drop(self, code: int | None = None) -> None:
        """Break the line: with a close code, or as a cable that is pulled."""
        session = self.session
        if session is None or session.line is None:
            return
        line, session.line = session.line, None
        if code is not None:
            await line.close(code=code)
        elif (transport := line._req.transport if line._req else None) is not None:
            transport.abort()

    async def ask_to_reconnect(self) -> None:
        """Op 7: come back and resume."""
        await self._send({"op": RECONNECT, "d": None})

    async def invalidate(self, *, resumable: bool = False) -> None:
        """Op 9. Unless `resumable` the session is over, and what it missed is lost."""
        line = self.session.line if self.session is not None else None
        if not resumable:
            self.session = None
        if line is not None:
            await line.send_json({"op": INVALID, "d": resumable})

    async def close(self) -> None:
        """Hang up on everyone."""
        await asyncio.gather(*(line.close() for line in set(self._lines)))

    async def _send(self, message: Json) -> None:
        if self.session is not None and self.session.line is not None:
            await self.session.line.send_json(message)
