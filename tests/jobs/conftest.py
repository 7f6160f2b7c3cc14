from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bot.jobs.store import Store
from tests.jobs.samples import Clock
from tests.jobs.studio import Painter, Studio


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


@pytest.fixture
async def studio(store: Store, files_folder: Path) -> AsyncIterator[Callable[..., Studio]]:
    """Makes studios on the store; all are closed in the end."""
    studios: list[Studio] = []

    def make(*painters: Painter, **options: Any) -> Studio:
        studios.append(Studio(store, files_folder, *(painters or (Painter(),)), **options))
        return studios[-1]

    yield make
    for made in studios:
        await made.close()
