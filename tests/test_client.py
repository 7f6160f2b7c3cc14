"""Commands are registered when they have changed, and not at every start."""

from pathlib import Path
from typing import Literal

import pytest
import simcord

from bot.client import AtelierClient
from bot.config import Config, DiscordConfig
from bot.jobs.events import Events
from bot.jobs.files import FileStore
from bot.jobs.limits import Limits
from bot.jobs.policy import Policy
from bot.jobs.store import Store
from pipelines.catalog import Catalog
from tests.integration.apps import light_catalog
from tests.jobs.samples import a_queue
from tests.ui.channel import connected

OF_A_SERVER = ("config", "moderate", "usage", "Report")


def make_client(store: Store, folder: Path, catalog: Catalog) -> AtelierClient:
    limits = Limits(waiting_per_member=1, waiting_in_all=1)
    queue = a_queue(store, Policy(patience=0.0), catalog, Events(), limits)
    return AtelierClient(queue, FileStore(folder), store, Config(models=catalog))


def registrations(env: simcord.Env) -> int:
    return sum(r.method == "PUT" and r.path.endswith("/commands") for r in env.http_requests)


async def test_commands_are_registered_once(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "jobs.sqlite3", tmp_path)
    catalog = light_catalog()
    async with connected(make_client(store, tmp_path, catalog)) as env:
        assert registrations(env) == 1
        later = make_client(store, tmp_path, catalog)
        await env.restart_bot(later)
        assert registrations(env) == 1
        assert await later.sync_commands(force=True)
        assert registrations(env) == 2
    await store.close()


async def test_a_refused_registration_is_tried_at_the_next_start(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "jobs.sqlite3", tmp_path)
    client = make_client(store, tmp_path, light_catalog())
    env = simcord.Env(client, check_errors=False)
    env.inject_error("PUT", "/applications/*/commands", status=403, code=50001)
    await env.start()
    try:
        assert registrations(env) == 1
        assert await store.get_note("synced commands") is None
        await env.restart_bot(make_client(store, tmp_path, light_catalog()))
        assert registrations(env) == 2
        assert await store.get_note("synced commands") is not None
    finally:
        await env.shutdown()
        await store.close()


@pytest.mark.parametrize(
    ("install", "contexts", "types"),
    [("servers", [0], [0]), ("servers-and-members", [0, 1, 2], [0, 1])],
)
async def test_the_owner_decides_who_may_add_it(
    tmp_path: Path,
    install: Literal["servers", "servers-and-members"],
    contexts: list[int],
    types: list[int],
) -> None:
    store = await Store.open(tmp_path / "jobs.sqlite3", tmp_path)
    limits = Limits(waiting_per_member=1, waiting_in_all=1)
    catalog = light_catalog()
    queue = a_queue(store, Policy(patience=0.0), catalog, Events(), limits)
    config = Config(models=catalog, discord=DiscordConfig(install=install))
    client = AtelierClient(queue, FileStore(tmp_path), store, config)
    await store.close()
    told = [command.to_dict(client.tree) for command in client.tree.get_commands()]
    ruling = [each for each in told if each["name"] in ("config", "moderate")]
    assert [(each["contexts"], each["integration_types"]) for each in ruling] == [([0], [0])] * 2
    told = [each for each in told if each["name"] not in OF_A_SERVER]
    assert {tuple(each["contexts"]) for each in told} == {tuple(contexts)}
    assert {tuple(each["integration_types"]) for each in told} == {tuple(types)}
