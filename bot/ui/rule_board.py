"""/config's message: what holds in a server or a channel, and the controls that change it.

Its controls hold the channel in their custom_ids and read everything else anew when they are used,
so that they outlive a restart, and whoever uses them is looked at again.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self, cast

import discord
from discord import ui

from bot.access import require_administrator
from bot.jobs.queue import JobQueue
from bot.jobs.settings import SERVER
from bot.ui.answers import answering, language_of
from bot.ui.desk import log_channel_trouble
from bot.ui.messages import RED
from bot.ui.origin import HasQueue
from bot.ui.rule_forms import GROUPS, SERVER_GROUPS, Group, open_rules_form, take_rules_form
from bot.ui.rules import in_words, listed
from bot.ui.views import view_of
from pipelines.contract.errors import BadInput
from pipelines.contract.text import Text

CHANNELS = (
    discord.ChannelType.text,
    discord.ChannelType.news,
    discord.ChannelType.voice,
    discord.ChannelType.stage_voice,
    discord.ChannelType.forum,
    discord.ChannelType.media,
)
"""Those in which, or in whose posts, commands can be given; the option of /config has the same."""
BLUE = discord.Colour(0x5865F2)


class Act(StrEnum):
    """What a control of the message does."""

    WHERE = "where"
    CHANGE = "change"
    SERVER = "server"
    CLEAR = "clear"
    SURE = "sure"
    BACK = "back"


RULES_ID = re.compile(rf"atelier:rules:(?P<act>{'|'.join(Act)}):(?P<channel>[0-9]{{1,20}})")
FORGET = {True: Text("Forget all changes"), False: Text("All as in the server")}
"""What is said of clearing the server's rules, and of clearing a channel's."""


class RuleControl(ui.DynamicItem[ui.Item[Any]], template=RULES_ID):
    """One control, for the rules of one channel or, where that is 0, of the server."""

    def __init__(self, act: Act, channel: int, item: ui.Item[Any]) -> None:
        super().__init__(item)
        self.act = act
        self.channel = channel

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The control that was used; discord.py calls this."""
        return cls(Act(match["act"]), int(match["channel"]), item)

    async def callback(self, interaction: discord.Interaction) -> None:
        """Do what it is for; discord.py calls this."""
        queue = cast(HasQueue, interaction.client).queue
        async with answering(interaction):
            require_rules_of(interaction, self.channel)
            match self.act:
                case Act.WHERE:
                    channel = int(_chosen(interaction))
                    require_rules_of(interaction, channel)
                    await _show(interaction, queue, channel)
                case Act.SERVER:
                    await _show(interaction, queue, SERVER)
                case Act.CHANGE:
                    await open_rules_form(interaction, queue, self.channel, _group(interaction))
                case Act.BACK:
                    await _show(interaction, queue, self.channel)
                case Act.CLEAR:
                    question = _question(interaction, self.channel)
                    await interaction.response.edit_message(view=question)
                case Act.SURE:
                    await interaction.response.defer()
                    await queue.settings.clear(interaction.guild_id or 0, self.channel)
                    await _show_changed(interaction, queue, self.channel)


def require_rules_of(interaction: discord.Interaction, channel: int) -> None:
    """Let an administrator pass, for a channel that is there. Raises NotAllowed, BadInput."""
    require_administrator(administrates=interaction.permissions.administrator)
    if interaction.guild is None or (channel != SERVER and not _is_there(interaction, channel)):
        raise BadInput("This channel is no longer there. Use /config again and choose another.")


def _is_there(interaction: discord.Interaction, channel: int) -> bool:
    """Whether a channel has not been deleted."""
    return interaction.guild is not None and interaction.guild.get_channel(channel) is not None


async def take_rules(interaction: discord.Interaction, queue: JobQueue, channel: int) -> None:
    """Set what a form says, and have the message show what holds then."""
    require_rules_of(interaction, channel)
    await take_rules_form(interaction, queue, channel)
    await _show_changed(interaction, queue, channel)


async def _show_changed(interaction: discord.Interaction, queue: JobQueue, channel: int) -> None:
    """Have the message show what holds now, after it was acknowledged."""
    await interaction.edit_original_response(view=rule_board(interaction, queue, channel))


async def _show(interaction: discord.Interaction, queue: JobQueue, channel: int) -> None:
    await interaction.response.edit_message(view=rule_board(interaction, queue, channel))


def _chosen(interaction: discord.Interaction) -> str:
    return str(cast(dict[str, Any], interaction.data)["values"][0])


