import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from bot.errors import Banned, NoSuchJob, QueueFull, StorageFailed, TooLate, Undeliverable
from bot.jobs.events import (
    Event,
    JobBroughtForward,
    JobEnded,
    JobQueued,
    JobRefused,
    JobStarted,
    QueueMoved,
)
from bot.jobs.job import Job, Standing, Status
from bot.jobs.limits import Limits
from bot.jobs.queue import Run
from bot.jobs.store import Store
from bot.jobs.usage import DAY
from pipelines.catalog import CaptionModel, Catalog, ImagineModel, ModelKey
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import SketchRequest
from tests.jobs.samples import ROOMY, START, Clock, a_job, an_artifact, enqueue
from tests.jobs.studio import SOON, Studio, a_request, held

MakeStudio = Callable[..., Studio]
NONE: list[frozenset[str]] = [frozenset()]


async def _lease(studio: Studio) -> Run:
    run = await studio.queue.lease(NONE)
    assert run is not None
    return run


async def test_a_submitted_job_is_stored_announced_and_placed(studio: MakeStudio) -> None:
    s = studio()
    first, second = await s.submit(), await s.submit()
    assert await s.queue.get(first.id) == first
    assert (first.queued_at, first.status) == (START, Status.QUEUED)
    assert [s.queue.place(job.id) for job in (first, second)] == [1, 2]
    assert s.of(JobQueued, first) == [JobQueued(first)]


async def test_the_cost_is_estimated_from_the_request(studio: MakeStudio) -> None:
    s = studio()
    one, four = await s.submit(), await s.submit(count=4)
    assert four.cost == 4 * one.cost > 0


async def test_a_request_without_its_models_is_refused_with_a_remedy(studio: MakeStudio) -> None:
    s = studio(catalog=Catalog(imagine=ImagineModel(source="./sd3")))
    sketch = SketchRequest(drawing=Path("fox.png"), seed=1)
    with pytest.raises(BadInput, match=r"/sketch is not set up.*\[models\.caption\]"):
        await s.queue.submit(sketch, owner=1, origin={})
    assert s.seen == [JobRefused(1, "bad_input")]
    assert await s.store.waiting() == []


async def test_the_settings_where_somebody_stands_hold(studio: MakeStudio) -> None:
    s = studio()
    await s.queue.settings.change(7, 1, waiting=1)
    await s.queue.settings.change(7, role_weights={5: 3.0, 6: 2.0})
    stands = Standing(server=7, channel=1, roles=frozenset({5, 6}))
    job = await s.queue.submit(a_request(), owner=1, origin={}, standing=stands)
    assert (job.weight, job.server, job.channel, job.relaxed) == (1.0, 7, 1, False)
    with pytest.raises(QueueFull, match="1 job waiting"):
        await s.queue.submit(a_request(), owner=1, origin={}, standing=stands)
    elsewhere = replace(stands, channel=2, roles=frozenset({6}))
    job = await s.queue.submit(a_request(), owner=1, origin={}, standing=elsewhere)
    assert job.weight == 2 / 3


async def test_what_a_server_gives_its_roles_it_does_not_take_from_others(
    studio: MakeStudio,
) -> None:
    s = studio()
    await s.queue.settings.change(7, role_weights={5: 100.0})
    greedy, other = Standing(server=7, roles=frozenset({5})), Standing(server=8)
    for _ in range(6):
        for owner, standing in ((1, greedy), (2, other)):
            await s.queue.submit(a_request(), owner=owner, origin={}, standing=standing)
    turns = [(await _lease(s)).job.owner for _ in range(12)]
    assert turns == [1, 2] * 6


async def test_who_has_used_their_share_waits_behind_for_a_day_at_most(
    studio: MakeStudio, clock: Clock
) -> None:
    s = studio(clock=clock)
    await s.queue.settings.change(7, daily_seconds=1.0)
    stands = Standing(server=7)
    first, behind = [
        await s.queue.submit(a_request(), owner=1, origin={}, standing=stands) for _ in range(2)
    ]
    other = [await s.submit(owner=2) for _ in range(3)]
    assert [s.queue.place(job.id) for job in (first, *other, behind)] == [1, 2, 3, 4, 5]
    assert (await _lease(s)).job == replace(first, **_started(clock))
    clock.now += DAY
    told: list[Event] = []
    s.events.subscribe(told.append)
    await _lease(s)
    assert JobBroughtForward(replace(behind, relaxed=False)) in told
    assert [s.queue.place(job.id) for job in (other[1], behind, other[2])] == [1, 2, 3]
    await _lease(s)
    run = await _lease(s)
    assert run.job.id == behind.id and not run.job.relaxed


