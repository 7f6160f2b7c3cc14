"""The bot's account, as Discord knows it: for `doctor` and `sync`, which need no gateway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import discord

from bot.errors import DiscordUnreachable, TokenRefused

NEEDED = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,
    read_message_history=True,
)
_PATIENCE = 30.0  # seconds for Discord to answer a login


@dataclass(frozen=True, slots=True)
class Account:
    """Who the token belongs to, and in how many servers each needed permission is lacking."""

    name: str
    application_id: int
    servers: int
    lacking: dict[str, list[str]]
    """Server name → names of the needed permissions that the bot's roles there do not give."""


async def ask_discord(token: str) -> Account:
    """The account of `token`. Raises TokenRefused or DiscordUnreachable."""
    client = discord.Client(intents=discord.Intents.none())
    async with logged_in(client, token):
        servers = await client.http.get_guilds(200)
        name, application_id = str(client.user), client.application_id
    return Account(
        name=name,
        application_id=application_id or 0,
        servers=len(servers),
        lacking={
            server["name"]: missing
            for server in servers
            if (missing := _missing(int(server.get("permissions", 0))))
        },
    )


@asynccontextmanager
async def logged_in(client: discord.Client, token: str) -> AsyncIterator[None]:
    """`client` with its HTTP side open. Raises TokenRefused or DiscordUnreachable."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await client.login(token)
        yield
    except discord.LoginFailure as error:
        raise TokenRefused.by_discord() from error
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        raise DiscordUnreachable(
            f"Discord gave no useful answer ({str(error) or type(error).__name__}). "
            "Check the network and https://discordstatus.com, and try again."
        ) from error
    finally:
        await client.close()


def invitation(application_id: int) -> str:
    """The link by which an owner adds the bot to a server, with what it needs there."""
    return discord.utils.oauth_url(application_id, permissions=NEEDED)


def members_link(application_id: int) -> str:
    """The link by which members add the bot to their own account."""
    scopes = ("applications.commands",)
    return discord.utils.oauth_url(application_id, scopes=scopes) + "&integration_type=1"


def _missing(granted: int) -> list[str]:
    """Names of the needed permissions that `granted` lacks; an administrator lacks none."""
    permissions = discord.Permissions(granted)
    if permissions.administrator:
        return []
    return [
        name.replace("_", " ")
        for name, needed in NEEDED
        if needed and not getattr(permissions, name)
    ]
