"""The line to Discord breaks in every way it can, while a job runs and while none does."""

import asyncio

import pytest

from bot.app import App
from bot.config import Config
from bot.errors import StartupError, TokenRefused
from bot.executors.thread import ThreadExecutor
from tests.integration.apps import light_executor, serving
from tests.integration.shown import end_of, wait_of
from tests.loopback import LoopbackDiscord, Member
from tests.loopback.runner import LightRunner, Studio


@pytest.mark.parametrize("code", [None, 4000, 1001])
async def test_a_line_that_breaks_while_a_job_runs_is_resumed_and_the_result_shown(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio, code: int | None
) -> None:
    studio.gate.clear()
    used = await ada.slash("imagine", prompt="a lighthouse")
    message = await wait_of(server, used)
    await server.gateway.drop(code)
    missed = await ada.slash("imagine", prompt="typed while the line was down")
    await server.wait_for(lambda: server.gateway.resumes == 1)
    studio.gate.set()
    assert await end_of(server, used) is message
    await end_of(server, missed)
    assert len(server.gateway.identifies) == 1
    assert len(studio.runs) == 2


async def test_a_role_counts_of_which_its_server_has_not_told_yet(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    await app.queue.settings.change(server.guild_id, roles={5})
    refused = await ada.slash("imagine", prompt="a lighthouse")
    assert "only for members with <@&5>" in await server.wait_for(lambda: refused.said)
    ada.roles = [5]
    used = await ada.slash("imagine", prompt="a lighthouse")
    await end_of(server, used)


async def test_a_result_is_shown_though_the_line_is_down(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    studio.gate.clear()
    used = await ada.slash("imagine", prompt="a lighthouse")
    await wait_of(server, used)
    gate = server.faults.hold("GET", "/gateway/")
    await server.gateway.drop()
    await gate.arrived.wait()
    studio.gate.set()
    message = await end_of(server, used)
    assert len(message.files) == 1
    assert not server.gateway.connected


async def test_a_session_that_is_over_is_begun_anew_and_the_job_goes_on(
    server: LoopbackDiscord,
    ada: Member,
    app: App,
    studio: Studio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def at_once(shard_id: int | None, *, initial: bool = False) -> None:
        """Stands in for discord.py's five seconds between two identifies."""

    monkeypatch.setattr(app.client, "before_identify_hook", at_once)
    studio.gate.clear()
    used = await ada.slash("imagine", prompt="a lighthouse")
    message = await wait_of(server, used)
    await server.gateway.invalidate()
    await server.wait_for(lambda: len(server.gateway.identifies) == 2 and server.gateway.connected)
    studio.gate.set()
    assert await end_of(server, used) is message
    later = await ada.slash("imagine", prompt="another")
    await end_of(server, later)


async def test_only_the_guilds_intent_is_asked_for(server: LoopbackDiscord, app: App) -> None:
    [identify] = server.gateway.identifies
    assert identify["intents"] == 1


async def test_an_event_that_discord_py_cannot_read_does_not_end_the_bot(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    studio.gate.clear()
    used = await ada.slash("imagine", prompt="a lighthouse")
    message = await wait_of(server, used)
    await server.gateway.dispatch("INTERACTION_CREATE", {"id": "1", "type": 2})
    await server.wait_for(lambda: len(server.gateway.identifies) == 2 and server.gateway.connected)
    studio.gate.set()
    assert await end_of(server, used) is message
    await end_of(server, await ada.slash("imagine", prompt="another"))


async def test_a_refused_token_ends_the_bot_with_a_sentence(
    server: LoopbackDiscord, config: Config, studio: Studio
) -> None:
    executor = ThreadExecutor(lambda: LightRunner(studio))
    app = await App.open(config, executors=[executor])
    with pytest.raises(TokenRefused, match="Bot page"):
        await app.serve("not the token")
    assert executor._thread.ident is None, "nothing was begun"


@pytest.mark.parametrize(("code", "error"), [(4004, TokenRefused), (4014, StartupError)])
async def test_a_line_that_discord_closes_for_good_ends_the_bot_with_a_sentence(
    server: LoopbackDiscord,
    ada: Member,
    config: Config,
    studio: Studio,
    code: int,
    error: type[StartupError],
) -> None:
    app = await App.open(config, executors=[light_executor(studio)])
    running = asyncio.create_task(app.serve(server.token))
    await server.connected()
    used = await ada.slash("queue")
    await server.wait_for(lambda: used.said)
    await server.gateway.drop(code)
    with pytest.raises(error):
        await asyncio.wait_for(running, 20)


async def test_commands_are_registered_once_and_not_at_every_start(
    server: LoopbackDiscord, config: Config, studio: Studio
) -> None:
    for _ in range(2):
        async with serving(server, config, studio):
            assert set(server.state.commands) > {"sketch", "imagine", "animate"}
        await server.wait_for(lambda: not server.gateway.connected)
    assert len(server.called("PUT", "/commands")) == 1
