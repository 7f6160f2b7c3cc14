"""Sentences in the reader's language."""

import json

import pytest

from bot.languages import language
from pipelines.contract.errors import BadInput
from pipelines.contract.text import Counted, Text


@pytest.mark.parametrize(
    ("locale", "said"),
    [("de", "3 Aufträge"), ("en-US", "3 jobs"), ("tlh", "3 jobs"), ("../de", "3 jobs")],
)
def test_a_sentence_is_said_in_the_readers_language_or_in_english(locale: str, said: str) -> None:
    assert language(locale).say(Counted("{n} job", "{n} jobs", 3)) == said


def test_one_is_said_otherwise_than_many() -> None:
    assert language("de").say(Counted("{n} job", "{n} jobs", 1)) == "1 Auftrag"


def test_values_are_said_in_the_same_language() -> None:
    text = Text("You have {jobs}", jobs=Counted("{n} job", "{n} jobs", 2))

    assert language("de").say(text) == "You have 2 Aufträge"
    assert str(text) == "You have 2 jobs"


def test_what_no_catalogue_holds_is_said_in_english_with_its_braces() -> None:
    assert language("de").say("{red, blue} star") == "{red, blue} star"


def test_a_sentence_survives_a_row_of_the_store() -> None:
    text = Text("You have {jobs}, {name}", jobs=Counted("{n} job", "{n} jobs", 2), name="Ada {x}")

    assert Text.from_json(json.loads(json.dumps(text.to_json()))) == text


def test_an_error_keeps_what_its_sentence_is_made_of() -> None:
    error = BadInput("There is no style “{name}”.", name="ink")

    assert error.sentence == str(error) == "There is no style “ink”."
    assert error.text.values == {"name": "ink"}
