"""The bot as its owner runs it: a process that is stopped, started twice, and brought down."""

from pathlib import Path

import pytest

from tests.integration.processes import BotProcess
from tests.integration.shown import end_of, is_final, jobs_of, stayed_final, wait_of, waits
from tests.loopback import LoopbackDiscord, Member
from tests.loopback.runner import DEADLY, LOSING


async def test_a_second_instance_is_refused_in_one_line(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    async with BotProcess(server, tmp_path) as first, BotProcess(server, tmp_path) as second:
        second.log = tmp_path / "second.log"
        await first.start()
        await second.start(connected=False)
        assert await second.end() == 2
        [line] = second.log.read_text().splitlines()
        assert "already running" in line
        assert await first.stop() == 0


async def test_a_stop_puts_the_running_job_back_and_it_ends_after_the_restart_once(
    server: LoopbackDiscord, ada: Member, tmp_path: Path
) -> None:
    async with BotProcess(server, tmp_path, steps=10**6, step_seconds=0.01) as slow:
        await slow.start()
        running = await ada.slash("imagine", prompt="a lighthouse")
        waiting = await ada.slash("imagine", prompt="the next")
        message = await wait_of(server, running)
        await wait_of(server, waiting)
        assert waits(message)
        assert await slow.stop(hurry=True) == 0
    async with BotProcess(server, tmp_path) as quick:
        await quick.start()
        for used in (running, waiting):
            shown = await end_of(server, used)
            assert len(shown.files) == 1
            assert stayed_final(shown)
        assert len([m for m in server.messages if jobs_of(m)]) == 2
        assert await quick.stop() == 0


@pytest.mark.parametrize(("word", "code"), [(DEADLY, -9), (LOSING, 1)])
async def test_a_job_that_brings_the_process_down_is_set_aside_and_the_others_go_on(
    server: LoopbackDiscord, ada: Member, tmp_path: Path, word: str, code: int
) -> None:
    async with BotProcess(server, tmp_path) as bot:
        await bot.start()
        deadly = await ada.slash("imagine", prompt=f"a {word} lighthouse")
        deaths = 0
        while deaths < 3:
            assert await bot.end() == code
            deaths += 1
            await bot.start(connected=False)
        message = await end_of(server, deadly)
        assert not message.files
        assert "3 times" in message.text
        await server.connected()
        other = await end_of(server, await ada.slash("imagine", prompt="a harmless one"))
        assert len(other.files) == 1
        assert is_final(message)
        assert await bot.stop() == 0
