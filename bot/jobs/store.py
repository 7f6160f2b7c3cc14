"""The job store, the only truth about jobs.

Every change of a job's status is one UPDATE that names the status and the attempt it expects.
Where they no longer hold, nothing changes and None is returned: somebody else was first.
"""

import asyncio
import json
import logging
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

from bot.errors import QueueFull, Refused, Repeated, StorageFailed
from bot.jobs import codec
from bot.jobs.database import Database
from bot.jobs.job import Job, Status, StoredArtifact
from bot.jobs.limits import Crowd, Limits
from bot.jobs.proposals import PROPOSAL_LIFE
from bot.jobs.usage import CHARGED, DAY, HALF_LIFE, decayed
from bot.tasks import Tasks
from pipelines.contract.errors import AtelierError
from pipelines.contract.requests import REQUEST_TYPES
from pipelines.contract.text import Text

log = logging.getLogger(__name__)

MAX_CRASHES = 3


@dataclass(frozen=True, slots=True, eq=False)
class _Arrival:
    """Jobs of one owner on their way into the store together, and who waits for them."""

    rows: Sequence[dict[str, Any]]
    limits: Limits
    written: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Used:
    """What a member was charged for jobs of one kind, and how many they were."""

    owner: int
    kind: str
    jobs: int
    seconds: float


