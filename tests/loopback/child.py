"""`python -m tests.loopback.child BASE CONFIG`: `python -m bot run` in a Discord of our own.

Everything is real but two things: discord.py talks to the loopback Discord at BASE, and the
executor's thread has a LightRunner, which needs no torch.
"""

import argparse
from pathlib import Path
from unittest.mock import patch

from bot.cli import cli
from bot.config import Config
from bot.executors.thread import ThreadExecutor
from bot.jobs.executor import Executor
from tests.loopback.pointing import point_discord_at
from tests.loopback.runner import LightRunner, Studio


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("config", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--step-seconds", type=float, default=0.0)
    given = parser.parse_args()
    studio = Studio(steps=given.steps, step_seconds=given.step_seconds)

    def light_executors(config: Config) -> list[Executor]:
        return [ThreadExecutor(lambda: LightRunner(studio))]

    with point_discord_at(given.base), patch("bot.app._executors", light_executors):
        cli(["run", "--config", str(given.config)])


if __name__ == "__main__":
    main()
