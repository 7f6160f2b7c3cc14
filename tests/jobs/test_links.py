"""Links: what was signed is read, and nothing else."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import ConfigError, LinkExpired, LinkInvalid
from bot.jobs.links import Link, Links, read_key
from bot.jobs.store import Store
from tests.jobs.samples import Clock

LINK = Link(job_id="0123456789abcdef", member=2**60 + 1, channel=2**61, ends_at=1000)


async def test_a_link_is_read_until_it_ends(store: Store) -> None:
    now = [10.0]
    links = Links(store.database, b"k" * 32, now=lambda: now[0])
    text = await links.make(LINK, {"said": 1})
    assert len(text) < 120  # Discord's buttons hold 512
    assert links.read(text) == LINK
    assert await links.kept(LINK) == {"said": 1}
    now[0] = 1000.0
    with pytest.raises(LinkExpired):
        links.read(text)


async def test_what_a_link_stands_for_outlives_it_by_the_way_of_a_drawing(
    store: Store, clock: Clock
) -> None:
    links = Links(store.database, b"k" * 32, now=clock)
    link = replace(LINK, ends_at=int(clock()) + 1)
    await links.make(link, {"said": 1})
    clock.now += 60
    await store.forget_expired()
    assert await links.kept(link) == {"said": 1}
    clock.now += 600
    await store.forget_expired()
    with pytest.raises(LinkInvalid):
        await links.kept(link)


async def test_an_altered_link_is_none(store: Store) -> None:
    links = Links(store.database, b"k" * 32, now=lambda: 10.0)
    text = await links.make(LINK, {})
    data = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    for place in range(len(data)):
        changed = bytes(b ^ 1 if at == place else b for at, b in enumerate(data))
        with pytest.raises(LinkInvalid):
            links.read(base64.urlsafe_b64encode(changed).decode().rstrip("="))
    for other in ("", "x", text[:-1], text + "A", text + "=", "é" * 80, text * 9):
        with pytest.raises(LinkInvalid):
            links.read(other)
    with pytest.raises(LinkInvalid):
        Links(store.database, b"other" * 8, now=lambda: 10.0).read(text)


async def test_a_member_has_their_links_forgotten(store: Store) -> None:
    links = Links(store.database, b"k" * 32, now=lambda: 10.0)
    await links.make(LINK, {})
    await store.forget_owner(LINK.member)
    with pytest.raises(LinkInvalid):
        await links.kept(LINK)


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "link.key"
    key = read_key(file)
    assert (len(key), read_key(file)) == (32, key)
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(b"")  # a crash
    assert len(read_key(file)) == 32
    file.unlink()
    file.mkdir()
    with pytest.raises(ConfigError, match=rf"^{file} cannot be used \(Is a directory\)"):
        read_key(file)
