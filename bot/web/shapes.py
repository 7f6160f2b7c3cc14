"""What is answered: jobs as JSON."""

from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from bot.config import ModerationConfig
from bot.jobs.job import Job, Status
from bot.jobs.queue import JobQueue
from bot.languages import Language
from bot.ui.origin import exposure_of
from bot.web.watching import Watching
from pipelines.contract.requests import (
    AnimateRequest,
    ImagineRequest,
    SketchRequest,
    UpscaleRequest,
)
from pipelines.contract.text import Text

WITHHELD = Text(
    "This shows something that is not allowed here. It was looked at by a program, which can be "
    "wrong: please ask for it in other words, or with another seed."
)


class Shape(BaseModel):
    """Something that is answered."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ProgressShape(Shape):
    """How far the graphics card is."""

    phase: str
    """`loading`, `captioning`, `painting`, `animating`, `upscaling` or `encoding`."""
    step: int
    """Of how many, says `steps`; both are 0 in a phase without steps."""
    steps: int


class ResultShape(Shape):
    """A picture or a video."""

    url: str
    """Its address here; with `?download` a browser saves it."""
    thumbnail: str
    """The address of a small picture of it."""
    media_type: str
    name: str
    width: int
    height: int
    size: int
    """In bytes."""
    sensitive: bool
    """Whether the classifier found something in it."""


class ErrorShape(Shape):
    """Why there is nothing, or why it could not be shown."""

    code: str
    detail: str
    """In the language of Accept-Language."""


class JobShape(Shape):
    """A job. Times are Unix seconds."""

    id: str
    kind: str
    """What it was asked by: `sketch`, `imagine`, `animate` or `upscale`."""
    state: Status
    place: int | None
    """Where it stands in line, 1 for the next."""
    eta: float | None
    """When a waiting job should begin, and a running one be done."""
    progress: ProgressShape | None
    """While it runs."""
    preview: str | None
    """The address of what it looks like so far."""
    queued_at: float
    started_at: float | None
    ended_at: float | None
    request: dict[str, Any]
    """What was asked, with the seed that was chosen."""
    caption: str | None
    """What the bot saw in the picture."""
    results: list[ResultShape]
    """Empty before it has ended, and where they are withheld."""
    error: ErrorShape | None


class JobsShape(Shape):
    """A page of jobs, newest first."""

    jobs: list[JobShape]
    next: str | None
    """`cursor` of the page that follows."""


class HealthShape(Shape):
    """Whether anything can be made: not where no graphics card can be used."""

    status: Literal["running", "down"]
    executor: dict[str, int]
    """How many `cards` there are, and how many are `usable`."""
    queue: dict[str, int]
    """How many jobs are `waiting` and `running`."""
    models: list[str]
    """What can be asked for."""


class ProblemShape(Shape):
    """Why a request was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    """What is wrong and what to do, in the language of Accept-Language."""
    code: str
    """The same for programs; it never changes."""


class Shaping:
    """Says what is known of jobs."""

    def __init__(self, queue: JobQueue, watching: Watching, moderation: ModerationConfig) -> None:
        self._queue = queue
        self._watching = watching
        self._moderation = moderation

    def job(self, job: Job, language: Language) -> JobShape:
        """A job as it is now."""
        progress = self._watching.progress(job)
        return JobShape(
            id=job.id,
            kind=str(job.kind),
            state=job.status,
            place=self._queue.place(job.id) if job.status is Status.QUEUED else None,
            eta=self._eta(job),
            progress=progress
            and ProgressShape(phase=str(progress.phase), step=progress.step, steps=progress.of),
            preview=self._preview(job),
            queued_at=job.queued_at,
            started_at=job.started_at,
            ended_at=job.ended_at,
            request=_asked(job),
            caption=job.caption or None,
            results=[] if self.withholds(job) else _results(job),
            error=self._error(job, language),
        )

    def withholds(self, job: Job) -> bool:
        """Whether what it shows is not for whoever asked, as it would not be on Discord."""
        return exposure_of(job, self._moderation) == "withhold"

    def _eta(self, job: Job) -> float | None:
        if job.status is Status.QUEUED:
            return self._queue.begins(job.id)
        return self._queue.ends(job) if job.status is Status.RUNNING else None

    def _preview(self, job: Job) -> str | None:
        progress = self._watching.progress(job)
        if progress is None or self._watching.preview(job) is None:
            return None
        return f"/v1/jobs/{job.id}/preview?step={progress.step}"

    def _error(self, job: Job, language: Language) -> ErrorShape | None:
        if job.error_code:
            said = language.say(job.error_text) if job.error_text else job.error_sentence or ""
            return ErrorShape(code=job.error_code, detail=said)
        if self.withholds(job):
            return ErrorShape(code="withheld", detail=language.say(WITHHELD))
        return None


def _asked(job: Job) -> dict[str, Any]:
    """What was asked for, without the files that were given."""
    request = job.request
    asked: dict[str, Any] = {"prompt": request.prompt, "seed": request.seed}
    match request:
        case SketchRequest():
            asked |= {"style": request.style, "strength": request.strength, "lora": request.lora}
        case ImagineRequest():
            asked |= {
                "negative": request.negative,
                "aspect": str(request.aspect),
                "count": request.count,
                "lora": request.lora,
            }
        case AnimateRequest():
            asked |= {"motion": request.motion, "image": request.image is not None}
        case UpscaleRequest():
            asked = {"scale": request.scale}
    return asked


def _results(job: Job) -> list[ResultShape]:
    folder = f"/v1/jobs/{quote(job.id)}/results"
    return [
        ResultShape(
            url=f"{folder}/{number}",
            thumbnail=f"{folder}/{number}/thumbnail",
            media_type=str(artifact.media_type),
            name=artifact.name,
            width=artifact.width,
            height=artifact.height,
            size=artifact.size,
            sensitive=artifact.sensitive,
        )
        for number, artifact in enumerate(job.artifacts)
    ]
