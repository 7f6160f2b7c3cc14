"""Stops and starts, with results on their way: nothing is rendered twice or shown twice."""

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bot.app import App
from bot.cli import _serve
from bot.config import Config
from bot.errors import TokenRefused
from bot.jobs.events import JobEnded
from bot.jobs.job import Status
from demo.sample import draw_sample
from pipelines.contract.requests import ImagineRequest
from tests.integration.apps import Heard, light_executor, serving
from tests.integration.shown import end_of, is_final, stayed_final, wait_of, waits
from tests.jobs.samples import open_store
from tests.jobs.studio import held
from tests.loopback import ALWAYS, Cut, LoopbackDiscord, Member, Message, Upload
from tests.loopback.problems import ApiProblem, rate_limited
from tests.loopback.runner import Studio, paint

EDITS = "/webhooks/*/messages/*"
PROMPT, SEED = "a lighthouse", 7
PAINTED = paint(ImagineRequest(prompt=PROMPT, seed=SEED))[0].data


def shows_the_result_once(server: LoopbackDiscord, message: Message) -> bool:
    public = [m for m in server.messages if not m.ephemeral]
    return (
        public == [message]
        and [f.data for f in message.files] == [PAINTED]
        and stayed_final(message)
    )


@pytest.mark.parametrize("minutes", [0, 20])
async def test_a_result_that_could_not_be_shown_is_shown_after_the_restart_and_not_painted_again(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio, minutes: int
) -> None:
    fault = server.faults.cut("PATCH", EDITS, Cut.BEFORE, times=ALWAYS, uploads=True)
    async with serving(server, config, studio):
        used = await ada.slash("imagine", prompt=PROMPT, seed=SEED)
        await server.wait_for(lambda: fault.met)
    assert used.original is not None
    assert not is_final(used.original)
    server.faults.clear()
    server.clock.advance(minutes * 60)
    async with serving(server, config, studio):
        assert shows_the_result_once(server, await end_of(server, used))
    assert len(studio.runs) == 1


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what the app tells nobody, and does not wait for either."""
    async with asyncio.timeout(20.0):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_stop_lets_an_upload_under_way_end(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio
) -> None:
    gate = server.faults.hold("PATCH", EDITS, uploads=True)
    async with serving(server, config, studio) as app:
        used = await ada.slash("imagine", prompt=PROMPT, seed=SEED)
        await gate.arrived.wait()
        closing = asyncio.create_task(app.close())
        await until(lambda: not app.deliveries._running)  # its stop has gone as far as it can
        gate.open()
        await closing
    async with open_store(config.storage.database) as store:
        assert await store.untold() == []
    message = await end_of(server, used)
    async with serving(server, config, studio):
        pass
    assert shows_the_result_once(server, message)
    assert len(message.versions) <= 4
    assert len(studio.runs) == 1


async def test_who_was_heard_before_a_stop_is_answered(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio
) -> None:
    file = io.BytesIO()
    draw_sample().save(file, "PNG")
    async with serving(server, config, studio) as app:
        download = server.faults.hold("GET", "/attachments/*")
        used = await ada.slash("sketch", drawing=Upload("drawing.png", file.getvalue()))
        await asyncio.wait_for(download.arrived.wait(), 10)
        in_the_stop = asyncio.create_task(until(lambda: app.is_closing))
        in_the_stop.add_done_callback(lambda _: server.faults.clear())
    await server.wait_for(lambda: not server.gateway.connected)
    async with serving(server, config, studio):
        assert (await end_of(server, used)).files


async def test_waiting_jobs_wait_on_after_a_restart_in_their_order(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio
) -> None:
    studio.gate.clear()
    async with serving(server, config, studio) as app:
        used = [await ada.slash("imagine", prompt=f"number {n}", seed=n) for n in range(4)]
        for each in used:
            await wait_of(server, each)
        closing = asyncio.create_task(app.close())
        await asyncio.sleep(0)
        await app.close()  # asked again: in a hurry
        await closing
    assert all(u.original is not None and waits(u.original) for u in used)
    studio.runs.clear()
    studio.gate.set()
    async with serving(server, config, studio):
        for each in used:
            await end_of(server, each)
    assert [run.seed for run in studio.runs] == [0, 1, 2, 3]


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What a signal would call, once the bot hears them."""
    signals: list[Callable[[], None]] = []

    @contextmanager
    def on_signals(stop: Callable[[], None]) -> Iterator[None]:
        signals.append(stop)
        yield

    monkeypatch.setattr("bot.cli._on_signals", on_signals)
    return signals


