import asyncio
import io
import json
import logging
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from unittest.mock import Mock

import aiohttp
import discord
import pytest
from aiohttp import web
from discord.http import HTTPClient, Route

from bot.config import LogConfig
from bot.log import REDACTED, Redactor, set_up_logging
from tests.logs import logging_as_before

BOT_TOKEN = "MTE5NzA0NzU2MzI4MjQ5OTY4Ng.GhXqzT.7Q-s3cr3t_s3cr3t_s3cr3t_s3cr3t_s3cr"
INTERACTION_TOKEN = "aW50ZXJhY3Rpb246MTIzNDU2Nzg5OnNlY3JldHNlY3JldHNlY3JldHNlY3JldA"
ODD_TOKEN = "short.but-secret_16"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    with logging_as_before():
        yield


def written(
    format_: str = "text", level: str = "info", secrets: tuple[str, ...] = ()
) -> io.StringIO:
    stream = io.StringIO()
    config = LogConfig.model_validate({"level": level, "format": format_})
    set_up_logging(config, secrets=secrets, stream=stream)
    return stream


@asynccontextmanager
async def a_server_that_answers(*answers: web.Response) -> AsyncIterator[str]:
    """The base URL of a server that gives `answers` in turn, whatever is asked."""
    left = iter(answers)

    async def answer(_: web.Request) -> web.Response:
        return next(left)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/v10"
    finally:
        await runner.cleanup()


def _json(status: int, body: object, **headers: str) -> web.Response:
    response = web.Response(status=status, body=json.dumps(body).encode(), headers=headers)
    response.headers["Content-Type"] = "application/json"
    return response


@pytest.mark.parametrize("format_", ["text", "json"])
@pytest.mark.parametrize(
    "path", ["/webhooks/{id}/{token}/messages/@original", "/interactions/{id}/{token}/callback"]
)
async def test_discord_pys_rate_limit_lines_hold_no_token(
    monkeypatch: pytest.MonkeyPatch, format_: str, path: str
) -> None:
    stream = written(format_, "debug")
    limited = _json(429, {"retry_after": 0.01, "global": False}, Via="1.1 test")
    async with a_server_that_answers(_json(200, {}), limited, _json(200, {})) as base:
        monkeypatch.setattr(Route, "BASE", base)
        http = HTTPClient(asyncio.get_running_loop())
        await http.static_login(BOT_TOKEN)
        await http.request(Route("POST", path, id=4242, token=ODD_TOKEN))
        await http.close()
    said = stream.getvalue()
    assert "We are being rate limited" in said
    assert "4242/" + REDACTED in said
    assert ODD_TOKEN not in said
    assert BOT_TOKEN not in said


@pytest.mark.parametrize("format_", ["text", "json"])
async def test_a_traceback_that_holds_the_url_holds_no_token(format_: str) -> None:
    stream = written(format_)
    async with a_server_that_answers(_json(404, {})) as base, aiohttp.ClientSession() as session:
        try:
            url = f"{base}/webhooks/4242/{ODD_TOKEN}/messages/@original?wait=true"
            async with session.patch(url, raise_for_status=True):
                pytest.fail("the server answers 404")
        except aiohttp.ClientResponseError:
            logging.getLogger("bot.delivery").exception("no road is open")
    said = stream.getvalue()
    assert "ClientResponseError" in said
    assert f"/webhooks/4242/{REDACTED}/messages" in said
    assert ODD_TOKEN not in said


