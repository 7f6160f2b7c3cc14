"""A bot under load is killed with SIGKILL again and again, at random points and at chosen ones.

What was acknowledged must end, once: that is what the store, the files and the delivery promise.
`ATELIER_KILLS=100` runs the full figure, `ATELIER_SEED` another order of events.
"""

import asyncio
import io
import os
import random
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from bot.jobs.files import FileStore
from bot.jobs.job import Status
from bot.jobs.store import Store
from bot.ui.messages import PREVIEW
from pipelines.contract.requests import AnimateRequest, ImagineRequest, Request, SketchRequest
from tests.integration.processes import BotProcess
from tests.integration.shown import (
    button,
    end_of,
    has_waited,
    is_final,
    jobs_of,
    stayed_final,
    waits,
)
from tests.loopback import Interaction, LoopbackDiscord, Member, Message, Upload
from tests.loopback.runner import paint

KILLS = int(os.environ.get("ATELIER_KILLS", "15"))
SEED = int(os.environ.get("ATELIER_SEED", "1"))
MEMBERS = 5
TELLING_CALLS = (
    ("POST", "/interactions/*", False),
    ("PATCH", "/webhooks/*", False),
    ("PATCH", "/webhooks/*", True),
)
"""What the bot says to Discord, and where a kill hurts most: Discord heard it, the bot not that
it was heard."""


@dataclass
class Asked:
    """A command that a member typed, and what its result must be."""

    interaction: Interaction
    request: Request

    @property
    def message(self) -> Message | None:
        return self.interaction.original


@dataclass
class Crowd:
    """Members who type commands for as long as the bot is there, and now and then press Cancel."""

    server: LoopbackDiscord
    random: random.Random
    asked: list[Asked] = field(default_factory=list)

    def told_when_all_ended(self) -> list[Asked] | None:
        """Those who were told that their job is queued, once no message shows a job at work."""
        shown = [a for a in self.asked if a.message is not None and jobs_of(a.message)]
        if not all(a.message is not None and is_final(a.message) for a in shown):
            return None
        return [a for a in shown if a.message is not None and has_waited(a.message)]

    async def act(self, member: Member) -> None:
        """One member, until cancelled."""
        while True:
            await asyncio.sleep(self.random.uniform(0.02, 0.3))  # a person's pace
            if not self.server.gateway.connected:
                continue
            asked = await self._ask(member)
            if self.random.random() < 0.1:
                await self._change_mind(member, asked.interaction)

    async def _change_mind(self, member: Member, used: Interaction) -> None:
        """Press Cancel, if the bot lives long enough to show it."""

        def shown() -> Message | None:
            return used.original if used.original is not None and waits(used.original) else None

        with suppress(AssertionError):
            message = await self.server.wait_for(shown, 1)
            await member.click(message, button(message, "cancel"))

    async def _ask(self, member: Member) -> Asked:
        number = len(self.asked)
        prompt, seed = f"{member.user.name} asks for number {number}", number
        kind = self.random.choice(("imagine", "imagine", "sketch", "animate"))
        request: Request
        if kind == "imagine":
            request = ImagineRequest(prompt=prompt, seed=seed)
            used = await member.slash(kind, prompt=prompt, seed=seed)
        elif kind == "animate":
            request = AnimateRequest(prompt=prompt, seed=seed)
            used = await member.slash(kind, prompt=prompt, seed=seed)
        else:
            request = SketchRequest(drawing=Path("drawing"), prompt=prompt, seed=seed)
            used = await member.slash(kind, prompt=prompt, seed=seed, drawing=_drawing(number))
        self.asked.append(asked := Asked(used, request))
        return asked


def _drawing(number: int) -> Upload:
    data = io.BytesIO()
    Image.new("RGB", (40, 40), (number % 256, 0, 0)).save(data, "PNG")
    return Upload(f"{number}.png", data.getvalue())


