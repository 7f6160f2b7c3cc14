"""`python -m tests.loopback.child BASE CONFIG`: the bot in a process of its own.

It is the real one but for two things: discord.py talks to the loopback Discord at BASE, and the
executor's thread has a LightRunner. Starts, stops and ends as `python -m bot run` does.
"""

import argparse
import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

from bot.app import App
from bot.config import load_config, read_token
from bot.errors import StartupError
from bot.executors.thread import ThreadExecutor
from bot.log import set_up_logging
from tests.loopback.pointing import point_discord_at
from tests.loopback.runner import LightRunner, Studio


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("config", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--step-seconds", type=float, default=0.0)
    given = parser.parse_args()
    studio = Studio(steps=given.steps, step_seconds=given.step_seconds)
    with point_discord_at(given.base):
        try:
            asyncio.run(_serve(given.config, studio))
        except StartupError as error:
            sys.stderr.write(f"atelier: {error.sentence}\n")
            return 2
    return 0


async def _serve(path: Path, studio: Studio) -> None:
    config = load_config(path)
    set_up_logging(config.log)
    executor = ThreadExecutor(lambda: LightRunner(studio))
    app = await App.open(config, executor=executor)
    task = asyncio.create_task(app.serve(read_token(config)))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    sys.exit(main())
