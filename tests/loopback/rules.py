"""The rules of a message and of a command that discord.py does not check before it sends."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from tests.loopback.problems import empty_message, invalid

Json = dict[str, Any]

EPHEMERAL = 1 << 6
LOADING = 1 << 7
COMPONENTS_V2 = 1 << 15

ROW, BUTTON, SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER = (
    1,
    2,
    9,
    10,
    11,
    12,
    13,
    14,
    17,
)
SELECTS = (3, 5, 6, 7, 8)
INSIDE = {
    ROW: (BUTTON, *SELECTS),
    SECTION: (TEXT,),
    CONTAINER: (ROW, TEXT, SECTION, GALLERY, FILE, SEPARATOR),
}
TOP = (ROW, SECTION, TEXT, GALLERY, FILE, SEPARATOR, CONTAINER)


def walk(components: Sequence[Json]) -> Iterator[Json]:
    """Every component, nested ones after the one that holds them."""
    for component in components:
        yield component
        yield from walk(component.get("components", ()))
        for key in ("accessory", "component"):
            if key in component:
                yield from walk((component[key],))


def media_of(components: Sequence[Json]) -> Iterator[Json]:
    """Every media item, `{"url": …}`, that components show."""
    for component in walk(components):
        if component["type"] == GALLERY:
            yield from (item["media"] for item in component["items"])
        elif component["type"] == THUMBNAIL:
            yield component["media"]
        elif component["type"] == FILE:
            yield component["file"]


def text_of(components: Sequence[Json]) -> str:
    """What the text components say, a line each."""
    return "\n".join(c["content"] for c in walk(components) if c["type"] == TEXT)


def check_message(
    *, content: str, embeds: Sequence[Json], components: Sequence[Json], flags: int, files: set[str]
) -> None:
    """Raise what Discord answers to a message as a whole. `files` are the names it carries."""
    if flags & COMPONENTS_V2:
        _check_v2(content, embeds, components)
    else:
        _check_classic(content, embeds, components, files)
    _check_controls(components)
    for media in media_of(components):
        scheme, _, name = media["url"].partition("://")
        if scheme == "attachment" and name not in files:
            raise invalid("components.url", "UNFURLED_MEDIA_ITEM_NOT_FOUND", media["url"])
        if scheme not in ("attachment", "http", "https"):
            raise invalid("components.url", "URL_TYPE_INVALID_SCHEME", media["url"])


def _check_v2(content: str, embeds: Sequence[Json], components: Sequence[Json]) -> None:
    if content or embeds:
        what = "content" if content else "embeds"
        raise invalid(what, "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", "is forbidden")
    if not components:
        raise empty_message()
    everything = list(walk(components))
    if len(everything) > 40:
        raise invalid("components", "BASE_TYPE_MAX_LENGTH", f"{len(everything)} of at most 40")
    if len(text_of(components).replace("\n", "")) > 4000:
        raise invalid("components", "COMPONENT_TEXT_TOO_LONG", "more than 4000 characters of text")
    _check_nesting("components", components, TOP)
    for component in everything:
        _check_contents(component)


def _check_nesting(where: str, components: Sequence[Json], allowed: Sequence[int]) -> None:
    for index, component in enumerate(components):
        here = f"{where}[{index}]"
        if component["type"] not in allowed:
            raise invalid(
                f"{here}.type", "BASE_TYPE_CHOICES", f"{component['type']} is not allowed"
            )
        inner = component.get("components")
        if component["type"] in INSIDE:
            if not inner:
                raise invalid(f"{here}.components", "BASE_TYPE_REQUIRED", "is required")
            _check_nesting(f"{here}.components", inner, INSIDE[component["type"]])


def _check_contents(component: Json) -> None:
    kind = component["type"]
    if kind == GALLERY and not 1 <= len(component["items"]) <= 10:
        raise invalid("components.items", "BASE_TYPE_BAD_LENGTH", "between 1 and 10 items")
    if kind == TEXT and not component["content"]:
        raise invalid("components.content", "BASE_TYPE_REQUIRED", "is required")
    if kind == SECTION and not 1 <= len(component["components"]) <= 3:
        raise invalid("components.components", "BASE_TYPE_BAD_LENGTH", "between 1 and 3 texts")


def _check_classic(
    content: str, embeds: Sequence[Json], components: Sequence[Json], files: set[str]
) -> None:
    if len(content) > 2000:
        raise invalid("content", "BASE_TYPE_MAX_LENGTH", "Must be 2000 or fewer in length.")
    if len(embeds) > 10:
        raise invalid("embeds", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    if len(components) > 5:
        raise invalid("components", "BASE_TYPE_MAX_LENGTH", "Must be 5 or fewer in length.")
    _check_nesting("components", components, (ROW,))
    if not (content or embeds or components or files):
        raise empty_message()


def _check_controls(components: Sequence[Json]) -> None:
    seen: set[str] = set()
    for component in walk(components):
        inner = component.get("components", ())
        if component["type"] == ROW and not 1 <= len(inner) <= 5:
            raise invalid("components.components", "BASE_TYPE_BAD_LENGTH", "1 to 5 in a row")
        if component["type"] == BUTTON and len(component.get("label") or "") > 80:
            raise invalid("components.label", "BASE_TYPE_MAX_LENGTH", "80 or fewer")
        if component["type"] in SELECTS and len(component.get("options", ())) > 25:
            raise invalid("components.options", "BASE_TYPE_MAX_LENGTH", "25 or fewer")
        if (custom_id := component.get("custom_id")) is None:
            continue
        if not 1 <= len(custom_id) <= 100:
            raise invalid("components.custom_id", "BASE_TYPE_BAD_LENGTH", "between 1 and 100")
        if custom_id in seen:
            raise invalid("components.custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED", custom_id)
        seen.add(custom_id)


def check_modal(data: Json) -> None:
    """Raise what Discord answers to a modal."""
    if not 1 <= len(data["title"]) <= 45:
        raise invalid("title", "BASE_TYPE_BAD_LENGTH", "between 1 and 45")
    if not 1 <= len(data["custom_id"]) <= 100:
        raise invalid("custom_id", "BASE_TYPE_BAD_LENGTH", "between 1 and 100")
    if not 1 <= len(data["components"]) <= 5:
        raise invalid("components", "BASE_TYPE_BAD_LENGTH", "between 1 and 5")
    _check_controls(data["components"])


def check_commands(commands: Sequence[Json]) -> None:
    """Raise what Discord answers to a bulk overwrite of commands."""
    names = [(c.get("type", 1), c["name"]) for c in commands]
    if len(set(names)) < len(names):
        raise invalid("name", "APPLICATION_COMMANDS_DUPLICATE_NAME", "names must be unique")
    for index, command in enumerate(commands):
        where = f"[{index}]".strip("[]")
        if command.get("type", 1) == 1:
            _check_described(where, command)
        _check_options(where, command.get("options", ()))
        if (size := _size(command)) > 8000:
            raise invalid(where, "APPLICATION_COMMAND_TOO_LARGE", f"{size} of at most 8000")


def _check_described(where: str, thing: Json) -> None:
    name = thing["name"]
    if not re.fullmatch(r"[-_'\w]{1,32}", name) or name != name.lower():
        raise invalid(f"{where}.name", "STRING_TYPE_REGEX", f"{name!r} is not a command's name")
    if not 1 <= len(thing.get("description", "")) <= 100:
        raise invalid(f"{where}.description", "BASE_TYPE_BAD_LENGTH", "between 1 and 100")


def _check_options(where: str, options: Sequence[Json]) -> None:
    if len(options) > 25:
        raise invalid(f"{where}.options", "BASE_TYPE_MAX_LENGTH", "25 or fewer")
    required = [bool(option.get("required")) for option in options]
    if required != sorted(required, reverse=True):
        raise invalid(f"{where}.options", "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", "first")
    for index, option in enumerate(options):
        here = f"{where}.options[{index}]"
        _check_described(here, option)
        if len(choices := option.get("choices") or ()) > 25:
            raise invalid(f"{here}.choices", "BASE_TYPE_MAX_LENGTH", "25 or fewer")
        if any(not 1 <= len(choice["name"]) <= 100 for choice in choices):
            raise invalid(f"{here}.choices", "BASE_TYPE_BAD_LENGTH", "between 1 and 100")
        _check_options(here, option.get("options") or ())


def _size(thing: Json) -> int:
    own = len(thing["name"]) + len(thing.get("description", ""))
    choices = sum(len(c["name"]) + len(str(c["value"])) for c in thing.get("choices") or ())
    return own + choices + sum(_size(option) for option in thing.get("options") or ())
