"""Text that people typed shows letter by letter, whatever it would mean to Discord."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.ui.text import bar, plain, seconds
from pipelines.contract.requests import MAX_PROMPT, clean_text

# Discord's own rule: a backslash takes the meaning from the punctuation after it.
ESCAPE = re.compile(r"\\([^0-9A-Za-z\s])")


def as_shown(markdown: str) -> str:
    return ESCAPE.sub(r"\1", markdown).replace("\u2060", "")


@pytest.mark.parametrize(
    ("typed", "safe"),
    [
        ("@everyone", "@\u2060everyone"),
        ("<@123> <#4> <t:1:R> </go:5> <:x:6>", None),
        ("[free nitro](https://example.com)", None),
        ("https://example.com", r"https\://example.com"),
        ("**bold** _it_ ~~no~~ `code` ||secret||", None),
        ("# big", r"\# big"),
        ("-# small", r"\-# small"),
        ("- a list", r"\- a list"),
        ("> a quote", r"\> a quote"),
        ("1. first", r"1\. first"),
        ("10. tenth", r"10\. tenth"),
        (r"back\slash", r"back\\slash"),
        ("a well-lit room, 3.5 m, 2:1", "a well-lit room, 3.5 m, 2:1"),
    ],
)
def test_markdown_means_nothing(typed: str, safe: str | None) -> None:
    shown = plain(typed, 1000)
    assert as_shown(shown) == typed
    assert safe is None or shown == safe
    assert not re.search(r"(?<!\\)[*_~`|\[\]<]", ESCAPE.sub("", shown))


@given(st.text(max_size=MAX_PROMPT))
def test_any_text_is_shown_as_it_was_typed(typed: str) -> None:
    assert as_shown(plain(typed, 10_000)) == clean_text(typed)


@given(st.text(min_size=1), st.integers(1, 60))
def test_it_never_takes_more_room_than_it_has(typed: str, room: int) -> None:
    shown = plain(typed, room)
    assert len(shown) <= room
    cut = shown.endswith("…") and not typed.endswith("…")
    # A backslash left at the cut would take the meaning from what follows.
    assert not cut or not shown[:-1].endswith("\\")


@pytest.mark.parametrize(("step", "filled"), [(0, 0), (1, 0), (15, 8), (30, 16), (31, 16)])
def test_the_bar_fills_to_the_end_and_no_further(step: int, filled: int) -> None:
    assert bar(step, 30) == "▰" * filled + "▱" * (16 - filled)


def test_durations_as_people_say_them() -> None:
    assert [str(seconds(s)) for s in (0.04, 9.94, 9.96, 59.4, 59.6, 125)] == [
        "0 s",
        "9.9 s",
        "10 s",
        "59 s",
        "1 min 0 s",
        "2 min 5 s",
    ]
