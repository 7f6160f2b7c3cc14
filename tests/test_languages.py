"""Sentences in the reader's language."""

import asyncio
import json
import re
from collections.abc import Iterator
from string import Formatter
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message

from bot.commands.translator import CommandTranslator
from bot.languages import language, languages
from bot.ui.buttons import LABELS
from bot.ui.editing import NUMBERS
from pipelines.contract.errors import BadInput
from pipelines.contract.text import Counted, Text
from tests.sentences import payloads, put_together, read, sentences

OTHERS = languages()[1:]


@pytest.mark.parametrize(
    ("locale", "said"),
    [("de", "3 Aufträge"), ("en-US", "3 jobs"), ("tlh", "3 jobs"), ("../de", "3 jobs")],
)
def test_a_sentence_is_said_in_the_readers_language_or_in_english(locale: str, said: str) -> None:
    assert language(locale).say(Counted("{n} job", "{n} jobs", 3)) == said


@pytest.mark.parametrize(("locale", "said"), [("es-419", "3 trabajos"), ("zh-TW", "3 个任务")])
def test_a_country_speaks_its_language(locale: str, said: str) -> None:
    assert language(locale).say(Counted("{n} job", "{n} jobs", 3)) == said


@pytest.mark.parametrize(
    ("locale", "one", "none"),
    [
        ("de", "1 Auftrag", "0 Aufträge"),
        ("fr", "1 tâche", "0 tâche"),
        ("ja", "1 件", "0 件"),
    ],
)
def test_one_is_said_otherwise_than_many(locale: str, one: str, none: str) -> None:
    say = language(locale).say
    assert [say(Counted("{n} job", "{n} jobs", n)) for n in (1, 0)] == [one, none]


def test_values_are_said_in_the_same_language() -> None:
    text = Text("You have {jobs}", jobs=Counted("{n} job", "{n} jobs", 2))

    assert language("de").say(text) == "You have 2 Aufträge"
    assert str(text) == "You have 2 jobs"


@pytest.mark.parametrize(
    ("locale", "said"), [("de", "4,2 s"), ("en-GB", "4.2 s"), ("ja", "4.2 秒")]
)
def test_a_number_has_the_readers_decimal_sign(locale: str, said: str) -> None:
    assert language(locale).say("{seconds} s", seconds=4.2) == said


def test_what_no_catalogue_holds_is_said_in_english_with_its_braces() -> None:
    assert language("de").say("{red, blue} star") == "{red, blue} star"


def test_a_sentence_survives_a_row_of_the_store() -> None:
    text = Text("You have {jobs}, {name}", jobs=Counted("{n} job", "{n} jobs", 2), name="Ada {x}")

    assert Text.from_json(json.loads(json.dumps(text.to_json()))) == text


def test_an_error_keeps_what_its_sentence_is_made_of() -> None:
    error = BadInput("There is no style “{name}”.", name="ink")

    assert error.sentence == str(error) == "There is no style “ink”."
    assert error.text.values == {"name": "ink"}


# --- the catalogues -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_code() -> Catalog:
    return asyncio.run(sentences())


def test_the_languages_are_those_that_are_promised() -> None:
    assert {"en", "de", "es", "fr", "ja", "zh"} <= set(languages())
    assert languages() is languages()  # whoever asks over HTTP does not have the disk asked


def test_no_sentence_is_put_together_where_no_catalogue_can_hold_it() -> None:
    assert list(put_together()) == []


@pytest.mark.parametrize("tag", OTHERS)
def test_every_sentence_of_the_code_is_in_every_catalogue(tag: str, in_code: Catalog) -> None:
    catalogue = read(tag)
    missing = [m.id for m in in_code if m.id and not all(_said(catalogue.get(_key(m))))]
    assert not missing, f"{tag}.po has no translation of {missing}; `make languages` adds the lines"
    forgotten = [m.id for m in catalogue if m.id and in_code.get(_key(m)) is None]
    assert not forgotten, f"{tag}.po has what nobody says: {forgotten}; run `make languages`"


@pytest.mark.parametrize("tag", OTHERS)
def test_a_translation_has_the_places_marks_and_lines_of_the_english(tag: str) -> None:
    catalogue = read(tag)
    for message in filter(lambda m: m.id, catalogue):
        for english, said in zip(_english(message), _said(message), strict=True):
            assert _places(said) == _places(english), said
            for mark in ("**", "`", "-# ", "\n", "https://"):
                assert said.count(mark) == english.count(mark), f"{mark} in {said}"


