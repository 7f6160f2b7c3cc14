import asyncio
import os
import sqlite3
import sys
import threading
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.errors import AlreadyRunning, StartupError
from bot.jobs.database import APPLICATION_ID, Database, migrations
from tests.jobs.samples import ROOMY, a_job, enqueue, open_store

HOLDER = """
import asyncio, sys
from pathlib import Path
from tests.jobs.samples import ROOMY, a_job, open_store

async def main():
    async with open_store(Path(sys.argv[1])) as store:
        await store.enqueue([a_job(owner=1)], ROOMY)
        print("held", flush=True)
        sys.stdin.readline()
        await store.enqueue([a_job(owner=2)], ROOMY)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "jobs.sqlite3"


def _overwrite(path: Path, *, at: int, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(at)
        file.write(data)


async def _refusal(path: Path) -> StartupError:
    with pytest.raises(StartupError) as caught:
        await Database.open(path)
    return caught.value


async def test_a_new_file_gets_every_migration(path: Path) -> None:
    await (await Database.open(path)).close()
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
        assert plain.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


async def test_only_the_bots_user_may_read_it(path: Path) -> None:
    before = os.umask(0o022)
    try:
        async with open_store(path) as store:
            await enqueue(store, a_job(), ROOMY)
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"jobs.sqlite3": 0o600, "jobs.sqlite3-wal": 0o600}


async def test_the_jobs_of_an_earlier_version_are_kept(path: Path) -> None:
    async with open_store(path) as store:
        await enqueue(store, job := a_job(channel=5), ROOMY)
    earlier = path.with_name("earlier.sqlite3")
    with closing(sqlite3.connect(earlier)) as plain:
        plain.executescript(
            f"{migrations()[0]}; ATTACH '{path}' AS today;"
            f" PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
        )
        columns = ", ".join(row[1] for row in plain.execute("PRAGMA main.table_info(jobs)"))
        plain.execute(f"INSERT INTO jobs ({columns}) SELECT {columns} FROM today.jobs")
        plain.commit()
    async with open_store(earlier) as store:
        assert await store.waiting() == [job]


async def test_every_commit_reaches_the_disk(path: Path) -> None:
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "locking_mode": "exclusive",
        "foreign_keys": 1,
    }
    async with open_store(path) as store:
        for pragma, value in wanted.items():
            ((found,),) = await store.database._connection.execute_fetchall(f"PRAGMA {pragma}")
            assert found == value


async def test_the_second_process_is_told_at_once_and_harms_nothing(path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), stdin=PIPE, stdout=PIPE
    )
    assert holder.stdout is not None
    assert await asyncio.wait_for(holder.stdout.readline(), 20) == b"held\n"
    before = time.perf_counter()
    error = await _refusal(path)
    assert time.perf_counter() - before < 0.5
    assert isinstance(error, AlreadyRunning)
    assert str(path) in error.sentence
    assert "Stop it first" in error.sentence
    await asyncio.wait_for(holder.communicate(b"go on\n"), 20)
    assert holder.returncode == 0
    async with open_store(path) as store:
        assert [job.owner for job in await store.waiting()] == [1, 2]


async def test_a_second_store_in_this_process_is_refused_too(path: Path) -> None:
    async with open_store(path) as store:
        assert isinstance(await _refusal(path), AlreadyRunning)
        await enqueue(store, a_job(), ROOMY)


async def test_the_lock_ends_with_the_store(path: Path) -> None:
    for _ in range(2):
        async with open_store(path):
            pass


async def test_a_newer_database_is_left_alone(path: Path) -> None:
    await (await Database.open(path)).close()
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA user_version = 99")
    error = await _refusal(path)
    assert "newer version of the bot (format 99" in error.sentence
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA user_version").fetchone() == (99,)


async def test_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("CREATE TABLE bookmarks (url TEXT)")
    assert "another program's database" in (await _refusal(path)).sentence
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("SELECT name FROM sqlite_schema").fetchall() == [("bookmarks",)]


async def test_what_is_no_database_is_called_damaged(path: Path) -> None:
    _overwrite(path, at=0, data=b"not a database, but long enough to look at" * 100)
    assert "is damaged" in (await _refusal(path)).sentence


async def test_a_torn_database_is_called_damaged(path: Path) -> None:
    async with open_store(path) as store:
        await asyncio.gather(*(enqueue(store, a_job(owner=i), ROOMY) for i in range(200)))
    _overwrite(path, at=20_000, data=b"\xff" * 20_000)
    error = await _refusal(path)
    assert "is damaged" in error.sentence
    assert "Restore it from a backup" in error.sentence


async def test_an_impossible_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a file where the folder should be")
    assert "cannot be opened" in (await _refusal(tmp_path / "data" / "jobs.sqlite3")).sentence


def test_a_file_that_cannot_be_opened_is_said_and_nothing_after_it(path: Path) -> None:
    path.mkdir(parents=True)
    threads = threading.active_count()
    assert "cannot be opened (Is a directory). Check" in asyncio.run(_refusal(path)).sentence
    assert threading.active_count() == threads  # SQLite's would still have something to say


def test_whoever_cancels_the_opening_hears_nothing_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled() -> None:
        opening = asyncio.create_task(Database.open(path))
        await asyncio.sleep(0)
        opening.cancel()
        await opening

    died = list[object]()
    monkeypatch.setattr(threading, "excepthook", died.append)
    monkeypatch.setattr(sqlite3, "connect", partial(_slowly, sqlite3.connect))
    before = set(threading.enumerate())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert died == []


def _slowly(connect: Callable[..., sqlite3.Connection], *args: Any, **kwargs: Any) -> object:
    time.sleep(0.2)
    return connect(*args, **kwargs)


async def test_a_sqlite_that_is_too_old_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    assert "the bot needs 3.38 or newer" in (await _refusal(path)).sentence
