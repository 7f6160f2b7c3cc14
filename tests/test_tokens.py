"""Tokens: made, known, revoked; stored as hashes that only their owner may read."""

import errno
import math
import os
import shutil
import time
from pathlib import Path

import pytest

from bot import tokens
from bot.errors import ConfigError
from bot.jobs.limits import Terms
from bot.tokens import LOCAL, TokenBook
from tests.cli.command import command
from tests.strangers import IS_ROOT, NOBODY, locked, nobody, visible_folder


def test_one_is_known_until_it_is_revoked(tmp_path: Path) -> None:
    book, other = TokenBook(tmp_path), TokenBook(tmp_path)
    assert book.find("atl_x") is None
    secret = other.add("ada", waiting=2, daily_seconds=60, weight=2.0)
    token = book.find(secret)
    assert token is not None
    assert token.id > LOCAL
    assert token.terms(5) == Terms(waiting=2, daily_seconds=60, weight=2.0)
    other.revoke("ada")
    assert book.find(secret) is None
    anew = other.add("ada")
    found = book.find(anew)
    assert found is not None
    assert found.id > token.id  # nobody inherits another's jobs
    assert found.terms(5) == Terms(waiting=5)


def test_without_a_folder_no_token_is_known(tmp_path: Path) -> None:
    book = TokenBook(tmp_path / "tokens")
    assert book.find("atl_x") is None
    secret = book.add("ada")
    assert book.find(secret) is not None
    shutil.rmtree(tmp_path / "tokens")
    assert book.find(secret) is None


def test_a_change_within_the_same_tick_of_the_disks_clock_is_seen(tmp_path: Path) -> None:
    book = TokenBook(tmp_path)
    secret = book.add("ada")
    tick = tmp_path.stat().st_mtime_ns
    assert book.find(secret) is not None
    TokenBook(tmp_path).revoke("ada")
    os.utime(tmp_path, ns=(tick, tick))
    assert book.find(secret) is None


def test_a_folder_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    book = TokenBook(tmp_path)
    secret = book.add("ada")
    os.utime(tmp_path, (0, time.time() - 60))
    assert book.find(secret) is not None
    (file,) = tmp_path.glob("*.json")
    file.write_text("{")
    assert book.find(secret) is not None


def test_of_two_that_are_made_at_once_each_has_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = tokens._write

    def write_after_another(file: Path, token: tokens.Token) -> None:
        monkeypatch.setattr(tokens, "_write", write)
        TokenBook(tmp_path).add("bob")
        write(file, token)

    monkeypatch.setattr(tokens, "_write", write_after_another)
    (tmp_path / "notes.json").write_text("{}")  # which is no token's
    TokenBook(tmp_path).add("ada")
    assert [(token.id, token.name) for token in TokenBook(tmp_path).all()] == [
        (2, "bob"),
        (3, "ada"),
    ]


def test_what_is_stored_is_no_token(tmp_path: Path) -> None:
    secret = TokenBook(tmp_path).add("ada")
    (file,) = tmp_path.glob("*.json")
    assert secret.removeprefix("atl_") not in file.read_text()
    if os.name != "nt":
        assert file.stat().st_mode & 0o777 == 0o600


def test_names_are_their_own(tmp_path: Path) -> None:
    book = TokenBook(tmp_path)
    book.add("ada")
    with pytest.raises(ConfigError, match="already"):
        book.add("ada")
    with pytest.raises(ConfigError, match=r"no token “bob”. Those that are good: ada"):
        book.revoke("bob")


@pytest.mark.parametrize("name", ["", " ", "x" * 61, "two\nlines", "\x1b[31mred"])
def test_what_cannot_be_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="in one line of 1 to 60"):
        TokenBook(tmp_path).add(name)


@pytest.mark.parametrize("number", [math.inf, math.nan, 0.0])
def test_what_cannot_be_agreed(tmp_path: Path, number: float) -> None:
    with pytest.raises(ConfigError, match="daily_seconds"):
        TokenBook(tmp_path).add("ada", daily_seconds=number)
    assert TokenBook(tmp_path).all() == []


