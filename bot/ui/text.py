"""Words of people and models, made safe to show: they ping nobody, link nowhere, format nothing."""

import re

from pipelines.contract.requests import MAX_PROMPT, clean_text
from pipelines.contract.text import Text

_MARKS = re.compile(r"[\\*_~`|\[\]<]|:(?=//)|^[#>+-]|(?<=^\d)\.|(?<=^\d\d)\.")
_AT = "@\u2060"  # no mention is read across a word joiner, and no line broken at it
BAR = 16  # characters


def plain(text: str, room: int) -> str:
    """`text` on one line, shown letter by letter, in at most `room` characters of markdown."""
    clean = clean_text(text[:MAX_PROMPT])
    safe = _MARKS.sub(r"\\\g<0>", clean).replace("@", _AT)
    if len(safe) <= room:
        return safe
    return safe[: room - 1].rstrip("\\ ") + "…"


def bar(step: int, of: int) -> str:
    """A bar that is filled as far as `step` of `of`."""
    filled = BAR * min(step, of) // of if of else 0
    return "▰" * filled + "▱" * (BAR - filled)


def seconds(duration: float) -> Text:
    """A duration as a person would say it: 4.2 s, 38 s, 2 min 5 s."""
    if duration < 9.95:
        return Text("{seconds} s", seconds=round(duration, 1))
    minutes, rest = divmod(round(duration), 60)
    if not minutes:
        return Text("{seconds} s", seconds=rest)
    return Text("{minutes} min {seconds} s", minutes=minutes, seconds=rest)


def countdown(at: float) -> str:
    """A Unix time as Discord counts down to it, in the reader's language: in 2 minutes."""
    return f"<t:{round(at)}:R>"
