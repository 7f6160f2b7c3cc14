from dataclasses import replace

import pytest

from bot.jobs.limits import Crowd, Limits, about

LIMITS = Limits(waiting_per_member=2, waiting_in_all=4)


def _crowd(*owners: int, seconds: float = 60.0) -> Crowd:
    crowd = Crowd()
    for owner in owners:
        crowd.add(owner, 1, seconds)
    return crowd


def test_there_is_room_below_the_limits() -> None:
    assert _crowd().refusal(1, LIMITS) is None
    assert _crowd(1, 2, 2).refusal(1, LIMITS) is None


def test_a_member_with_enough_waiting_hears_when_the_next_is_done() -> None:
    refusal = _crowd(1, 1, 2, seconds=90).refusal(1, LIMITS)
    assert refusal is not None
    assert refusal.sentence == (
        "You already have 2 jobs waiting, as many as one person may have. "
        "The next of yours should be done in about 3 minutes: please come back then."
    )


def test_a_full_queue_says_when_there_is_a_place() -> None:
    refusal = _crowd(1, 2, 3, 4, seconds=100).refusal(5, LIMITS)
    assert refusal is not None
    assert refusal.sentence == (
        "The queue is full: 4 jobs in all. "
        "The next place should be free in about 2 minutes: please come back then."
    )


def test_a_member_with_one_alone_waits_for_all_of_it() -> None:
    refusal = _crowd(1, seconds=120).refusal(1, replace(LIMITS, waiting_per_member=1))
    assert refusal is not None
    assert "in about 2 minutes" in refusal.sentence


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "about a minute"),
        (60.0, "about a minute"),
        (61.0, "about 2 minutes"),
        (89 * 60.0, "about 89 minutes"),
        (90 * 60.0, "about 2 hours"),
        (150 * 60.0, "about 3 hours"),
        (2 * 3600.0, "about 2 hours"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert str(about(seconds)) == words


def test_with_several_cards_there_is_a_place_sooner() -> None:
    refusal = _crowd(1, 2, 3, 4, seconds=600).refusal(5, replace(LIMITS, cards=2))
    assert refusal is not None
    assert "in about 5 minutes" in refusal.sentence
