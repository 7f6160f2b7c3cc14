import asyncio
import errno
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from PIL import Image

from bot.errors import StorageFailed, TooLate
from bot.executors.thread import ThreadExecutor
from bot.jobs.events import JobEnded, JobProgressed, JobStarted
from bot.jobs.job import Job, Status
from bot.jobs.progress import Meter
from bot.jobs.store import Store
from pipelines.contract.context import RunContext
from pipelines.contract.errors import (
    CardLost,
    DeviceMissing,
    OutOfMemory,
    RenderFailed,
    Withheld,
)
from pipelines.contract.runner import Artifacts
from tests.jobs.samples import ROOMY, START, a_job, enqueue
from tests.jobs.studio import SOON, Gate, Painter, Studio, a_request, heard, held

MakeStudio = Callable[..., Studio]


async def test_a_job_is_rendered_and_its_pictures_are_on_disk(studio: MakeStudio) -> None:
    s = studio()
    await s.open()
    job = await s.submit(count=2)
    ended = (await s.said(JobEnded, job)).job
    assert ended == await s.store.get(job.id)
    assert (ended.status, ended.attempt) == (Status.RENDERED, 1)
    assert ended.gpu_seconds > 0.0
    assert len(ended.artifacts) == 2
    for artifact in ended.artifacts:
        data = await s.files.read(artifact.path)
        assert len(data) == artifact.size
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.size == (artifact.width, artifact.height) == (64, 48)
    assert [a.facts for a in ended.artifacts] == [{"seed": 7}, {"seed": 8}]


