"""A member of the guild: types commands, presses buttons, fills in what opens."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.loopback.model import Channel, Interaction, Message, StoredFile, User, as_member
from tests.loopback.rules import Json, walk

if TYPE_CHECKING:
    from tests.loopback.server import LoopbackDiscord

COMMAND, COMPONENT, SUBMIT = 2, 3, 5
USER, ATTACHMENT = 6, 11
TYPES: dict[int, type | tuple[type, ...]] = {3: str, 4: int, 5: bool, 10: (int, float)}
BUTTON = 2


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a member attaches. `claimed` is the size Discord is to say it has."""

    filename: str
    data: bytes
    claimed: int | None = None


class Member:
    """Acts in `discord.channel` unless told otherwise. In `direct` the bot may write to them.

    `locale` is the language that their Discord is set to; `roles`, by id, come with what they do.
    """

    def __init__(
        self, discord: "LoopbackDiscord", user: User, permissions: int, direct: Channel
    ) -> None:
        self._discord = discord
        self.user = user
        self.permissions = permissions
        self.roles: list[int] = []
        self.direct = direct
        self.uploads: list[StoredFile] = []
        self.locale = "en-US"

    async def slash(
        self, command: str, /, channel: Channel | None = None, **options: Any
    ) -> Interaction:
        """Type a command. An option is a string, a number, a bool, a Member or an Upload."""
        spec = self._discord.state.commands[command]
        channel = channel or self._discord.channel
        resolved: dict[str, Json] = {"attachments": {}, "users": {}, "members": {}}
        given = [self._option(spec, channel, name, options[name], resolved) for name in options]
        missing = [o["name"] for o in spec.get("options", ()) if o.get("required")]
        assert set(missing) <= set(options), f"/{command} needs {missing}"
        data: Json = {"id": spec["id"], "name": command, "type": 1, "options": given}
        if any(resolved.values()):
            data["resolved"] = resolved
        return await self._send(COMMAND, channel, data)

    def post(self, *uploads: Upload) -> Message:
        """Send files to the channel."""
        messages, channel = self._discord.state.messages, self._discord.channel
        files = [messages.upload(channel.id, u.filename, u.data, u.claimed) for u in uploads]
        return messages.sent(channel, self.user, files)

    def forward(self, message: Message) -> Message:
        """Send a message on to the channel."""
        forward = self.post()
        forward.forwards = message
        return forward

    async def menu(self, entry: str, message: Message) -> Interaction:
        """Choose an entry of the menu that a right click on a message opens."""
        spec = self._discord.state.commands[entry]
        target = str(message.id)
        data: Json = {"id": spec["id"], "name": entry, "type": 3, "target_id": target}
        data["resolved"] = {"messages": {target: message.payload()}}
        return await self._send(COMMAND, message.channel, data)

    async def click(self, message: Message, custom_id: str) -> Interaction:
        """Press a button that the message shows."""
        button = _control(message.components, custom_id)
        assert button["type"] == BUTTON and not button.get("disabled"), f"{custom_id} is disabled"
        return await self.press(message, custom_id)

    async def press(self, message: Message, custom_id: str) -> Interaction:
        """Press a button that the message shows, or once showed."""
        data = {"custom_id": custom_id, "component_type": BUTTON}
        return await self._send(COMPONENT, message.channel, data, source=message)

    async def submit(self, opened: Interaction, values: Mapping[str, Any]) -> Interaction:
        """Send off the modal that `opened` was answered with; `values` by custom_id."""
        assert opened.modal is not None, "no modal is open"
        filled = [_filled(component, values) for component in opened.modal["components"]]
        data = {"custom_id": opened.modal["custom_id"], "components": filled}
        return await self._send(SUBMIT, opened.channel, data, source=opened.source)

    def _option(
        self, spec: Json, channel: Channel, name: str, value: Any, resolved: dict[str, Json]
    ) -> Json:
        """One option as Discord sends it. What its client would not let pass is an error."""
        option = next((o for o in spec.get("options", ()) if o["name"] == name), None)
        assert option is not None, f"/{spec['name']} has no option {name}"
        if option["type"] == ATTACHMENT:
            assert isinstance(value, Upload)
            file = self._discord.state.messages.upload(
                channel.id, value.filename, value.data, value.claimed
            )
            self.uploads.append(file)
            resolved["attachments"][str(file.id)] = file.payload()
            return {"name": name, "type": ATTACHMENT, "value": str(file.id)}
        if option["type"] == USER:
            assert isinstance(value, Member)
            key = str(value.user.id)
            resolved["users"][key] = value.user.payload()
            resolved["members"][key] = as_member(value.user, value.permissions)
            return {"name": name, "type": USER, "value": key}
        assert isinstance(value, TYPES[option["type"]]), f"{name}={value!r}"
        if isinstance(value, str):
            assert option.get("min_length", 0) <= len(value) <= option.get("max_length", 6000)
        else:
            assert option.get("min_value", value) <= value <= option.get("max_value", value)
        if choices := option.get("choices"):
            assert value in [choice["value"] for choice in choices], f"{name}={value!r}"
        return {"name": name, "type": option["type"], "value": value}

    async def _send(
        self, kind: int, channel: Channel, data: Json, source: Message | None = None
    ) -> Interaction:
        discord = self._discord
        interaction = Interaction(
            id=discord.state.ids.new(),
            token=secrets.token_urlsafe(24),
            type=kind,
            user=self.user,
            channel=channel,
            made_at=discord.clock.now(),
            payload={},
            source=source,
        )
        interaction.payload = self._payload(interaction, data)
        await discord.send(interaction)
        return interaction

    def _payload(self, interaction: Interaction, data: Json) -> Json:
        discord, channel = self._discord, interaction.channel
        payload: Json = {
            "id": str(interaction.id),
            "application_id": str(discord.state.bot.id),
            "type": interaction.type,
            "data": data,
            "token": interaction.token,
            "version": 1,
            "channel_id": str(channel.id),
            "channel": channel.payload(),
            "app_permissions": str(channel.permissions),
            "locale": self.locale,
            "entitlements": [],
            "authorizing_integration_owners": {"0": str(discord.guild_id)},
            "attachment_size_limit": discord.attachment_size_limit,
            "context": 1 if channel.guild_id is None else 0,
        }
        if interaction.source is not None:
            payload["message"] = interaction.source.payload()
        if channel.guild_id is None:
            return payload | {"user": self.user.payload()}
        guild = {"id": str(discord.guild_id), "locale": "en-US", "features": []}
        return payload | {
            "guild_id": str(channel.guild_id),
            "guild": guild,
            "guild_locale": "en-US",
            "member": as_member(self.user, self.permissions) | {"roles": [*map(str, self.roles)]},
        }


def _control(components: list[Json], custom_id: str) -> Json:
    for component in walk(components):
        if component.get("custom_id") == custom_id:
            return component
    raise AssertionError(f"the message shows no {custom_id}")


def _filled(component: Json, values: Mapping[str, Any]) -> Json:
    """A modal's component as it comes back, with the value that was filled in."""
    if "component" in component:
        return {"type": component["type"], "component": _filled(component["component"], values)}
    if "components" in component:
        inner = [_filled(c, values) for c in component["components"]]
        return {"type": component["type"], "components": inner}
    custom_id = component.get("custom_id", "")
    value = values.get(custom_id, component.get("value") or "")
    key = "values" if isinstance(value, list) else "value"
    return {"type": component["type"], "custom_id": custom_id, key: value}
