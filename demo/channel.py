"""A simulated Discord channel on real time, with the real bot in it.

SimCord runs the unmodified discord.py client against a Discord in memory. Its clock is virtual, and
its page shows what it was last told; `LivePage` keeps both in step with the world.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import simcord
from simcord.actors import MemberActor
from simcord.backend.errors import SetupError
from simcord.builders import ChannelHandle
from simcord.preview import Preview

from bot.app import App
from bot.config import Config
from bot.jobs.events import Event, JobTold
from bot.jobs.job import Job, Status

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the channel shows at the end of a command. `seconds` are from the command to that."""

    status: Status | None
    sentence: str
    files: tuple[tuple[str, bytes], ...]
    seconds: float


class Channel:
    """The channel, its members, and the app that serves them."""

    def __init__(
        self,
        app: App,
        env: simcord.Env,
        channel: ChannelHandle,
        members: tuple[MemberActor, ...],
    ) -> None:
        self.app = app
        self.env = env
        self.channel = channel
        self.members = members
        self._told: dict[str, asyncio.Future[Job]] = {}
        app.events.subscribe(self._listen)

    async def perform(self, command: str, **options: Any) -> Shown:
        """Type a slash command as the first member and wait until its end is shown."""
        begun = time.perf_counter()
        before = set(self._told)
        result = await self.members[0].slash(self.channel, command, **options)
        new = [self._told[job_id] for job_id in self._told if job_id not in before]
        if not new:
            said = " ".join(m.content for m in result.followups) or "the command was refused"
            return Shown(status=None, sentence=said, files=(), seconds=0.0)
        job = await new[0]
        files = await self._files(result.response)
        return Shown(
            status=job.status,
            sentence=job.error_sentence or "",
            files=files,
            seconds=time.perf_counter() - begun,
        )

    async def _files(self, message: Any) -> tuple[tuple[str, bytes], ...]:
        if message is None:
            return ()
        return tuple([(a.filename, await a.read()) for a in message.attachments])

    def _listen(self, event: Event) -> None:
        job = getattr(event, "job", None)
        if job is None:
            return
        told = self._told.setdefault(job.id, asyncio.get_running_loop().create_future())
        if isinstance(event, JobTold) and not told.done():
            told.set_result(event.job)


@asynccontextmanager
async def open_channel(config: Config) -> AsyncIterator[Channel]:
    """Open the app of `config` in a channel of its own with two members."""
    app = await App.open(config)
    env = simcord.Env(app.client, check_errors=False)
    env.backend.bot_user.name = "Atelier"
    await env.start()
    try:
        with env.time_context():  # what the app starts here runs on real time
            await _follow_the_clock(env)
            await app.listen()
            app.start()
            guild = env.create_guild("Atelier")
            text = guild.create_text_channel("pictures")
            members = tuple(guild.add_member(env.create_user(name)) for name in ("you", "friend"))
            yield Channel(app, env, text, members)
    finally:
        with env.time_context():
            await app.close()
        await env.shutdown()


async def _follow_the_clock(env: simcord.Env) -> None:
    """Bring the simulated Discord to the present."""
    behind = (datetime.now(UTC) - env.now()).total_seconds()
    if behind > 1:
        await env.advance_time(behind)


class LivePage:
    """Shows a channel in a browser and lets a person act in it, for as long as it is open."""

    def __init__(self, channel: Channel, preview: Preview) -> None:
        self.url: str = preview.url
        self._channel = channel
        self._preview = preview
        self._lock = asyncio.Lock()
        self._act = preview._action
        # SimCord refreshes a page after an action, not when a job ends later. An action that met
        # our refresh would be refused and wedge the page, so the two take turns; and an action is
        # on what the page shows now, though the job has edited the message since it was drawn.
        preview._action = self._action  # type: ignore[method-assign]

    async def serve(self, *, every: float = 0.25) -> None:
        """Keep the page in step until cancelled. `every` is in seconds."""
        shown = ""
        while True:
            await asyncio.sleep(every)
            with suppress(SetupError, TimeoutError):  # busy with an action: the next round will do
                async with self._lock:
                    await _follow_the_clock(self._channel.env)
                    if (now := self._fingerprint()) != shown:
                        await self._preview.refresh()
                        shown = now

    async def _action(self, context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        async with self._lock:
            if "published_revision" in body:
                revision = self._preview._get_page(context_id).revision
                body = {**body, "published_revision": revision}
            result: dict[str, Any] = await self._act(context_id, body)
            return result

    def _fingerprint(self) -> str:
        messages = self._channel.env.backend.messages.get(self._channel.channel.id, {})
        seen = [
            (m.id, m.content, m.components, [a.get("id") for a in m.attachments])
            for m in messages.values()
        ]
        return hashlib.sha256(repr(seen).encode()).hexdigest()


@asynccontextmanager
async def open_page(channel: Channel, port: int) -> AsyncIterator[LivePage]:
    """Serve the channel on 127.0.0.1. `port` 0 takes a free one."""
    async with channel.env.preview(
        channel.channel, viewers=channel.members, layout="channel", port=port or None
    ) as preview:
        yield LivePage(channel, preview)
