from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.jobs.store import Store
from tests.jobs.samples import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files_folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
async def store(tmp_path: Path, files_folder: Path, clock: Clock) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "jobs.sqlite3", files_folder, now=clock)
    yield opened
    await opened.close()
