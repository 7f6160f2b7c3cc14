"""The queue as everyone sees it: members' commands put jobs in, the worker takes them out.

The store is the truth; the policy holds the same waiting jobs in memory, in their order.
"""

import asyncio
import heapq
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from bot.errors import NoSuchJob, StorageFailed, TooLate, WordNotAllowed
from bot.jobs.costs import Costs
from bot.jobs.events import (
    Events,
    JobBroughtForward,
    JobEnded,
    JobQueued,
    JobRefused,
    JobStarted,
    JobWanted,
    QueueMoved,
)
from bot.jobs.job import Job, Standing, Status, new_job_id
from bot.jobs.limits import Limits, Terms
from bot.jobs.moderation import Moderation
from bot.jobs.pauses import once_stored
from bot.jobs.policy import Policy
from bot.jobs.progress import Look
from bot.jobs.proposals import Proposal, Proposals
from bot.jobs.settings import SettingsBook
from bot.jobs.store import Store, Used
from bot.jobs.turns import Models
from bot.jobs.usage import DAY
from bot.tasks import Tasks
from bot.words import WordRules
from pipelines.catalog import Catalog, ModelKey, no_style, painters
from pipelines.contract.errors import AtelierError, BadInput
from pipelines.contract.requests import Request, may_share, picture_count

_NOWHERE = Standing()
_AHEAD = 16  # jobs that a run is told of


@dataclass(slots=True, eq=False)
class Run:
    """A leased job on its way through the GPU. `cancel` stops it between two steps.

    `unwanted` says that a person cancelled it, rather than the bot's own end. `coming` are the
    requests that waited behind it when it was leased, the next one first. `models` are the keys of
    those that it needs. Until it has `begun` its card is at something else, of which the process
    may die. `look` is when somebody will look at it next.
    """

    job: Job
    models: Models = frozenset()
    coming: Sequence[Request] = ()
    begun: bool = True
    cancel: threading.Event = field(default_factory=threading.Event)
    unwanted: bool = False
    look: Look = field(default_factory=Look)


