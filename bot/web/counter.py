"""Where every request of the API goes through on its way to the queue."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from bot.access import require_allowed
from bot.jobs.job import Job, StoredArtifact
from bot.jobs.queue import JobQueue
from bot.languages import Language
from bot.ui.whiteboard import Whiteboard
from bot.web.askers import Asker
from bot.web.bodies import Body
from bot.web.forms import AnyForm, PictureOf, SketchForm, UpscaleForm, filled, picture_of
from bot.web.problems import Missing
from bot.web.shapes import Shaping
from pipelines import loras
from pipelines.catalog import Catalog, ModelKey, no_style
from pipelines.contract.errors import BadInput, Withheld
from pipelines.contract.requests import Kind, Request

Keep = Callable[..., Awaitable[Path]]
"""Vets and stores a picture, `whole=True` where it is to become larger."""


class Counter:
    """Takes in what is asked for over HTTP."""

    def __init__(
        self,
        queue: JobQueue,
        keep: Keep,
        catalog: Catalog,
        whiteboard: Whiteboard,
        shaping: Shaping,
    ) -> None:
        self._queue = queue
        self._keep = keep
        self._catalog = catalog
        self._whiteboard = whiteboard
        self._shaping = shaping

    async def take(self, asker: Asker, kind: type[AnyForm], body: Body, language: Language) -> Job:
        """Queue what a body asks for. Raises what refuses it; nothing is queued then."""
        if asker.link is not None:
            return await self._take_drawing(asker, body)
        form = await _read(kind, body)
        parent, picture = await self._picture(asker, form)
        request = form.request(picture)
        await self._check(request)
        return await self._queue.submit(
            request,
            owner=asker.owner,
            origin={"locale": language.tag},
            terms=asker.terms,
            parent=parent,
        )

    async def _take_drawing(self, asker: Asker, body: Body) -> Job:
        """What was drawn through a link; what the page leaves out is as the command said."""
        assert asker.link is not None
        form = await _read(SketchForm, body)
        asked = await self._whiteboard.asked(asker.link)
        _, picture = await self._picture(asker, form)
        request = form.request(picture)
        sent = {name: getattr(request, name) for name in form.model_fields_set}
        request = replace(asked, **sent)
        await self._check(request)
        return await self._whiteboard.take(asker.link, request)

    async def _picture(self, asker: Asker, form: AnyForm) -> tuple[str | None, Path | None]:
        """The stored file of what was sent or is meant, and the job that it is a result of."""
        match picture_of(form):
            case None:
                return None, None
            case PictureOf(job=job_id, index=index):
                job = await self.own(asker, job_id)
                result = self.result(job, index)
                if result.media_type.is_video:
                    raise BadInput("That result is a video. Please send a picture.")
                return job.id, result.path  # which says how it was made
            case data:
                return None, await self._keep(data, whole=isinstance(form, UpscaleForm))

    async def own(self, asker: Asker, job_id: str) -> Job:
        """A job of the asker's. Raises NoSuchJob."""
        job = await self._queue.get(job_id)
        asker.require_own(job)
        return job

    def result(self, job: Job, index: int) -> StoredArtifact:
        """A result, whose file is there. Raises Missing, Withheld."""
        if self._shaping.withholds(job):
            raise Withheld("This result is not shown: a program found in it what is not allowed.")
        if not 0 <= index < len(job.artifacts):
            raise Missing("This job has no such result, or it was deleted.")
        artifact = job.artifacts[index]
        if not artifact.path.is_file():
            raise Missing("The file of this result is gone. Please ask for the picture again.")
        return artifact

    async def _check(self, request: Request) -> None:
        """Raise BadInput for a style or a LoRA that is not there, and what holds everywhere."""
        self._queue.check_models(request)
        style = getattr(request, "style", None)
        if style is not None and style not in self._catalog.styles:
            raise no_style(style, self._catalog.styles)
        if (lora := getattr(request, "lora", None)) is not None:
            key = ModelKey.SKETCH if request.kind is Kind.SKETCH else ModelKey.IMAGINE
            await asyncio.to_thread(loras.find, self._catalog.loras, key, lora)
        require_allowed(self._queue.settings.defaults, request, ())


async def _read(kind: type[AnyForm], body: Body) -> AnyForm:
    """A form; in a thread, for its picture may be much base64. Raises as `filled`."""
    return await asyncio.to_thread(filled, kind, body)
