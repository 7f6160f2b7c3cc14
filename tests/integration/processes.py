"""The bot in a process of its own, which can be stopped, killed and started again."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from bot.config import TOKEN_VARIABLE
from tests.loopback import LoopbackDiscord

ROOT = Path(__file__).parents[2]

LIGHT_CONFIG = """
[limits]
waiting_per_member = {per_member}
waiting_in_all = {in_all}
[gpu]
preload = false
[models.caption]
source = "./none"
[models.sketch]
source = "./none"
[models.imagine]
source = "./none"
[models.animate]
source = "./none"
"""


class BotProcess:
    """One bot's folder and the process that serves it now, if any. Its log is in `log`.

    `async with` sees to it that no process outlives the test, however that ends.
    """

    def __init__(
        self,
        server: LoopbackDiscord,
        folder: Path,
        *,
        per_member: int = 5,
        in_all: int = 200,
        steps: int = 3,
        step_seconds: float = 0.0,
    ) -> None:
        self._server = server
        self.config = folder / "config.toml"
        self.config.write_text(LIGHT_CONFIG.format(per_member=per_member, in_all=in_all))
        self.log = folder / "bot.log"
        self._pace = (f"--steps={steps}", f"--step-seconds={step_seconds}")
        self.process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def start(self, *, connected: bool = True) -> asyncio.subprocess.Process:
        """Start it and, unless told otherwise, wait until it is on the line."""
        before = len(self._server.gateway.identifies)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.loopback.child",
                self._server.base,
                str(self.config),
                *self._pace,
                cwd=ROOT,
                env=os.environ | {TOKEN_VARIABLE: self._server.token},
                stdout=log,
                stderr=log,
            )
        if connected:
            await self._connected(before)
        return self.process

    async def _connected(self, identified: int, timeout: float = 60.0) -> None:
        """Wait until it has identified once more, or fail with the log of what died."""
        assert self.process is not None
        server = self._server

        def ready() -> bool:
            new = len(server.gateway.identifies) > identified
            return new and server.gateway.connected and bool(server.state.commands)

        connecting = asyncio.create_task(server.wait_for(ready, timeout))
        dying = asyncio.create_task(self.process.wait())
        await asyncio.wait({connecting, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if not connecting.done():
            connecting.cancel()
            lately = self.log.read_text().splitlines()[-5:]
            raise AssertionError("the bot did not start: " + "\n".join(lately))
        await connecting

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone and Discord has noticed."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._server.wait_for(lambda: not self._server.gateway.connected)

    async def stop(self, *, hurry: bool = False, timeout: float = 60.0) -> int:
        """SIGTERM, as a service manager sends it; a second one in a `hurry`. The exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        if hurry:
            with suppress(TimeoutError):  # should both arrive as one, the grace has to pass
                return await self.end(0.5)
            self.process.send_signal(signal.SIGTERM)
        return await self.end(timeout)

    async def end(self, timeout: float = 60.0) -> int:
        """Wait until it ends by itself. Returns the exit code."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), timeout)
