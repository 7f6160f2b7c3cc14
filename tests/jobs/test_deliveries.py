import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import repeat

import pytest

from bot.errors import StorageFailed, Undeliverable
from bot.jobs.deliveries import Deliveries
from bot.jobs.events import JobEnded, JobTold
from bot.jobs.job import Job, Status
from bot.jobs.store import Store
from tests.jobs.samples import ROOMY, a_job, enqueue
from tests.jobs.studio import SOON, Studio, heard

MakeStudio = Callable[..., Studio]


class Post:
    """A delivery that does what the test says for each job and try, and remembers all it did."""

    def __init__(self) -> None:
        self.delivered: list[Job] = []
        self.tries: list[str] = []
        self.at_once = self.most_at_once = 0
        self.plan: Callable[[Job], Awaitable[None]] | None = None

    async def deliver(self, job: Job) -> None:
        self.tries.append(job.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.plan is not None:
                await self.plan(job)
        finally:
            self.at_once -= 1
        self.delivered.append(job)


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("deliveries", "pauses"):
        monkeypatch.setattr(f"bot.jobs.{module}.growing", lambda: repeat(0.001))


@pytest.fixture
async def office(
    studio: MakeStudio, store: Store, post: Post
) -> AsyncIterator[tuple[Studio, Deliveries]]:
    s = studio()
    deliveries = Deliveries(store, post.deliver, s.events)
    yield s, deliveries
    await deliveries.stop()


Office = tuple[Studio, Deliveries]


async def _ended(s: Studio) -> Job:
    """A job that is rendered, of which nobody has been told yet."""
    job = a_job()
    await enqueue(s.store, job, ROOMY)
    leased = await s.store.lease(job.id)
    assert leased is not None
    rendered = await s.store.rendered(leased, (), 1.0)
    assert rendered is not None
    return rendered


async def test_an_end_is_told_and_noted(office: Office, post: Post) -> None:
    s, deliveries = office
    deliveries.start()
    await s.open()
    job = await s.submit()
    told = (await s.said(JobTold, job)).job
    assert (told.status, told.told) == (Status.DELIVERED, True)
    assert [j.id for j in post.delivered] == [job.id]
    assert await s.store.untold() == []


async def test_what_an_earlier_process_left_is_told_once(office: Office, post: Post) -> None:
    s, deliveries = office
    jobs = [await _ended(s) for _ in range(3)]
    deliveries.start()
    s.events.publish(JobEnded(jobs[0]))
    for job in jobs:
        await s.said(JobTold, job)
    assert sorted(post.tries) == sorted(job.id for job in jobs)


async def test_nothing_is_delivered_before_the_start(office: Office, post: Post) -> None:
    s, deliveries = office
    job = await _ended(s)
    s.events.publish(JobEnded(job))
    assert not deliveries._telling
    deliveries.start()
    await s.said(JobTold, job)
    assert post.tries == [job.id]


async def test_unknown_trouble_is_tried_again_until_it_is_over(office: Office, post: Post) -> None:
    s, deliveries = office
    troubles = [OSError("reset"), ValueError("odd"), OSError("reset")]

    async def flaky(_: Job) -> None:
        if troubles:
            raise troubles.pop(0)

    post.plan = flaky
    deliveries.start()
    job = await _ended(s)
    s.events.publish(JobEnded(job))
    assert (await s.said(JobTold, job)).job.status is Status.DELIVERED
    assert post.tries == [job.id] * 4


async def test_every_try_sees_the_job_as_it_is(office: Office, post: Post) -> None:
    s, deliveries = office

    async def moving(job: Job) -> None:
        if job.origin.get("message_id") != 9:
            await s.store.set_origin(job.id, {"message_id": 9})
            raise OSError("the connection broke after the message was made")

    post.plan = moving
    deliveries.start()
    job = await _ended(s)
    s.events.publish(JobEnded(job))
    await s.said(JobTold, job)
    assert [j.origin for j in post.delivered] == [{"message_id": 9}]


async def test_what_can_never_be_delivered_is_noted_and_left(office: Office, post: Post) -> None:
    s, deliveries = office

    async def closed(_: Job) -> None:
        raise Undeliverable("The channel is gone.")

    post.plan = closed
    deliveries.start()
    job = await _ended(s)
    s.events.publish(JobEnded(job))
    told = (await s.said(JobTold, job)).job
    assert (told.status, told.told, told.error_code) == (Status.RENDERED, True, "undeliverable")
    assert post.tries == [job.id]


async def test_an_erased_job_is_not_tried_again(office: Office, post: Post) -> None:
    s, deliveries = office

    async def erased_meanwhile(job: Job) -> None:
        await s.store.erase(job.id)
        raise OSError("reset")

    post.plan = erased_meanwhile
    deliveries.start()
    job = await _ended(s)
    s.events.publish(JobEnded(job))
    async with asyncio.timeout(SOON):
        await deliveries._tasks.join()
    assert post.tries == [job.id]
    assert s.of(JobTold, job) == []


async def test_a_few_at_once_and_the_failing_hold_nobody_up(office: Office, post: Post) -> None:
    s, deliveries = office
    jobs = [await _ended(s) for _ in range(12)]
    broken = {job.id for job in jobs[:6]}

    async def some_fail(job: Job) -> None:
        await asyncio.sleep(0.001)
        if job.id in broken:
            raise OSError("this channel never answers")

    post.plan = some_fail
    deliveries.start()
    for job in jobs[6:]:
        await s.said(JobTold, job)
    assert post.most_at_once == 4
    broken.clear()
    for job in jobs[:6]:
        await s.said(JobTold, job)


async def test_of_what_there_is_nothing_to_tell_nobody_waits(
    studio: MakeStudio, store: Store, post: Post
) -> None:
    s = studio()
    loud = [await _ended(s) for _ in range(6)]
    silent = await _ended(s)
    deliveries = Deliveries(store, post.deliver, s.events, silent=lambda job: job.id == silent.id)
    go_on = asyncio.Event()

    async def hang(job: Job) -> None:
        if job.id != silent.id:
            await go_on.wait()

    post.plan = hang
    deliveries.start()
    assert (await s.said(JobTold, silent)).job.status is Status.DELIVERED
    go_on.set()
    for job in loud:
        await s.said(JobTold, job)
    await deliveries.stop()


async def test_a_disk_that_refuses_tells_nobody_twice(office: Office, post: Post) -> None:
    s, deliveries = office
    job = await _ended(s)

    async def then_the_disk_is_full(_: Job) -> None:
        await s.store.database._connection.execute("PRAGMA query_only = ON")

    post.plan = then_the_disk_is_full
    with heard("the job store failed") as refused:
        deliveries.start()
        await asyncio.wait_for(refused.wait(), SOON)
    await s.store.database._connection.execute("PRAGMA query_only = OFF")
    assert (await s.said(JobTold, job)).job.status is Status.DELIVERED
    assert post.tries == [job.id]


async def test_stopping_lets_a_delivery_end_and_begins_no_other(office: Office, post: Post) -> None:
    s, deliveries = office
    jobs = [await _ended(s) for _ in range(6)]
    reached, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow(_: Job) -> None:
        reached.release()
        await go_on.wait()

    post.plan = slow
    deliveries.start()
    for _ in range(4):
        await asyncio.wait_for(reached.acquire(), SOON)
    stop = asyncio.create_task(deliveries.stop())
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait_for(stop, SOON)
    assert len(post.tries) == 4
    assert {job.id for job in await s.store.untold()} == {j.id for j in jobs} - set(post.tries)


async def test_what_ends_while_it_stops_is_left_for_the_next_start(
    office: Office, post: Post
) -> None:
    s, deliveries = office
    first = await _ended(s)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Job) -> None:
        reached.set()
        await go_on.wait()

    post.plan = slow
    deliveries.start()
    await asyncio.wait_for(reached.wait(), SOON)
    stop = asyncio.create_task(deliveries.stop())
    await asyncio.sleep(0)
    late = await _ended(s)
    s.events.publish(JobEnded(late))
    go_on.set()
    await asyncio.wait_for(stop, SOON)
    assert post.tries == [first.id]
    assert [job.id for job in await s.store.untold()] == [late.id]


