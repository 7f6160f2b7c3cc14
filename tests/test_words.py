"""Forbidden words, however they are spelt, and harmless ones that only look like them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import ModerationConfig
from bot.errors import Refused
from bot.words import WordRules, read_words
from pipelines.contract.requests import ImagineRequest

RULES = WordRules(["fox", "grass", "bad wolf", "blood*", "鬼"])


@pytest.mark.parametrize(
    "text",
    [
        "a fox",
        "A FOX!",
        "a ｆｏｘ",
        "fóx",
        "f0x",
        "fох with Cyrillic letters",
        "f o x",
        "f.o.x",
        "f-o-x",
        "f_o_x",
        "fo*x",
        "foooooox",
        "f\u200box",
        "f\u1160ox",
        "f\u3164o\u3164x",
        "bad\u3164wolf",
        "ꜰᴏx",
        "🅕🅾🆇",
        "a f\u0336o\u0336x\u0336",
        "gra$$",
        "gr@55",
        "bad   wolf",
        "a baaad wolf",
        "bloody",
        "bl00dy hands",
        "赤鬼の絵",
    ],
)
def test_it_is_found(text: str) -> None:
    assert RULES.broken(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "a foxglove",
        "an outfox",
        "gras",
        "a wolf that is not bad",
        "a bad, bad sheep and a wolf",
        "lifeblood",
        "70 x 100",
        "f o u r cats",
        "a red star on a blue background",
        "",
    ],
)
def test_it_is_let_through(text: str) -> None:
    assert RULES.broken(text) is None


def test_a_number_is_no_word_and_a_word_no_number() -> None:
    assert WordRules(["ass"]).broken("455 stars") is None
    assert WordRules(["88"]).broken("bb") is None


def test_spaces_around_a_rule_do_not_matter() -> None:
    assert WordRules([" blood* "]).broken("bloody") == "blood*"


def test_the_refusal_names_what_is_to_be_left_out() -> None:
    with pytest.raises(Refused, match="“blood” is not allowed"):
        RULES.check(ImagineRequest(prompt="a bloody hand", seed=1))
    with pytest.raises(Refused, match="“fox”"):
        RULES.check(ImagineRequest(prompt="a wolf", negative="f0x", seed=1))
    with pytest.raises(Refused, match="I see “blood”, which"):
        RULES.check_seen("a bloody hand")


def test_a_list_may_have_notes_and_lines_of_spaces(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("fox  # a note\n   # another\n \t\n", "utf-8-sig")  # as from Windows
    assert read_words(ModerationConfig(words_file=file)) == ["fox"]


@pytest.mark.parametrize("rules", [[], ["", "  ", "*", "…"]])
def test_without_rules_everything_is_allowed(rules: list[str]) -> None:
    assert WordRules(rules).broken("a fox") is None


@given(st.text(), st.text())
def test_no_text_breaks_the_rules_themselves(rule: str, text: str) -> None:
    WordRules([rule]).broken(text)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=2))
def test_every_word_is_found_as_it_is_written(word: str) -> None:
    assert WordRules([word]).broken(f"a picture of {word}, please") == word