async def test_who_waited_behind_for_a_day_is_brought_forward_though_it_comes_back_just_then(
    studio: MakeStudio, clock: Clock
) -> None:
    s = studio(clock=clock)
    await s.queue.settings.change(7, daily_seconds=1.0)
    for _ in range(3):
        await s.queue.submit(a_request(), owner=1, origin={}, standing=Standing(server=7))
        clock.now += 1
    await _lease(s)
    run = await _lease(s)
    assert run.job.relaxed
    clock.now += DAY

    async def come_back() -> None:
        job = await s.store.put_back(run.job)
        assert job is not None
        s.queue.give_back(run, job)

    first, _ = await asyncio.gather(_lease(s), come_back())
    assert [first.job.relaxed, (await _lease(s)).job.relaxed] == [False, False]


async def test_who_waits_behind_still_does_after_a_restart(
    studio: MakeStudio, clock: Clock
) -> None:
    s = studio(clock=clock)
    await s.queue.settings.change(7, daily_seconds=1.0)
    for _ in range(2):
        await s.queue.submit(a_request(), owner=1, origin={}, standing=Standing(server=7))
    other = await s.submit(owner=2)
    later = studio(clock=clock)
    await later.queue.restore()
    assert [job.relaxed for job in await later.queue.first(3)] == [False, False, True]
    assert later.queue.place(other.id) in (1, 2)


def _started(clock: Clock) -> dict[str, Any]:
    return {"status": Status.RUNNING, "attempt": 1, "started_at": clock.now}


async def test_a_review_is_refused_where_nothing_could_be_painted_after_it(
    studio: MakeStudio,
) -> None:
    s = studio(catalog=Catalog(caption=CaptionModel(source="./blip")))
    sketch = SketchRequest(drawing=Path("fox.png"), review=True, seed=1)
    with pytest.raises(BadInput, match=r"/sketch is not set up.*\[models\.sketch\]"):
        await s.queue.submit(sketch, owner=1, origin={})


async def test_a_full_queue_refuses_and_says_so(studio: MakeStudio) -> None:
    s = studio(limits=Limits(waiting_per_member=1, waiting_in_all=9))
    await s.submit()
    with pytest.raises(QueueFull, match="come back"):
        await s.submit()
    assert s.seen[-1] == JobRefused(1, "queue_full")
    assert len(await s.store.waiting()) == 1


async def test_leasing_follows_the_policy_and_ends_with_none(studio: MakeStudio) -> None:
    s = studio()
    jobs = [await s.submit(owner=owner) for owner in (1, 1, 2)]
    runs = [await _lease(s) for _ in jobs]
    assert [run.job.owner for run in runs] == [1, 2, 1]
    assert all(run.job.status is Status.RUNNING for run in runs)
    assert s.of(JobStarted, jobs[0]) == [JobStarted(runs[0].job)]
    assert s.seen.count(QueueMoved()) == 3
    assert await s.queue.lease(NONE) is None
    assert s.queue.place(jobs[0].id) is None


async def test_what_is_on_the_card_goes_first_and_a_sketch_needs_no_captioner_there(
    studio: MakeStudio,
) -> None:
    s = studio()
    first = await s.submit(owner=1)
    sketch = SketchRequest(drawing=Path("fox.png"), seed=1)
    second = await s.queue.submit(sketch, owner=2, origin={})
    run = await s.queue.lease([frozenset({ModelKey.SKETCH})])
    assert run is not None
    assert run.job.id == second.id
    assert (await _lease(s)).job.id == first.id


async def test_work_is_noticed_when_it_comes(studio: MakeStudio) -> None:
    s = studio()
    assert await s.queue.lease(NONE) is None
    waiting = asyncio.create_task(s.queue.work())
    await asyncio.sleep(0)
    assert not waiting.done()
    await s.submit()
    await asyncio.wait_for(waiting, SOON)


