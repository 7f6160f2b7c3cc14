"""The forms behind /config's "Change …", and what is sent off with them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import discord
from discord import ui

from bot.jobs.queue import JobQueue
from bot.jobs.settings import OLDEST_DAYS, Settings
from bot.languages import languages
from bot.ui.answers import language_of
from bot.ui.forms import TITLE, Label, Say, chosen, show_form
from bot.ui.rules import language_name
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import MAX_COUNT, Aspect, Kind
from pipelines.contract.text import Text

Filled = Mapping[str, list[str]]

MOST, DESCRIPTION = 25, 100  # options, and characters, that Discord takes
MEMBERS_OWN = "own"  # in the place of a language
SHOWN, HIDDEN = "shown", "hidden"
THOUSANDS = re.compile(r"[1-9][0-9]{0,2}([.,][0-9]{3})+")


class Group(StrEnum):
    """Settings that are changed together."""

    USE = "use"
    CHOICES = "choices"
    SHARES = "shares"
    WEIGHTS = "weights"
    REST = "rest"
    LOG = "log"


GROUPS = {
    Group.USE: Text("Commands and members"),
    Group.CHOICES: Text("Styles, shapes and numbers"),
    Group.SHARES: Text("Share of a member, waiting jobs"),
    Group.WEIGHTS: Text("Turns by role"),
    Group.REST: Text("Language, previews, retention"),
    Group.LOG: Text("Log"),
}
SERVER_GROUPS = frozenset({Group.WEIGHTS, Group.LOG})
RULES_FORM_ID = re.compile(
    rf"atelier:rules-form:(?P<group>{'|'.join(Group)}):(?P<channel>[0-9]{{1,20}}):[0-9]+"
)


async def open_rules_form(
    interaction: discord.Interaction, queue: JobQueue, channel: int, group: Group
) -> None:
    """Show the form of a group, filled in with what holds now."""
    say = language_of(interaction).say
    settings = queue.settings.of(interaction.guild_id, channel)
    labels = _labels(group, settings, queue.styles(), say)
    await show_form(
        interaction, say(GROUPS[group]), f"atelier:rules-form:{group}:{channel}", labels
    )


def _labels(group: Group, settings: Settings, styles: Iterable[str], say: Say) -> Iterator[Label]:
    match group:
        case Group.USE:
            on = [kind for kind in Kind if kind not in settings.commands_off]
            yield _several(say("Commands that may be used"), "commands", Kind, on, say("None"))
            yield _roles(say("Only for members with"), "roles", settings.roles, say("Everyone"))
            yield _line(
                say("Days in this server before using the bot"),
                "minimum_age_days",
                str(settings.minimum_age_days or ""),
                say("Newer members are told from when. Empty: no wait"),
                required=False,
            )
        case Group.CHOICES:
            yield from _looks(settings, styles, say)
        case Group.SHARES:
            daily = settings.daily_seconds
            yield _line(
                say("GPU-seconds of a member in 24 hours"),
                "daily_seconds",
                "" if daily is None else f"{daily:.10g}",  # as many digits as the line takes
                say("Whoever has used them waits behind the others. Empty: no limit"),
                required=False,
            )
            yield _line(say("Jobs of a member that may wait"), "waiting", str(settings.waiting))
        case Group.WEIGHTS:
            yield _roles(say("Members with"), "weighted", (), say("Choose roles"), required=True)
            what = say(
                "2: twice as much of the GPU as others here, 0.5: half, 1: the same. "
                "Other servers lose nothing"
            )
            yield _line(say("Have turns this many times as large"), "weight", "2", what)
        case Group.REST:
            tongues = {MEMBERS_OWN: say("Of whoever asks")}
            tongues |= {tag: language_name(tag) for tag in languages()}
            chosen = settings.language or MEMBERS_OWN
            yield _one(say("Language"), "language", tongues, chosen)
            shown = {SHOWN: say("Shown"), HIDDEN: say("Not shown")}
            yield _one(say("Previews"), "previews", shown, SHOWN if settings.previews else HIDDEN)
            kept = str(settings.keep_days)
            yield _line(say("Days that drawings and results are kept"), "keep_days", kept)
        case Group.LOG:
            yield _channel(say("Tell moderators in"), "log_channel", settings.log_channel)


def _looks(settings: Settings, styles: Iterable[str], say: Say) -> Iterator[Label]:
    """What pictures may be asked for."""
    everything = say("All")
    if names := _choices(styles, settings.styles):
        yield _several(say("Only these styles"), "styles", names, settings.styles, everything)
    yield _several(say("Only these shapes"), "aspects", Aspect, settings.aspects, everything)
    counts = {str(n): str(n) for n in range(1, MAX_COUNT + 1)}
    most = str(settings.pictures)
    yield _one(say("Pictures at a time, at most"), "pictures", counts, most)


async def take_rules_form(interaction: discord.Interaction, queue: JobQueue, channel: int) -> None:
    """Set what was sent off. Raises BadInput, StorageFailed."""
    filled = chosen(interaction)
    server = interaction.guild_id or 0
    await interaction.response.defer()
    if "weighted" in filled:
        weight = _number(filled["weight"][0], least=0.1, most=100)
        roles = {role.id for role in (interaction.guild.roles if interaction.guild else ())}
        weights = dict.fromkeys(map(int, filled["weighted"]), weight)
        await queue.settings.set_weights(server, weights, roles)
    else:
        changes = _changes(filled, queue.settings.of(server, channel))
        await queue.settings.change(server, channel, **changes)


def _changes(filled: Filled, settings: Settings) -> dict[str, Any]:
    """The settings that a form says. Raises BadInput for what is no number."""
    changes: dict[str, Any] = {}
    for field, values in filled.items():
        match field:
            case "commands":
                later = settings.commands_off - set(Kind)
                changes["commands_off"] = {k for k in Kind if k not in values} | later
            case "roles":
                changes[field] = frozenset(map(int, values))
            case "styles":
                changes[field] = frozenset(values)
            case "aspects":  # all of them are no restriction, as none is
                changes[field] = frozenset(values if len(values) < len(Aspect) else ())
            case "daily_seconds":
                changes[field] = _number(values[0], least=1) if values[0].strip() else None
            case "pictures" | "waiting" | "keep_days":
                changes[field] = _whole(values[0])
            case "minimum_age_days":
                changes[field] = int(_number(values[0].strip() or "0", least=0, most=OLDEST_DAYS))
            case "language":
                changes[field] = None if values[0] == MEMBERS_OWN else values[0]
            case "previews":
                changes[field] = values[0] == SHOWN
            case "log_channel":
                changes[field] = int(values[0]) if values else None
    return changes


def _whole(text: str) -> int:
    if not text.strip().isdecimal() or not int(text):
        raise BadInput("Please give a whole number from 1 on, not “{text}”.", text=text[:60])
    return int(text)


def _number(text: str, *, least: float, most: float = 1e9) -> float:
    written = text.strip()
    if THOUSANDS.fullmatch(written):  # nobody means thousandths
        written = written.replace(".", "").replace(",", "")
    try:
        number = float(written.replace(",", "."))
    except ValueError:
        raise BadInput("Please give a number, not “{text}”.", text=text[:60]) from None
    if not least <= number <= most:
        raise BadInput(
            "Please give a number from {least} to {most}, not “{text}”.",
            least=least,
            most=round(most),
            text=text[:60],
        )
    return number


# -- what a form is made of -------------------------------------------------------------------


def _label(name: str, component: ui.Item[Any], description: str | None = None) -> Label:
    """As much of the words as Discord takes."""
    if description is not None:
        description = description[:DESCRIPTION]
    return ui.Label(text=name[:TITLE], component=component, description=description)


def _choices(offered: Iterable[str], chosen: Iterable[str]) -> list[str]:
    """The chosen ones, which may no longer be offered, and the others as far as they fit."""
    first = sorted(chosen)
    return [*first, *(name for name in offered if name not in first)][:MOST]


def _several(
    name: str, field: str, values: Iterable[str], chosen: Iterable[str], otherwise: str
) -> Label:
    """Any number of `values`; `otherwise` says what none of them means."""
    slash = "/" if field == "commands" else ""
    options = [
        discord.SelectOption(label=f"{slash}{v}", value=str(v), default=v in set(chosen))
        for v in values
    ]
    select = ui.Select[ui.Modal](
        custom_id=field,
        placeholder=otherwise,
        options=options,
        min_values=0,
        max_values=len(options),
        required=False,
    )
    return _label(name, select)


def _one(name: str, field: str, values: Mapping[str, str], chosen: str) -> Label:
    options = [
        discord.SelectOption(label=label, value=value, default=value == chosen)
        for value, label in values.items()
    ]
    return _label(name, ui.Select[ui.Modal](custom_id=field, options=options))


def _roles(
    name: str, field: str, chosen: Iterable[int], otherwise: str, *, required: bool = False
) -> Label:
    select = ui.RoleSelect[ui.Modal](
        custom_id=field,
        placeholder=otherwise,
        min_values=int(required),
        max_values=MOST,
        required=required,
        default_values=[discord.Object(role) for role in sorted(chosen)[:MOST]],
    )
    return _label(name, select)


def _channel(name: str, field: str, chosen: int | None) -> Label:
    select = ui.ChannelSelect[ui.Modal](
        custom_id=field,
        channel_types=[discord.ChannelType.text],
        min_values=0,
        required=False,
        default_values=[] if chosen is None else [discord.Object(chosen)],
    )
    return _label(name, select)


def _line(
    name: str, field: str, value: str, description: str | None = None, *, required: bool = True
) -> Label:
    line = ui.TextInput[ui.Modal](custom_id=field, default=value, required=required, max_length=10)
    return _label(name, line, description)
