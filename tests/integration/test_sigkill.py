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

from pipelines.contract.requests import AnimateRequest, ImagineRequest, Request, SketchRequest
from tests.integration.processes import BotProcess
from tests.integration.shown import (
    button,
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


@dataclass
class Crowd:
    """Members who type commands for as long as the bot is there, and now and then press Cancel."""

    server: LoopbackDiscord
    random: random.Random
    asked: list[Asked] = field(default_factory=list)

    async def act(self, member: Member) -> None:
        """One member, until cancelled."""
        while True:
            await asyncio.sleep(self.random.uniform(0.02, 0.3))  # a person's pace
            if not self.server.gateway.connected:
                continue
            asked = await self._ask(member)
            with suppress(TimeoutError):  # the bot was killed before it could answer
                await asyncio.wait_for(asked.interaction.callback.wait(), 3)
            message = asked.interaction.original
            if self.random.random() < 0.1 and message is not None and waits(message):
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
    bot = BotProcess(server, tmp_path, per_member=50, in_all=500, step_seconds=0.01)
    crowd = Crowd(server, random.Random(SEED + 1))
    members = [server.member(f"member{n}") for n in range(MEMBERS)]
    acting = [asyncio.create_task(crowd.act(member)) for member in members]
    for _ in range(KILLS):
        await _live_and_die(server, bot, chance)
    for task in acting:
        task.cancel()
    await bot.start()
    told = [a for a in crowd.asked if _was_acknowledged(a)]
    await server.wait_for(lambda: all(_ended(a) for a in told), timeout=120)
    assert await bot.stop() == 0
    _check(server, crowd, told)
    with capsys.disabled():
        sys.stdout.write(f"\n{_summary(crowd, told)}\n")


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


def _was_acknowledged(asked: Asked) -> bool:
    """Whether the member was shown that the job is in the queue."""
    return asked.interaction.original is not None and has_waited(asked.interaction.original)


def _ended(asked: Asked) -> bool:
    return asked.interaction.original is not None and is_final(asked.interaction.original)


def _check(server: LoopbackDiscord, crowd: Crowd, told: list[Asked]) -> None:
    assert told, "nobody was told anything: the test tests nothing"
    originals = {id(a.interaction.original) for a in crowd.asked}
    public = [m for m in server.messages if not m.ephemeral]
    assert all(id(m) in originals for m in public), "a message nobody asked for"
    owners = Counter(job for m in public for job in jobs_of(m))
    assert max(owners.values()) == 1, "two messages for one job"
    for asked in crowd.asked:
        message = asked.interaction.original
        if message is None:
            continue
        assert len(jobs_of(message)) <= 1, "two jobs for one command"
        assert stayed_final(message), "an end was taken back"
        if message.files:
            assert [f.data for f in message.files] == [a.data for a in paint(asked.request)]


def _summary(crowd: Crowd, told: list[Asked]) -> str:
    messages = [m for a in told if (m := a.interaction.original) is not None]
    shown = sum(bool(m.files) for m in messages)
    return (
        f"sigkill: {KILLS} kills, {len(crowd.asked)} commands, {len(told)} acknowledged as queued, "
        f"{shown} results intact, {len(told) - shown} cancelled or set aside, 0 lost, 0 doubled "
        f"({sum(_deliveries(m) > 1 for m in messages)} edited in again after a kill)"
    )


def _deliveries(message: Message) -> int:
    return sum(bool(version.files) for version in message.versions)
