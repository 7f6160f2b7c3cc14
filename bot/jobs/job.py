"""A job: a request with an id, an owner, an origin, a state and times."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipelines.contract.artifact import Facts, MediaType
from pipelines.contract.requests import MAX_PROMPT, Kind, Request, clean_text
from pipelines.contract.text import Text


class Status(StrEnum):
    """queued → running → rendered → delivered, or one of three other ends."""

    QUEUED = "queued"
    RUNNING = "running"
    RENDERED = "rendered"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"

    @property
    def is_live(self) -> bool:
        """Whether the GPU has still to finish it, so that it counts against the limits."""
        return self in LIVE


LIVE = frozenset({Status.QUEUED, Status.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArtifact:
    """An artifact on disk. `path` is a file of the FileStore, named after its SHA-256."""

    path: Path
    media_type: MediaType
    name: str
    size: int
    width: int
    height: int
    facts: Facts = field(default_factory=dict)
    sensitive: bool = False

    @property
    def safe_name(self) -> str:
        """Its name as a header, or an `attachment://`, can have it."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-.") or "result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the rules of a server look at: where somebody asks, and with which roles.

    `channel` is, in a thread, the one that the thread is in.
    """

    server: int | None = None
    channel: int = 0
    roles: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row of the store. Times are Unix seconds.

    `attempt` counts leases and is the fence: only the holder of the latest attempt may finish
    the job. `crashes` counts the leases that ended with the executor's death. `told` says
    whether the owner has been shown the end of this job, whichever end it was. `origin` is
    JSON-shaped and opaque to the queue: where the answer goes. `server` and `channel` are those
    whose settings hold for it. A `relaxed` job waits behind those that are not. `error_text` is
    `error_sentence` as it can be said in other languages; rows of earlier versions lack it.
    """

    id: str
    owner: int
    request: Request
    origin: Mapping[str, Any]
    weight: float = 1.0
    cost: float = 1.0
    parent: str | None = None
    server: int | None = None
    channel: int = 0
    relaxed: bool = False
    status: Status = Status.QUEUED
    attempt: int = 0
    crashes: int = 0
    queued_at: float
    started_at: float | None = None
    ended_at: float | None = None
    gpu_seconds: float = 0.0
    artifacts: tuple[StoredArtifact, ...] = ()
    error_code: str | None = None
    error_sentence: str | None = None
    error_text: Text | None = None
    told: bool = False

    @property
    def kind(self) -> Kind:
        """The kind of its request."""
        return self.request.kind

    @property
    def is_suspect(self) -> bool:
        """Whether it ran when a process or a card died, and so may be what that died of."""
        return self.crashes > 0

    @property
    def facts(self) -> Facts:
        """How its first result was made; nothing, where there is none."""
        return self.artifacts[0].facts if self.artifacts else {}

    @property
    def is_sensitive(self) -> bool:
        """Whether the classifier found something in any of its results."""
        return any(artifact.sensitive for artifact in self.artifacts)

    @property
    def caption(self) -> str:
        """What the captioner saw in its picture, as far as that is known."""
        return clean_text(str(self.facts.get("caption", ""))[:MAX_PROMPT])


def new_job_id() -> str:
    """Sixteen hexadecimal digits: short enough for a custom_id and for a message's nonce."""
    return secrets.token_hex(8)


def only_child_id(parent: str) -> str:
    """The id of the job that may come of another once, however often it is asked for."""
    return hashlib.sha256(parent.encode()).hexdigest()[:16]
