"""Words of people and models, made safe to show: they ping nobody, link nowhere, format nothing."""

import re

from pipelines.contract.requests import MAX_PROMPT, clean_text

_MARKS = re.compile(r"[\\*_~`|\[\]<]|:(?=//)|^[#>+-]|(?<=^\d)\.|(?<=^\d\d)\.")
_AT = "@\u2060"  # no mention is read across a word joiner, and no line broken at it


def plain(text: str, room: int) -> str:
    """`text` on one line, shown letter by letter, in at most `room` characters of markdown."""
    clean = clean_text(text[:MAX_PROMPT])
    safe = _MARKS.sub(r"\\\g<0>", clean).replace("@", _AT)
    if len(safe) <= room:
        return safe
    return safe[: room - 1].rstrip("\\ ") + "…"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, … 11th, … 21st."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def bar(step: int, of: int, width: int = 16) -> str:
    """A bar of `width` characters, filled as far as `step` of `of`."""
    filled = width * min(step, of) // of if of else 0
    return "▰" * filled + "▱" * (width - filled)


def seconds(duration: float) -> str:
    """A duration as a person would say it: 4.2 s, 38 s, 2 min 5 s."""
    if duration < 9.95:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def countdown(at: float) -> str:
    """A Unix time as Discord counts down to it, in the reader's language: in 2 minutes."""
    return f"<t:{round(at)}:R>"
