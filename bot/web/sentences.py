"""The sentences of the page, and the reader's catalogue of them.

They are in the bot's own catalogues. In the page's HTML they are what `data-say` names: attributes,
or without a name the text; in its modules what `say` and `counted` are given.
"""

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from bot.languages import FOLDER, languages

STATIC = Path(__file__).parent / "static"

Sentence = str | tuple[str, ...]
"""One, or two of which a number chooses."""

_KEYWORDS = {"say": None, "counted": (1, 2)}


def sentences() -> Iterator[tuple[Path, int, Sentence]]:
    """All of them, with the file and the line that they stand in."""
    for file in sorted(STATIC.glob("*.js")):
        for line, sentence, _, _ in extract_from_file("javascript", file, _KEYWORDS):
            yield file, line, sentence
    for file in sorted(STATIC.glob("*.html")):
        for line, said in _Page(file.read_text(encoding="utf-8")).said:
            yield file, line, said


def words(tag: str) -> dict[str, str | list[str]]:
    """What the page says in a language, by its English; empty for one that is not spoken here."""
    return _words(tag) if tag in languages()[1:] else {}


@cache  # not of whatever somebody may ask for
def _words(tag: str) -> dict[str, str | list[str]]:
    with (FOLDER / f"{tag}.po").open("rb") as file:
        catalogue = read_po(file, locale=tag)
    said: dict[str, str | list[str]] = {}
    for _, _, english in sentences():
        key = english if isinstance(english, str) else english[0]  # of one and of several
        message = catalogue.get(key)
        if message is not None and message.string:
            forms = message.string
            said[key] = forms if isinstance(forms, str) else list(forms)
    return said


class _Page(HTMLParser):
    """Notes what is to be said on a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: list[tuple[int, str]] = []
        self._awaited = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        names = (attributes.get("data-say") or "").split()
        self.said += [(self.getpos()[0], attributes[name] or "") for name in names]
        self._awaited = "data-say" in attributes and not names

    def handle_data(self, data: str) -> None:
        if self._awaited:
            self.said.append((self.getpos()[0], data.strip()))
        self._awaited = False
