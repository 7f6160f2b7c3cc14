"""What a request takes of what people type."""

from typing import NoReturn

import pytest

from pipelines.contract.errors import BadInput
from pipelines.contract.requests import MAX_PROMPT, ImagineRequest, clean_text


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  a\tfox\r\n\x00in  snow ", "a fox in snow"),
        ("a\u200bfox\ud800\ufeff", "afox"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # the joiner makes it two parts of one word
        (" " * 5 * MAX_PROMPT + "a fox", "a fox"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("a \U0001faff\U000e0fff", "a \U0001faff"),  # no emoji yet, and what shows nothing
    ],
)
def test_a_prompt_is_one_line_of_what_can_be_seen(typed: str, kept: str) -> None:
    assert clean_text(typed) == kept
    assert ImagineRequest(prompt=typed, seed=1).prompt == kept


def test_what_joins_nothing_is_no_prompt() -> None:
    with pytest.raises(BadInput, match="the prompt is empty"):
        ImagineRequest(prompt="\u200d \u200c", seed=1)


class Heavy(str):
    """Text that nobody may walk through, as if it were a book."""

    __slots__ = ()

    def __iter__(self) -> NoReturn:
        raise AssertionError


def test_what_is_far_too_long_is_refused_by_its_length() -> None:
    with pytest.raises(BadInput, match="the prompt to 1000 characters or fewer; now it has 50000"):
        clean_text(Heavy("x" * 50 * MAX_PROMPT))
    with pytest.raises(BadInput, match="now it has 1001"):
        clean_text("x" * (MAX_PROMPT + 1))
