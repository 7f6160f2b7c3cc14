"""What a bot does by its own token: who it is, its commands, messages in channels."""

import json

from aiohttp import web

from tests.loopback.body import read_body
from tests.loopback.model import ATTACH, HISTORY, MANAGE_MESSAGES, SEND, VIEW, Channel, Message
from tests.loopback.problems import (
    cannot_message_user,
    missing_access,
    missing_permissions,
    not_the_author,
    unauthorized,
    unknown_channel,
    unknown_message,
)
from tests.loopback.rules import Json, check_commands
from tests.loopback.state import State, answer


class BotRoutes:
    """Everything that asks for `Authorization: Bot …`."""

    def __init__(self, state: State, gateway_url: str) -> None:
        self._state = state
        self._gateway_url = gateway_url

    def add_to(self, router: web.UrlDispatcher, prefix: str) -> None:
        commands = prefix + "/applications/{application}/commands"
        messages = prefix + "/channels/{channel}/messages"
        router.add_get(prefix + "/gateway/bot", self.gateway)
        router.add_get(prefix + "/users/@me", self.me)
        router.add_post(prefix + "/users/@me/channels", self.open_direct)
        router.add_get(prefix + "/oauth2/applications/@me", self.application)
        router.add_get(commands, self.list_commands)
        router.add_put(commands, self.overwrite_commands)
        router.add_get(prefix + "/channels/{channel}", self.channel)
        router.add_post(messages, self.write)
        router.add_get(messages + "/{message}", self.read)
        router.add_patch(messages + "/{message}", self.edit)
        router.add_delete(messages + "/{message}", self.delete)

    async def gateway(self, request: web.Request) -> web.Response:
        self._authorize(request)
        limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        return answer({"url": self._gateway_url, "shards": 1, "session_start_limit": limit})

    async def me(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return answer(self._state.bot.payload())

    async def application(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return answer(
            {
                "id": str(self._state.bot.id),
                "name": self._state.bot.name,
                "description": "",
                "icon": None,
                "bot_public": False,
                "bot_require_code_grant": False,
                "owner": self._state.bot.payload(),
                "verify_key": "",
                "flags": 0,
                "team": None,
            }
        )

    async def open_direct(self, request: web.Request) -> web.Response:
        self._authorize(request)
        recipient = int((await read_body(request)).payload["recipient_id"])
        channel = self._state.direct.get(recipient)
        if channel is None:
            raise unknown_channel()
        return answer(channel.payload())

    async def list_commands(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return answer(list(self._state.commands.values()))

    async def overwrite_commands(self, request: web.Request) -> web.Response:
        """Replace every command. One whose name stays keeps its id."""
        self._authorize(request)
        wanted: list[Json] = json.loads(await request.text())
        check_commands(wanted)
        old = self._state.commands
        self._state.commands = {
            c["name"]: c
            | {
                "id": old.get(c["name"], {}).get("id") or str(self._state.ids.new()),
                "application_id": str(self._state.bot.id),
                "version": str(self._state.ids.new()),
                "type": c.get("type", 1),
                "description": c.get("description", ""),
            }
            for c in wanted
        }
        return answer(list(self._state.commands.values()))

    async def channel(self, request: web.Request) -> web.Response:
        return answer(self._channel(request).payload())

    async def write(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        channel = self._channel(request)
        needed = SEND
        if body.files:
            needed |= ATTACH
        if "message_reference" in body.payload:
            needed |= HISTORY
        if channel.permissions & needed != needed:
            raise missing_permissions()
        if channel.recipient is not None and channel.recipient.id in self._state.closed_to_direct:
            raise cannot_message_user()
        self._state.check_size(body)
        return answer(self._state.messages.write(channel, self._state.bot, body).payload())

    async def read(self, request: web.Request) -> web.Response:
        return answer(self._message(request).payload())

    async def edit(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        message = self._message(request)
        if message.author != self._state.bot:
            raise not_the_author()
        if body.files and not message.channel.permissions & ATTACH:
            raise missing_permissions()
        self._state.check_size(body)
        return answer(self._state.messages.edit(message, body).payload())

    async def delete(self, request: web.Request) -> web.Response:
        message = self._message(request)
        own = message.author == self._state.bot
        if not own and not message.channel.permissions & MANAGE_MESSAGES:
            raise missing_permissions()
        self._state.messages.delete(message)
        return web.Response(status=204)

    def _authorize(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bot {self._state.token}":
            raise unauthorized()

    def _channel(self, request: web.Request) -> Channel:
        self._authorize(request)
        wanted = int(request.match_info["channel"])
        channels = (*self._state.channels.values(), *self._state.direct.values())
        channel = next((c for c in channels if c.id == wanted), None)
        if channel is None:
            raise unknown_channel()
        if not channel.permissions & VIEW:
            raise missing_access()
        return channel

    def _message(self, request: web.Request) -> Message:
        """A message that a bot's own token reaches: an ephemeral one is out of its reach."""
        channel = self._channel(request)
        message = self._state.messages.get(int(request.match_info["message"]), channel.id)
        if message.ephemeral:
            raise unknown_message()
        return message