async def test_a_failing_delivery_leaves_the_gpu_alone(office: Office, post: Post) -> None:
    s, deliveries = office

    async def broken(_: Job) -> None:
        raise RuntimeError("a bug in the delivery")

    post.plan = broken
    deliveries.start()
    await s.open()
    for _ in range(3):
        ended = (await s.said(JobEnded, await s.submit())).job
        assert ended.status is Status.RENDERED


@pytest.mark.parametrize("asked", ["get", "untold"])
async def test_a_disk_that_refuses_for_a_moment_ends_no_delivery(
    office: Office, post: Post, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    s, deliveries = office
    job = await _ended(s)
    ask = getattr(s.store, asked)

    async def refuse(*_: object) -> object:
        monkeypatch.setattr(s.store, asked, ask)
        raise StorageFailed("The disk is full.")

    async def away_once(_: Job) -> None:
        if len(post.tries) == 1:
            raise OSError("Discord is away")

    monkeypatch.setattr(s.store, asked, refuse)
    post.plan = away_once
    deliveries.start()
    await s.said(JobTold, job)
    assert post.tries == [job.id] * 2


async def test_what_its_member_had_forgotten_is_not_delivered_after_all(
    office: Office, post: Post
) -> None:
    s, deliveries = office
    job = await _ended(s)

    async def away(_: Job) -> None:
        await s.store.database.run("DELETE FROM jobs")
        raise OSError("Discord is away")

    post.plan = away
    deliveries.start()
    async with asyncio.timeout(SOON):
        while not post.tries or deliveries._telling:  # noqa: ASYNC110 - nobody is told of nothing
            await asyncio.sleep(0.001)
    assert post.tries == [job.id]
