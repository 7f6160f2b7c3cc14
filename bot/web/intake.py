"""Where every request of the API goes through on its way to the queue."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bot.access import require_allowed
from bot.jobs.job import Job, StoredArtifact
from bot.jobs.queue import JobQueue
from bot.languages import Language
from bot.ui.whiteboard import PLACEHOLDER, Whiteboard
from bot.web.askers import Asker
from bot.web.bodies import Body
from bot.web.forms import AnyForm, Form, PictureOf, SketchForm, filled, picture_of
from bot.web.problems import Missing
from bot.web.shapes import Shaping
from pipelines import loras
from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.errors import BadInput, Withheld
from pipelines.contract.requests import Kind, Request

F = TypeVar("F", bound=Form)
Keep = Callable[[bytes, Request], Awaitable[Path]]
"""Vets and stores the picture of a request."""


class Intake:
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
        sent = picture_of(form)
        parent, picture = None, PLACEHOLDER if sent is not None else None
        if isinstance(sent, PictureOf):
            parent, picture = await self._result(asker, sent)
        request = form.request(picture)
        await self._check(request)
        owner, origin, terms = asker.owner, {"locale": language.tag}, asker.terms
        if isinstance(sent, bytes):  # which would stay if the queue refuses what it is for
            await self._queue.check([request], owner=owner, origin=origin, terms=terms)
            request = form.request(await self._keep(sent, request))
        return await self._queue.submit(
            request, owner=owner, origin=origin, terms=terms, parent=parent
        )

    async def _take_drawing(self, asker: Asker, body: Body) -> Job:
        """What was drawn through a link; what the page leaves out is as the command said."""
        assert asker.link is not None
        form = await _read(SketchForm, body)
        request = form.request(PLACEHOLDER)
        sent = {name: getattr(request, name) for name in form.model_fields_set}
        request = replace(await self._whiteboard.asked(asker.link), **sent)
        await self._check(request)
        request = await self._whiteboard.checked(asker.link, request)
        if isinstance(form.drawing, PictureOf):
            _, drawing = await self._result(asker, form.drawing)
        else:
            drawing = await self._keep(form.drawing, request)
        return await self._whiteboard.take(asker.link, replace(request, drawing=drawing))

    async def _result(self, asker: Asker, meant: PictureOf) -> tuple[str, Path]:
        """The job that a result is of, and its file. Raises NoSuchJob, Missing, BadInput."""
        job = await self.own(asker, meant.job)
        result = self.result(job, meant.index)
        if result.media_type.is_video:
            raise BadInput("That result is a video. Please send a picture.")
        return job.id, result.path  # which says how it was made

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
        """Raise BadInput for what is not set up, and what holds everywhere."""
        self._queue.check_catalog(request)
        if (lora := getattr(request, "lora", None)) is not None:
            key = ModelKey.SKETCH if request.kind is Kind.SKETCH else ModelKey.IMAGINE
            await asyncio.to_thread(loras.find, self._catalog.loras, key, lora)
        require_allowed(self._queue.settings.defaults, request, ())


async def _read(kind: type[F], body: Body) -> F:
    """A form; in a thread, for its picture may be much base64. Raises as `filled`."""
    return await asyncio.to_thread(filled, kind, body)