@pytest.mark.parametrize("format_", ["text", "json"])
def test_a_secret_is_hidden_whatever_its_form(format_: str) -> None:
    stream = written(format_, secrets=("an entirely unusual secret",))
    logging.getLogger("bot").info("logging in with %s", {"x": "an entirely unusual secret"})
    assert "unusual" not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bot {BOT_TOKEN}",
        f"IDENTIFY {{'op': 2, 'd': {{'token': '{BOT_TOKEN}'}}}}",
        f"WebSocket Event: {{'t': 'INTERACTION_CREATE', 'd': {{'token': '{INTERACTION_TOKEN}'}}}}",
        f'params: (\'{{"token": "{INTERACTION_TOKEN}", "channel": 5}}\',)',
        json.dumps(json.dumps({"token": INTERACTION_TOKEN})),
        f"<Webhook id=1 type=<WebhookType.application: 3> token='{INTERACTION_TOKEN}'>",
        f"the token is {BOT_TOKEN}, keep it",
        f"interaction {INTERACTION_TOKEN} failed",
        "huggingface answered hf_abcdefghijklmnopqrstuvwx",
    ],
)
def test_tokens_are_known_by_form_and_place(text: str) -> None:
    hidden = Redactor()(text)
    assert REDACTED in hidden
    for token in (BOT_TOKEN, INTERACTION_TOKEN, "hf_abcdefghijklmnopqrstuvwx"):
        assert token not in hidden
        assert token[-12:] not in hidden


@pytest.mark.parametrize(
    "text",
    [
        "forgot 3 old jobs and 12 files",
        "GET https://discord.com/api/v10/channels/123/messages/456 with None has returned 200",
        "models.imagine.text_tokens: should be at least 16",
        "Shard ID None has connected to Gateway (Session ID: 0123456789abcdef0123456789abcdef).",
        "Bot ready, 3 commands",
    ],
)
def test_everything_else_is_left_alone(text: str) -> None:
    assert Redactor()(text) == text


def test_discord_pys_webhook_repr_is_what_the_pattern_expects() -> None:
    webhook = discord.SyncWebhook.partial(1, INTERACTION_TOKEN)
    async_webhook = discord.Webhook.partial(1, INTERACTION_TOKEN, session=object())  # type: ignore[arg-type]
    for text in (repr(webhook), repr(async_webhook), webhook.url):
        assert INTERACTION_TOKEN not in Redactor()(text)


def test_json_lines_are_json() -> None:
    stream = written("json")
    try:
        raise ValueError("über\nall")
    except ValueError:
        logging.getLogger("bot.app").warning("two\nlines %d", 7, exc_info=True)
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record["level"] == "warning"
    assert record["logger"] == "bot.app"
    assert record["message"] == "two\nlines 7"
    assert record["error"].endswith("ValueError: über\nall")
    assert record["time"].endswith("Z")


def test_libraries_are_quiet_when_the_project_is_debugged() -> None:
    stream = written(level="debug")
    logging.getLogger("bot.x").debug("ours")
    logging.getLogger("discord.gateway").debug("theirs")
    logging.getLogger("aiosqlite").debug("SQL")
    assert "ours" in stream.getvalue()
    assert "theirs" in stream.getvalue()
    assert "SQL" not in stream.getvalue()


def test_warnings_and_dying_threads_are_logged() -> None:
    stream = written()
    warnings.warn(f"careless: {BOT_TOKEN}", UserWarning, stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0, name="doomed")
    thread.start()
    thread.join()
    said = stream.getvalue()
    assert "careless" in said
    assert BOT_TOKEN not in said
    assert "uncaught exception in thread doomed" in said
    assert "ZeroDivisionError" in said


def test_nothing_is_said_of_choices_that_come_too_late() -> None:
    stream = written()
    log = logging.getLogger("discord.app_commands.tree")
    for code in (10062, 50035):
        error = discord.HTTPException(Mock(status=404, reason=""), {"code": code, "message": ""})
        log.error("Ignoring exception in autocomplete for %r", "imagine", exc_info=error)
    assert stream.getvalue().count("Ignoring exception") == 1


def test_nothing_is_said_of_voice() -> None:
    stream = written()
    logging.getLogger("discord.client").warning(
        "PyNaCl is not installed, voice will NOT be supported"
    )
    assert stream.getvalue() == ""
