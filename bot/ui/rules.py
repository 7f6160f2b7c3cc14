"""The rules of a server or of a channel, in words."""

from collections.abc import Collection, Iterator

from babel import Locale

from bot.jobs.settings import Settings
from bot.ui.text import plain, seconds
from pipelines.contract.requests import Aspect, Kind
from pipelines.contract.text import Counted, Text

MOST_NAMED = 10  # of channels or roles in one line

Rule = tuple[Collection[str], Text]
"""A line, and the names of the settings that it speaks of."""


def in_words(settings: Settings) -> Iterator[Rule]:
    """What holds, line by line."""
    yield ("commands_off",), _commands(settings)
    yield ("roles", "minimum_age_days"), _members(settings)
    yield ("styles",), _styles(settings.styles)
    yield ("aspects", "pictures"), _shapes(settings)
    yield ("daily_seconds",), _share(settings.daily_seconds)
    yield (
        ("waiting",),
        Counted(
            "**Waiting** {n} job of a member",
            "**Waiting** up to {n} jobs of a member",
            settings.waiting,
        ),
    )
    yield ("role_weights",), _weights(settings)
    yield ("language",), _language(settings.language)
    yield ("previews",), _previews(settings.previews)
    yield (
        ("keep_days",),
        Counted(
            "**Kept** for {n} day after the end",
            "**Kept** for {n} days after the end",
            settings.keep_days,
        ),
    )
    yield ("log_channel",), _log(settings.log_channel)


def listed(mentions: Collection[str]) -> str:
    """Mentions with commas; the last ones left out where they are too many for a line."""
    first = ", ".join(list(mentions)[:MOST_NAMED])
    return f"{first}, …" if len(mentions) > MOST_NAMED else first


def language_name(tag: str) -> str:
    """A language as those who speak it call it."""
    return (Locale.parse(tag).display_name or tag).capitalize()


def _commands(settings: Settings) -> Text:
    on = ", ".join(f"/{kind}" for kind in Kind if kind not in settings.commands_off)
    off = ", ".join(f"/{kind}" for kind in Kind if kind in settings.commands_off)
    if not off:
        return Text("**Commands** {on}", on=on)
    if not on:
        return Text("**Commands** none: all are switched off")
    return Text("**Commands** {on}; switched off: {off}", on=on, off=off)


def _members(settings: Settings) -> Text:
    who = Text("**Members** everyone")
    if settings.roles:
        roles = listed([f"<@&{role}>" for role in sorted(settings.roles)])
        who = Text("**Members** with {roles}", roles=roles)
    if not settings.minimum_age_days:
        return who
    return Counted(
        "{who}, after {n} day in this server",
        "{who}, after {n} days in this server",
        settings.minimum_age_days,
        who=who,
    )


def _styles(styles: Collection[str]) -> Text:
    if not styles:
        return Text("**Styles** all")
    return Text("**Styles** {styles}", styles=plain(", ".join(sorted(styles)), 500))


def _shapes(settings: Settings) -> Text:
    shapes = [aspect for aspect in Aspect if aspect in settings.aspects] or list(Aspect)
    return Counted(
        "**Pictures** {n} at a time, in {shapes}",
        "**Pictures** up to {n} at a time, in {shapes}",
        settings.pictures,
        shapes=", ".join(shapes),
    )


def _share(daily: float | None) -> Text:
    if daily is None:
        return Text("**Share of a member** no limit: everyone takes turns")
    return Text(
        "**Share of a member** {time} of GPU time in 24 hours; whoever has used it waits behind "
        "the others",
        time=seconds(daily),
    )


def _weights(settings: Settings) -> Text:
    if not settings.role_weights:
        return Text("**Turns** the same for everyone")
    weights = sorted(settings.role_weights.items(), key=lambda item: -item[1])
    roles = listed([f"<@&{role}> × {weight:g}" for role, weight in weights])
    return Text("**Turns** {roles}", roles=roles)


def _language(tag: str | None) -> Text:
    if tag is None:
        return Text("**Language** of whoever asks")
    return Text("**Language** {language}", language=language_name(tag))


def _previews(on: bool) -> Text:
    return Text("**Previews** shown") if on else Text("**Previews** not shown")


def _log(channel: int | None) -> Text:
    if channel is None:
        return Text("**Log** none")
    return Text("**Log** in {channel}", channel=f"<#{channel}>")
