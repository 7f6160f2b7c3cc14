"""A Discord that the client under test is pointed at, a member in it, and what paints for them."""

from collections.abc import AsyncIterator

import pytest

from tests.loopback import LoopbackDiscord, Member, point_discord_at
from tests.loopback.runner import Studio


@pytest.fixture
async def server() -> AsyncIterator[LoopbackDiscord]:
    async with LoopbackDiscord() as server:
        with point_discord_at(server.base):
            yield server


@pytest.fixture
def ada(server: LoopbackDiscord) -> Member:
    return server.member("ada")


@pytest.fixture
def studio() -> Studio:
    return Studio()
