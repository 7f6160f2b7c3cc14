"""What people read, in their language.

The code says everything in English, with names in braces for what is filled in. A catalogue in
`bot/locales`, a .po file as gettext has them, holds each sentence in another language; what one
lacks is said in English.
"""

import gettext
import io
from functools import cache
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from pipelines.contract.text import Counted, Text

FOLDER = Path(__file__).parent / "locales"


class Language:
    """Says sentences in one language. `tag` is its name: en, de, …"""

    def __init__(self, tag: str, catalogue: gettext.NullTranslations) -> None:
        self.tag = tag
        self._catalogue = catalogue

    def say(self, sentence: str | Text, /, **values: Any) -> str:
        """A sentence with its values, which may be sentences themselves."""
        text = sentence if isinstance(sentence, Text) else Text(sentence, **values)
        if isinstance(text, Counted):
            said = self._catalogue.ngettext(text.sentence, text.many, text.values["n"])
        else:
            said = self._catalogue.gettext(text.sentence) if text.sentence else ""
        return Text.filled(said, {key: self._value(value) for key, value in text.values.items()})

    def _value(self, value: object) -> object:
        if isinstance(value, float):
            return format_decimal(value, locale=self.tag, group_separator=False)
        return self.say(value) if isinstance(value, Text) else value


@cache  # for every request over HTTP asks
def languages() -> tuple[str, ...]:
    """The tags of all that there are, English first."""
    return (ENGLISH.tag, *sorted(file.stem for file in FOLDER.glob("*.po")))


def language(locale: str) -> Language:
    """The language of a locale of Discord's, such as `de` or `es-419`; English for what we lack."""
    return _load(locale.partition("-")[0])


@cache
def _load(tag: str) -> Language:
    file = FOLDER / f"{tag}.po"
    if tag not in languages() or tag == ENGLISH.tag:
        return ENGLISH
    compiled = io.BytesIO()
    with file.open("rb") as written:
        write_mo(compiled, read_po(written, locale=tag))
    compiled.seek(0)
    return Language(tag, gettext.GNUTranslations(compiled))


ENGLISH = Language("en", gettext.NullTranslations())