async def test_what_is_cancelled_while_it_is_written_down_comes_to_nothing(
    studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = studio()
    at_the_disk, go_on = held(monkeypatch, s.files, "put")
    await s.open()
    job = await s.submit()
    await asyncio.wait_for(at_the_disk.wait(), SOON)
    await s.queue.cancel(job.id)
    go_on.set()
    assert (await s.said(JobEnded, job)).job.status is Status.CANCELLED
    with pytest.raises(TooLate):
        await s.queue.cancel(job.id)


async def test_what_is_cancelled_in_the_last_moment_comes_to_nothing(
    studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = studio()
    rendered = s.store.rendered

    async def and_cancel(job: Job, *args: Any) -> Job | None:
        made = await rendered(job, *args)
        await s.queue.cancel(job.id)
        return made

    monkeypatch.setattr(s.store, "rendered", and_cancel)
    await s.open()
    job = (await s.said(JobEnded, await s.submit())).job
    assert (job.status, job.artifacts) == (Status.CANCELLED, ())


async def test_events_come_in_the_order_of_life(studio: MakeStudio) -> None:
    s = studio()
    await s.open()
    job = await s.submit()
    await s.said(JobEnded, job)
    own = [type(e).__name__ for e in s.seen if getattr(e, "job", None) is not None]
    assert own[:2] == ["JobQueued", "JobStarted"]
    assert own[-1] == "JobEnded"
    progress = s.of(JobProgressed, job)
    assert progress
    assert (progress[-1].progress.step, progress[-1].progress.of) == (3, 3)


async def test_what_was_left_waiting_is_taken_up(studio: MakeStudio) -> None:
    first = studio()
    job = await first.submit()
    second = studio()
    await second.open()
    assert (await second.said(JobEnded, job)).job.status is Status.RENDERED


async def test_errors_of_the_tree_end_the_job_with_their_sentence(studio: MakeStudio) -> None:
    def big(_: RunContext) -> None:
        raise OutOfMemory("The card cannot hold this. Ask for fewer pictures.")

    s = studio(Painter(big=big))
    await s.open()
    ended = (await s.said(JobEnded, await s.submit("big"))).job
    assert (ended.status, ended.error_code) == (Status.FAILED, "out_of_memory")
    assert ended.error_sentence == "The card cannot hold this. Ask for fewer pictures."
    after = (await s.said(JobEnded, await s.submit())).job
    assert after.status is Status.RENDERED


async def test_so_do_those_that_show_when_a_picture_leaves_the_card(studio: MakeStudio) -> None:
    def nothing(facts: object) -> bytes:
        raise RenderFailed("What came out is no picture.")

    class Overflowing(Painter):
        def run(self, *args: Any) -> tuple[Artifacts, ...]:
            ((picture,),) = super().run(*args)
            return ((replace(picture, encode=nothing),),)

    s = studio(Overflowing())
    await s.open()
    ended = (await s.said(JobEnded, await s.submit())).job
    assert (ended.status, ended.error_code) == (Status.FAILED, "render_failed")
    assert ended.error_sentence == "What came out is no picture."


async def test_the_job_of_a_lost_card_is_left_to_the_next_process(studio: MakeStudio) -> None:
    def fatal(_: RunContext) -> None:
        raise CardLost.named("The card")

    first = studio(Painter(fatal=fatal))
    await first.open()
    job, after = await first.submit("fatal"), await first.submit()
    with pytest.raises(CardLost):
        await asyncio.wait_for(first.worker.lost(), SOON)
    await first.close()
    second = studio()
    await second.open()
    assert (await second.said(JobEnded, after)).job.status is Status.RENDERED
    ended = (await second.said(JobEnded, job)).job
    assert (ended.status, ended.attempt, ended.crashes) == (Status.RENDERED, 2, 1)
    assert second.painter.painted == ["fatal", "a fox"]


class Losing(Painter):
    """Its card is lost while the picture leaves it."""

    def run(self, *args: Any) -> tuple[Artifacts, ...]:
        def fatal(facts: object) -> bytes:
            raise CardLost.named("The card")

        ((picture,),) = super().run(*args)
        return ((replace(picture, encode=fatal),),)


@pytest.mark.parametrize("lost_already", [False, True])
@pytest.mark.parametrize("on_the_way_off", [False, True])
async def test_unless_nobody_wants_it(
    studio: MakeStudio, lost_already: bool, on_the_way_off: bool
) -> None:
    gate = Gate(deaf=True)

    def fatal(context: RunContext) -> None:
        gate(context)
        if not on_the_way_off:
            raise CardLost.named("The card")

    s = studio(Losing(fatal=fatal))
    await s.open()
    job = await s.submit("fatal")
    await gate.wait()
    if not lost_already:
        await s.queue.cancel(job.id)
    gate.open.set()
    if lost_already or not on_the_way_off:  # what is cancelled is not taken off the card
        with pytest.raises(CardLost):
            await asyncio.wait_for(s.worker.lost(), SOON)
    if lost_already:
        await s.queue.cancel(job.id)
    await asyncio.wait_for(s.worker.stop(), SOON)
    assert [end.job.status for end in s.of(JobEnded, job)] == [Status.CANCELLED]


async def test_so_is_one_whose_picture_was_leaving_the_card(studio: MakeStudio) -> None:
    first = studio(Losing())
    await first.open()
    job = await first.submit()
    with pytest.raises(CardLost):
        await asyncio.wait_for(first.worker.lost(), SOON)
    await first.close()
    second = studio()
    await second.open()
    ended = (await second.said(JobEnded, job)).job
    assert (ended.status, ended.attempt, ended.crashes) == (Status.RENDERED, 2, 1)


@pytest.mark.parametrize("loaded", [False, True])
async def test_what_waits_for_models_to_be_loaded_is_not_what_the_process_died_of(
    studio: MakeStudio, loaded: bool
) -> None:
    class Loading(Painter):
        def preload(self) -> bool:
            assert may_load.wait(SOON)
            return False

    gate, may_load = Gate(), threading.Event()
    painter = Loading(gate=gate)
    killed = studio(painter, executors=[ThreadExecutor(lambda: painter, preload=True)])
    await killed.open()
    job = await killed.submit("gate")
    await killed.said(JobStarted, job)
    if loaded:
        may_load.set()
        await gate.wait()
    await studio().queue.restore()
    [left] = await killed.store.waiting()
    assert (left.id, left.attempt, left.crashes) == (job.id, 1, loaded)
    may_load.set()
    gate.open.set()


async def test_nor_what_it_lost_its_card_of(studio: MakeStudio) -> None:
    class LostAtStart(Painter):
        def preload(self) -> bool:
            raise CardLost.named("The card")

    painter = LostAtStart()
    first = studio(painter, executors=[ThreadExecutor(lambda: painter, preload=True)])
    await first.open()
    await first.submit()
    with pytest.raises(CardLost):
        await asyncio.wait_for(first.worker.lost(), SOON)
    await studio().queue.restore()
    [left] = await first.store.waiting()
    assert (left.attempt, left.crashes, painter.painted) == (1, 0, [])


async def test_any_other_error_is_logged_and_kept_from_the_member(
    studio: MakeStudio, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(_: RunContext) -> None:
        raise KeyError("secret detail")

    s = studio(Painter(odd=odd))
    await s.open()
    ended = (await s.said(JobEnded, await s.submit("odd"))).job
    assert (ended.status, ended.error_code) == (Status.FAILED, "internal")
    assert "secret" not in (ended.error_sentence or "")
    assert "KeyError: 'secret detail'" in caplog.text
    after = (await s.said(JobEnded, await s.submit())).job
    assert after.status is Status.RENDERED


async def test_a_running_job_is_cancelled_between_two_steps(studio: MakeStudio) -> None:
    gate = Gate()
    s = studio(Painter(gate=gate))
    await s.open()
    job, next_one = await s.submit("gate"), await s.submit()
    await gate.wait()
    assert (await s.queue.cancel(job.id)).status is Status.RUNNING
    assert (await s.said(JobEnded, job)).job.status is Status.CANCELLED
    assert (await s.said(JobEnded, next_one)).job.status is Status.RENDERED
    with pytest.raises(TooLate):
        await s.queue.cancel(job.id)


@pytest.mark.parametrize("cancel", [True, False])
async def test_waiting_for_a_model_to_be_loaded_is_charged_to_nobody(
    studio: MakeStudio, monkeypatch: pytest.MonkeyPatch, cancel: bool
) -> None:
    class Loading(Painter):
        def __init__(self) -> None:
            super().__init__()
            self.may_load = threading.Event()

        def preload(self) -> bool:
            assert self.may_load.wait(SOON)
            seconds[0] += 100.0
            return False

        def run(self, requests: Sequence[object], context: RunContext) -> NoReturn:
            seconds[0] += 2.0
            raise Withheld("Not here.")  # before any progress

    seconds = [0.0]
    monkeypatch.setattr("bot.jobs.progress.time", SimpleNamespace(monotonic=lambda: seconds[0]))
    painter = Loading()
    s = studio(painter, executors=[ThreadExecutor(lambda: painter, preload=True)])
    await s.open()
    job = await s.submit()
    await s.said(JobStarted, job)
    if cancel:
        await s.queue.cancel(job.id)
    painter.may_load.set()
    ended = (await s.said(JobEnded, job)).job
    assert ended.gpu_seconds == (0.0 if cancel else 2.0)


async def test_a_cancel_that_was_accepted_holds_though_the_run_came_to_its_end(
    studio: MakeStudio,
) -> None:
    gate = Gate(deaf=True)
    s = studio(Painter(gate=gate))
    await s.open()
    job = await s.submit("gate")
    await gate.wait()
    await s.queue.cancel(job.id)
    gate.open.set()
    ended = (await s.said(JobEnded, job)).job
    assert (ended.status, ended.artifacts) == (Status.CANCELLED, ())


async def test_the_gpu_goes_on_while_a_result_is_written(
    studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    s = studio(Painter(**{"fox 2": gate}))
    may_write = asyncio.Event()
    put = s.files.put

    async def slow_disk(data: bytes, suffix: str) -> Path:
        await may_write.wait()
        return await put(data, suffix)

    monkeypatch.setattr(s.files, "put", slow_disk)
    await s.open()
    jobs = [await s.submit(f"fox {i}") for i in range(5)]
    await gate.wait()
    assert s.painter.painted == ["fox 0", "fox 1"]
    assert not any(s.of(JobEnded, job) for job in jobs), "nothing is written yet"
    no_more = s.worker._slots.locked()
    gate.open.set()
    may_write.set()
    for job in jobs:
        assert (await s.said(JobEnded, job)).job.status is Status.RENDERED
    assert no_more, "than two wait for the disk"


async def test_a_disk_that_is_full_for_a_while_costs_no_picture(
    studio: MakeStudio, store: Store
) -> None:
    gate = Gate()
    s = studio(Painter(gate=gate))
    await s.open()
    job = await s.submit("gate")
    await gate.wait()
    with heard("a result cannot be stored yet") as refused:
        await store.database._connection.execute("PRAGMA query_only = ON")
        gate.open.set()
        await asyncio.wait_for(refused.wait(), SOON)
    await store.database._connection.execute("PRAGMA query_only = OFF")
    ended = (await s.said(JobEnded, job)).job
    assert (ended.status, ended.attempt) == (Status.RENDERED, 1)
    assert s.painter.painted == ["gate"], "the GPU ran once"


async def test_a_disk_that_is_full_while_a_video_is_encoded_costs_none_either(
    studio: MakeStudio,
) -> None:
    is_full = [True]

    class Encoding(Painter):
        def run(self, requests: Sequence[object], context: RunContext):  # type: ignore[no-untyped-def]
            ((picture,),) = super().run(requests, context)  # type: ignore[arg-type]

            def encode(facts: Mapping[str, str | int | float]) -> bytes:
                if is_full and is_full.pop():
                    raise OSError(errno.ENOSPC, "No space left on device", "/tmp/video.mp4")
                return picture.encode(facts)

            return ((replace(picture, encode=encode),),)

    s = studio(Encoding())
    await s.open()
    with heard("a result cannot be stored yet") as refused:
        ended = (await s.said(JobEnded, await s.submit())).job
    assert refused.is_set()
    assert (ended.status, len(s.painter.painted)) == (Status.RENDERED, 1)


async def test_what_cannot_be_stored_ever_fails_the_job(
    studio: MakeStudio, caplog: pytest.LogCaptureFixture
) -> None:
    class Strange(Painter):
        def run(self, requests: Sequence[object], context: RunContext):  # type: ignore[no-untyped-def]
            ((picture,),) = super().run(requests, context)  # type: ignore[arg-type]
            picture.facts["when"] = object()  # type: ignore[assignment]
            return ((picture,),)

    s = studio(Strange())
    await s.open()
    ended = (await s.said(JobEnded, await s.submit())).job
    assert (ended.status, ended.error_code) == (Status.FAILED, "internal")
    assert "not JSON serializable" in caplog.text


async def test_idle_ends_when_there_is_work(studio: MakeStudio) -> None:
    s = studio()
    idle = asyncio.create_task(s.worker.idle())
    await asyncio.sleep(0)
    assert not idle.done()
    await s.submit()
    await asyncio.wait_for(idle, SOON)


class TestStop:
    async def test_an_idle_worker_stops_at_once(self, studio: MakeStudio) -> None:
        s = studio(grace=1000.0)
        await s.open()
        await asyncio.wait_for(s.worker.stop(), SOON)
        job = await s.submit()
        assert s.queue.place(job.id) == 1

    async def test_a_running_job_may_end_within_the_grace(self, studio: MakeStudio) -> None:
        gate = Gate()
        s = studio(Painter(gate=gate), grace=1000.0)
        await s.open()
        job, waiting = await s.submit("gate"), await s.submit()
        await gate.wait()
        stop = asyncio.create_task(s.worker.stop())
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.wait_for(stop, SOON)
        assert s.of(JobEnded, job)[0].job.status is Status.RENDERED
        assert [j.id for j in await s.store.waiting()] == [waiting.id]

    async def test_after_the_grace_it_goes_back_without_blame(self, studio: MakeStudio) -> None:
        gate = Gate()
        s = studio(Painter(gate=gate), grace=0.05)
        await s.open()
        job = await s.submit("gate")
        await gate.wait()
        await asyncio.wait_for(s.worker.stop(), SOON)
        (back,) = await s.store.waiting()
        assert (back.id, back.attempt, back.crashes) == (job.id, 1, 0)
        assert s.of(JobEnded, job) == []

    async def test_asked_twice_there_is_no_more_grace(self, studio: MakeStudio) -> None:
        gate = Gate()
        s = studio(Painter(gate=gate), grace=1000.0)
        await s.open()
        await s.submit("gate")
        await gate.wait()
        stops = [asyncio.create_task(s.worker.stop()) for _ in range(2)]
        await asyncio.wait_for(asyncio.gather(*stops), SOON)
        assert len(await s.store.waiting()) == 1

    async def test_a_job_that_a_person_cancelled_is_not_put_back(self, studio: MakeStudio) -> None:
        gate = Gate(deaf=True)
        s = studio(Painter(gate=gate), grace=1000.0)
        await s.open()
        job = await s.submit("gate")
        await gate.wait()
        await s.queue.cancel(job.id)
        stop = asyncio.create_task(s.worker.stop())
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.wait_for(stop, SOON)
        assert (await s.queue.get(job.id)).status is Status.CANCELLED

    async def test_a_run_that_does_not_stop_is_left_behind(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bot.jobs.worker._LAST_STEP", 0.05)
        gate = Gate(deaf=True)
        s = studio(Painter(gate=gate), grace=0.05)
        await s.open()
        job = await s.submit("gate")
        await gate.wait()
        await asyncio.wait_for(s.worker.stop(), SOON)
        (back,) = await s.store.waiting()
        assert (back.id, back.crashes) == (job.id, 0)
        gate.open.set()

    async def test_what_nobody_wants_is_not_left_for_the_next_start(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bot.jobs.worker._LAST_STEP", 0.05)
        gate = Gate(deaf=True)
        s = studio(Painter(gate=gate), grace=0.05)
        await s.open()
        job = await s.submit("gate")
        await gate.wait()
        await s.queue.cancel(job.id)
        await asyncio.wait_for(s.worker.stop(), SOON)
        gate.open.set()
        assert (await s.said(JobEnded, job)).job.status is Status.CANCELLED

    @pytest.mark.parametrize("deaf", [False, True])
    async def test_what_is_cancelled_while_it_is_put_back_is_not_left_either(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch, deaf: bool
    ) -> None:
        monkeypatch.setattr("bot.jobs.worker._LAST_STEP", 0.05 if deaf else SOON)
        gate = Gate(deaf=deaf)
        s = studio(Painter(gate=gate), grace=0.0)
        await s.open()
        job = await s.submit("gate")
        await gate.wait()
        at_the_disk, go_on = held(monkeypatch, s.store, "put_back")
        stop = asyncio.create_task(s.worker.stop())
        await asyncio.wait_for(at_the_disk.wait(), SOON)
        await s.queue.cancel(job.id)
        go_on.set()
        await asyncio.wait_for(stop, SOON)
        gate.open.set()
        assert [end.job.status for end in s.of(JobEnded, job)] == [Status.CANCELLED]

    async def test_a_disk_that_refuses_does_not_keep_it_from_stopping(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bot.jobs.worker._LAST_STEP", 0.05)
        gate = Gate(deaf=True)
        s = studio(Painter(gate=gate), grace=0.05)
        await s.open()
        await s.submit("gate")
        await gate.wait()
        await s.store.database._connection.execute("PRAGMA query_only = ON")
        await asyncio.wait_for(s.worker.stop(), SOON)
        await s.store.database._connection.execute("PRAGMA query_only = OFF")
        gate.open.set()

    async def test_a_result_that_finds_no_room_on_the_disk_is_made_again(
        self, studio: MakeStudio
    ) -> None:
        s = studio()

        async def full(data: bytes, suffix: str) -> Path:
            raise StorageFailed("The disk is full.")

        s.files.put = full  # type: ignore[method-assign]
        await s.open()
        with heard("a result cannot be stored yet") as refused:
            job = await s.submit()
            await asyncio.wait_for(refused.wait(), SOON)
        await asyncio.wait_for(s.worker.stop(), SOON)
        [back] = await s.store.waiting()
        assert (back.id, back.crashes) == (job.id, 0)

    async def test_a_try_waits_for_the_next_no_longer_than_the_worker_is_wanted(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bot.jobs.worker.growing", lambda: repeat(1000.0))
        s, tries = studio(), 0

        async def full(data: bytes, suffix: str) -> Path:
            nonlocal tries
            tries += 1
            raise StorageFailed("The disk is full.")

        s.files.put = full  # type: ignore[method-assign]
        await s.open()
        with heard("a result cannot be stored yet") as refused:
            await s.submit()
            await asyncio.wait_for(refused.wait(), SOON)
        for _ in range(20):
            await asyncio.to_thread(int)  # as a try does
        await asyncio.wait_for(s.worker.stop(), SOON)
        assert tries == 2, "one, and a last one"

    async def test_it_waits_for_what_is_being_leased(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        s = studio(grace=1000.0)
        at_the_disk, go_on = held(monkeypatch, s.store, "lease")
        await s.open()
        job = await s.submit()
        await asyncio.wait_for(at_the_disk.wait(), SOON)
        stop = asyncio.create_task(s.worker.stop())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not stop.done()
        go_on.set()
        await asyncio.wait_for(stop, SOON)
        [back] = await s.store.waiting()
        assert (back.id, back.crashes, s.painter.painted) == (job.id, 0, [])

    async def test_it_does_not_wait_for_work_that_has_gone(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        s = studio(grace=1000.0)
        at_the_disk, go_on = held(monkeypatch, s.store, "lease")
        await s.open()
        job = await s.submit()
        await asyncio.wait_for(at_the_disk.wait(), SOON)
        await s.queue.cancel(job.id)
        stop = asyncio.create_task(s.worker.stop())
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait_for(stop, SOON)

    async def test_stopping_without_a_start(self, studio: MakeStudio) -> None:
        await asyncio.wait_for(studio().worker.stop(), SOON)


class Card(Painter):
    """A Runner that has `models` from the start."""

    def __init__(self, *models: str, **scripts: Callable[[RunContext], None]) -> None:
        super().__init__(**scripts)
        self.models = frozenset(models)

    def resident(self) -> frozenset[str]:
        return self.models


async def _open_warm(s: Studio) -> None:
    """Open it with cards that have said what they hold."""
    for executor in s.executors:
        await executor.start()
        await executor.run([a_request("warm")], RunContext())
    s.worker.start()


class TestTwoCards:
    async def test_two_jobs_run_at_the_same_time(self, studio: MakeStudio) -> None:
        gates = Gate(), Gate()
        cards = [Painter(a=gates[0], b=gates[1]) for _ in range(2)]
        s = studio(*cards)
        await s.open()
        jobs = [await s.submit("a"), await s.submit("b")]
        for gate in gates:
            await gate.wait()
        for gate in gates:
            gate.open.set()
        for job in jobs:
            ended = (await s.said(JobEnded, job)).job
            assert ended.status is Status.RENDERED
            assert s.of(JobProgressed, job)
        assert sorted(cards[0].painted + cards[1].painted) == ["a", "b"]

    async def test_a_job_goes_to_the_card_that_has_its_model(self, studio: MakeStudio) -> None:
        other, ours = Card("sketch", "caption"), Card("imagine")
        s = studio(other, ours)
        await _open_warm(s)
        for _ in range(3):
            await s.said(JobEnded, await s.submit())
        assert (other.painted, ours.painted) == (["warm"], ["warm", *3 * ["a fox"]])

    async def test_a_card_without_the_model_takes_a_job_rather_than_nothing(
        self, studio: MakeStudio
    ) -> None:
        gate = Gate()
        other, ours = Card("sketch", "caption"), Card("imagine", gate=gate)
        s = studio(other, ours)
        await _open_warm(s)
        await s.submit("gate")
        await gate.wait()
        second = await s.submit("a fox")
        assert (await s.said(JobEnded, second)).job.status is Status.RENDERED
        assert other.painted == ["warm", "a fox"]
        gate.open.set()

    async def test_a_cancel_stops_one_of_two(self, studio: MakeStudio) -> None:
        gates = Gate(), Gate()
        s = studio(*(Painter(a=gates[0], b=gates[1]) for _ in range(2)))
        await s.open()
        jobs = [await s.submit("a"), await s.submit("b")]
        for gate in gates:
            await gate.wait()
        await s.queue.cancel(jobs[0].id)
        assert (await s.said(JobEnded, jobs[0])).job.status is Status.CANCELLED
        assert not s.of(JobEnded, jobs[1])
        gates[1].open.set()
        assert (await s.said(JobEnded, jobs[1])).job.status is Status.RENDERED

    async def test_what_ran_when_the_process_died_has_it_to_itself(
        self, studio: MakeStudio, store: Store
    ) -> None:
        gates = {prompt: Gate() for prompt in ("before", "suspect")}
        jobs = [
            a_job(n, request=a_request(prompt), crashes=prompt == "suspect", queued_at=START + n)
            for n, prompt in enumerate([*gates, "after"])
        ]
        for job in jobs:
            await enqueue(store, job, ROOMY)
        s = studio(*(Painter(**gates) for _ in range(2)))
        await s.open()
        for gate in gates.values():
            await gate.wait()
            for _ in range(20):  # in which the other card could take one
                await asyncio.sleep(0)
            gate.open.set()
        await s.said(JobEnded, jobs[-1])
        turns = [
            (type(event), event.job.id)
            for event in s.seen
            if isinstance(event, JobStarted | JobEnded)
        ]
        assert turns == [(turn, job.id) for job in jobs for turn in (JobStarted, JobEnded)]

    async def test_a_stop_lets_one_end_and_puts_the_other_back(self, studio: MakeStudio) -> None:
        gates = Gate(), Gate()
        s = studio(*(Painter(a=gates[0], b=gates[1]) for _ in range(2)), grace=0.5)
        await s.open()
        jobs = [await s.submit("a"), await s.submit("b")]
        waiting = await s.submit("c")
        for gate in gates:
            await gate.wait()
        stop = asyncio.create_task(s.worker.stop())
        await asyncio.sleep(0)
        gates[0].open.set()
        await asyncio.wait_for(stop, SOON)
        assert s.of(JobEnded, jobs[0])[0].job.status is Status.RENDERED
        left = await s.store.waiting()
        assert [(j.id, j.crashes) for j in left] == [(jobs[1].id, 0), (waiting.id, 0)]

    async def test_a_stop_leaves_behind_what_does_not_stop(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bot.jobs.worker._LAST_STEP", 0.05)
        gates = Gate(deaf=True), Gate()
        s = studio(*(Painter(a=gates[0], b=gates[1]) for _ in range(2)), grace=0.05)
        await s.open()
        jobs = [await s.submit("a"), await s.submit("b")]
        for gate in gates:
            await gate.wait()
        await asyncio.wait_for(s.worker.stop(), SOON)
        assert {j.id for j in await s.store.waiting()} == {job.id for job in jobs}
        gates[0].open.set()

    async def test_each_member_is_charged_for_their_own(self, studio: MakeStudio) -> None:
        gate = Gate()
        s = studio(*(Painter(long=gate) for _ in range(2)))
        await s.open()
        long = await s.submit("long", owner=1)
        await gate.wait()
        short = (await s.said(JobEnded, await s.submit("short", owner=2))).job
        gate.open.set()
        ended = (await s.said(JobEnded, long)).job
        assert ended.gpu_seconds > short.gpu_seconds > 0

    async def test_a_card_that_does_not_come_up_takes_no_job_from_one_that_works(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        works = Painter()
        s = studio(Painter(), works)

        def fails() -> Painter:
            raise DeviceMissing("There is no such card.")

        monkeypatch.setattr(s.executors[0], "_build", fails)
        await s.open()
        for _ in range(4):
            ended = (await s.said(JobEnded, await s.submit())).job
            assert ended.status is Status.RENDERED
        assert len(works.painted) == 4
        assert [card.usable() for card in s.executors] == [False, True]

    async def test_a_card_that_does_not_come_up_hands_on_the_job_that_waits_for_it(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        works, is_taken = Painter(), threading.Event()
        s = studio(Painter(), works)

        def fails() -> Painter:
            is_taken.wait(SOON)
            raise DeviceMissing("There is no such card.")

        monkeypatch.setattr(s.executors[0], "_build", fails)
        await s.open()
        job = await s.submit()
        await s.said(JobStarted, job)
        is_taken.set()
        ended = (await s.said(JobEnded, job)).job
        assert (ended.status, ended.crashes, works.painted) == (Status.RENDERED, 0, ["a fox"])

    async def test_where_no_card_comes_up_jobs_fail_with_the_reason(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        s = studio(Painter(), Painter())

        def fails() -> Painter:
            raise DeviceMissing("There is no such card.")

        for executor in s.executors:
            monkeypatch.setattr(executor, "_build", fails)
        await s.open()
        ended = (await s.said(JobEnded, await s.submit())).job
        assert (ended.status, ended.error_code) == (Status.FAILED, "device_missing")
        monkeypatch.undo()
        assert (await s.said(JobEnded, await s.submit())).job.status is Status.RENDERED


class FourAtOnce(Painter):
    together = 4


class TestBatches:
    async def test_what_waits_is_painted_together_as_far_as_it_pays(
        self, studio: MakeStudio
    ) -> None:
        gate = Gate()
        s = studio(FourAtOnce(gate=gate))
        await s.open()
        first = await s.submit("gate")
        await gate.wait()
        jobs = [await s.submit(owner=owner) for owner in (1, 2, 3, 1, 2, 3)]
        gate.open.set()
        for job in [first, *jobs]:
            ended = (await s.said(JobEnded, job)).job
            assert ended.status is Status.RENDERED
            assert ended.gpu_seconds > 0
            assert s.of(JobProgressed, job), "each is told of its progress"
        assert s.painter.batches_painted == [1, 4, 2]

    async def test_pictures_are_counted_and_nobody_is_overtaken(self, studio: MakeStudio) -> None:
        gate = Gate()
        s = studio(FourAtOnce(gate=gate))
        await s.open()
        await s.submit("gate")
        await gate.wait()
        jobs = [await s.submit(count=count) for count in (2, 3, 1)]
        gate.open.set()
        for job in jobs:
            await s.said(JobEnded, job)
        assert s.painter.batches_painted == [1, 1, 2]

    async def _batch(self, s: Studio, gate: Gate, *prompts: str) -> list[Job]:
        """Jobs that wait behind another, so that they are taken together."""
        await s.open()
        await s.submit("before")
        await gate.wait()
        return [await s.submit(prompt, owner=i) for i, prompt in enumerate(prompts, 2)]

    async def test_one_persons_cancel_leaves_the_others(self, studio: MakeStudio) -> None:
        before, within = Gate(), Gate()
        s = studio(FourAtOnce(before=before, within=within))
        jobs = await self._batch(s, before, "within", "a fox")
        before.open.set()
        await within.wait()
        await s.queue.cancel(jobs[0].id)
        within.open.set()
        assert (await s.said(JobEnded, jobs[0])).job.status is Status.CANCELLED
        assert (await s.said(JobEnded, jobs[1])).job.status is Status.RENDERED

    async def test_when_all_are_cancelled_the_batch_stops(self, studio: MakeStudio) -> None:
        before, within = Gate(), Gate()
        s = studio(FourAtOnce(before=before, within=within))
        jobs = await self._batch(s, before, "within", "a fox")
        before.open.set()
        await within.wait()
        for job in jobs:
            await s.queue.cancel(job.id)
        for job in jobs:
            assert (await s.said(JobEnded, job)).job.status is Status.CANCELLED

    async def test_what_fails_together_is_tried_one_by_one(self, studio: MakeStudio) -> None:
        def bad(_: RunContext) -> None:
            raise OutOfMemory("The card cannot hold this.")

        before = Gate()
        s = studio(FourAtOnce(before=before, bad=bad))
        jobs = await self._batch(s, before, "a fox", "bad", "a cat")
        before.open.set()
        ends = [(await s.said(JobEnded, job)).job.status for job in jobs]
        assert ends == [Status.RENDERED, Status.FAILED, Status.RENDERED]
        assert s.painter.batches_painted == [1, 1, 1]

    async def test_nobody_is_charged_for_what_failed_together(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bad(_: RunContext) -> None:
            raise OutOfMemory("The card cannot hold this.")

        monkeypatch.setattr(Meter, "gpu_seconds", lambda _: 6.0)
        before = Gate()
        s = studio(FourAtOnce(before=before, bad=bad))
        jobs = await self._batch(s, before, "a fox", "bad", "a cat")
        before.open.set()
        assert [(await s.said(JobEnded, job)).job.gpu_seconds for job in jobs] == [6.0] * 3

    async def test_each_is_charged_for_its_pictures(
        self, studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Meter, "gpu_seconds", lambda _: 6.0)
        gate = Gate()
        s = studio(FourAtOnce(gate=gate))
        await s.open()
        await s.submit("gate")
        await gate.wait()
        jobs = [await s.submit(count=count) for count in (1, 2)]
        gate.open.set()
        assert [(await s.said(JobEnded, job)).job.gpu_seconds for job in jobs] == [2.0, 4.0]
        assert s.painter.batches_painted == [1, 2]

    async def test_a_stop_puts_all_of_a_batch_back(self, studio: MakeStudio) -> None:
        before, within = Gate(), Gate()
        s = studio(FourAtOnce(before=before, within=within), grace=0.05)
        jobs = await self._batch(s, before, "within", "a fox")
        before.open.set()
        await within.wait()
        await asyncio.wait_for(s.worker.stop(), SOON)
        left = await s.store.waiting()
        assert [(job.id, job.crashes) for job in left] == [(job.id, 0) for job in jobs]
