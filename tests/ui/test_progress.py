"""How often a waiting message is edited, and that nothing is edited after its release.

The real queue, client and board; time is passed by hand, and the requests to Discord are counted.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import simcord
from simcord.actors import MemberActor

from bot.client import AtelierClient
from bot.config import Config
from bot.jobs.events import Events, JobBroughtForward, JobEnded, JobProgressed
from bot.jobs.files import FileStore
from bot.jobs.job import Job, Status
from bot.jobs.limits import Limits
from bot.jobs.policy import Policy
from bot.jobs.queue import JobQueue
from bot.jobs.store import Store
from bot.ui import progress
from bot.ui.progress import BURST, NEAR, PAUSES, SWEEP, ProgressBoard
from pipelines.contract.context import Phase, Progress
from tests.integration.apps import light_catalog
from tests.jobs.samples import a_queue
from tests.ui.channel import Channel, Shown, connected


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self._now = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._sleepers.append((self._now + seconds, wake))
            await wake

    async def pass_(self, seconds: float) -> None:
        """Let `seconds` pass, and whoever wakes meanwhile do what it woke for."""
        end = self._now + seconds
        await _idle()
        while due := [s for s in self._sleepers if s[0] <= end]:
            first = min(due, key=lambda s: s[0])
            self._sleepers.remove(first)
            self._now = first[0]
            if not first[1].done():
                first[1].set_result(None)
            await _idle()
        self._now = end


async def _idle() -> None:
    """Let everything run that waits for nothing; the simulated Discord answers at once."""
    for _ in range(50):
        await asyncio.sleep(0)


@dataclass
class Desk:
    """The board at work in a channel."""

    channel: Channel
    clock: Clock
    events: Events
    queue: JobQueue
    board: ProgressBoard
    ada: MemberActor

    async def ask(self, prompt: str = "a lighthouse") -> Shown:
        """Submit a job as a member would, and return the message for it."""
        await self.ada.slash(self.channel.handle, "imagine", prompt=prompt)
        return self.channel.shown()[-1]

    async def start_next(self) -> Job:
        """Begin the next job, as the worker does."""
        run = await self.queue.lease([frozenset()])
        assert run is not None
        return run.job

    async def edits_in(self, seconds: float) -> int:
        before = self.channel.edits()
        await self.clock.pass_(seconds)
        return self.channel.edits() - before

    def step(self, job: Job, step: int, of: int = 1000, preview: bytes | None = None) -> None:
        self.events.publish(JobProgressed(job, Progress(Phase.PAINTING, step, of, preview)))


@dataclass(frozen=True)
class Shop:
    """What the app composes, but for the worker and the deliveries."""

    clock: Clock
    events: Events
    queue: JobQueue
    client: AtelierClient
    board: ProgressBoard


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    store = await Store.open(tmp_path / "jobs.sqlite3", tmp_path / "files")
    events, clock, catalog = Events(), Clock(), light_catalog()
    limits = Limits(waiting_per_member=100, waiting_in_all=100)
    queue = a_queue(store, Policy(patience=60.0), catalog, events, limits)
    files = FileStore(tmp_path / "files")
    client = AtelierClient(queue, files, store, Config(models=catalog))
    board = ProgressBoard(client.roads, queue, events, now=clock.now, sleep=clock.sleep, first=0.0)
    yield Shop(clock, events, queue, client, board)
    await board.stop()
    await store.close()


@pytest.fixture
async def env(shop: Shop) -> AsyncIterator[simcord.Env]:
    async with connected(shop.client) as env:
        yield env


@pytest.fixture
def desk(shop: Shop, env: simcord.Env) -> Desk:
    channel = Channel.create(env)
    return Desk(channel, shop.clock, shop.events, shop.queue, shop.board, channel.member("ada"))


async def test_the_member_is_told_the_place_at_once(desk: Desk) -> None:
    first, second, third = [await desk.ask(p) for p in ("one", "two", "three")]
    assert "next in line" in first.text
    assert "place 2 in line" in second.text
    assert "place 3 in line" in third.text
    assert [m.buttons for m in (first, second, third)] == [["Cancel"]] * 3


async def test_steps_are_shown_at_a_pace_that_slows_down(desk: Desk) -> None:
    await desk.ask()
    job = await desk.start_next()
    pauses, last = [], desk.clock.now()
    for step in range(600):
        desk.step(job, step)
        if await desk.edits_in(0.1):
            pauses.append(round(desk.clock.now() - last, 1))
            last = desk.clock.now()
    # The first pause is counted from the start, the others from edit to edit.
    assert pauses[1:4] == [pytest.approx(p, abs=0.11) for p in PAUSES[1:4]]
    assert min(pauses) >= PAUSES[0] - 0.1
    assert max(pauses) <= PAUSES[-1] + 0.11


async def test_the_latest_state_wins(desk: Desk) -> None:
    message = await desk.ask()
    job = await desk.start_next()
    for step in range(1, 31):
        desk.step(job, step, 30)
    assert await desk.edits_in(PAUSES[0]) == 1
    assert "Painting" in message.text
    assert "step 30 of 30" in message.text


async def test_a_preview_is_shown_and_goes_with_the_next_state(desk: Desk) -> None:
    message = await desk.ask()
    job = await desk.start_next()
    desk.step(job, 5, preview=b"half a picture")
    await desk.clock.pass_(PAUSES[0])
    assert await message.files() == [b"half a picture"]
    assert message.alt_texts == ["What it is so far"]
    desk.step(job, 6, preview=b"more of it")
    await desk.clock.pass_(PAUSES[1] + PAUSES[2])
    assert await message.files() == [b"more of it"]
    desk.queue.give_back(desk.queue._runs[job.id], replace(job, status=Status.QUEUED))
    await desk.clock.pass_(PAUSES[-1])
    assert message.attachments == 0


async def test_previews_are_asked_for_where_they_are_wanted(desk: Desk) -> None:
    await desk.ask()
    job = await desk.start_next()
    run = desk.queue._runs[job.id]
    assert not run.look.is_near()
    await desk.clock.pass_(PAUSES[0])
    assert run.look.is_near()  # by this clock, long ago
    desk.board._previews = lambda job: False
    run.look.is_provided_for()
    desk.step(job, 5)
    await desk.clock.pass_(PAUSES[1])
    assert not run.look.is_near()


async def test_nothing_new_makes_no_edit(desk: Desk) -> None:
    await desk.ask()
    job = await desk.start_next()
    desk.step(job, 1)
    await desk.clock.pass_(60)
    desk.step(job, 1)
    assert await desk.edits_in(60) == 0


async def test_those_who_wait_learn_that_the_queue_has_moved(desk: Desk) -> None:
    messages = [await desk.ask(str(n)) for n in range(3)]
    assert "place 3 in line" in messages[2].text
    await desk.start_next()
    await desk.clock.pass_(SWEEP + PAUSES[0])
    assert "Starting" in messages[0].text
    assert "next in line" in messages[1].text
    assert "place 2 in line" in messages[2].text


async def test_who_no_longer_waits_behind_is_told(desk: Desk) -> None:
    await desk.queue.settings.change(desk.channel.guild.id, daily_seconds=1.0)
    await desk.ask()
    message = await desk.ask()
    assert "this waits behind others" in message.text
    job = await desk.queue.get(message.job_id)
    desk.events.publish(JobBroughtForward(replace(job, relaxed=False)))
    await desk.clock.pass_(PAUSES[0])
    assert "place 2 in line" in message.text and "behind others" not in message.text


async def test_twenty_watched_jobs_stay_below_an_edit_a_second(desk: Desk) -> None:
    for n in range(20):
        await desk.ask(str(n))
    edits = []
    for _ in range(20):
        job = await desk.start_next()
        edits.append(0)
        for step in range(10):
            desk.step(job, step)
            edits[-1] += await desk.edits_in(1.0)
        desk.events.publish(JobEnded(job))
    assert sum(edits) <= BURST + 200
    assert min(edits[:10]) >= 2  # yet each that runs is seen to move


async def test_far_back_in_line_no_move_is_shown(desk: Desk) -> None:
    messages = [await desk.ask(str(n)) for n in range(NEAR + 3)]
    await desk.start_next()
    await desk.clock.pass_(60)
    assert f"place {NEAR} in line" in messages[NEAR].text
    assert f"place {NEAR + 3} in line" in messages[NEAR + 2].text


async def test_after_its_release_a_message_is_left_alone(desk: Desk) -> None:
    message = await desk.ask()
    job = await desk.start_next()
    desk.step(job, 5)
    await desk.board.release(job.id)
    desk.step(job, 6)
    assert await desk.edits_in(60) == 0
    assert "in line" in message.text


async def edit_under_way(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> tuple[Job, asyncio.Event]:
    """A job whose message is just being edited; the edit arrives when the event is set."""
    await desk.ask()
    arrive, edit = asyncio.Event(), desk.board._roads.edit

    async def slow_edit(*what: Any) -> None:
        await arrive.wait()
        await edit(*what)

    monkeypatch.setattr(desk.board._roads, "edit", slow_edit)
    job = await desk.start_next()
    desk.step(job, 5)
    await desk.clock.pass_(PAUSES[0])
    return job, arrive


async def test_its_release_waits_for_an_edit_under_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, arrive = await edit_under_way(desk, monkeypatch)
    release = asyncio.create_task(desk.board.release(job.id))
    await _idle()
    assert not release.done()
    arrive.set()
    await release
    assert "step 5 of 1000" in desk.channel.shown()[-1].text
    assert await desk.edits_in(60) == 0


async def test_its_release_does_not_wait_for_ever(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LAST_EDIT", 0.01)
    job, arrive = await edit_under_way(desk, monkeypatch)
    await desk.board.release(job.id)
    arrive.set()
    assert await desk.edits_in(60) == 0


async def test_after_its_end_a_late_step_is_not_shown(desk: Desk) -> None:
    await desk.ask()
    job = await desk.start_next()
    desk.events.publish(JobEnded(job))
    desk.step(job, 6)
    assert await desk.edits_in(60) == 0


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_message_that_cannot_be_edited_is_not_tried_again(desk: Desk, status: int) -> None:
    await desk.ask()
    job = await desk.start_next()
    desk.channel.env.inject_error("PATCH", "/webhooks/*/messages/*", status=status, times=None)
    for step in range(60):
        desk.step(job, step)
        await desk.clock.pass_(1.0)
    assert desk.channel.edits() == 2  # the first, and the one that was refused


async def test_discords_own_trouble_delays_what_is_shown(desk: Desk) -> None:
    message = await desk.ask()
    job = await desk.start_next()
    desk.channel.env.inject_error("PATCH", "/webhooks/*/messages/*", status=500, times=3)
    desk.step(job, 1)
    assert await desk.edits_in(60) == 4
    assert "step 1 of 1000" in message.text