class Store:
    """Jobs and notes. Methods may be called from any task; each is one transaction.

    `folder` is the FileStore's. Others that keep tables of their own in the same file are given the
    `database`.
    """

    def __init__(self, database: Database, files_folder: Path, now: Callable[[], float]) -> None:
        self.database = database
        self.folder = files_folder.resolve()
        self._now = now
        self._arrivals: list[_Arrival] = []
        self._unreadable: set[str] = set()  # jobs of other versions, which keep nobody from asking
        self._tasks = Tasks()

    @classmethod
    async def open(
        cls, path: Path, files_folder: Path, *, now: Callable[[], float] = time.time
    ) -> Self:
        """Open or make the database at `path` and bring it up to date.

        Raises AlreadyRunning where another process has it, StartupError where it cannot be used.
        """
        return cls(await Database.open(path, now=now), files_folder, now)

    async def close(self) -> None:
        """Finish what was begun and give the database back. Idempotent."""
        await self._tasks.join()
        await self.database.close()

    # -- into the store ---------------------------------------------------------------------

    async def enqueue(self, jobs: Sequence[Job], limits: Limits) -> list[Job]:
        """Write queued jobs of one owner, all or none; they are durable when this returns.

        Calls that arrive together share one commit, and each is held against the limits in
        turn: the answer says which jobs are relaxed. Raises QueueFull, StorageFailed, and Repeated
        for a job whose id is known already. Where the caller is cancelled, the jobs may have been
        written or not.
        """
        written = asyncio.get_running_loop().create_future()
        rows = [codec.encode_job(job, self.folder) for job in jobs]
        self._arrivals.append(_Arrival(rows, limits, written))
        if len(self._arrivals) == 1:
            self._tasks.start(self._write_arrivals(), name="store: write arrivals")
        await written
        return [replace(job, relaxed=row["relaxed"]) for job, row in zip(jobs, rows, strict=True)]

    async def _write_arrivals(self) -> None:
        """Write all who have arrived by the time the database is free, in one transaction."""
        group: list[_Arrival] = []
        answers: Sequence[Exception | None]
        try:
            async with self.database.transaction():
                group = self._take_arrivals()
                answers = await self._insert(group)
        except (StorageFailed, sqlite3.IntegrityError) as error:
            group = group or self._take_arrivals()  # where no transaction could begin
            answers = [error] * len(group)
        for arrival, answer in zip(group, answers, strict=True):
            if arrival.written.done():
                continue  # its caller was cancelled meanwhile
            if answer is None:
                arrival.written.set_result(None)
            else:
                arrival.written.set_exception(answer)

    def _take_arrivals(self) -> list[_Arrival]:
        """Those who have arrived and still wait."""
        arrived, self._arrivals = self._arrivals, []
        return [arrival for arrival in arrived if not arrival.written.done()]

    async def _insert(self, group: Sequence[_Arrival]) -> list[Refused | None]:
        """Insert those whom the limits allow. Returns the refusal, or None, for each."""
        crowd, known = _crowd(await self._execute(_CROWD)), await self._known(group)
        spent: dict[tuple[int, int | None], float] = {}
        refusals: list[Refused | None] = []
        for arrival in group:
            owner, jobs = arrival.rows[0]["owner"], len(arrival.rows)
            ids = {row["id"] for row in arrival.rows}
            full = crowd.refusal(owner, arrival.limits, jobs)
            refusals.append(refusal := _repeated() if ids & known else full)
            if refusal is None:
                crowd.add(owner, jobs, sum(row["cost"] for row in arrival.rows))
                known |= ids
                await self._charge(arrival, spent)
        taken = [a.rows for a, refusal in zip(group, refusals, strict=True) if refusal is None]
        rows = list(chain.from_iterable(taken))
        await self.database.execute_many(_INSERT, rows)
        await self._execute(_TAKE_OVER, ids=json.dumps([row["id"] for row in rows]))
        return refusals

    async def _charge(self, arrival: _Arrival, spent: dict[tuple[int, int | None], float]) -> None:
        """Charge an arrival to its owner's daily share; jobs that go beyond it are relaxed.

        `spent` is what owners had used in servers before, those that arrived just now included.
        """
        share = arrival.limits.daily_seconds
        if share is None:
            return
        owner, server = whose = (arrival.rows[0]["owner"], arrival.rows[0]["server"])
        if whose not in spent:
            since = self._now() - DAY
            rows = await self._execute(_SHARE, owner=owner, server=server, since=since)
            [(spent[whose],)] = rows
        for row in arrival.rows:
            row["relaxed"] = spent[whose] >= share
            spent[whose] += 0.0 if row["relaxed"] else row["cost"]

    async def _known(self, group: Sequence[_Arrival]) -> set[str]:
        """The ids of those that are in the store already."""
        ids = json.dumps([row["id"] for arrival in group for row in arrival.rows])
        rows = await self._execute(
            "SELECT id FROM jobs WHERE id IN (SELECT value FROM json_each(:ids))", ids=ids
        )
        return {row[0] for row in rows}

    async def refusal(self, owner: int, jobs: int, limits: Limits) -> QueueFull | None:
        """Why so many jobs more of `owner` could not be written now, or None."""
        return _crowd(await self._run(_CROWD)).refusal(owner, limits, jobs)

    # -- placeholders -----------------------------------------------------------------------

    async def add_placeholder(self, origin: Mapping[str, Any]) -> None:
        """Note a message that was posted for a job; the note goes when that job is written."""
        await self._run(
            "INSERT INTO coming VALUES (:message, :origin)",
            message=origin["message_id"],
            origin=json.dumps(dict(origin)),
        )

    async def remove_placeholder(self, message: int) -> None:
        """Forget a placeholder for which no job comes."""
        await self._run("DELETE FROM coming WHERE message = :message", message=message)

    async def placeholders(self) -> list[dict[str, Any]]:
        """The origins of the messages for which no job was written."""
        return [json.loads(origin) for (origin,) in await self._run("SELECT origin FROM coming")]

    # -- a job's life -----------------------------------------------------------------------

    async def lease(self, job_id: str, *, begun: bool = True) -> Job | None:
        """Queued → running, with a new attempt; None if it is no longer queued.

        Until it has `begun` no crash is counted for it.
        """
        return await self._change(
            "status = 'running', attempt = attempt + 1, started_at = :now, begun = :begun",
            "id = :id AND status = 'queued'",
            id=job_id,
            begun=begun,
        )

    async def begun(self, job: Job) -> None:
        """A leased job has begun."""
        await self._change(
            "begun = 1", "id = :id AND attempt = :attempt", id=job.id, attempt=job.attempt
        )

    async def rendered(
        self, job: Job, artifacts: Sequence[StoredArtifact], gpu_seconds: float
    ) -> Job | None:
        """Running → rendered. The artifacts must be on disk. None: this attempt is not the last."""
        return await self._finish(
            job,
            Status.RENDERED,
            gpu_seconds,
            artifacts=codec.encode_artifacts(artifacts, self.folder),
        )

    async def failed(self, job: Job, error: AtelierError, gpu_seconds: float = 0.0) -> Job | None:
        """Running → failed, for `error`. None: this attempt is not the last."""
        return await self._finish(job, Status.FAILED, gpu_seconds, **_columns(error))

    async def cancelled(self, job: Job, gpu_seconds: float = 0.0) -> Job | None:
        """Queued or running, as `job` says, → cancelled. None: it is in another state by now."""
        if not job.status.is_live:
            return None
        return await self._finish(job, Status.CANCELLED, gpu_seconds, since=job.status)

    async def withdrawn(self, job: Job) -> Job | None:
        """Rendered or put back, before anybody was told of it → cancelled.

        None: it is in another state.
        """
        return await self._finish(
            job, Status.CANCELLED, job.gpu_seconds, since=job.status, artifacts="[]"
        )

    async def unwant(self, job: Job) -> None:
        """Note that a leased job is to end as cancelled, should this process die before that."""
        await self._change(
            "unwanted = 1",
            "id = :id AND attempt = :attempt AND NOT told",
            id=job.id,
            attempt=job.attempt,
        )

    async def bring_forward(self, job_id: str) -> Job | None:
        """Have a relaxed job wait like any other; None where it is not queued and relaxed."""
        return await self._change(
            "relaxed = 0", "id = :id AND status = 'queued' AND relaxed", id=job_id
        )

    async def put_back(self, job: Job) -> Job | None:
        """Running → queued, through no fault of the job: no crash is counted."""
        return await self._change(
            "status = 'queued', started_at = NULL",
            "id = :id AND status = 'running' AND attempt = :attempt",
            id=job.id,
            attempt=job.attempt,
        )

    async def recover(self) -> list[Job]:
        """Settle what a killed process left running. Returns those that have ended with that.

        To be called before anything is leased. A job that nobody wants is cancelled, and charged
        to nobody; others go back to the queue, with one crash more where they had begun, or into
        quarantine at the third.
        """
        rows = await self.database.run_all(
            (_CANCEL_UNWANTED, _COUNT_CRASH, _REQUEUE, _QUARANTINE),
            most=MAX_CRASHES,
            sentence=str(_QUARANTINED),
            text=codec.encode_text(_QUARANTINED),
        )
        return self._decode_all(rows)

    async def told(self, job: Job, error: AtelierError | None = None) -> Job | None:
        """Note that the owner was shown the end of `job`, or that `error` keeps it from ever being.

        None: that was noted already.

        A rendered job becomes delivered, or has the error; others keep their own.
        """
        columns: dict[str, Any] = {"told": True}
        if job.status is Status.RENDERED:
            end = {"status": Status.DELIVERED.value}
            columns |= end if error is None else _columns(error)
        return await self._change(
            ", ".join(f"{name} = :{name}" for name in columns),
            f"id = :id AND attempt = :attempt AND status = :since AND NOT told AND NOT {_LIVE}",
            id=job.id,
            attempt=job.attempt,
            since=job.status.value,
            **columns,
        )

    async def erase(self, job_id: str) -> Job | None:
        """Forget the artifacts of a job that has ended; None where there is no such job.

        The files go when they are next swept. Its owner will be told nothing more.
        """
        return await self._change(
            "artifacts = '[]', told = 1", f"id = :id AND NOT {_LIVE}", id=job_id
        )

    async def untell(
        self, job_id: str, origin: Mapping[str, Any], server: int | None, channel: int
    ) -> Job | None:
        """Have a result that could not be shown delivered to `origin`; None if none is kept.

        From then on the rules of that server and channel hold for it.
        """
        return await self._change(
            "told = 0, error_code = NULL, error_sentence = NULL, error_text = NULL,"
            " origin = :origin, server = :server, channel = :channel",
            f"id = :id AND {_UNDELIVERED}",
            id=job_id,
            origin=json.dumps(dict(origin)),
            server=server,
            channel=channel,
        )

    async def set_origin(self, job_id: str, origin: Mapping[str, Any]) -> None:
        """Change where the answer goes."""
        await self._run(
            "UPDATE jobs SET origin = :origin WHERE id = :id",
            id=job_id,
            origin=json.dumps(dict(origin)),
        )

    # -- questions --------------------------------------------------------------------------

    async def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        if not job_id.isascii():
            return None  # no id of ours, and maybe nothing that SQLite takes
        return _only(await self._fetch("SELECT * FROM jobs WHERE id = :id", id=job_id))

    async def of(self, owner: int) -> list[Job]:
        """A member's jobs, oldest first."""
        return await self._fetch(
            "SELECT * FROM jobs WHERE owner = :owner ORDER BY queued_at, rowid", owner=owner
        )

    async def shown_in(self, message: int) -> Job | None:
        """The job whose origin names a message; None where there is none."""
        if message >= 2**63:
            return None  # no id of Discord's for decades, and nothing that SQLite takes
        return _only(
            await self._fetch(
                "SELECT * FROM jobs WHERE origin ->> 'message_id' = :message", message=message
            )
        )

    async def last(self, owner: int, count: int, before: str | None = None) -> list[Job]:
        """A member's last jobs, newest first; with `before`, those that came before that one."""
        return await self._fetch(
            "SELECT * FROM jobs WHERE owner = :owner AND (:before IS NULL OR (queued_at, rowid) <"
            " (SELECT queued_at, rowid FROM jobs WHERE id = :before))"
            " ORDER BY queued_at DESC, rowid DESC LIMIT :count",
            owner=owner,
            count=count,
            before=before,
        )

    async def ancestry(self, job_ids: Sequence[str], generations: int) -> list[Job]:
        """Jobs and what they came of, so many generations back, in no order."""
        return await self._fetch(
            "WITH RECURSIVE line (id, generation) AS ("
            " SELECT value, 0 FROM json_each(:ids) UNION"
            " SELECT parent, generation + 1 FROM line JOIN jobs USING (id)"
            " WHERE parent IS NOT NULL AND generation < :generations"
            ") SELECT * FROM jobs WHERE id IN (SELECT id FROM line)",
            ids=json.dumps(list(job_ids)),
            generations=generations,
        )

    async def waiting(self) -> list[Job]:
        """Queued jobs, oldest first."""
        return await self._fetch(
            "SELECT * FROM jobs WHERE status = 'queued' ORDER BY queued_at, rowid"
        )

    async def untold(self) -> list[Job]:
        """Jobs that have ended without their owners knowing, oldest end first."""
        return await self._fetch(
            "SELECT * FROM jobs WHERE ended_at IS NOT NULL AND NOT told ORDER BY ended_at, rowid"
        )

    async def undelivered(self, owner: int) -> list[Job]:
        """A member's results that could not be shown and are kept, newest first."""
        return await self._fetch(
            f"SELECT * FROM jobs WHERE owner = :owner AND {_UNDELIVERED}"
            " ORDER BY ended_at DESC, rowid DESC",
            owner=owner,
        )

    async def recent(self, count: int) -> list[Job]:
        """The last jobs that reached the end of their run, newest first."""
        return await self._fetch(
            "SELECT * FROM jobs WHERE ended_at IS NOT NULL AND status IN ('rendered', 'delivered')"
            " ORDER BY ended_at DESC LIMIT :count",
            count=count,
        )

    async def usage(self) -> dict[int, float]:
        """The GPU-seconds that each owner has used in their turn; those of a day ago count half.

        The rows are the ledger: from its lease on a job counts by its estimate, and from its
        end on by what it really used. Relaxed ones do not: they took nobody's turn.
        """
        now, used = self._now(), defaultdict[int, float](float)
        for owner, seconds, at in await self._run(
            "SELECT owner, iif(ended_at IS NULL, cost, gpu_seconds), coalesce(ended_at, :now)"
            " FROM jobs WHERE NOT relaxed AND (status = 'running' OR ended_at > :horizon)",
            horizon=now - 20 * HALF_LIFE,
        ):
            used[owner] += decayed(seconds, now - at)
        return dict(used)

    async def share_used(self, owner: int, server: int | None) -> float:
        """The GPU-seconds charged to a member's share of the day in a server."""
        since = self._now() - DAY
        rows = await self._run(_SHARE, owner=owner, server=server, since=since)
        return float(rows[0][0])

    async def used_in(self, server: int | None, owner: int | None = None) -> list[Used]:
        """What the members of a server were charged within a day, or one of them; most first."""
        rows = await self._run(_USED, server=server, owner=owner, since=self._now() - DAY)
        return [Used(*row) for row in rows]

    # -- housekeeping -----------------------------------------------------------------------

    async def named_files(self) -> set[Path]:
        """Every file that a job or a proposal names: results, and what they are made of."""
        fields = sorted({f for t in REQUEST_TYPES.values() for f in codec.path_fields(t)})
        parts = ["SELECT value ->> 'path' FROM jobs, json_each(artifacts)"]
        parts += [
            f"SELECT request ->> '{f}' FROM jobs WHERE request ->> '{f}' IS NOT NULL"
            for f in fields
        ]
        parts += [
            f"SELECT value ->> '{f}' FROM proposals, json_each(requests)"
            f" WHERE value ->> '{f}' IS NOT NULL"
            for f in fields
        ]
        rows = await self._run(" UNION ".join(parts))
        # They can be tens of thousands: too many to make on the loop.
        return await asyncio.to_thread(lambda: {self.folder / name for (name,) in rows})

    async def forget_expired(self) -> None:
        """Delete the proposals, the links and the charges of deleted jobs that no longer count."""
        await self._run("DELETE FROM proposals WHERE made_at < :now - :life", life=PROPOSAL_LIFE)
        await self._run("DELETE FROM links WHERE ends_at < :now - :late", late=_ON_THE_WAY)
        await self._run(_FORGET_SPENT, since=self._now() - DAY)

    async def forget_before(self, time: float, *places: tuple[int | None, int]) -> int:
        """Delete the jobs whose owners were told and that ended before `time`. How many.

        With `places`, servers and channels of theirs, only those that were asked for there.
        """
        rows = await self._run(
            "DELETE FROM jobs WHERE ended_at < :time AND told AND (:all OR EXISTS ("
            "SELECT 1 FROM json_each(:places) WHERE server IS value ->> 0 AND channel = value ->> 1"
            ")) RETURNING id",
            time=time,
            all=not places,
            places=json.dumps(places),
        )
        return len(rows)

    async def places(self) -> list[tuple[int | None, int]]:
        """Every server and channel of which a job is known that has ended."""
        rows = await self._run(
            "SELECT DISTINCT server, channel FROM jobs WHERE ended_at IS NOT NULL"
        )
        return [(server, channel) for server, channel in rows]

    async def forget_owner(self, owner: int) -> int:
        """Delete the jobs of a member that have ended, and of which they were told. How many.

        Also the jobs that nobody can read, which would never end, and the member's proposals and
        links: all or nothing. What the jobs took today stays charged to their owner's share.
        """
        statements = (*_FORGET_ASKED, _KEEP_SPENT, _FORGET_OWNER)
        rows = await self.database.run_all(
            statements, owner=owner, since=self._now() - DAY, unreadable=self._unreadable_ids()
        )
        return len(rows)

    async def get_note(self, key: str) -> str | None:
        """What was last noted under `key`."""
        rows = await self._run("SELECT value FROM notes WHERE key = :key", key=key)
        return rows[0][0] if rows else None

    async def set_note(self, key: str, value: str) -> None:
        """Note `value` under `key`."""
        await self._run(
            "INSERT INTO notes VALUES (:key, :value)"
            " ON CONFLICT (key) DO UPDATE SET value = :value",
            key=key,
            value=value,
        )

    # -- SQL --------------------------------------------------------------------------------

    async def _run(self, sql: str, **values: object) -> list[sqlite3.Row]:
        """As `Database.run`, of a statement that may ask for what is `:unreadable`."""
        return await self.database.run(sql, unreadable=self._unreadable_ids(), **values)

    async def _execute(self, sql: str, **values: object) -> list[sqlite3.Row]:
        """As `Database.execute`, likewise."""
        return await self.database.execute(sql, unreadable=self._unreadable_ids(), **values)

    def _unreadable_ids(self) -> str:
        return json.dumps([*self._unreadable])

    async def _finish(
        self,
        job: Job,
        end: Status,
        gpu_seconds: float,
        *,
        since: Status = Status.RUNNING,
        **columns: object,
    ) -> Job | None:
        """End `job`, if it is still in the state `since` and of the attempt that `job` says."""
        change = "".join(f", {name} = :{name}" for name in columns)
        return await self._change(
            f"status = :end, ended_at = :now, gpu_seconds = :gpu_seconds{change}",
            "id = :id AND attempt = :attempt AND status = :since",
            id=job.id,
            attempt=job.attempt,
            since=since.value,
            end=end.value,
            gpu_seconds=gpu_seconds,
            **columns,
        )

    async def _change(self, change: str, where: str, **values: object) -> Job | None:
        return _only(
            await self._fetch(f"UPDATE jobs SET {change} WHERE {where} RETURNING *", **values)
        )

    async def _fetch(self, sql: str, **values: object) -> list[Job]:
        return self._decode_all(await self._run(sql, **values))

    def _decode_all(self, rows: Iterable[sqlite3.Row]) -> list[Job]:
        """The rows' jobs. One that today's rules refuse must not hide the others: it is logged."""
        jobs = []
        for row in rows:
            try:
                jobs.append(codec.decode_job(dict(row), self.folder))
            except (ValueError, TypeError, KeyError, AtelierError) as error:
                self._unreadable.add(row["id"])
                log.error("job %s in the store cannot be read: %s", row["id"], error)
        return jobs


