"""The job store's SQLite file: the lock, the checks, the migrations, and transactions.

There is one connection, and the file is locked for as long as it is open: a WAL under two
connections can be corrupted by the SQLite that some Pythons bundle, and the lock is the
single-instance lock too.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from importlib import resources
from pathlib import Path
from typing import Any, Self

import aiosqlite

from bot.errors import AlreadyRunning, StartupError, StorageFailed

log = logging.getLogger(__name__)

OLDEST = (3, 38)  # of SQLite: it has ->>
APPLICATION_ID = 0x41544C52  # "ATLR" in the file's header: this database is ours


class Database:
    """The file behind its connection. Methods may be called from any task.

    What is written is durable when a method returns (`synchronous=FULL`). Every statement may name
    the time, as `:now`.
    """

    def __init__(self, connection: aiosqlite.Connection, now: Callable[[], float]) -> None:
        self._connection = connection
        self._now = now
        self._turn = asyncio.Lock()  # one transaction at a time: there is one connection

    @classmethod
    async def open(cls, path: Path, *, now: Callable[[], float] = time.time) -> Self:
        """Open or make the file at `path`, with today's tables, and lock it until `close`.

        Answers at once where another process holds the lock, and leaves the file as it was.
        Raises AlreadyRunning or StartupError.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(path, error) from None
        return cls(await _opened(path, _take), now)

    async def close(self) -> None:
        """Close it after the transaction under way. Idempotent."""
        async with self._turn:
            await self._connection.close()

    async def run(self, sql: str, **values: object) -> list[sqlite3.Row]:
        """Run one statement, which is a transaction of its own, and fetch all its rows.

        Raises StorageFailed.
        """
        async with self._turn:
            with _storage_errors():
                return await self.execute(sql, **values)

    async def run_all(self, statements: Iterable[str], **values: object) -> list[sqlite3.Row]:
        """As `run`, all of them in one transaction. Returns the rows of all."""
        async with self.transaction():
            return [row for sql in statements for row in await self.execute(sql, **values)]

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """What is executed inside is written all together, or not at all. Raises StorageFailed."""
        async with self._turn:
            with _storage_errors():
                try:
                    await self._connection.execute("BEGIN IMMEDIATE")
                    yield
                    await self._connection.execute("COMMIT")
                except BaseException:
                    # Whoever is cancelled does not know what of this was done: the connection's
                    # thread takes the statements in turn, and refuses a rollback of nothing.
                    with contextlib.suppress(sqlite3.Error, ValueError):
                        await self._connection.execute("ROLLBACK")
                    raise

    async def execute(self, sql: str, **values: object) -> list[sqlite3.Row]:
        """Run a statement inside of a transaction, and fetch all its rows."""
        return list(await self._connection.execute_fetchall(sql, {"now": self._now(), **values}))

    async def execute_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement inside of a transaction once for each of `rows`."""
        cursor = await self._connection.executemany(sql, rows)
        await cursor.close()  # left open it would keep the file's lock, even of a closed connection


async def check_database(path: Path) -> None:
    """Raise what opening a file would, and leave it as it is."""
    await (await _opened(path, _examine)).close()


async def _opened(
    path: Path, prepare: Callable[[aiosqlite.Connection, Path], Awaitable[None]]
) -> aiosqlite.Connection:
    """A prepared connection. Raises AlreadyRunning or StartupError."""
    require_sqlite()
    try:
        # Not left to aiosqlite: where it cannot connect, its thread answers once too often. And
        # SQLite would let everyone on the machine read what members wrote, and their tokens.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = await _connected(path)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from None
    try:
        await prepare(connection, path)
    except BaseException as error:
        with contextlib.suppress(sqlite3.Error):
            await connection.close()
        if isinstance(error, sqlite3.Error):
            raise _unusable(path, error) from None
        raise
    connection.row_factory = sqlite3.Row
    return connection


async def _connected(path: Path) -> aiosqlite.Connection:
    """A connection as it comes. Who cancels waits: its thread would answer a loop that is gone."""
    # Autocommit: transactions are begun in SQL. No busy timeout: the lock is never waited for.
    connecting = asyncio.ensure_future(aiosqlite.connect(path, isolation_level=None, timeout=0))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        await (await connecting).close()
        raise


def require_sqlite() -> None:
    """Raise StartupError where this Python comes with a SQLite that is too old."""
    if sqlite3.sqlite_version_info < OLDEST:
        raise StartupError(
            f"This Python uses SQLite {sqlite3.sqlite_version}, and the bot needs "
            f"{'.'.join(map(str, OLDEST))} or newer. Install a newer Python, such as one "
            "of uv's or conda's, and make .venv anew with it."
        )


async def _examine(connection: aiosqlite.Connection, path: Path) -> None:
    await connection.execute("BEGIN EXCLUSIVE")
    await connection.execute("COMMIT")
    await _version(connection, path)


async def _take(connection: aiosqlite.Connection, path: Path) -> None:
    await _lock(connection)
    await _migrate(connection, path)


async def _lock(connection: aiosqlite.Connection) -> None:
    """Take the lock before anything is read: the order of these statements matters."""
    await connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    await connection.execute("BEGIN EXCLUSIVE")
    await connection.execute("COMMIT")
    await connection.execute("PRAGMA journal_mode = WAL")
    await connection.execute("PRAGMA synchronous = FULL")
    await connection.execute("PRAGMA foreign_keys = ON")


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    """Check the file, then apply the migrations that it has not seen."""
    version = await _version(connection, path)
    for number, script in enumerate(migrations()[version:], start=version + 1):
        await connection.executescript(
            f"BEGIN IMMEDIATE; {script}\n; PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number}; COMMIT;"
        )


async def _version(connection: aiosqlite.Connection, path: Path) -> int:
    """How many migrations a file has seen that is sound and ours. Raises if it is neither."""
    if (found := await _value(connection, "PRAGMA quick_check(1)")) != "ok":
        raise sqlite3.DatabaseError(str(found))
    version = int(await _value(connection, "PRAGMA user_version"))
    tables = await _value(connection, "SELECT count(*) FROM sqlite_schema")
    if tables and await _value(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise StartupError(
            f"{path} is another program's database. Move it away, or set storage.folder to a "
            "folder of the bot's own."
        )
    if version > (known := len(migrations())):
        raise StartupError(
            f"{path} was written by a newer version of the bot (format {version}, this one knows "
            f"{known}). Install that version again, or restore the copy of before the update."
        )
    return version


def migrations() -> list[str]:
    """The scripts of `migrations/`, in the order of their numbers, which begin at 1."""
    folder = resources.files("bot.jobs") / "migrations"
    named = sorted((f.name, f) for f in folder.iterdir() if f.name.endswith(".sql"))
    return [file.read_text("utf-8") for _, file in named]


@contextlib.contextmanager
def _storage_errors() -> Iterator[None]:
    """Have SQLite's errors leave as StorageFailed.

    Not so IntegrityError: it is a mistake in the code, and trying again would not help.
    """
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except (sqlite3.Error, ValueError) as error:  # ValueError: aiosqlite, after it was closed
        log.error("the job store failed: %s", error)
        raise StorageFailed.because(error) from error


async def _value(connection: aiosqlite.Connection, sql: str) -> int | str:
    rows = list(await connection.execute_fetchall(sql))
    value: int | str = rows[0][0]
    return value


def _unusable(path: Path, error: Exception) -> StartupError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_BUSY"):
        return AlreadyRunning(
            f"Another bot is already running with {path}. Stop it first, or give this one a "
            "storage.folder of its own."
        )
    if name in ("SQLITE_NOTADB", "SQLITE_CORRUPT") or type(error) is sqlite3.DatabaseError:
        return StartupError(
            f"{path} is damaged ({error}). Restore it from a backup, or move it and its -wal file "
            "away: the bot then starts with an empty queue."
        )
    why = getattr(error, "strerror", None) or error  # an OSError would name the file once more
    return StartupError(
        f"{path} cannot be opened ({why}). Check that the folder exists, that the bot may write "
        "there and that the disk is not full."
    )
