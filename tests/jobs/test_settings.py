import asyncio
import json
from typing import Any

import pytest

from bot.errors import StorageFailed
from bot.jobs.settings import Settings, SettingsBook
from bot.jobs.store import Store
from pipelines.contract.errors import BadInput

HERE, ROOM, OTHER = 100, 7, 8
DEFAULTS = Settings(waiting=5, keep_days=30)


@pytest.fixture
async def book(store: Store) -> SettingsBook:
    return await _book(store)


async def _book(store: Store) -> SettingsBook:
    book = SettingsBook(store.database, DEFAULTS)
    await book.read()
    return book


async def _said(store: Store) -> list[dict[str, Any]]:
    """What is on the disk."""
    return [json.loads(said) for (said,) in await store.database.run("SELECT said FROM settings")]


def test_where_nothing_was_set_everything_is_allowed(book: SettingsBook) -> None:
    assert book.of(HERE, ROOM) == book.of(HERE) == book.of(None, ROOM) == DEFAULTS


async def test_a_channel_follows_its_server_but_for_what_is_its_own(book: SettingsBook) -> None:
    await book.change(HERE, commands_off={"animate"}, waiting=3)
    await book.change(HERE, ROOM, waiting=2)
    assert (book.of(HERE, ROOM).waiting, book.of(HERE, OTHER).waiting) == (2, 3)
    assert book.of(HERE, ROOM).commands_off == {"animate"}
    await book.change(HERE, commands_off={"sketch"})
    assert book.of(HERE, ROOM).commands_off == {"sketch"}
    assert book.of(HERE + 1) == DEFAULTS
    assert book.own(HERE, ROOM) == {"waiting"}
    assert book.channels(HERE) == [ROOM]


CHANGES: dict[str, Any] = {
    "commands_off": frozenset({"animate"}),
    "roles": frozenset({2**63 - 1}),
    "styles": frozenset({"ink"}),
    "aspects": frozenset({"1:1"}),
    "pictures": 2,
    "daily_seconds": 600.0,
    "waiting": 2,
    "role_weights": {2**60: 2.5},
    "previews": False,
    "language": "de",
    "keep_days": 7,
    "minimum_age_days": 30,
    "log_channel": 2**60,
}


async def test_what_was_set_outlives_a_restart(book: SettingsBook, store: Store) -> None:
    assert CHANGES.keys() == Settings.model_fields.keys()
    holds = await book.change(HERE, **CHANGES)
    assert holds == (await _book(store)).of(HERE, ROOM) == Settings(**CHANGES)


async def test_back_to_what_holds_anyway_is_no_own_rule(book: SettingsBook, store: Store) -> None:
    await book.change(HERE, daily_seconds=600.0)
    await book.change(HERE, ROOM, daily_seconds=None)
    assert book.of(HERE, ROOM).daily_seconds is None
    await book.change(HERE, ROOM, daily_seconds=600.0)
    assert book.own(HERE, ROOM) == frozenset()
    await book.clear(HERE)
    assert book.of(HERE) == DEFAULTS
    assert await _said(store) == []


@pytest.mark.parametrize(
    ("channel", "values", "says"),
    [
        (0, {"waiting": 6}, "at most 5 here, not 6"),
        (0, {"keep_days": 31}, "at most 30 here, not 31"),
        (0, {"waiting": 0}, "“0” cannot be set"),
        (0, {"pictures": 5}, "“5” cannot be set"),
        (0, {"role_weights": {1: 0.0}}, "cannot be set"),
        (ROOM, {"log_channel": 5}, "for the whole server"),
    ],
)
async def test_what_may_not_be_set(
    book: SettingsBook, channel: int, values: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        await book.change(HERE, channel, **values)
    assert book.of(HERE, channel) == DEFAULTS


async def test_what_a_later_version_has_set_is_kept_and_does_no_harm(store: Store) -> None:
    later = {"waiting": 2, "mood": "blue", "previews": {"every": 3}, "keep_days": 4000}
    await store.database.run(
        "INSERT INTO settings VALUES (:server, 0, :said)", server=HERE, said=json.dumps(later)
    )
    book = await _book(store)
    assert book.of(HERE) == Settings(waiting=2, keep_days=30)
    await book.change(HERE, waiting=3)
    assert await _said(store) == [{**later, "waiting": 3}]


async def test_what_the_disk_refuses_does_not_hold(store: Store) -> None:
    book = await _book(store)
    await store.close()
    with pytest.raises(StorageFailed):
        await book.change(HERE, waiting=3)
    assert book.of(HERE) == DEFAULTS


async def test_what_was_set_for_a_role_goes_with_it(book: SettingsBook, store: Store) -> None:
    await book.change(HERE, role_weights={1: 4.0, 2: 2.0})
    await book.set_weights(HERE, {}, {2, 3})
    assert book.of(HERE).role_weights == {2: 2.0}
    await book.set_weights(HERE, {}, {3})
    await book.set_weights(OTHER, {}, {3})
    assert await _said(store) == []


async def test_weights_that_are_set_at_once_all_hold(book: SettingsBook) -> None:
    await asyncio.gather(*(book.set_weights(HERE, {role: 2.0}, {1, 2, 3}) for role in (1, 2, 3)))
    assert book.of(HERE).role_weights == {1: 2.0, 2: 2.0, 3: 2.0}
    await asyncio.gather(
        book.set_weights(HERE, {4: 3.0}, {1, 2, 3, 4}), book.set_weights(HERE, {}, {2, 4})
    )
    assert book.of(HERE).role_weights == {2: 2.0, 4: 3.0}


def test_the_largest_weight_of_a_members_roles_counts() -> None:
    settings = Settings(role_weights={1: 2.0, 2: 0.5, 3: 3.0})
    shares = [settings.weight(roles) for roles in ([2], [], [9], [1, 2], [1, 2, 3])]
    assert shares == [0.5 / 3, 1 / 3, 1 / 3, 2 / 3, 1.0]


def test_who_has_less_than_the_others_leaves_theirs_as_it_is() -> None:
    settings = Settings(role_weights={2: 0.5})
    assert [settings.weight(roles) for roles in ([], [2])] == [1.0, 0.5]
