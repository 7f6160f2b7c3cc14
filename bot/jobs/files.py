"""The files of jobs: each is named after its SHA-256, durable once written, verified when read."""

import asyncio
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from bot.errors import FileDamaged, StorageFailed

_UNFINISHED = ".unfinished-"


class FileStore:
    """The only code that writes to `folder`, which it makes if it must.

    Equal data with equal suffixes is one file. No file is ever changed once it has its name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._touching = threading.Lock()  # between finding a file and renewing or removing it

    async def put(self, data: bytes, suffix: str) -> Path:
        """Store `data` and return its path once the disk has it. Raises StorageFailed."""
        try:
            return await asyncio.to_thread(self._put, data, suffix)
        except OSError as error:
            raise StorageFailed.because(error) from error

    async def read(self, path: Path) -> bytes:
        """The file's bytes. Raises FileDamaged when it is gone or is not what was stored."""
        return await asyncio.to_thread(_read, path)

    async def sweep(self, keep: Collection[Path], older_than: float) -> int:
        """Remove what is not in `keep` and was put more than `older_than` seconds ago.

        The age protects files whose jobs are not written yet. Returns how many were removed.
        """
        return await asyncio.to_thread(self._sweep, frozenset(keep), time.time() - older_than)

    def _put(self, data: bytes, suffix: str) -> Path:
        path = self.folder / (hashlib.sha256(data).hexdigest() + suffix)
        if not self._renew(path, data):
            self._make_folder()
            self._write(path, data)
        _sync(self.folder)
        return path

    def _renew(self, path: Path, data: bytes) -> bool:
        """Whether `path` holds `data` already; if so its age begins anew, for the sweep's sake."""
        with self._touching:
            try:
                if path.read_bytes() != data:
                    return False
                os.utime(path)
            except FileNotFoundError:
                return False
            return True

    def _make_folder(self) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            _sync(self.folder.parent)

    def _write(self, path: Path, data: bytes) -> None:
        handle, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=self.folder)
        unfinished = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def _sweep(self, keep: frozenset[Path], before: float) -> int:
        removed = 0
        paths = list(self.folder.iterdir()) if self.folder.is_dir() else []
        for path in paths:
            if path in keep:
                continue
            with self._touching, suppress(FileNotFoundError):  # of one that has its name now
                if path.is_file() and path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
        return removed


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileDamaged(
            "The stored file {file} cannot be read ({error}). Ask for the picture again, and have "
            "the bot's owner check the disk.",
            file=path.name,
            error=error.strerror,
        ) from error
    if hashlib.sha256(data).hexdigest() != path.stem:
        raise FileDamaged(
            "The stored file {file} no longer holds what was written to it. Ask for the picture "
            "again, and have the bot's owner check the disk.",
            file=path.name,
        )
    return data


def _sync(folder: Path) -> None:
    """Make new names in `folder` survive a power cut."""
    if os.name == "nt":
        return  # Windows opens no folders, and NTFS journals its names
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
