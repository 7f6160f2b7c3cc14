import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.errors import Lost, QueueFull, Repeated, StorageFailed, Undeliverable, Unforeseen
from bot.jobs.job import Job, Status, new_job_id
from bot.jobs.limits import Limits
from bot.jobs.store import Store, Used
from bot.jobs.usage import DAY, HALF_LIFE
from pipelines.contract.errors import AtelierError, BadInput, OutOfMemory, RenderFailed, Withheld
from pipelines.contract.requests import AnimateRequest, SketchRequest
from tests.jobs.samples import ROOMY, START, Clock, a_job, an_artifact, enqueue


async def _leased(store: Store, owner: int = 1, **changes: object) -> Job:
    job = a_job(owner, **changes)
    await enqueue(store, job, ROOMY)
    leased = await store.lease(job.id)
    assert leased is not None
    return leased


async def _ended(store: Store, owner: int = 1, gpu_seconds: float = 1.0) -> Job:
    job = await store.rendered(await _leased(store, owner), (), gpu_seconds)
    assert job is not None
    return job


class TestEnqueue:
    async def test_what_was_enqueued_is_there_as_it_was(self, store: Store) -> None:
        job = a_job(weight=2.0, cost=3.5, parent="abc")
        await enqueue(store, job, ROOMY)
        assert await store.get(job.id) == job
        assert await store.waiting() == [job]

    async def test_the_oldest_comes_first(self, store: Store) -> None:
        jobs = [a_job(queued_at=START + t) for t in (3, 1, 2)]
        for job in jobs:
            await enqueue(store, job, ROOMY)
        assert [j.queued_at - START for j in await store.waiting()] == [1, 2, 3]

    async def test_one_refused_does_not_fail_the_others(self, store: Store) -> None:
        limits = Limits(waiting_per_member=2, waiting_in_all=5)
        jobs = [a_job(owner) for owner in (1, 1, 1, 2, 3, 4, 5)]
        answers = await asyncio.gather(
            *(enqueue(store, job, limits) for job in jobs), return_exceptions=True
        )
        assert [type(a) for a in answers] == [
            *[Job] * 2,
            QueueFull,  # the third of member 1
            *[Job] * 3,
            QueueFull,  # the sixth in all
        ]
        assert {j.id for j in await store.waiting()} == {
            job.id for job, answer in zip(jobs, answers, strict=True) if answer == job
        }

    async def test_running_jobs_count_and_ended_ones_do_not(self, store: Store) -> None:
        one = Limits(waiting_per_member=1, waiting_in_all=9)
        running = await _leased(store)
        with pytest.raises(QueueFull):
            await enqueue(store, a_job(), one)
        await store.failed(running, RenderFailed("It broke."))
        await enqueue(store, a_job(), one)

    async def test_a_known_id_is_refused_and_changes_nothing(self, store: Store) -> None:
        job = await _leased(store)
        with pytest.raises(Repeated):
            await enqueue(store, a_job(owner=9, id=job.id), ROOMY)
        assert await store.get(job.id) == job

    async def test_of_those_with_one_id_that_arrive_together_one_is_taken(
        self, store: Store
    ) -> None:
        one = new_job_id()
        jobs = [a_job(owner, id=one) for owner in range(3)]
        answers = await asyncio.gather(
            *(enqueue(store, job, ROOMY) for job in jobs), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [Job, Repeated, Repeated]
        assert [job.owner for job in await store.waiting()] == [0]

    async def test_a_job_that_cannot_be_written_fails_alone(self, store: Store) -> None:
        good, bad = a_job(), a_job(origin={"when": object()})
        answers = await asyncio.gather(
            enqueue(store, good, ROOMY), enqueue(store, bad, ROOMY), return_exceptions=True
        )
        assert answers[0] == good
        assert isinstance(answers[1], TypeError)

    async def test_a_cancelled_caller_leaves_the_others_alone(self, store: Store) -> None:
        jobs = [a_job(i) for i in range(5)]
        tasks = [asyncio.create_task(enqueue(store, job, ROOMY)) for job in jobs]
        await asyncio.sleep(0)
        tasks[0].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == jobs[1:]
        assert {j.id for j in await store.waiting()} >= {j.id for j in jobs[1:]}

    async def test_several_are_enqueued_as_a_whole_or_not_at_all(self, store: Store) -> None:
        three = Limits(waiting_per_member=3, waiting_in_all=9)
        pairs = [[a_job(), a_job()] for _ in range(2)]
        answers = await asyncio.gather(
            *(store.enqueue(pair, three) for pair in pairs), return_exceptions=True
        )
        assert answers[0] == pairs[0]
        assert isinstance(answers[1], QueueFull)
        assert "would be 2 jobs, and there is room for 1" in answers[1].sentence
        assert await store.waiting() == pairs[0]

    async def test_of_several_those_beyond_the_share_of_the_day_wait_behind(
        self, store: Store
    ) -> None:
        narrow = Limits(waiting_per_member=9, waiting_in_all=9, daily_seconds=15.0)
        written = await store.enqueue([a_job(cost=10.0) for _ in range(3)], narrow)
        assert [job.relaxed for job in written] == [False, False, True]


async def test_a_placeholder_is_known_until_its_job_or_nothing_comes(store: Store) -> None:
    origins = [{"message_id": n, "token": "t"} for n in (1, 2, 3)]
    for origin in origins:
        await store.add_placeholder(origin)
    await store.enqueue([a_job(origin=origins[0]), a_job(origin={})], ROOMY)
    await store.remove_placeholder(3)
    assert await store.placeholders() == [origins[1]]


class TestLife:
    async def test_a_lease_is_given_once(self, store: Store, clock: Clock) -> None:
        job = a_job()
        await enqueue(store, job, ROOMY)
        clock.now += 5
        leases = await asyncio.gather(*(store.lease(job.id) for _ in range(10)))
        (leased,) = [lease for lease in leases if lease is not None]
        assert (leased.status, leased.attempt) == (Status.RUNNING, 1)
        assert leased.started_at == START + 5
        assert await store.waiting() == []

    async def test_rendered_then_delivered(
        self, store: Store, clock: Clock, files_folder: Path
    ) -> None:
        artifact = an_artifact(files_folder)
        leased = await _leased(store)
        clock.now += 9
        rendered = await store.rendered(leased, [artifact], 8.5)
        assert rendered is not None
        assert rendered.status is Status.RENDERED
        assert rendered.artifacts == (artifact,)
        assert (rendered.gpu_seconds, rendered.ended_at) == (8.5, START + 9)
        assert await store.untold() == [rendered]
        delivered = await store.told(rendered)
        assert delivered is not None
        assert (delivered.status, delivered.told) == (Status.DELIVERED, True)
        assert await store.untold() == []

    async def test_a_failure_keeps_its_sentence(self, store: Store) -> None:
        error = OutOfMemory("Smaller {file}.", file="\udce9")
        failed = await store.failed(await _leased(store), error, 2.0)
        assert failed is not None
        assert (failed.status, failed.error_code) == (Status.FAILED, "out_of_memory")
        assert failed.error_sentence == "Smaller ?."
        assert failed.error_text == error.text
        told = await store.told(failed)
        assert told is not None
        assert told.status is Status.FAILED

    async def test_what_could_not_be_shown_waits_for_its_owner(
        self, store: Store, tmp_path: Path
    ) -> None:
        gone = Undeliverable("The channel is gone.")
        results: list[Job] = []
        for _ in range(2):
            leased = await _leased(store)
            rendered = await store.rendered(leased, (an_artifact(tmp_path / "files"),), 1.0)
            assert rendered is not None
            assert await store.undelivered(1) == list(reversed(results))  # not yet given up
            told = await store.told(rendered, gone)
            assert told is not None
            results.append(told)
        await store.told(await _ended(store), gone)  # which made nothing
        leased = await _leased(store)
        damaged = await store.rendered(leased, (an_artifact(tmp_path / "files"),), 1.0)
        assert damaged is not None
        await store.told(damaged, Lost("Its file is damaged."))
        assert await store.undelivered(1) == list(reversed(results))
        assert await store.undelivered(2) == []
        anew = await store.untell(results[0].id, {"channel": 7}, 70, 7)
        assert anew is not None
        assert (anew.told, anew.error_code, anew.error_text) == (False, None, None)
        assert (anew.origin, anew.server, anew.channel) == ({"channel": 7}, 70, 7)
        assert await store.untold() == [anew]
        assert await store.untell(results[0].id, {"channel": 8}, 70, 8) is None
        await store.told(anew)
        await store.erase(results[1].id)
        assert await store.undelivered(1) == []

    async def test_what_cannot_be_delivered_stays_rendered(self, store: Store) -> None:
        told = await store.told(await _ended(store), Undeliverable("The channel is gone."))
        assert told is not None
        assert (told.status, told.told) == (Status.RENDERED, True)
        assert (told.error_code, told.error_sentence) == ("undeliverable", "The channel is gone.")
        assert await store.untold() == []

    async def test_the_end_is_told_once(self, store: Store) -> None:
        rendered = await _ended(store)
        assert await store.told(rendered) is not None
        assert await store.told(rendered) is None

    async def test_the_end_of_a_live_job_cannot_be_told(self, store: Store) -> None:
        assert await store.told(await _leased(store)) is None

    async def test_cancelling_while_it_waits_and_while_it_runs(self, store: Store) -> None:
        waiting = a_job()
        await enqueue(store, waiting, ROOMY)
        running = await _leased(store)
        for job in (waiting, running):
            cancelled = await store.cancelled(job, 1.0)
            assert cancelled is not None
            assert cancelled.status is Status.CANCELLED
        assert await store.lease(waiting.id) is None

    async def test_a_stale_view_cancels_nothing(self, store: Store) -> None:
        job = a_job()
        await enqueue(store, job, ROOMY)
        await store.lease(job.id)
        assert await store.cancelled(job) is None

    async def test_only_the_latest_attempt_may_finish(self, store: Store) -> None:
        first = await _leased(store)
        await store.put_back(first)
        second = await store.lease(first.id)
        assert second is not None
        assert second.attempt == 2
        assert await store.rendered(first, (), 1.0) is None
        assert await store.failed(first, Unforeseen()) is None
        assert await store.cancelled(first) is None
        assert await store.put_back(first) is None
        assert await store.rendered(second, (), 1.0) is not None
        assert await store.rendered(second, (), 1.0) is None

    async def test_an_ended_job_stays_ended(self, store: Store) -> None:
        ended = await _ended(store)
        for change in (
            store.lease(ended.id),
            store.rendered(ended, (), 2.0),
            store.failed(ended, Unforeseen()),
            store.cancelled(ended),
            store.put_back(ended),
        ):
            assert await change is None
        assert await store.get(ended.id) == ended

    async def test_putting_back_counts_no_crash(self, store: Store) -> None:
        back = await store.put_back(await _leased(store))
        assert back is not None
        assert (back.status, back.attempt, back.crashes) == (Status.QUEUED, 1, 0)
        assert back.started_at is None


class TestRecover:
    async def test_the_third_crash_is_the_last(self, store: Store, clock: Clock) -> None:
        job = await _leased(store)
        for crashes in (1, 2):
            assert await store.recover() == []
            (back,) = await store.waiting()
            assert (back.status, back.crashes) == (Status.QUEUED, crashes)
            assert await store.lease(job.id) is not None
        clock.now += 60
        (quarantined,) = await store.recover()
        assert quarantined.status is Status.QUARANTINED
        assert quarantined.error_code == "quarantined"
        assert quarantined.ended_at == START + 60
        assert await store.untold() == [quarantined]
        assert await store.lease(job.id) is None

    @pytest.mark.parametrize("since", [Status.RUNNING, Status.QUEUED, Status.RENDERED])
    async def test_what_nobody_wanted_any_more_ends_so_and_is_charged_to_nobody(
        self, store: Store, files_folder: Path, since: Status
    ) -> None:
        job = await _leased(store)
        if since is Status.QUEUED:
            await store.put_back(job)
        elif since is Status.RENDERED:
            await store.rendered(job, [an_artifact(files_folder)], 9.0)
        await store.unwant(job)
        [ended] = await store.recover()
        assert (ended.status, ended.crashes, ended.artifacts) == (Status.CANCELLED, 0, ())
        assert await store.untold() == [ended] and not await store.waiting()
        assert await store.share_used(job.owner, job.server) == 0
        assert await store.told(ended) is not None
        assert await store.recover() == await store.untold() == []

    async def test_twice_is_as_once(self, store: Store) -> None:
        await _leased(store)
        await store.recover()
        before = await store.waiting()
        assert await store.recover() == []
        assert await store.waiting() == before


class TestUsage:
    async def test_what_was_used_counts_and_fades(self, store: Store, clock: Clock) -> None:
        await _ended(store, owner=1, gpu_seconds=10.0)
        clock.now += HALF_LIFE
        await _ended(store, owner=1, gpu_seconds=3.0)
        await _ended(store, owner=2, gpu_seconds=7.0)
        assert await store.usage() == pytest.approx({1: 8.0, 2: 7.0})

    async def test_a_lease_charges_the_estimate_and_the_end_what_was_used(
        self, store: Store
    ) -> None:
        await enqueue(store, a_job(cost=30.0), ROOMY)
        assert await store.usage() == {}
        running = await _leased(store, cost=20.0)
        assert await store.usage() == {1: 20.0}
        await store.cancelled(running, 4.0)
        assert await store.usage() == {1: 4.0}


SHARE = replace(ROOMY, daily_seconds=25.0)


class TestShare:
    """A share of 25 s a day, in jobs that are estimated at 10 s."""

    async def _ask(self, store: Store, n: int = 1, **changes: object) -> list[bool]:
        """Which of `n` jobs that are asked for at once wait behind."""
        fields: dict[str, Any] = {"cost": 10.0, "server": 7, **changes}
        jobs = [a_job(**fields) for _ in range(n)]
        written = await asyncio.gather(*(enqueue(store, job, SHARE) for job in jobs))
        assert [await store.get(job.id) for job in jobs] == written
        return [job.relaxed for job in written]

    async def test_what_goes_over_the_share_waits_behind(self, store: Store) -> None:
        assert await self._ask(store, 5) == [False, False, False, True, True]
        assert await self._ask(store) == [True]
        assert await store.share_used(1, 7) == 30.0, "what waits behind is not charged"
        assert await self._ask(store, owner=2) == [False]
        assert await self._ask(store, server=8) == [False]

    async def test_what_was_really_used_is_charged_for_a_day(
        self, store: Store, clock: Clock
    ) -> None:
        job = await _leased(store, cost=10.0, server=7)
        assert await store.rendered(job, (), 26.0) is not None
        assert await self._ask(store) == [True]
        clock.now += DAY
        assert await self._ask(store) == [False]
        await store.forget_expired()
        assert await store.database.run("SELECT * FROM spent") == []

    @pytest.mark.parametrize(
        ("error", "charged"),
        [
            (Unforeseen(), False),
            (OutOfMemory("Too large."), False),
            (RenderFailed("It broke."), False),
            (BadInput("Not so."), True),
            (Withheld("Not here."), True),
        ],
    )
    async def test_a_failure_of_ours_is_refunded(
        self, store: Store, error: AtelierError, charged: bool
    ) -> None:
        job = await _leased(store, cost=10.0, server=7)
        assert await store.failed(job, error, gpu_seconds=26.0) is not None
        assert await self._ask(store) == [charged]
        assert await store.share_used(1, 7) == (26.0 if charged else 10.0)

    async def test_a_cancelled_job_is_charged_what_it_used(self, store: Store) -> None:
        job = await _leased(store, cost=10.0, server=7)
        assert await store.cancelled(job, 4.0) is not None
        assert await store.share_used(1, 7) == 4.0

    async def test_usage_is_told_by_member_and_kind(self, store: Store) -> None:
        for owner, seconds in ((1, 5.0), (2, 9.0), (1, 3.0)):
            job = await _leased(store, owner, server=7)
            assert await store.rendered(job, (), seconds) is not None
        await _leased(store, 3, server=8)
        assert await store.used_in(7) == [Used(2, "imagine", 1, 9.0), Used(1, "imagine", 2, 8.0)]
        assert await store.used_in(7, 2) == [Used(2, "imagine", 1, 9.0)]

    async def test_deleting_ones_jobs_gives_no_new_share(self, store: Store, clock: Clock) -> None:
        job = await _leased(store, cost=10.0, server=7)
        rendered = await store.rendered(job, (), 26.0)
        assert rendered is not None
        assert await store.forget_owner(1) == 0  # not while it is on its way
        await store.told(rendered)
        assert await store.forget_owner(1) == 1
        assert await self._ask(store) == [True]
        clock.now += DAY
        assert await self._ask(store) == [False]
        await store.forget_expired()
        assert await store.database.run("SELECT * FROM spent") == []

    async def test_what_is_still_to_be_told_is_charged_once_however_often_they_delete(
        self, store: Store
    ) -> None:
        job = await _leased(store, cost=10.0, server=7)
        rendered = await store.rendered(job, (), 26.0)
        assert rendered is not None
        for _ in range(3):
            assert await store.forget_owner(1) == 0
            assert await store.share_used(1, 7) == 26.0
        await store.told(rendered)
        assert await store.forget_owner(1) == 1
        assert await store.share_used(1, 7) == 26.0

    async def test_a_job_is_brought_forward_once(self, store: Store) -> None:
        *_, job = [await enqueue(store, a_job(cost=25.0), SHARE) for _ in range(2)]
        assert job.relaxed
        assert await store.bring_forward(job.id) == replace(job, relaxed=False)
        assert await store.bring_forward(job.id) is None


class TestUnreadable:
    """A row that today's rules refuse, as one of another version may be."""

    async def _spoilt(self, store: Store, **changes: Any) -> str:
        job = a_job(**changes)
        await enqueue(store, job, ROOMY)
        await store.database.run(
            "UPDATE jobs SET kind = 'knit' WHERE id = :id RETURNING id", id=job.id
        )
        return job.id

    async def test_it_waits_for_a_version_that_reads_it_and_takes_nobodys_place(
        self, store: Store
    ) -> None:
        spoilt = await self._spoilt(store, server=7, cost=30.0)
        assert await store.waiting() == []
        alone = replace(SHARE, waiting_per_member=1, waiting_in_all=1)
        assert await store.refusal(1, 1, alone) is None
        job = await enqueue(store, a_job(server=7, cost=10.0), alone)
        assert not job.relaxed
        assert await store.share_used(1, 7) == 10.0
        assert await store.used_in(7) == [Used(1, "imagine", 1, 10.0)]
        assert await store.refusal(2, 1, alone) is not None
        await store.database.run(
            "UPDATE jobs SET kind = 'imagine' WHERE id = :id RETURNING id", id=spoilt
        )
        assert [each.id for each in await store.waiting()] == [spoilt, job.id]

    async def test_its_member_can_have_it_forgotten(self, store: Store) -> None:
        spoilt = await self._spoilt(store)
        waiting = a_job()
        await enqueue(store, waiting, ROOMY)
        assert await store.waiting() == [waiting]
        assert await store.forget_owner(2) == 0
        assert await store.forget_owner(1) == 1
        assert await store.database.run("SELECT id FROM jobs WHERE id = :id", id=spoilt) == []


class TestHousekeeping:
    async def test_a_channel_may_forget_sooner(self, store: Store, clock: Clock) -> None:
        for server, channel in ((7, 1), (7, 2), (None, 1)):
            job = await _leased(store, server=server, channel=channel)
            ended = await store.failed(job, Unforeseen())
            assert ended is not None
            await store.told(ended)
        assert sorted(await store.places(), key=str) == [(7, 1), (7, 2), (None, 1)]
        assert await store.forget_before(clock.now + 1, (7, 2), (8, 1), (None, 2)) == 1
        assert sorted(await store.places(), key=str) == [(7, 1), (None, 1)]
        assert await store.forget_before(clock.now + 1, (None, 1)) == 1

    async def test_every_file_that_a_job_needs_is_named(
        self, store: Store, files_folder: Path
    ) -> None:
        drawing, image = files_folder / "drawing.png", files_folder / "image.png"
        await enqueue(store, a_job(request=SketchRequest(drawing=drawing, seed=1)), ROOMY)
        await enqueue(store, a_job(request=AnimateRequest(image=image, seed=1)), ROOMY)
        await enqueue(store, a_job(), ROOMY)
        artifacts = [an_artifact(files_folder, name) for name in ("1.png", "2.png")]
        await store.rendered(await _leased(store), artifacts, 1.0)
        assert await store.named_files() == {drawing, image, *(a.path for a in artifacts)}

    async def test_erasing_forgets_what_was_made(self, store: Store, files_folder: Path) -> None:
        ended = await store.rendered(await _leased(store), [an_artifact(files_folder)], 1.0)
        assert ended is not None
        erased = await store.erase(ended.id)
        assert erased is not None
        assert (erased.artifacts, erased.told) == ((), True)
        assert await store.named_files() == set()
        assert await store.untold() == []
        assert await store.told(ended) is None

    async def test_a_live_or_unknown_job_cannot_be_erased(self, store: Store) -> None:
        assert await store.erase((await _leased(store)).id) is None
        assert await store.erase("nobody") is None

    async def test_only_what_was_told_is_forgotten(self, store: Store, clock: Clock) -> None:
        told, untold = await _ended(store), await _ended(store)
        await store.told(told)
        waiting = a_job()
        await enqueue(store, waiting, ROOMY)
        assert await store.forget_before(START) == 0
        clock.now += 10
        late = await _ended(store)
        await store.told(late)
        assert await store.forget_before(START + 5) == 1
        assert await store.get(told.id) is None
        for kept in (untold, waiting, late):
            assert await store.get(kept.id) is not None

    async def test_notes_are_kept_and_replaced(self, store: Store) -> None:
        assert await store.get_note("commands") is None
        await store.set_note("commands", "a")
        await store.set_note("commands", "b")
        assert await store.get_note("commands") == "b"

    async def test_an_origin_can_move(self, store: Store) -> None:
        job = a_job()
        await enqueue(store, job, ROOMY)
        await store.set_origin(job.id, {"message_id": 8})
        moved = await store.get(job.id)
        assert moved is not None
        assert moved.origin == {"message_id": 8}

    async def test_the_newest_ends_come_first(self, store: Store, clock: Clock) -> None:
        ended = []
        for _ in range(3):
            clock.now += 1
            ended.append(await _ended(store))
        await store.failed(await _leased(store), Unforeseen())
        assert await store.recent(2) == [ended[2], ended[1]]


@pytest.fixture
async def narrow(tmp_path: Path, store: Store) -> AsyncIterator[Store]:
    """A store on a disk that is about full, as far as SQLite is concerned."""
    await store.database._connection.execute("PRAGMA max_page_count = 12")
    yield store


class TestTrouble:
    async def test_a_full_disk_refuses_and_loses_nothing(self, narrow: Store) -> None:
        accepted = []
        with pytest.raises(StorageFailed, match="full"):
            for _ in range(200):
                job = a_job(origin={"filler": "x" * 500})
                await enqueue(narrow, job, ROOMY)
                accepted.append(job.id)
        assert accepted
        assert [job.id for job in await narrow.waiting()] == accepted
        await narrow.database._connection.execute("PRAGMA max_page_count = 10000")
        await enqueue(narrow, a_job(), ROOMY)

    async def test_a_closed_store_says_so(self, store: Store) -> None:
        await store.close()
        await store.close()
        with pytest.raises(StorageFailed):
            await enqueue(store, a_job(), ROOMY)
        with pytest.raises(StorageFailed):
            await store.waiting()

    async def test_closing_waits_for_those_on_their_way_in(
        self, store: Store, tmp_path: Path, files_folder: Path
    ) -> None:
        arriving = [asyncio.create_task(enqueue(store, a_job(i), ROOMY)) for i in range(20)]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*arriving)
        with closing(sqlite3.connect(tmp_path / "jobs.sqlite3")) as plain:
            assert plain.execute("SELECT count(*) FROM jobs").fetchone() == (20,)

    async def test_a_row_that_nobody_can_read_hides_no_other(self, store: Store) -> None:
        good, strange = a_job(), a_job()
        await enqueue(store, good, ROOMY)
        await enqueue(store, strange, ROOMY)
        await store.database._connection.execute(
            "UPDATE jobs SET request = '{}' WHERE id = ?", (strange.id,)
        )
        assert await store.waiting() == [good]
        assert await store.get(strange.id) is None

    async def test_a_mistake_in_the_code_is_not_blamed_on_the_disk(self, store: Store) -> None:
        with pytest.raises(sqlite3.IntegrityError):
            await enqueue(store, a_job(weight=0.0), ROOMY)
        await enqueue(store, a_job(), ROOMY)


async def test_wherever_a_transaction_is_cancelled_the_next_one_begins(store: Store) -> None:
    for steps in range(40):
        forgetting = asyncio.create_task(store.forget_owner(1))
        for _ in range(steps):
            await asyncio.sleep(0)
        forgetting.cancel()
        await asyncio.gather(forgetting, return_exceptions=True)
        await enqueue(store, a_job(owner=2), ROOMY)
    assert len(await store.of(2)) == 40
