"""What braces stand for, and what is said of those that stand for nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.permutations import UNCLOSED, UNOPENED, literal, permutations
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import clean_text
from pipelines.contract.text import Text


@pytest.mark.parametrize(
    ("prompt", "meant"),
    [
        ("a red star", ["a red star"]),
        ("", [""]),
        ("a star, a hill", ["a star, a hill"]),
        ("{red, blue} star", ["red star", "blue star"]),
        ("{red,blue}{1,2}", ["red1", "red2", "blue1", "blue2"]),
        (
            "{red, blue} star on {hills, sea}",
            ["red star on hills", "red star on sea", "blue star on hills", "blue star on sea"],
        ),
        ("a {, dark} forest", ["a forest", "a dark forest"]),
        ("a {dark} forest", ["a dark forest"]),
        ("a {} forest", ["a forest"]),
        ("{a, {b, c} d}", ["a", "b d", "c d"]),
        ("{{a, b}}", ["a", "b"]),
        ("{red, red , blue}", ["red", "blue"]),
        (r"a \{red, blue\} star", ["a {red, blue} star"]),
        (r"{red\, white, blue}", ["red, white", "blue"]),
        (r"\o/ and \\", [r"\o/ and \\"]),
    ],
)
def test_the_prompts_that_one_stands_for(prompt: str, meant: list[str]) -> None:
    assert permutations(prompt, most=4) == meant


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a {red star", UNCLOSED),
        ("{a, {b}", UNCLOSED),
        ("{" * 1000, UNCLOSED),
        ("a red} star", UNOPENED),
        ("{a}}", UNOPENED),
        (r"{a\}", UNCLOSED),
        ("{a, b, c, d, e}", "more than 4 prompts"),
        ("{a, b}{a, b}{a, b}", "more than 4 prompts"),
        ("{0, 1}" * 160, "more than 4 prompts"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(prompt: str, said: str | Text) -> None:
    with pytest.raises(BadInput) as caught:
        permutations(prompt, most=4)
    assert str(said) in caught.value.sentence


WORDS = st.text(alphabet=st.characters(exclude_characters="\\{},"), min_size=1, max_size=8).filter(
    clean_text
)


@given(st.text())
def test_any_text_is_read_or_refused(prompt: str) -> None:
    try:
        assert 1 <= len(permutations(prompt, most=9)) <= 9
    except BadInput as error:
        assert error.sentence


@given(st.lists(WORDS, min_size=1, max_size=6), WORDS)
def test_every_alternative_is_there_once_and_in_order(words: list[str], rest: str) -> None:
    meant = permutations(f"{{{','.join(words)}}} {rest}", most=6)
    assert meant == list(dict.fromkeys(clean_text(f"{word} {rest}") for word in words))


@given(st.text(alphabet="a{},\\ ", max_size=30))
def test_a_text_can_stand_for_itself_alone(text: str) -> None:
    assert permutations(literal(text), most=1) == [clean_text(text)]


@given(st.text(alphabet="a{},", max_size=30))
def test_what_is_escaped_is_as_it_was_written(text: str) -> None:
    escaped = "".join(f"\\{c}" if c in "{}," else c for c in text)
    assert permutations(escaped, most=1) == [clean_text(text)]
