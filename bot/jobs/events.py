"""What happens to jobs, told to whoever listens: progress, metrics, web pages, the log channel."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.jobs.job import Job
from bot.jobs.report import Ban, Report
from pipelines.contract.context import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobQueued:
    """The job is in the store and its owner may be told so. Also after a restart."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobRefused:
    """A request was turned away: no job was made. `rule` is the one that its words break."""

    owner: int
    code: str
    origin: Mapping[str, Any] = field(default_factory=dict)
    rule: str = ""


@dataclass(frozen=True, slots=True)
class JobBroughtForward:
    """It waited behind the others, and now waits among them."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobStarted:
    """The executor has it."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobProgressed:
    """A step was done. At most one is under way to the event loop: the latest wins."""

    job: Job
    progress: Progress


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The GPU is done with it: rendered, failed, cancelled or quarantined. `job.status` says."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobTold:
    """Its owner was shown the end; or could not be, and `job.error_code` says why."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobWanted:
    """Its owner, who could not be shown the result, wants it in another place."""

    job: Job


@dataclass(frozen=True, slots=True)
class Reported:
    """A member has reported a job, and it is in the store."""

    report: Report


@dataclass(frozen=True, slots=True)
class ReportWithdrawn:
    """Whoever reported a job has had that forgotten, and it is out of the store."""

    report: Report


@dataclass(frozen=True, slots=True)
class MemberBanned:
    """A member may no longer use the bot in a server."""

    ban: Ban


@dataclass(frozen=True, slots=True)
class MemberUnbanned:
    """A member may use the bot again, as `moderator` decided."""

    ban: Ban
    moderator: int


@dataclass(frozen=True, slots=True)
class FirstResult:
    """The first job since the start was rendered; whoever waited for it did for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class QueueMoved:
    """Places in the queue have changed."""


Event = (
    JobQueued
    | JobRefused
    | JobBroughtForward
    | JobStarted
    | JobProgressed
    | JobEnded
    | JobTold
    | JobWanted
    | Reported
    | ReportWithdrawn
    | MemberBanned
    | MemberUnbanned
    | FirstResult
    | QueueMoved
)
Listener = Callable[[Event], None]


class Events:
    """Calls every listener in turn, on the event loop. A listener must neither block nor raise."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Have `listener` called for every event from now on."""
        self._listeners.append(listener)

    def publish(self, event: Event) -> None:
        """Tell everyone. A listener that raises is logged and does not disturb the others."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed on %s", type(event).__name__)
