"""Opening the job store's SQLite file: the lock, the checks, the migrations."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path

import aiosqlite

from bot.errors import AlreadyRunning, StartupError

OLDEST = (3, 38)  # of SQLite: it has ->>
APPLICATION_ID = 0x41544C52  # "ATLR" in the file's header: this database is ours


async def open_database(path: Path) -> aiosqlite.Connection:
    """A connection that holds the file's lock until it is closed, with today's tables.

    Answers at once where another process holds the lock, and leaves the file as it was.
    Raises AlreadyRunning or StartupError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(path, error) from None
    return await _opened(path, _take)


async def check_database(path: Path) -> None:
    """Raise what `open_database` would of a file, which is left as it is."""
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