def _crowd(rows: Iterable[sqlite3.Row]) -> Crowd:
    """The live jobs, as _CROWD selects them."""
    crowd = Crowd()
    for owner, jobs, seconds in rows:
        crowd.add(owner, jobs, seconds)
    return crowd


def _repeated() -> Repeated:
    return Repeated("This has been started already: look further down in the channel.")


def _only(jobs: list[Job]) -> Job | None:
    return jobs[0] if jobs else None


def _columns(error: AtelierError) -> dict[str, Any]:
    """The columns that say why a job has no result, or why nobody could be told of it."""
    return {
        "error_code": error.code,
        # Without the lone surrogates that a file name may have brought in.
        "error_sentence": error.sentence.encode("utf-8", "replace").decode(),
        "error_text": codec.encode_text(error.text),
    }


_QUARANTINED = Text(
    "The bot died {times} times while it worked on this, so it will not be tried again. The bot's "
    "owner finds the reason in the log.",
    times=MAX_CRASHES,
)
_ON_THE_WAY = 150.0  # seconds that a drawing sent before its link ended may take to arrive
_LIVE = "status IN ('queued', 'running')"
_CANCEL_UNWANTED = (  # also what was put back, or rendered, in the last moment
    "UPDATE jobs SET status = 'cancelled', ended_at = coalesce(ended_at, :now), gpu_seconds = 0,"
    " artifacts = '[]' WHERE unwanted AND NOT told AND status IN ('queued', 'running', 'rendered')"
    " RETURNING *"
)
_COUNT_CRASH = "UPDATE jobs SET crashes = crashes + begun WHERE status = 'running'"
_REQUEUE = (
    "UPDATE jobs SET status = 'queued', started_at = NULL"
    " WHERE status = 'running' AND crashes < :most"
)
_QUARANTINE = (  # those that are not queued again
    "UPDATE jobs SET status = 'quarantined', ended_at = :now, error_code = 'quarantined',"
    " error_sentence = :sentence, error_text = :text WHERE status = 'running' RETURNING *"
)
_UNDELIVERED = "status = 'rendered' AND told AND artifacts <> '[]' AND error_code IS NOT 'lost'"
_CHARGED_CODES = ", ".join(f"'{code}'" for code in CHARGED)
_CHARGED = (
    "CASE WHEN ended_at IS NULL THEN cost"
    f" WHEN error_code IS NULL OR error_code IN ({_CHARGED_CODES}) THEN gpu_seconds ELSE 0 END"
)
_UNREADABLE = "id IN (SELECT value FROM json_each(:unreadable))"
_CROWD = (
    f"SELECT owner, count(*), sum(cost) FROM jobs WHERE {_LIVE} AND NOT {_UNREADABLE}"
    " GROUP BY owner"
)
_TODAY = f"(ended_at > :since OR ended_at IS NULL AND NOT {_UNREADABLE})"
_SHARE = (
    f"SELECT total(seconds) FROM (SELECT {_CHARGED} AS seconds FROM jobs"
    f" WHERE owner = :owner AND server IS :server AND NOT relaxed AND {_TODAY}"
    " UNION ALL SELECT seconds FROM spent"
    " WHERE owner = :owner AND server IS :server AND ended_at > :since)"
)
_FORGET_SPENT = "DELETE FROM spent WHERE ended_at <= :since"
_FORGET_ASKED = tuple(f"DELETE FROM {each} WHERE owner = :owner" for each in ("proposals", "links"))
_FORGOTTEN = f"owner = :owner AND (NOT {_LIVE} AND told OR {_UNREADABLE})"
_KEEP_SPENT = (  # of those alone that are forgotten with it: the others are charged as they are
    f"INSERT INTO spent SELECT owner, server, ended_at, {_CHARGED} FROM jobs"
    f" WHERE {_FORGOTTEN} AND NOT relaxed AND ended_at > :since"
)
_FORGET_OWNER = f"DELETE FROM jobs WHERE {_FORGOTTEN} RETURNING id"
_USED = (
    f"SELECT owner, kind, count(*), total({_CHARGED}) AS seconds FROM jobs"
    f" WHERE server IS :server AND (:owner IS NULL OR owner = :owner) AND {_TODAY}"
    " GROUP BY owner, kind ORDER BY seconds DESC"
)
_TAKE_OVER = (
    "DELETE FROM coming WHERE message IN (SELECT origin ->> 'message_id' FROM jobs"
    " WHERE id IN (SELECT value FROM json_each(:ids)))"
)
_INSERT = (
    f"INSERT INTO jobs ({', '.join(codec.COLUMNS)})"
    f" VALUES ({', '.join(f':{c}' for c in codec.COLUMNS)})"
)