@pytest.mark.parametrize("tag", OTHERS)
def test_forms_and_buttons_have_room_for_every_language(tag: str) -> None:
    say = language(tag).say
    names = (
        "Edit, then make it again",
        "Prompt",
        "What to keep out of the picture",
        "Strength",
        "Motion",
        "Seed",
    )
    rooms: list[tuple[str | Text, int]] = [(n, 45) for n in (*names, "What the drawing shows")]
    rooms += [(hint, 100) for hint in NUMBERS.values()] + [(each, 80) for each in LABELS.values()]
    for sentence, most in rooms:
        assert len(say(sentence)) <= most, say(sentence)


def _key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def _english(message: Message) -> list[str]:
    """The English of each of its translations: the first of several is about one thing."""
    if isinstance(message.id, str):
        return [message.id]
    one, many = message.id
    forms = _said(message)
    return [one, *[many] * (len(forms) - 1)] if len(forms) > 1 else [many]


def _said(message: Message | None) -> list[str]:
    """Its translations, one for each plural form; an empty one where there is none."""
    if message is None or not message.string:
        return [""]
    return [message.string] if isinstance(message.string, str) else list(message.string)


def _places(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


# --- the commands -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def commands() -> list[dict[str, Any]]:
    return asyncio.run(payloads(CommandTranslator()))


def test_discord_has_room_for_every_command_in_every_language(
    commands: list[dict[str, Any]],
) -> None:
    for command in commands:
        if command["type"] != 1:
            assert all(1 <= len(s) <= 32 for s in _localised(command, "name"))
        for part in _parts(command):
            texts = [*_localised(part, "name"), *_localised(part, "description")]
            assert all(1 <= len(s) <= 100 for s in texts), texts
        assert sum(map(_characters, _parts(command))) <= 8000


def test_descriptions_are_translated_and_names_are_not(commands: list[dict[str, Any]]) -> None:
    imagine = next(c for c in commands if c["name"] == "imagine")
    spoken = {"de", "fr", "ja", "es-ES", "es-419", "zh-CN", "zh-TW"}
    assert spoken == set(imagine["description_localizations"])
    assert imagine["description_localizations"]["de"] == "Male ein Bild aus Worten"
    assert not imagine["name_localizations"]
    aspect = next(o for o in imagine["options"] if o["name"] == "aspect")
    assert "name_localizations" not in aspect
    assert aspect["choices"][0]["name_localizations"]["de"] == "Quadrat 1:1"
    menu = next(c for c in commands if c["name"] == "Animate this")
    assert menu["name_localizations"]["de"] == "Animieren"


def _parts(command: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A command, its options and their choices."""
    yield command
    for inner in (*command.get("options", ()), *command.get("choices", ())):
        yield from _parts(inner)


def _localised(part: dict[str, Any], field: str) -> list[str]:
    return list((part.get(f"{field}_localizations") or {}).values())


def _characters(part: dict[str, Any]) -> int:
    """What Discord counts, in the language that takes most."""
    longest = (
        max((len(s) for s in [str(part.get(field, "")), *_localised(part, field)]), default=0)
        for field in ("name", "description", "value")
    )
    return sum(longest)


def test_no_language_lends_its_sentences_to_another() -> None:
    """Short words may be the same in two languages, a whole sentence is a slip of the pen."""
    said: dict[str, str] = {}
    for tag in OTHERS:
        for message in read(tag):
            for sentence in _said(message):
                if message.id and len(sentence) > 30 and sentence not in _english(message):
                    assert said.setdefault(sentence, tag) == tag, sentence


FORMAL = {"de": r"[a-zäöüß,;] (Sie|Ihnen|Ihr(e[mnrs]?)?)\b", "fr": r"\b[Vv](ous|otre|os|euillez)\b"}


@pytest.mark.parametrize("tag", FORMAL)
def test_members_are_spoken_to_as_people_do_on_discord(tag: str) -> None:
    """By everyone who translates: one polite form among the others jars."""
    said = [sentence for message in read(tag) if message.id for sentence in _said(message)]
    assert [sentence for sentence in said if re.search(FORMAL[tag], sentence)] == []
