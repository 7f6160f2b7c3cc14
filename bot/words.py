"""Words that an owner does not want in prompts, found also where they are spelt to be missed.

Compared is what a reader sees: without case, accents and marks, look-alikes of other
alphabets and figures as the letters that they stand for, letters drawn out or set apart. A rule
matches whole words, so that a forbidden word inside of a harmless one is let through; it may end in
`*` for all words that begin so, and be several words.
"""

import re
import string
import unicodedata
from collections.abc import Iterable, Iterator

from bot.config import UTF8, ModerationConfig, unreadable
from bot.errors import ConfigError, WordNotAllowed
from pipelines.contract.requests import Request
from pipelines.contract.text import Text

_LOOKALIKES = str.maketrans(
    {
        # Cyrillic
        **dict(zip("абвгеєзікмнорстухуѕјԁһԛԝ", "abbreezikmhopctyxysjdhqw", strict=True)),
        # Greek
        **dict(zip("αβγδεζηικνορτυχω", "abydezniknoptuxw", strict=True)),
        # small capitals
        **dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True)),
        # figures and signs
        **dict(zip("0134578@$€£!|+", "oieastbaseliit", strict=True)),
        "ø": "o",
        "ł": "l",
        "ı": "i",
        "đ": "d",
    }
)
_ENCLOSED = {
    first + i: letter
    for first in (0x1F150, 0x1F170)  # white on black, in circles and in squares
    for i, letter in enumerate(string.ascii_lowercase)
}
_SIGNS = "@$€£!|+"
_BLANKS = "_\u115f\u1160\u3164\uffa0"  # and Hangul's fillers: letters to Unicode, that nobody sees
_WORD = re.compile(rf"[\w{re.escape(_SIGNS)}]+")
_APART = re.compile(r"\b\w(?: \w\b){2,}")  # f o x
_INSIDE = re.compile(rf"[^\w\s{re.escape(_SIGNS)}]|[{_BLANKS}]")  # f.ox, f_ox, f*ox
_UNSPACED = re.compile("[\u2e80-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")  # scripts without spaces


def read_words(moderation: ModerationConfig) -> list[str]:
    """The words that prompts must not hold. Raises ConfigError."""
    words, file = list(moderation.words), moderation.words_file
    if file is not None:
        try:
            lines = file.read_text(UTF8).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"moderation.words_file: {file} cannot be read: {unreadable(error)}. "
                "Correct the path, or remove the key."
            ) from None
        words += filter(None, (line.partition("#")[0].strip() for line in lines))
    if empty := [word for word in words if not _plain(word)]:
        raise ConfigError(
            f"moderation.words: {empty[0]!r} has no letter or figure, and so would forbid nothing. "
            f"Correct it{'' if file is None else f', here or in {file}'}."
        )
    return words


class WordRules:
    """Refuses requests whose words match one of `rules`."""

    def __init__(self, rules: Iterable[str] = ()) -> None:
        cleaned = (rule.strip() for rule in rules)
        self._rules = [(rule, _pattern(rule)) for rule in cleaned if _plain(rule)]

    def check(self, request: Request) -> None:
        """Raise WordNotAllowed where the prompts of a request break a rule."""
        for words in (request.prompt, *(getattr(request, n, "") for n in ("caption", "negative"))):
            if (rule := self.broken(words)) is not None:
                raise WordNotAllowed(
                    Text(
                        "“{words}” is not allowed in prompts here. Please say it without.",
                        words=rule.rstrip("*"),
                    ),
                    rule,
                )

    def check_seen(self, caption: str) -> None:
        """Raise WordNotAllowed where what a model saw in a picture breaks one. On any thread."""
        if (rule := self.broken(caption)) is not None:
            raise WordNotAllowed(
                Text(
                    "In this picture I see “{words}”, which is not allowed here, so nothing was "
                    "made of it. If that is wrong, please say yourself what it shows.",
                    words=rule.rstrip("*"),
                ),
                rule,
            )

    def broken(self, text: str) -> str | None:
        """The first rule that a text breaks, else None."""
        readings = set(_readings(text)) if self._rules else ()
        for rule, pattern in self._rules:
            if any(pattern.search(reading) for reading in readings):
                return rule
        return None


def _pattern(rule: str) -> re.Pattern[str]:
    """What finds a rule in a reading. A letter that is drawn out is still that letter."""
    letters = _plain(rule)
    drawn_out = "".join(
        r"\s+" if run[0] == " " else f"{re.escape(run[0])}{{{len(run)},}}"
        for run in (match[0] for match in re.finditer(r"(.)\1*", letters))
    )
    if _UNSPACED.search(letters):
        return re.compile(drawn_out)
    end = "" if rule.endswith("*") else r"(?!\w)"
    return re.compile(rf"(?<!\w){drawn_out}{end}")


def _readings(text: str) -> Iterator[str]:
    """A text as somebody may read it: as it is, what is set apart joined, marks inside removed."""
    plain = _plain(text)
    yield plain
    yield _APART.sub(lambda match: match[0].replace(" ", ""), plain)
    yield _plain(_INSIDE.sub("", text))


def _plain(text: str) -> str:
    """The letters of a text, its words parted by single spaces."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_ENCLOSED))
    bare = "".join(c for c in decomposed if unicodedata.category(c) not in ("Mn", "Cf"))
    apart = re.sub(f"[{_BLANKS}]", " ", bare)
    return " ".join(_as_letters(word) for word in _WORD.findall(apart))


def _as_letters(word: str) -> str:
    """A word with its look-alikes as letters; a number stays one."""
    return word if word.isdigit() else word.strip("!|+").translate(_LOOKALIKES)