class JobQueue:
    """Submit, cancel and look up jobs; lease the one whose turn it is.

    `restore` is awaited once, before anything is leased. `settings` say what servers allow.
    """

    def __init__(
        self,
        store: Store,
        policy: Policy,
        catalog: Catalog,
        events: Events,
        limits: Limits,
        *,
        settings: SettingsBook,
        words: WordRules,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._policy = policy
        self._catalog = catalog
        self._events = events
        self._limits = limits
        self.settings = settings
        self.moderation = Moderation(store.database, events)
        self.proposals = Proposals(store.database, store.folder)
        self._words = words
        self._now = now
        self._costs = Costs(catalog)
        self._runs: dict[str, Run] = {}
        self._ending: dict[str, Run] = {}  # off the GPU, and not yet written down
        self._waiting: dict[str, Request] = {}
        self._suspects: set[str] = set()  # those that wait
        self._relaxed: list[tuple[float, str]] = []  # a heap of those behind, by when they came
        self._work = asyncio.Event()
        self._tasks = Tasks()

    # -- for members ------------------------------------------------------------------------

    async def submit(
        self,
        request: Request,
        *,
        owner: int,
        origin: Mapping[str, Any],
        standing: Standing = _NOWHERE,
        terms: Terms | None = None,
        parent: str | None = None,
        job_id: str | None = None,
    ) -> Job:
        """Queue a request. The job is durable when this returns.

        `terms` replace the limits and the weight that the settings give there. Whether the request
        is allowed there is for the caller to check.
        Raises BadInput where no model for it is set up, Refused for its words, Repeated for a
        `job_id` that is known already, QueueFull, StorageFailed.
        """
        made = self._job(request, owner, origin, standing, parent, job_id)
        if terms is not None:
            made = replace(made, weight=terms.weight)
        [job] = await self._enqueue([made], self._limits_of(standing, terms))
        return job

    async def check(
        self,
        requests: Sequence[Request],
        *,
        owner: int,
        origin: Mapping[str, Any],
        standing: Standing = _NOWHERE,
        terms: Terms | None = None,
    ) -> None:
        """Raise what `submit` would raise now, for any of the requests, or for so many."""
        with self._refusals(owner, origin):
            self._vet(requests)
            limits = self._limits_of(standing, terms)
            if (refusal := await self._store.refusal(owner, len(requests), limits)) is not None:
                raise refusal

    async def propose(
        self,
        requests: Sequence[Request],
        *,
        owner: int,
        origin: Mapping[str, Any],
        standing: Standing = _NOWHERE,
        parent: str | None = None,
    ) -> Proposal:
        """Keep requests of one kind until their member says Go. Nothing is charged for it.

        `origin` is where it is asked, `parent` the job that they come of. Raises what `submit`
        would raise for any of them, or for so many.
        """
        await self.check(requests, owner=owner, origin=origin, standing=standing)
        proposal = Proposal(
            id=new_job_id(),
            owner=owner,
            requests=tuple(requests),
            made_at=self._now(),
            parent=parent,
        )
        await self.proposals.keep(proposal)
        return proposal

    async def accept(
        self,
        proposal: Proposal,
        origins: Sequence[Mapping[str, Any]],
        *,
        standing: Standing,
    ) -> list[Job]:
        """Queue all requests of a proposal, or none; their answers go to `origins`.

        Raises what `submit` raises.
        """
        jobs = [
            self._job(request, proposal.owner, origin, standing, proposal.parent)
            for request, origin in zip(proposal.requests, origins, strict=True)
        ]
        return await self._enqueue(jobs, self._limits_of(standing))

    async def add_placeholder(self, origin: Mapping[str, Any]) -> None:
        """Note that a message was posted for a job that will be queued with this `origin`."""
        await self._store.add_placeholder(origin)

    async def remove_placeholder(self, message: int) -> None:
        """Forget a placeholder for which no job comes."""
        await self._store.remove_placeholder(message)

    def most_prompts(self, standing: Standing) -> int:
        """How many prompts a member may ask for with one that has braces."""
        settings = self.settings.of(standing.server, standing.channel)
        return min(self._limits.permutations, settings.waiting)

    def expect(self, requests: Sequence[Request]) -> float | None:
        """The seconds that requests should take together; None where one's like never ran."""
        each = [self._costs.expect(request) for request in requests]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) / self._limits.cards if len(known) == len(each) else None

    async def cancel(self, job_id: str) -> Job:
        """Cancel a waiting job at once, or have a running one stop at its next step.

        Returns the job as it is then: cancelled, or still running. Raises NoSuchJob, TooLate.
        """
        # A caller that goes away must not come between the write and the event that tells of it.
        return await self._tasks.shielded(self._cancel(job_id), name=f"cancel job {job_id}")

    async def _cancel(self, job_id: str) -> Job:
        job = await self.get(job_id)
        if job.status is Status.QUEUED and (ended := await self._store.cancelled(job)) is not None:
            self._forget(job_id)
            self._events.publish(JobEnded(ended))
            self._events.publish(QueueMoved())
            return ended
        run = self._runs.get(job_id) or self._ending.get(job_id)
        if run is None:
            raise TooLate("This job has already ended, so there is nothing left to cancel.")
        run.unwanted = True
        run.cancel.set()
        with suppress(StorageFailed):  # this process knows; only one that is killed would forget it
            await self._store.unwant(run.job)
        return run.job

    async def is_settled(self, job_id: str) -> bool:
        """Whether nobody is to be told of a job any more: it was deleted, or its owner knows."""
        job = await self.find(job_id)
        return job is None or job.told

    async def find(self, job_id: str) -> Job | None:
        """The job; None where it was deleted or never was."""
        return await self._store.get(job_id)

    async def get(self, job_id: str) -> Job:
        """The job. Raises NoSuchJob."""
        job = await self.find(job_id)
        if job is None:
            raise NoSuchJob.unknown()
        return job

    async def erase(self, job_id: str) -> Job:
        """Forget what a job has made. Raises NoSuchJob, or TooLate while it waits or runs."""
        job = await self._store.erase(job_id)
        if job is None:
            await self.get(job_id)
            raise TooLate("This job has not ended yet. Cancel it first.")
        return job

    def styles(self) -> list[str]:
        """The names of the looks that are set up."""
        return list(self._catalog.styles)

    def models(self) -> frozenset[ModelKey]:
        """The models that are set up."""
        return frozenset(key for key in ModelKey if getattr(self._catalog, key) is not None)

    def check_catalog(self, request: Request) -> None:
        """Raise BadInput where a request needs a model or a style that is not set up."""
        if missing := self._catalog.missing(request):
            raise BadInput(
                "/{command} is not set up on this bot: its owner has yet to name {models} in the "
                "configuration.",
                command=str(request.kind),
                models=", ".join(f"[models.{key}]" for key in missing),
            )
        style = getattr(request, "style", None)
        if style is not None and style not in self._catalog.styles:
            raise no_style(style, self._catalog.styles)

    def length(self) -> int:
        """How many jobs wait."""
        return len(self._policy)

    def running(self) -> list[Job]:
        """The jobs on the GPU, the one that has been there longest first."""
        return [run.job for run in self._runs.values()]

    def expect_look(self, job_id: str, at: float) -> None:
        """Somebody will look at a job's preview at `at`, by the monotonic clock, if it runs."""
        if run := self._runs.get(job_id):
            run.look.expect(at)

    async def first(self, count: int) -> list[Job]:
        """The jobs in the first `count` places, the next one first."""
        jobs = [await self._store.get(each) for each in self._policy.first(count)]
        return [job for job in jobs if job is not None]

    async def usage(self, owner: int) -> float:
        """The GPU-seconds that a member used lately, as they count for their turn."""
        return (await self._store.usage()).get(owner, 0.0)

    async def share_used(self, owner: int, server: int | None) -> float:
        """The GPU-seconds charged to a member's share of the day in a server."""
        return await self._store.share_used(owner, server)

    async def used_in(self, server: int | None, owner: int | None = None) -> list[Used]:
        """What the members of a server were charged within a day, or one of them; most first."""
        return await self._store.used_in(server, owner)

    async def of(self, owner: int) -> list[Job]:
        """All jobs of a member that are still known, oldest first."""
        return await self._store.of(owner)

    async def shown_in(self, message: int) -> Job | None:
        """The job that a message is about, by the origin that names it."""
        return await self._store.shown_in(message)

    async def last(self, owner: int, count: int, before: str | None = None) -> list[Job]:
        """A member's last jobs, newest first; with `before`, those that came before that one."""
        return await self._store.last(owner, count, before)

    async def ancestry(self, jobs: Sequence[Job], generations: int) -> dict[str, Job]:
        """What jobs came of, so many generations back, by id; what is forgotten is not there."""
        found = await self._store.ancestry([job.id for job in jobs], generations)
        return {job.id: job for job in found}

    async def forget_owner(self, owner: int) -> tuple[int, int]:
        """Forget a member's jobs that have ended and been told. How many; how many are left."""
        gone = await self._store.forget_owner(owner)
        return gone, len(await self._store.of(owner))

    async def undelivered(self, owner: int) -> list[Job]:
        """A member's results that could not be shown and are kept, newest first."""
        return await self._store.undelivered(owner)

    async def hand_over(self, job_id: str, origin: Mapping[str, Any], standing: Standing) -> None:
        """Have a result that could not be shown be shown at `origin`, under the rules of there.

        Raises NoSuchJob, TooLate, Banned.
        """
        self.moderation.check(standing.server, (await self.get(job_id)).owner)
        job = await self._store.untell(job_id, origin, standing.server, standing.channel)
        if job is None:
            raise TooLate("This result has been shown already, or it is no longer kept.")
        self._events.publish(JobWanted(job))

    async def set_origin(self, job_id: str, origin: Mapping[str, Any]) -> None:
        """Change where a job's answer goes."""
        await self._store.set_origin(job_id, origin)

    def place(self, job_id: str) -> int | None:
        """Where a job stands, 1 for the next to run; None if it does not wait."""
        return self._policy.place(job_id)

    def begins(self, job_id: str) -> float | None:
        """When a waiting job should begin, as Unix time, judging by how long jobs took so far.

        None where the like of one before it never ran.
        """
        place = self._policy.place(job_id)
        if place is None:
            return None
        now = self._now()
        left = [self._left(run.job, now) for run in self._runs.values()]
        ahead = [self._waiting[each] for each in self._policy.first(place - 1)]
        known = [s for s in (*left, *map(self._costs.expect, ahead)) if s is not None]
        if len(known) < len(left) + len(ahead):
            return None
        return now + sum(known) / self._limits.cards

    def ends(self, job: Job) -> float | None:
        """When a running job should end, as Unix time; None where its like never ran."""
        now = self._now()
        left = self._left(job, now)
        return None if left is None else now + left

    def _left(self, job: Job, now: float) -> float | None:
        """The seconds that a running job should still take."""
        whole = self._costs.expect(job.request)
        return None if whole is None else max(0.0, whole - (now - (job.started_at or now)))

    # -- for the worker ---------------------------------------------------------------------

    async def restore(self) -> None:
        """Take up what an earlier process left: learn its costs, recover and queue its jobs."""
        for job in reversed(await self._store.recent(100)):
            self.learn(job)
        for job in await self._store.recover():
            self._events.publish(JobEnded(job))
        for job in await self._store.waiting():
            self._admit(job)

    async def lease(
        self, free: Sequence[Models], busy: Sequence[Models] = (), *, begun: bool = True
    ) -> Run | None:
        """Take out the job whose turn it is; None when none waits, or none may begin now.

        `free` says for each card that could take it what is resident there, `busy` for each of the
        others. `begun` is false where the card still has models to load first. Raises
        StorageFailed.

        When a process dies, each job that ran may be what it died of. So these suspects have the
        process to themselves, from the lease until the end is written down: else a deadly one
        would take the others with it, three times. Once it is a suspect's turn nothing more is
        leased until the cards are idle: it waits for what runs, and for nothing that comes later.
        """
        await self._bring_forward()
        while True:
            self._work.clear()
            now = asyncio.get_running_loop().time()
            job_id = self._policy.pick(free=free, busy=busy, now=now)
            if job_id is None or not self._may_begin(job_id):
                return None
            run = await self._start(job_id, begun=begun)
            if run is not None:
                return run

    async def lease_beside(self, run: Run, resident: Models, most: int) -> list[Run]:
        """Take out the jobs whose turn is next for as long as they can share a batch with `run`.

        Nobody is overtaken: it ends at the first that cannot share, at `most` pictures, or where
        the store fails. A suspect shares with nobody.
        """
        beside: list[Run] = []
        while True:
            now = asyncio.get_running_loop().time()
            job_id = self._policy.pick(free=[resident], now=now)
            request = None if job_id is None else self._waiting.get(job_id)
            if job_id is None or request is None or not self._may_begin(job_id):
                return beside
            requests = [*(each.job.request for each in (run, *beside)), request]
            if not may_share(requests) or sum(map(picture_count, requests)) > most:
                return beside
            try:
                other = await self._start(job_id, begun=run.begun)
            except StorageFailed:
                return beside
            if other is not None:
                beside.append(other)

    async def work(self) -> None:
        """Wait until there may be something that `lease` would take."""
        await self._work.wait()

    def wake(self) -> None:
        """Let `work` return, whether there is any or not."""
        self._work.set()

    def leave(self, run: Run, gpu_seconds: float) -> None:
        """The GPU is done with a run: charge the `gpu_seconds` that it took, not the estimate."""
        job = run.job
        self._runs.pop(job.id, None)
        self._policy.charge(job.owner, job.weight, gpu_seconds - job.cost, behind=job.relaxed)
        self._work.set()  # for whoever waits for it to end

    def end(self, run: Run, gpu_seconds: float) -> None:
        """As `leave`, but it can be cancelled until `ended`, while its result is written down."""
        self.leave(run, gpu_seconds)
        self._ending[run.job.id] = run

    def ended(self, run: Run) -> None:
        """It is written down how a run ended."""
        self._ending.pop(run.job.id, None)
        self._work.set()

    def check_seen(self, caption: str) -> None:
        """Raise WordNotAllowed where what a model saw in a picture breaks a rule. On any thread."""
        self._words.check_seen(caption)

    def give_back(self, run: Run, job: Job) -> None:
        """Let the job of a run that never began wait again. Nothing is charged for it."""
        self.leave(run, 0.0)
        self._admit(job)

    def learn(self, job: Job) -> None:
        """Estimate the costs of later jobs by this one, if it was rendered."""
        if job.status in (Status.RENDERED, Status.DELIVERED):
            self._costs.learn(job.request, job.gpu_seconds, job.facts.get("steps"))

    # -- inside -----------------------------------------------------------------------------

    def _job(
        self,
        request: Request,
        owner: int,
        origin: Mapping[str, Any],
        standing: Standing,
        parent: str | None,
        job_id: str | None = None,
    ) -> Job:
        settings = self.settings.of(standing.server, standing.channel)
        return Job(
            id=job_id or new_job_id(),
            owner=owner,
            request=request,
            origin=origin,
            weight=settings.weight(standing.roles),
            cost=self._costs.estimate(request),
            parent=parent,
            server=standing.server,
            channel=standing.channel,
            queued_at=self._now(),
        )

    async def _enqueue(self, jobs: Sequence[Job], limits: Limits) -> list[Job]:
        """Write jobs of one member, all or none, and let them wait their turn."""
        try:
            with self._refusals(jobs[0].owner, jobs[0].origin):
                self._vet(job.request for job in jobs)
                self.moderation.check(jobs[0].server, jobs[0].owner)  # since a moment ago
                written = await self._store.enqueue(jobs, limits)
        except asyncio.CancelledError:
            for job in jobs:
                self._tasks.start(self._adopt(job.id), name=f"adopt job {job.id}")
            raise
        for job in written:
            self._admit(job)
        return written

    def _vet(self, requests: Iterable[Request]) -> None:
        """Raise what `check_catalog` raises, and Refused for words."""
        for request in requests:
            self.check_catalog(request)
            self._words.check(request)

    @contextmanager
    def _refusals(self, owner: int, origin: Mapping[str, Any]) -> Iterator[None]:
        """Tell the listeners where a member is turned away."""
        try:
            yield
        except AtelierError as error:
            rule = error.rule if isinstance(error, WordNotAllowed) else ""
            self._events.publish(JobRefused(owner, error.code, origin, rule))
            raise

    def _limits_of(self, standing: Standing, terms: Terms | None = None) -> Limits:
        """The limits where somebody stands, or by the terms that hold in their place."""
        settings = self.settings.of(standing.server, standing.channel)
        if terms is None:
            terms = Terms(waiting=settings.waiting, daily_seconds=settings.daily_seconds)
        return replace(
            self._limits, waiting_per_member=terms.waiting, daily_seconds=terms.daily_seconds
        )

    async def _bring_forward(self) -> None:
        """Let those wait in front who have waited behind for a day."""
        while self._relaxed and self._relaxed[0][0] <= self._now() - DAY:
            came = heapq.heappop(self._relaxed)  # now: an older one may come back meanwhile
            try:
                job = await self._store.bring_forward(came[1])
            except StorageFailed:
                heapq.heappush(self._relaxed, came)
                raise
            if job is not None:
                self._policy.forward(job.id)
                self._events.publish(JobBroughtForward(job))
                self._events.publish(QueueMoved())

    def _admit(self, job: Job) -> None:
        """Let a stored job wait its turn."""
        models = self._models(job)
        self._policy.add(
            job.id, job.owner, job.weight, job.cost, models, job.queued_at, behind=job.relaxed
        )
        if job.relaxed:
            heapq.heappush(self._relaxed, (job.queued_at, job.id))
        self._waiting[job.id] = job.request
        if job.is_suspect:
            self._suspects.add(job.id)
        self._work.set()
        self._events.publish(JobQueued(job))

    def _models(self, job: Job) -> Models:
        return painters(self._catalog.needs(job.request))

    def _forget(self, job_id: str) -> None:
        """A job waits no longer."""
        self._policy.remove(job_id)
        self._waiting.pop(job_id, None)
        self._suspects.discard(job_id)
        self._work.set()  # others may have waited for it to have its turn

    def _may_begin(self, job_id: str) -> bool:
        """Whether a waiting job may run beside those that run, and are being written down."""
        others = [run.job for run in (*self._runs.values(), *self._ending.values())]
        return not others or not (job_id in self._suspects or any(j.is_suspect for j in others))

    def _coming(self, job: Job) -> Sequence[Request]:
        """What a run may read ahead for: never for a suspect, and a suspect's run for nobody."""
        if job.is_suspect:
            return ()
        ahead = self._policy.first(_AHEAD)
        return [self._waiting[each] for each in ahead if each not in self._suspects]

    async def _adopt(self, job_id: str) -> None:
        """Admit a job that was written although its submitter had gone."""
        job = await once_stored(lambda: self._store.get(job_id))
        if job is not None and job.status is Status.QUEUED:
            self._admit(job)

    async def _start(self, job_id: str, *, begun: bool) -> Run | None:
        """Lease the job from the store; None if it was cancelled a moment ago."""
        job = await self._store.lease(job_id, begun=begun)
        self._forget(job_id)
        if job is None:
            return None
        run = self._runs[job_id] = Run(job, self._models(job), self._coming(job), begun)
        self._policy.charge(job.owner, job.weight, job.cost, behind=job.relaxed)
        self._events.publish(JobStarted(job))
        self._events.publish(QueueMoved())
        return run