def _group(interaction: discord.Interaction) -> Group:
    """The settings that are to be changed. Raises BadInput for those of another version."""
    if (chosen := _chosen(interaction)) not in GROUPS:
        raise BadInput("This is no longer offered. Use /config again.")
    return Group(chosen)


def rule_board(interaction: discord.Interaction, queue: JobQueue, channel: int) -> ui.LayoutView:
    """What holds in a channel, or in the server where that is 0, and the controls."""
    say = language_of(interaction).say
    container = ui.Container[ui.LayoutView](accent_colour=BLUE)
    container.add_item(ui.TextDisplay("\n".join(map(say, _lines(interaction, queue, channel)))))
    container.add_item(ui.Separator())
    where = ui.ChannelSelect[ui.LayoutView](
        custom_id=_id(Act.WHERE, channel),
        placeholder=say("Look at a channel"),
        channel_types=list(CHANNELS),
        default_values=[discord.Object(channel)] if channel else [],
    )
    change = ui.Select[ui.LayoutView](
        custom_id=_id(Act.CHANGE, channel),
        placeholder=say("Change …"),
        options=[
            discord.SelectOption(label=say(name), value=group)
            for group, name in GROUPS.items()
            if channel == SERVER or group not in SERVER_GROUPS
        ],
    )
    container.add_item(ui.ActionRow(RuleControl(Act.CHANGE, channel, change)))
    container.add_item(ui.ActionRow(RuleControl(Act.WHERE, channel, where)))
    if buttons := _buttons(interaction, queue, channel):
        container.add_item(ui.ActionRow(*buttons))
    return view_of(container)


def _buttons(interaction: discord.Interaction, queue: JobQueue, channel: int) -> list[RuleControl]:
    """Back to the server's rules, and what was set here forgotten: where there is any sense."""
    labels = {}
    if channel != SERVER:
        labels[Act.SERVER] = Text("The server's rules")
    if queue.settings.own(interaction.guild_id or 0, channel):
        labels[Act.CLEAR] = FORGET[channel == SERVER]
    return _controls(interaction, channel, labels)


def _question(interaction: discord.Interaction, channel: int) -> ui.LayoutView:
    """Whether all that was set there is to be forgotten: that cannot be taken back."""
    say = language_of(interaction).say
    text = (
        Text(
            "**Forget all that was set for this server?** Its rules are then those that this bot "
            "comes with. What was set for single channels stays. This cannot be undone."
        )
        if channel == SERVER
        else Text(
            "**Forget all that was set for {channel}?** Then the server's rules hold there. This "
            "cannot be undone.",
            channel=f"<#{channel}>",
        )
    )
    labels = {Act.SURE: FORGET[channel == SERVER], Act.BACK: Text("Cancel")}
    container = ui.Container[ui.LayoutView](accent_colour=RED)
    container.add_item(ui.TextDisplay(say(text)))
    container.add_item(ui.ActionRow(*_controls(interaction, channel, labels)))
    return view_of(container)


def _controls(
    interaction: discord.Interaction, channel: int, labels: Mapping[Act, Text]
) -> list[RuleControl]:
    """Buttons for the rules of a channel."""
    say = language_of(interaction).say
    styles = dict.fromkeys((Act.CLEAR, Act.SURE), discord.ButtonStyle.danger)
    return [
        RuleControl(
            act,
            channel,
            ui.Button(
                label=say(label),
                custom_id=_id(act, channel),
                style=styles.get(act, discord.ButtonStyle.secondary),
            ),
        )
        for act, label in labels.items()
    ]


def _lines(interaction: discord.Interaction, queue: JobQueue, channel: int) -> list[Text]:
    server = interaction.guild_id or 0
    settings = queue.settings.of(server, channel)
    own = queue.settings.own(server, channel)
    if channel == SERVER:
        lines = [Text("### Rules of this server")]
        lines += [line for _, line in in_words(settings)]
        if settings.log_channel is not None:
            lines += filter(None, [log_channel_trouble(interaction.guild, settings.log_channel)])
        others = [f"<#{c}>" for c in queue.settings.channels(server) if _is_there(interaction, c)]
        if others:
            lines.append(Text("-# Other rules hold in {channels}.", channels=listed(others)))
        return lines
    lines = [Text("### Rules of {channel}", channel=f"<#{channel}>")]
    for names, line in in_words(settings):
        lines.append(Text("{rule} · *only here*", rule=line) if own & set(names) else line)
    lines.append(Text("-# What is not marked follows the server."))
    return lines


def _id(act: Act, channel: int) -> str:
    return f"atelier:rules:{act}:{channel}"