@pytest.mark.timeout(120 + 20 * KILLS)
async def test_no_kill_loses_an_acknowledged_job_or_doubles_a_message(
    server: LoopbackDiscord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    crowd = Crowd(server, random.Random(SEED + 1))
    async with BotProcess(server, tmp_path, per_member=10, step_seconds=0.02) as bot:
        members = [server.member(f"member{n}") for n in range(MEMBERS)]
        acting = [asyncio.create_task(crowd.act(member)) for member in members]
        for _ in range(KILLS):
            await _live_and_die(server, bot, chance)
        for task in acting:
            task.cancel()
        await bot.start()
        await end_of(server, await server.member("last").slash("imagine", prompt="the last"), 120)
        told = await server.wait_for(crowd.told_when_all_ended, 120)
        assert await bot.stop() == 0
    _check_messages(server, crowd, told)
    ends = await _check_store(tmp_path / "data", told)
    with capsys.disabled():
        sys.stdout.write(f"\n{_summary(crowd, told, ends)}\n")


async def _live_and_die(server: LoopbackDiscord, bot: BotProcess, chance: random.Random) -> None:
    """Start the bot and kill it: while it starts, at any time, or in the middle of a sentence."""
    manner = chance.choice(("starting", "any time", "any time", "telling", "telling"))
    if manner == "starting":
        await bot.start(connected=False)
        await asyncio.sleep(chance.uniform(0.2, 2.0))
        await bot.kill()
        return
    await bot.start()
    if manner == "any time":
        await asyncio.sleep(chance.uniform(0.0, 1.5))
        await bot.kill()
        return
    method, path, uploads = chance.choice(TELLING_CALLS)
    await asyncio.sleep(chance.uniform(0.0, 1.0))
    gate = server.faults.hold(method, path, uploads=uploads)
    with suppress(TimeoutError):
        await asyncio.wait_for(gate.arrived.wait(), 5)
    await bot.kill()
    server.faults.clear()  # Discord goes on with what it was told


def _check_messages(server: LoopbackDiscord, crowd: Crowd, told: list[Asked]) -> None:
    assert told, "nobody was told anything: the test tests nothing"
    public = [m for m in server.messages if not m.ephemeral]
    owners = Counter(job for m in public for job in jobs_of(m))
    assert max(owners.values()) == 1, "two messages for one job"
    assert len(public) <= 1 + len(crowd.asked), "a message that nobody asked for"
    for asked in crowd.asked:
        if (message := asked.message) is None:
            continue
        assert len(jobs_of(message)) <= 1, "two jobs for one command"
        assert stayed_final(message), "an end was taken back"
        if message.files:
            assert [f.data for f in message.files] == [a.data for a in paint(asked.request)]


async def _check_store(folder: Path, told: list[Asked]) -> Counter[str]:
    """Every acknowledged job has ended well and its files are sound. How many ended how."""
    store = await Store.open(folder / "jobs.sqlite3", folder / "files")
    assert not await store.waiting()
    assert not await store.untold()
    files = FileStore(folder / "files")
    ends = Counter[str]()
    for asked in told:
        assert asked.message is not None
        [job_id] = jobs_of(asked.message)
        job = await store.get(job_id)
        assert job is not None
        assert job.told
        assert job.status in (Status.DELIVERED, Status.CANCELLED, Status.QUARANTINED), job
        for artifact in job.artifacts:
            await files.read(artifact.path)
        ends[job.status] += 1
        ends["ran again"] += job.attempt > 1
    await store.close()
    return ends


def _summary(crowd: Crowd, told: list[Asked], ends: Counter[str]) -> str:
    messages = [a.message for a in told if a.message is not None]
    twice = sum(sum(bool(set(v.files) - {PREVIEW}) for v in m.versions) > 1 for m in messages)
    return (
        f"sigkill: {KILLS} kills, {len(crowd.asked)} commands, {len(told)} acknowledged as queued: "
        f"{ends[Status.DELIVERED]} results intact, {ends[Status.CANCELLED]} cancelled by their "
        f"members, {ends[Status.QUARANTINED]} quarantined, 0 lost, 0 doubled; {ends['ran again']} "
        f"were interrupted and ran again, {twice} were shown again in their message"
    )
