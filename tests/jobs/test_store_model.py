"""The store against a model of it: any sequence of calls, restarts included, ends the same."""

import asyncio
import dataclasses
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from bot.errors import QueueFull, Undeliverable, Unforeseen
from bot.jobs.job import Job, Status
from bot.jobs.limits import Limits
from bot.jobs.store import MAX_CRASHES, Store
from pipelines.contract.errors import AtelierError
from tests.jobs.samples import Clock, a_job, an_artifact, enqueue

LIMITS = Limits(waiting_per_member=3, waiting_in_all=6)
owners = st.integers(1, 3)


def _why(error: AtelierError) -> dict[str, object]:
    return {
        "error_code": error.code,
        "error_sentence": error.sentence,
        "error_text": error.text,
    }


class StoreMachine(RuleBasedStateMachine):
    """`known` is what the store should hold. `views` are jobs as somebody once saw them."""

    ids = Bundle("ids")
    views = Bundle("views")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.clock = Clock()
        self.known: dict[str, Job] = {}
        self.unwanted: set[str] = set()

    @initialize()
    def open(self) -> None:
        files = self.path / "files"
        self.store = self.runner.run(Store.open(self.path / "jobs.sqlite3", files, now=self.clock))
        self.artifact = an_artifact(files)

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    # -- the model --------------------------------------------------------------------------

    def live(self) -> list[Job]:
        return [job for job in self.known.values() if job.status.is_live]

    def expect(self, answer: Job | None, job_id: str, allowed: bool, **changes: object) -> None:
        """`answer` should be the changed job where the change is `allowed`, and None elsewhere."""
        if allowed:
            self.known[job_id] = dataclasses.replace(self.known[job_id], **changes)  # type: ignore[arg-type]
        assert answer == (self.known[job_id] if allowed else None)

    def holds(self, view: Job) -> bool:
        """Whether `view` is still how the job stands, as far as the fence looks."""
        now = self.known[view.id]
        return (view.status, view.attempt) == (now.status, now.attempt)

    def is_running(self, view: Job) -> bool:
        return self.holds(view) and view.status is Status.RUNNING

    # -- what may happen --------------------------------------------------------------------

    @rule(target=ids, newcomers=st.lists(owners, min_size=1, max_size=4))
    def enqueue(self, newcomers: list[int]) -> str:
        self.clock.now += 1
        jobs = [a_job(owner, queued_at=self.clock.now + i) for i, owner in enumerate(newcomers)]

        async def all_at_once() -> list[BaseException | Job]:
            return await asyncio.gather(
                *(enqueue(self.store, job, LIMITS) for job in jobs), return_exceptions=True
            )

        for job, answer in zip(jobs, self.runner.run(all_at_once()), strict=True):
            own = sum(j.owner == job.owner for j in self.live())
            if own < LIMITS.waiting_per_member and len(self.live()) < LIMITS.waiting_in_all:
                assert answer == job
                self.known[job.id] = job
            else:
                assert isinstance(answer, QueueFull)
        return jobs[0].id

    @rule(target=views, job_id=ids)
    def look(self, job_id: str) -> Job:
        seen = self.runner.run(self.store.get(job_id))
        assert seen == self.known.get(job_id)
        return seen or a_job(id=job_id, attempt=99)

    @rule(target=views, job_id=ids)
    def lease(self, job_id: str) -> Job:
        self.clock.now += 1
        answer = self.runner.run(self.store.lease(job_id))
        before = self.known.get(job_id)
        if before is None:
            assert answer is None
            return a_job(id=job_id, attempt=99)
        self.expect(
            answer,
            job_id,
            before.status is Status.QUEUED,
            status=Status.RUNNING,
            attempt=before.attempt + 1,
            started_at=self.clock.now,
        )
        return self.known[job_id]

    @rule(target=views, view=consumes(views), seconds=st.sampled_from([0.5, 40.0]))
    def render(self, view: Job, seconds: float) -> Job:
        return self.finish(view, Status.RENDERED, seconds)

    @rule(target=views, view=consumes(views))
    def fail(self, view: Job) -> Job:
        return self.finish(view, Status.FAILED, 1.5)

    @rule(target=views, view=consumes(views))
    def cancel(self, view: Job) -> Job:
        return self.finish(view, Status.CANCELLED, 0.25)

    def finish(self, view: Job, end: Status, seconds: float) -> Job:
        if view.id not in self.known:
            return view
        self.clock.now += 1
        changes: dict[str, object] = {"status": end, "ended_at": self.clock.now}
        changes["gpu_seconds"] = seconds
        allowed = self.is_running(view)
        if end is Status.RENDERED:
            call = self.store.rendered(view, [self.artifact], seconds)
            changes["artifacts"] = (self.artifact,)
        elif end is Status.FAILED:
            call = self.store.failed(view, error := Unforeseen(), seconds)
            changes |= _why(error)
        else:
            call = self.store.cancelled(view, seconds)
            allowed = self.holds(view) and view.status.is_live
        self.expect(self.runner.run(call), view.id, allowed, **changes)
        return self.known[view.id]

    @rule(target=views, view=views)
    def put_back(self, view: Job) -> Job:
        if view.id not in self.known:
            return view
        answer = self.runner.run(self.store.put_back(view))
        allowed = self.is_running(view)
        self.expect(answer, view.id, allowed, status=Status.QUEUED, started_at=None)
        return self.known[view.id]

    @rule(view=views)
    def unwant(self, view: Job) -> None:
        self.runner.run(self.store.unwant(view))
        now = self.known.get(view.id)
        if now is not None and now.attempt == view.attempt and not now.told:
            self.unwanted.add(view.id)

    @rule(view=views, error=st.none() | st.just(Undeliverable("The channel is gone.")))
    def tell(self, view: Job, error: Undeliverable | None) -> None:
        if view.id not in self.known:
            return
        answer = self.runner.run(self.store.told(view, error))
        before = self.known[view.id]
        changes: dict[str, object] = {"told": True}
        if before.status is Status.RENDERED:
            changes |= {"status": Status.DELIVERED} if error is None else _why(error)
        allowed = self.holds(view) and not before.status.is_live and not before.told
        self.expect(answer, view.id, allowed, **changes)

    @rule(job_id=ids)
    def erase(self, job_id: str) -> None:
        answer = self.runner.run(self.store.erase(job_id))
        if (before := self.known.get(job_id)) is None:
            assert answer is None
        else:
            self.expect(answer, job_id, not before.status.is_live, artifacts=(), told=True)

    @rule(graceful=st.booleans())
    def restart(self, graceful: bool) -> None:
        """A graceful end puts the running jobs back itself; a crash leaves them to `recover`."""
        if graceful:
            for job in [j for j in self.known.values() if j.status is Status.RUNNING]:
                self.put_back(job)
        self.runner.run(self.store.close())
        self.open()
        self.clock.now += 1
        ended = self.runner.run(self.store.recover())
        could = (Status.QUEUED, Status.RUNNING, Status.RENDERED)
        for job in [j for j in self.known.values() if j.id in self.unwanted]:
            if job.status in could and not job.told:
                self.known[job.id] = dataclasses.replace(
                    job,
                    status=Status.CANCELLED,
                    ended_at=job.ended_at or self.clock.now,
                    gpu_seconds=0.0,
                    artifacts=(),
                )
        for job in [j for j in self.known.values() if j.status is Status.RUNNING]:
            crashes = job.crashes + 1
            changes: dict[str, object] = {"status": Status.QUEUED, "started_at": None}
            if crashes == MAX_CRASHES:
                (now,) = [j for j in ended if j.id == job.id]
                changes = {
                    "status": Status.QUARANTINED,
                    "ended_at": self.clock.now,
                    "error_code": "quarantined",
                    "error_sentence": now.error_sentence,
                    "error_text": now.error_text,
                }
            self.known[job.id] = dataclasses.replace(job, crashes=crashes, **changes)  # type: ignore[arg-type]
        assert all(self.known[job.id] == job for job in ended)
        assert self.runner.run(self.store.recover()) == []

    @rule(age=st.integers(0, 20))
    def forget(self, age: int) -> None:
        horizon = self.clock.now - age
        old = [
            job.id
            for job in self.known.values()
            if job.told and job.ended_at is not None and job.ended_at < horizon
        ]
        assert self.runner.run(self.store.forget_before(horizon)) == len(old)
        for job_id in old:
            del self.known[job_id]

    # -- what must hold ---------------------------------------------------------------------

    @invariant()
    def the_store_agrees(self) -> None:
        jobs = self.known.values()
        assert self.runner.run(self.store.waiting()) == sorted(
            (j for j in jobs if j.status is Status.QUEUED), key=lambda j: j.queued_at
        )
        untold = self.runner.run(self.store.untold())
        assert {j.id for j in untold} == {j.id for j in jobs if not j.status.is_live and not j.told}
        for job in untold:
            assert job == self.known[job.id]

    @invariant()
    def the_ledger_agrees(self) -> None:
        usage = self.runner.run(self.store.usage())
        for owner in {j.owner for j in self.known.values()}:
            charged = sum(
                j.cost if j.status is Status.RUNNING else j.gpu_seconds
                for j in self.known.values()
                if j.owner == owner and j.status is not Status.QUEUED
            )
            assert abs(usage.get(owner, 0.0) - charged) < 0.01 * (1 + charged)


TestStoreModel = StoreMachine.TestCase
TestStoreModel.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
