import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import discord
import pytest
from aiohttp import web

from bot.account import NEEDED, ask_discord, invitation, members_link
from bot.errors import DiscordUnreachable, TokenRefused
from tests.loopback import LoopbackDiscord, point_discord_at

EVERYTHING = str(discord.Permissions.all_channel().value)
NEEDED_ONLY = str(NEEDED.value)
NO_FILES = str(NEEDED.value & ~discord.Permissions(attach_files=True).value)
ADMINISTRATOR = str(discord.Permissions(administrator=True).value)


@asynccontextmanager
async def a_discord_with(*servers: tuple[str, str]) -> AsyncIterator[None]:
    """Answers a login, and that the bot is in `servers`, each a name and its permissions there."""
    guilds = [{"id": str(k), "name": n, "permissions": p} for k, (n, p) in enumerate(servers)]
    user = {"id": "77", "username": "painter", "discriminator": "0", "avatar": None, "bot": True}
    application: dict[str, object] = {
        "id": "88",
        "name": "painter",
        "description": "",
        "icon": None,
        "owner": user,
    }
    application |= {
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "",
        "team": None,
    }
    answers = {
        "/api/v10/users/@me": user,
        "/api/v10/oauth2/applications/@me": application,
        "/api/v10/users/@me/guilds": guilds,
    }

    async def answer(request: web.Request) -> web.Response:
        body = json.dumps(answers[request.path]).encode()
        return web.Response(body=body, headers={"Content-Type": "application/json"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with point_discord_at(f"http://127.0.0.1:{runner.addresses[0][1]}"):
            yield
    finally:
        await runner.cleanup()


async def test_who_the_token_belongs_to() -> None:
    async with a_discord_with(("home", EVERYTHING), ("guest", NEEDED_ONLY)):
        account = await ask_discord("a-token")
    assert (account.name, account.application_id, account.servers) == ("painter", 88, 2)
    assert account.lacking == {}


async def test_permissions_that_a_server_does_not_give() -> None:
    async with a_discord_with(("strict", NO_FILES), ("nothing", "0"), ("ours", ADMINISTRATOR)):
        account = await ask_discord("a-token")
    assert account.lacking["strict"] == ["attach files"]
    assert len(account.lacking["nothing"]) == 5
    assert "ours" not in account.lacking


async def test_a_refused_token() -> None:
    async with LoopbackDiscord() as server:
        with point_discord_at(server.base), pytest.raises(TokenRefused, match="refuses"):
            await ask_discord("wrong")


async def test_a_discord_that_is_away() -> None:
    with (
        point_discord_at("http://127.0.0.1:9"),
        pytest.raises(DiscordUnreachable, match=r"Check the network") as caught,
    ):
        await ask_discord("a-token")
    assert "\n" not in caught.value.sentence


async def test_a_discord_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.account._PATIENCE", 0.1)
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with silent:
        with (
            point_discord_at(f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"),
            pytest.raises(DiscordUnreachable, match=r"no useful answer \(TimeoutError\)\."),
        ):
            await ask_discord("a-token")


def test_the_invitation_asks_for_what_is_needed_and_no_more() -> None:
    query = parse_qs(urlsplit(invitation(88)).query)
    assert query["client_id"] == ["88"]
    assert set(query["scope"][0].split()) == {"bot", "applications.commands"}
    permissions = discord.Permissions(int(query["permissions"][0]))
    assert {name for name, given in permissions if given} == {
        "view_channel",
        "read_messages",
        "send_messages",
        "send_messages_in_threads",
        "attach_files",
        "read_message_history",
    } & {name for name, _ in permissions}


def test_members_are_given_a_link_of_their_own() -> None:
    query = parse_qs(urlsplit(members_link(88)).query)
    assert query == {
        "client_id": ["88"],
        "scope": ["applications.commands"],
        "integration_type": ["1"],
    }