def test_a_file_that_is_none_is_named_to_the_owner_and_stops_nobody_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = TokenBook(tmp_path)
    secret = book.add("ada")
    (tmp_path / "9.json").write_text("{")
    assert [token.name for token in book.all()] == ["ada"]
    assert [what.partition(" is ")[0] for what in book.damaged()] == [str(tmp_path / "9.json")]
    assert "leave this file where it is" in book.damaged()[0]
    anew = book.find(book.add("bob"))
    assert anew is not None and anew.id == 10
    assert TokenBook(tmp_path).find(secret) is not None
    assert "9.json is no token" in caplog.text


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError, match=rf"{tmp_path}/data/tokens cannot be used \(Not a dir"):
        TokenBook(tmp_path / "data" / "tokens").add("ada")
    with visible_folder() as folder:
        book = TokenBook(folder / "tokens")
        book.add("ada")
        with locked(folder / "tokens"):
            for use in (book.all, lambda: book.add("bob"), lambda: book.revoke("ada")):
                with pytest.raises(ConfigError, match=r"Permission denied.*storage\.folder"):
                    use()


def test_a_full_disk_leaves_no_half_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"\(No space left on device\).*make room there"):
        TokenBook(tmp_path).add("ada")
    assert TokenBook(tmp_path).damaged() == []


def test_a_folder_that_cannot_be_read_is_said_once_and_until_then_no_token_is_good(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with visible_folder() as folder:
        book = TokenBook.in_storage(folder)
        secret = TokenBook.in_storage(folder).add("ada")
        os.utime(folder / "tokens", (0, time.time() - 60))
        with locked(folder / "tokens"):
            assert [book.find(secret) for _ in range(3)] == [None] * 3
        [said] = caplog.messages
        assert said.startswith(f"{folder}/tokens cannot be read (Permission denied)")
        assert book.find(secret) is not None, "as soon as somebody has mended it"


def test_so_is_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    book = TokenBook(tmp_path)
    (tmp_path / "9.json").mkdir()
    assert [book.find("atl_x") for _ in range(3)] == [None] * 3
    [said] = caplog.messages
    assert said.startswith(f"{tmp_path}/9.json cannot be read (Is a directory)")


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
@pytest.mark.parametrize("storage", ["", "data"])
def test_what_root_makes_is_for_the_user_of_the_storage_folder(storage: str) -> None:
    with visible_folder() as folder:
        os.chown(folder, NOBODY, NOBODY)
        book = TokenBook.in_storage(folder / storage)  # of which one is not there yet
        secrets = [book.add("ada"), book.add("bob")]
        book.revoke("bob")
        with nobody():
            found = [TokenBook.in_storage(folder / storage).find(each) for each in secrets]
            assert [token and token.name for token in found] == ["ada", None]
            assert [token.is_good for token in TokenBook.in_storage(folder / storage).all()] == [
                True,
                False,
            ]
            TokenBook.in_storage(folder / storage).add("eve")


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
def test_root_gives_nothing_away_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "of-roots").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tokens").symlink_to(tmp_path / "of-roots")
    os.chown(tmp_path / "data", NOBODY, NOBODY)
    TokenBook.in_storage(tmp_path / "data").add("ada")
    assert (tmp_path / "of-roots").stat().st_uid == 0


def test_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    added = command("token", "add", "ada", "--daily-seconds", "60", cwd=tmp_path)
    assert added.code == 0
    secret = added.out.strip()
    assert TokenBook(tmp_path / "data" / "tokens").find(secret) is not None
    listed = command("token", "list", cwd=tmp_path).out
    assert "good" in listed and "ada  (60 s a day)" in listed and secret not in listed
    assert command("token", "revoke", "ada", cwd=tmp_path).code == 0
    assert TokenBook(tmp_path / "data" / "tokens").find(secret) is None
    again = command("token", "revoke", "ada", cwd=tmp_path)
    assert (again.code, again.complaint[:28]) == (2, "There is no token “ada”. Tho")
