"""What a bot answers to interactions: callbacks, and messages by an interaction's token."""

from aiohttp import web

from tests.loopback.body import Body, read_body
from tests.loopback.model import Interaction, Message
from tests.loopback.problems import (
    already_acknowledged,
    invalid,
    token_expired,
    unknown_interaction,
    unknown_message,
    unknown_webhook,
)
from tests.loopback.rules import EPHEMERAL, Json, check_modal
from tests.loopback.state import State, answer, monotonic

TOKEN_LIFE, FIRST_ANSWER = 15 * 60, 3.0
PONG, MESSAGE, DEFERRED, DEFERRED_UPDATE, UPDATE, CHOICES, MODAL = 1, 4, 5, 6, 7, 8, 9
COMPONENT, SUBMIT = 3, 5


class InteractionRoutes:
    """Everything under /interactions and /webhooks."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add_to(self, router: web.UrlDispatcher, prefix: str) -> None:
        callback = prefix + "/interactions/{interaction}/{token}/callback"
        hook = prefix + "/webhooks/{application}/{token}"
        router.add_post(callback, self.callback)
        router.add_post(hook, self.follow_up)
        router.add_get(hook + "/messages/{message}", self.read)
        router.add_patch(hook + "/messages/{message}", self.edit)
        router.add_delete(hook + "/messages/{message}", self.delete)

    async def callback(self, request: web.Request) -> web.Response:
        """The first answer, within three seconds and only once."""
        arrived = monotonic()
        body = await read_body(request)
        interaction = self._state.interactions.get(request.match_info["token"])
        if interaction is None or str(interaction.id) != request.match_info["interaction"]:
            raise unknown_interaction()
        self._refuse_late_or_double(interaction, arrived)
        kind, data = body.payload["type"], body.payload.get("data") or {}
        original = self._first_answer(interaction, kind, Body(data, body.files))
        interaction.acknowledged, interaction.answer = arrived, kind
        interaction.original = original
        interaction.callback.set()
        if request.query.get("with_response") not in ("1", "true"):
            return web.Response(status=204)
        return answer(_callback_payload(interaction))

    def _refuse_late_or_double(self, interaction: Interaction, arrived: float) -> None:
        if interaction.acknowledged is not None:
            interaction.refusals.append(40060)
            raise already_acknowledged()
        late = arrived - interaction.sent > FIRST_ANSWER
        if late or self._state.clock.now() - interaction.made_at > FIRST_ANSWER:
            interaction.refusals.append(10062)
            raise unknown_interaction()

    def _first_answer(self, interaction: Interaction, kind: int, body: Body) -> Message | None:
        messages, ephemeral = self._state.messages, bool(body.payload.get("flags", 0) & EPHEMERAL)
        if kind == MESSAGE:
            self._state.check_size(body)
            return messages.write(interaction.channel, self._state.bot, body, ephemeral=ephemeral)
        if kind == DEFERRED:
            return messages.thinking(interaction.channel, self._state.bot, ephemeral=ephemeral)
        if kind in (DEFERRED_UPDATE, UPDATE) and interaction.source is not None:
            if kind == UPDATE:
                self._state.check_size(body)
                messages.edit(interaction.source, body)
            return interaction.source
        if kind == MODAL and interaction.type != SUBMIT:
            check_modal(body.payload)
            interaction.modal = body.payload
            return None
        raise invalid("type", "INTERACTION_APPLICATION_COMMAND_INVALID_CALLBACK_TYPE", str(kind))

    async def follow_up(self, request: web.Request) -> web.Response:
        """A new message by token; the first one fills a deferred answer."""
        body = await read_body(request)
        interaction = self._by_token(request)
        if interaction.acknowledged is None:
            raise unknown_webhook()
        self._state.check_size(body)
        original = interaction.original
        if original is not None and original.loading and not original.deleted:
            return answer(self._state.messages.edit(original, body).payload())
        ephemeral = bool(body.payload.get("flags", 0) & EPHEMERAL)
        message = self._state.messages.write(
            interaction.channel, self._state.bot, body, ephemeral=ephemeral
        )
        interaction.followups.append(message)
        return answer(message.payload())

    async def read(self, request: web.Request) -> web.Response:
        return answer(self._message(request).payload())

    async def edit(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        message = self._message(request)
        self._state.check_size(body)
        return answer(self._state.messages.edit(message, body).payload())

    async def delete(self, request: web.Request) -> web.Response:
        self._state.messages.delete(self._message(request))
        return web.Response(status=204)

    def _by_token(self, request: web.Request) -> Interaction:
        interaction = self._state.interactions.get(request.match_info["token"])
        if interaction is None or request.match_info["application"] != str(self._state.bot.id):
            raise unknown_webhook()
        if self._state.clock.now() - interaction.made_at > TOKEN_LIFE:
            raise token_expired()
        return interaction

    def _message(self, request: web.Request) -> Message:
        interaction = self._by_token(request)
        if interaction.acknowledged is None:
            raise unknown_webhook()
        wanted = request.match_info["message"]
        for message in (interaction.original, *interaction.followups):
            if message is not None and wanted in ("@original", str(message.id)):
                return self._state.messages.get(message.id)
        raise unknown_message()


def _callback_payload(interaction: Interaction) -> Json:
    about: Json = {"id": str(interaction.id), "type": interaction.type}
    payload: Json = {"interaction": about}
    message = interaction.original
    if message is not None and interaction.answer in (MESSAGE, DEFERRED, UPDATE):
        about["response_message_id"] = str(message.id)
        about["response_message_loading"] = message.loading
        about["response_message_ephemeral"] = message.ephemeral
        payload["resource"] = {"type": interaction.answer, "message": message.payload()}
    return payload