async def test_a_wrong_estimate_is_made_good(studio: MakeStudio) -> None:
    s = studio()
    jobs = [await s.submit(owner=owner) for owner in (1, 1, 1, 2, 2)]
    run = await _lease(s)
    s.queue.leave(run, gpu_seconds=2.5 * jobs[0].cost)
    turns = [(await _lease(s)).job.owner for _ in range(4)]
    assert turns == [2, 2, 1, 1]


async def test_when_a_job_begins_and_ends_is_told_from_those_like_it(
    studio: MakeStudio, clock: Clock
) -> None:
    s = studio(clock=clock)
    first = await s.submit()
    second = await s.submit(count=2)
    third = await s.submit()
    run = await _lease(s)
    assert run.job.id == first.id
    assert s.queue.begins(third.id) is s.queue.ends(run.job) is None  # nobody knows yet
    s.queue.learn(replace(first, status=Status.RENDERED, gpu_seconds=10.0))
    clock.now = (run.job.started_at or 0) + 4
    assert s.queue.ends(run.job) == clock.now + 6
    assert s.queue.begins(second.id) == clock.now + 6
    assert s.queue.begins(third.id) == clock.now + 6 + 20
    assert s.queue.begins(first.id) is None
    clock.now += 60  # it takes longer than any did: it may end at any moment
    assert s.queue.ends(run.job) == clock.now


async def test_two_cards_halve_the_wait(studio: MakeStudio, clock: Clock) -> None:
    s = studio(clock=clock, limits=replace(ROOMY, cards=2))
    jobs = [await s.submit() for _ in range(5)]
    s.queue.learn(replace(jobs[0], status=Status.RENDERED, gpu_seconds=10.0))
    assert s.queue.begins(jobs[4].id) == clock.now + 20


async def test_cancelling_a_waiting_job(studio: MakeStudio) -> None:
    s = studio()
    first, second = await s.submit(), await s.submit()
    cancelled = await s.queue.cancel(first.id)
    assert cancelled.status is Status.CANCELLED
    assert s.of(JobEnded, first) == [JobEnded(cancelled)]
    assert s.seen[-1] == QueueMoved()
    assert s.queue.place(second.id) == 1
    assert (await _lease(s)).job.id == second.id


async def test_cancelling_a_running_job_reaches_its_run(studio: MakeStudio) -> None:
    s = studio()
    await s.submit()
    run = await _lease(s)
    assert await s.queue.cancel(run.job.id) == run.job
    assert run.cancel.is_set()
    assert run.unwanted


async def test_cancelling_what_has_ended_or_never_was(studio: MakeStudio) -> None:
    s = studio()
    job = await s.submit()
    await s.queue.cancel(job.id)
    with pytest.raises(TooLate, match="already ended"):
        await s.queue.cancel(job.id)
    with pytest.raises(NoSuchJob):
        await s.queue.cancel("nobody")


async def test_a_job_that_left_the_gpu_is_too_late_to_cancel(studio: MakeStudio) -> None:
    s = studio()
    await s.submit()
    run = await _lease(s)
    s.queue.leave(run, 1.0)
    with pytest.raises(TooLate):
        await s.queue.cancel(run.job.id)


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_cancel_and_lease_at_once_never_lose_the_cancel(
    studio: MakeStudio, cancel_first: bool
) -> None:
    s = studio()
    for _ in range(20):
        job = await s.submit()
        calls = [s.queue.cancel(job.id), s.queue.lease(NONE)]
        order = calls if cancel_first else calls[::-1]
        results = await asyncio.gather(*order)
        cancelled, run = results if cancel_first else results[::-1]
        if isinstance(run, Run):
            assert run.unwanted
            assert run.cancel.is_set()
        else:
            assert getattr(cancelled, "status") is Status.CANCELLED  # noqa: B009


async def test_a_cancel_that_was_accepted_holds_though_the_process_is_killed(
    studio: MakeStudio, store: Store
) -> None:
    killed, next_one = studio(), studio()
    job = await killed.submit()
    await _lease(killed)
    await killed.queue.cancel(job.id)
    await next_one.queue.restore()
    [ended] = next_one.of(JobEnded, job)
    assert (ended.job.status, ended.job.gpu_seconds) == (Status.CANCELLED, 0)
    assert await store.untold() == [ended.job] and not next_one.queue.length()


