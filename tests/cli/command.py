"""`python -m bot …` as its owner types it, in a process of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_IN_OUR_DISCORD = """
import sys
from bot.cli import cli
from tests.loopback.pointing import point_discord_at
with point_discord_at(sys.argv.pop(1)):
    cli()
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr, which is all that may be there."""
        (line,) = self.err.splitlines()
        assert line.startswith("atelier: ")
        return line.removeprefix("atelier: ")


def command(*words: str, cwd: Path, discord: str | None = None, **environment: str) -> Ended:
    """Run `python -m bot` with `words` in `cwd`, with the Discord at `discord` if given."""
    ended = subprocess.run(
        [*python(discord), *words],
        cwd=cwd,
        env=surroundings(**environment),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def python(discord: str | None = None) -> list[str]:
    """The command's first words."""
    if discord is None:
        return [sys.executable, "-m", "bot"]
    return [sys.executable, "-c", _IN_OUR_DISCORD, discord]


def surroundings(**environment: str) -> dict[str, str]:
    """This process's environment with this project, without what it may say of the bot."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ATELIER_", "HF_", "HUGGING_FACE"))
    }
    return kept | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"} | environment