async def test_a_signal_in_the_last_moment_before_the_bot_serves_still_closes_it(
    config: Config,
    studio: Studio,
    signals: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = await App.open(config, executors=[light_executor(studio)])

    async def opened(config: Config) -> App:
        asyncio.get_running_loop().call_soon(signals[0])  # as by a signal just now
        return app

    monkeypatch.setattr(App, "open", opened)
    try:
        await asyncio.wait_for(_serve(config, "never asked for"), 10.0)
        async with open_store(config.storage.database) as store:
            assert await store.waiting() == []
    finally:
        await app.close()


async def test_a_signal_while_the_bot_closes_by_itself_ends_the_grace_and_breaks_nothing(
    server: LoopbackDiscord,
    ada: Member,
    config: Config,
    studio: Studio,
    signals: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = light_executor(studio)
    app = await App.open(config, executors=[executor])

    async def opened(config: Config) -> App:
        return app

    monkeypatch.setattr(App, "open", opened)
    closing, go_on = held(monkeypatch, app.worker, "stop")
    studio.gate.clear()
    serving = asyncio.create_task(_serve(config, server.token))
    await server.connected()
    await ada.slash("imagine", prompt=PROMPT)
    await server.wait_for(lambda: studio.runs)
    await server.gateway.drop(4004)
    await closing.wait()
    signals[0]()
    go_on.set()
    with pytest.raises(TokenRefused):
        await asyncio.wait_for(serving, app.worker._grace / 2)
    assert not executor.usable()
    async with open_store(config.storage.database) as store:
        [job] = await store.waiting()
        assert (job.crashes, len(studio.runs)) == (0, 1)


@pytest.mark.parametrize(
    "problem", [ApiProblem(503, 0, "overloaded"), rate_limited(0.1, via=False)]
)
async def test_a_start_while_discord_is_away_waits_for_it(
    server: LoopbackDiscord,
    ada: Member,
    config: Config,
    studio: Studio,
    problem: ApiProblem,
) -> None:
    fault = server.faults.refuse("GET", "/users/@me", problem, times=2)
    async with serving(server, config, studio):
        assert fault.met == 2
        await end_of(server, await ada.slash("imagine", prompt=PROMPT))


async def test_a_start_while_discord_is_away_works_without_it_and_shows_the_result_later(
    server: LoopbackDiscord,
    ada: Member,
    config: Config,
    studio: Studio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    studio.gate.clear()
    async with serving(server, config, studio) as app:
        used = await ada.slash("imagine", prompt=PROMPT, seed=SEED)
        await wait_of(server, used)
        stops = [asyncio.create_task(app.worker.stop()) for _ in range(2)]
        await asyncio.gather(*stops)
    await server.wait_for(lambda: not server.gateway.connected)
    monkeypatch.setattr("bot.app.LOGIN", 0.01)
    away = server.faults.hold("GET", "/users/@me")
    app = await App.open(config, executors=[light_executor(studio)])
    assert not app.executors[0].usable()
    heard = Heard(app.events)
    ends = asyncio.create_task(app.serve(server.token))
    ended = await heard.of(JobEnded)
    assert ended.job.status is Status.RENDERED
    assert away.arrived.is_set() and app.executors[0].usable()
    assert used.original is not None and not is_final(used.original)
    away.open()
    assert shows_the_result_once(server, await end_of(server, used))
    ends.cancel()
    await asyncio.gather(ends, return_exceptions=True)


async def test_a_token_that_is_refused_after_the_work_began_ends_it_in_order(
    server: LoopbackDiscord, config: Config, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.app.LOGIN", 0.01)
    away = server.faults.hold("GET", "/users/@me")
    app = await App.open(config, executors=[light_executor(studio)])
    ends = asyncio.create_task(app.serve("not the token"))
    job = await app.queue.submit(ImagineRequest(prompt=PROMPT, seed=SEED), owner=2, origin={})
    await Heard(app.events).of(JobEnded)
    away.open()
    with pytest.raises(TokenRefused):
        await ends
    async with open_store(config.storage.database) as store:
        kept = await store.get(job.id)
        assert kept is not None and kept.status is Status.DELIVERED


async def test_what_a_role_had_that_was_deleted_meanwhile_goes_too(
    server: LoopbackDiscord, config: Config, studio: Studio
) -> None:
    everyone, gone = server.guild_id, 5
    async with open_store(config.storage.database) as store:
        said = {"role_weights": {everyone: 2.0, gone: 4.0}}
        await store.database.run(
            "INSERT INTO settings VALUES (:server, 0, :said)",
            server=server.guild_id,
            said=json.dumps(said),
        )
    async with serving(server, config, studio) as app:
        settings = app.queue.settings
        await until(lambda: settings.of(server.guild_id).role_weights == {everyone: 2.0})