async def test_a_cancel_stops_a_run_though_the_disk_is_full(
    studio: MakeStudio, store: Store
) -> None:
    s = studio()
    job = await s.submit()
    run = await _lease(s)
    await store.database._connection.execute("PRAGMA query_only = ON")
    assert await s.queue.cancel(job.id) == run.job
    assert run.cancel.is_set() and run.unwanted


async def test_who_was_banned_a_moment_ago_has_nothing_queued_nor_shown(
    studio: MakeStudio, store: Store, files_folder: Path
) -> None:
    s = studio()
    job = await s.submit()
    run = await _lease(s)
    ended = await store.rendered(run.job, [an_artifact(files_folder)], 1.0)
    assert ended is not None
    await store.told(ended, Undeliverable("The channel is gone."))
    await s.queue.moderation.ban(7, 1, moderator=2, reason="")
    there = Standing(server=7, channel=1)
    with pytest.raises(Banned):
        await s.queue.submit(a_request(), owner=1, origin={}, standing=there)
    with pytest.raises(Banned):
        await s.queue.hand_over(job.id, {}, there)
    assert await store.waiting() == []


async def test_who_cancels_and_leaves_has_it_said_all_the_same(
    studio: MakeStudio, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = studio()
    job = await s.submit()
    at_the_disk, go_on = held(monkeypatch, store, "cancelled")
    leaving = asyncio.create_task(s.queue.cancel(job.id))
    await at_the_disk.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    go_on.set()
    assert (await s.said(JobEnded, job)).job.status is Status.CANCELLED
    assert s.queue.place(job.id) is None


@pytest.mark.parametrize("refusals", [0, 2])
async def test_a_submitter_who_leaves_during_the_commit_strands_no_job(
    studio: MakeStudio, store: Store, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    s = studio()
    monkeypatch.setattr("bot.jobs.pauses.growing", lambda: repeat(0.001))
    left, get = [refusals], store.get

    async def refuse(job_id: str) -> Job | None:
        left[0] -= 1
        if left[0] >= 0:
            raise StorageFailed("The disk is full.")
        return await get(job_id)

    monkeypatch.setattr(store, "get", refuse)
    gone = [asyncio.create_task(s.submit()) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(store._arrivals) == 3
    while store._arrivals:  # noqa: ASYNC110  # until the commit has begun
        await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    answers = await asyncio.gather(*gone, return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)
    await s.queue._tasks.join()
    stored = await store.waiting()
    assert len(stored) == 3
    assert sorted(str(s.queue.place(job.id)) for job in stored) == ["1", "2", "3"]


async def test_erasing(studio: MakeStudio, store: Store, files_folder: Path) -> None:
    s = studio()
    job = await s.submit()
    with pytest.raises(TooLate, match="Cancel it first"):
        await s.queue.erase(job.id)
    run = await _lease(s)
    await store.rendered(run.job, [an_artifact(files_folder)], 1.0)
    assert (await s.queue.erase(job.id)).artifacts == ()
    with pytest.raises(NoSuchJob):
        await s.queue.erase("nobody")


async def test_an_origin_moves(studio: MakeStudio) -> None:
    s = studio()
    job = await s.submit()
    await s.queue.set_origin(job.id, {"message_id": 3})
    assert (await s.queue.get(job.id)).origin == {"message_id": 3}


async def test_a_restart_takes_everything_up(
    studio: MakeStudio, store: Store, clock: Clock, files_folder: Path
) -> None:
    for crashes, prompt in [(0, "waiting"), (0, "interrupted"), (2, "deadly")]:
        clock.now += 1
        job = a_job(request=a_request(prompt), crashes=crashes, queued_at=clock.now)
        await enqueue(store, job, ROOMY)
        if prompt != "waiting":
            await store.lease(job.id)
    done = a_job(request=a_request(count=2))
    await enqueue(store, done, ROOMY)
    leased = await store.lease(done.id)
    assert leased is not None
    await store.rendered(leased, (), 6.0)

    s = studio()
    await s.queue.restore()
    queued = [e.job for e in s.seen if isinstance(e, JobQueued)]
    assert [(j.request.prompt, j.crashes) for j in queued] == [("waiting", 0), ("interrupted", 1)]
    ended = [e.job for e in s.seen if isinstance(e, JobEnded)]
    assert [(j.request.prompt, j.status) for j in ended] == [("deadly", Status.QUARANTINED)]
    assert [s.queue.place(job.id) for job in queued] == [1, 2]
    assert (await s.submit()).cost == pytest.approx(3.0), "learnt from the job that was rendered"


async def test_who_died_beside_a_deadly_job_does_not_die_of_it_again(studio: MakeStudio) -> None:
    alive = studio()
    jobs = [
        await alive.submit(prompt, owner=owner) for owner, prompt in enumerate(["deadly", *"abc"])
    ]
    together = await alive.queue.lease_beside(await _lease(alive), frozenset(), 4)
    assert len(together) == len(jobs) - 1
    for deaths in (1, 2, 3):
        alive = studio()
        await alive.queue.restore()
        crashes = [(await alive.queue.get(job.id)).crashes for job in jobs]
        assert crashes == [deaths, 1, 1, 1]
        run = await _lease(alive)
        assert await alive.queue.lease_beside(run, frozenset(), 4) == []
        assert await alive.queue.lease(NONE, NONE) is None
    assert (await alive.queue.get(jobs[0].id)).status is Status.QUARANTINED
    assert run.job.request.prompt == "a"


async def test_who_died_beside_another_card_runs_when_all_are_idle_and_nobody_overtakes_it(
    studio: MakeStudio, store: Store
) -> None:
    first, suspect, last = [
        await enqueue(store, a_job(owner, crashes=crashes, queued_at=START + owner), ROOMY)
        for owner, crashes in ((1, 0), (2, 1), (3, 0))
    ]
    s = studio()
    await s.queue.restore()
    for expected, following in ((first, suspect), (suspect, last)):
        run = await _lease(s)
        assert run.job.id == expected.id
        assert await s.queue.lease(NONE, NONE) is None
        waiting = asyncio.create_task(s.queue.work())
        s.queue.end(run, 1.0)
        await asyncio.wait_for(waiting, SOON)
        assert await s.queue.lease([*NONE, *NONE]) is None, "it is being written down"
        waiting = asyncio.create_task(s.queue.work())
        s.queue.ended(run)
        await asyncio.wait_for(waiting, SOON)
        assert s.queue.place(following.id) == 1
    assert (await _lease(s)).job.id == last.id


async def test_nobody_waits_for_the_turn_of_one_that_was_cancelled(
    studio: MakeStudio, store: Store
) -> None:
    for owner, crashes in ((1, 0), (2, 1), (3, 0)):
        await enqueue(store, a_job(owner, crashes=crashes, queued_at=START + owner), ROOMY)
    s = studio()
    await s.queue.restore()
    await _lease(s)
    [suspect, last] = await s.store.waiting()
    assert await s.queue.lease(NONE, NONE) is None
    waiting = asyncio.create_task(s.queue.work())
    await s.queue.cancel(suspect.id)
    await asyncio.wait_for(waiting, SOON)
    assert (await _lease(s)).job.id == last.id


async def test_nothing_is_prepared_for_one_that_may_be_deadly_nor_on_its_way(
    studio: MakeStudio, store: Store
) -> None:
    for owner, crashes in ((1, 0), (2, 1), (3, 0)):
        job = a_job(owner, request=a_request(str(owner)), crashes=crashes, queued_at=START + owner)
        await enqueue(store, job, ROOMY)
    s = studio()
    await s.queue.restore()
    coming = []
    for _ in range(2):
        run = await _lease(s)
        s.queue.leave(run, 1.0)
        coming.append([request.prompt for request in run.coming])
    assert coming == [["3"], []]


async def test_a_refusing_store_leaves_the_job_waiting(studio: MakeStudio, store: Store) -> None:
    s = studio()
    job = await s.submit()
    await store.database._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageFailed):
        await s.queue.lease(NONE)
    assert s.queue.place(job.id) == 1
    await store.database._connection.execute("PRAGMA query_only = OFF")
    assert (await _lease(s)).job.id == job.id
