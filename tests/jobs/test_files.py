import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from bot.errors import FileDamaged, StorageFailed
from bot.jobs.files import FileStore


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "data" / "files")


def _age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


async def test_a_file_is_named_after_its_content(files: FileStore) -> None:
    path = await files.put(b"fox", ".png")
    assert path == files.folder / (hashlib.sha256(b"fox").hexdigest() + ".png")
    assert await files.read(path) == b"fox"


async def test_equal_files_are_one_even_when_put_at_once(files: FileStore) -> None:
    paths = await asyncio.gather(*(files.put(b"fox" * 1000, ".png") for _ in range(20)))
    assert len(set(paths)) == 1
    assert list(files.folder.iterdir()) == [paths[0]]


async def test_a_damaged_file_is_noticed_and_mended_by_putting_it_again(files: FileStore) -> None:
    path = await files.put(b"fox", ".png")
    path.write_bytes(b"fax")
    with pytest.raises(FileDamaged, match="no longer holds"):
        await files.read(path)
    await files.put(b"fox", ".png")
    assert await files.read(path) == b"fox"


async def test_a_missing_file_is_damage(files: FileStore) -> None:
    with pytest.raises(FileDamaged, match="cannot be read"):
        await files.read(files.folder / "gone.png")


async def test_sweeping_removes_what_is_old_and_unnamed(files: FileStore) -> None:
    kept, old, young = [await files.put(data, ".png") for data in (b"kept", b"old", b"young")]
    unfinished = files.folder / ".unfinished-x"
    unfinished.write_bytes(b"half")
    for path in (kept, old, unfinished):
        _age(path, 7200)
    assert await files.sweep({kept}, older_than=3600) == 2
    assert set(files.folder.iterdir()) == {kept, young}


async def test_what_is_put_again_is_safe_from_the_sweep(files: FileStore) -> None:
    path = await files.put(b"fox", ".png")
    _age(path, 7200)
    await files.put(b"fox", ".png")
    assert await files.sweep((), older_than=3600) == 0
    assert path.exists()


async def test_sweeping_before_anything_was_put(files: FileStore) -> None:
    assert await files.sweep((), older_than=0) == 0


async def test_a_refusing_disk_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "files").write_bytes(b"in the way")
    with pytest.raises(StorageFailed, match="storage failed") as caught:
        await FileStore(tmp_path / "files").put(b"fox", ".png")
    assert str(tmp_path) not in caught.value.sentence


async def test_a_failed_write_leaves_nothing_behind(
    files: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    await files.put(b"fox", ".png")
    before = set(files.folder.iterdir())
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFailed, match="No space left"):
        await files.put(b"hen", ".png")
    assert set(files.folder.iterdir()) == before
