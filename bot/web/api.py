"""/v1: jobs are made, watched, fetched and ended."""

import asyncio
import mimetypes
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from bot.access import offered
from bot.config import Config
from bot.jobs.job import Job, StoredArtifact
from bot.jobs.queue import JobQueue
from bot.languages import Language
from bot.ui.whiteboard import Whiteboard
from bot.web.askers import Askers
from bot.web.bodies import PICTURES, Bodies
from bot.web.choices import choices
from bot.web.forms import FORMS, AnyForm
from bot.web.intake import Intake
from bot.web.problems import Malformed, Missing, TooOften, Unsatisfiable, spoken
from bot.web.shapes import JobsShape, Shape, Shaping
from bot.web.tags import is_known
from bot.web.watching import Watching, is_over
from pipelines.contract.errors import AtelierError
from pipelines.media import thumbnail

PAGE = 24  # jobs, and at most so many …
MOST = 100
THUMBNAIL = 480  # pixels a side
DECODERS = 2  # of results, for thumbnails
STREAMS = 100  # that watch a job at a time
STALLED = 60.0  # seconds after which nobody reads a stream any more
BUFFER = 16 * 1024  # bytes
EVENTS = "text/event-stream"
LAST = "last"  # the id of the event after which there are no others
PRIVATE = {"Cache-Control": "private, no-cache", "Cross-Origin-Resource-Policy": "same-origin"}


class Api:
    """The handlers, which know who asks before they do anything."""

    def __init__(
        self,
        config: Config,
        queue: JobQueue,
        askers: Askers,
        bodies: Bodies,
        intake: Intake,
        watching: Watching,
        shaping: Shaping,
        whiteboard: Whiteboard,
    ) -> None:
        self._config = config
        self._queue = queue
        self._askers = askers
        self._bodies = bodies
        self._intake = intake
        self._watching = watching
        self._shaping = shaping
        self._whiteboard = whiteboard
        self._decoding = asyncio.Semaphore(DECODERS)

    def routes(self) -> list[web.AbstractRouteDef]:
        """Where they are."""
        job = "/v1/jobs/{id}"
        return [
            *(web.post(f"/v1/{kind}", partial(self.make, form)) for kind, form in FORMS.items()),
            web.get("/v1/options", self.options),
            web.get("/v1/styles/{name}/preview", self.style),
            web.get("/v1/jobs", self.jobs),
            web.get(job, self.job),
            web.delete(job, self.end),
            web.get(f"{job}/preview", self.preview),
            web.get(f"{job}/results/{{number}}", self.result),
            web.get(f"{job}/results/{{number}}/thumbnail", self.thumbnail),
        ]

    async def make(self, form: type[AnyForm], request: web.Request) -> web.Response:
        """Queue a job."""
        asker = self._askers.of(request)
        if form is not FORMS["sketch"]:
            asker.require_no_link()
        has_picture = not form.model_fields.keys().isdisjoint(PICTURES)
        async with self._bodies.reading(request, asker.owner, has_picture=has_picture) as body:
            self._askers.require_still(request)  # for it may have come slowly
            job = await self._intake.take(asker, form, body, spoken(request))
        answer = self._answer(request, job, status=202)
        answer.headers["Location"] = f"/v1/jobs/{job.id}"
        return answer

    async def options(self, request: web.Request) -> web.Response:
        """What can be chosen, and what a link is for."""
        asker = self._askers.of(request)
        told = await asyncio.to_thread(choices, self._config.models, self._queue.models())
        told |= {"upload_mib": self._config.limits.upload_mib, "open": self._config.web.open}
        if asker.link is not None:
            told["link"] = await self._whiteboard.shown(asker.link)
            allowed = (await self._whiteboard.settings(asker.link)).styles
            styles = told.get("sketch", {}).get("styles", [])
            names = offered((style["name"] for style in styles), allowed)
            styles[:] = [style for style in styles if style["name"] in names]
        return web.json_response(told, headers=PRIVATE)

    async def style(self, request: web.Request) -> web.StreamResponse:
        """What a style looks like."""
        self._askers.of(request)
        style = self._config.models.styles.get(request.match_info["name"])
        if style is None or style.preview is None or not style.preview.is_file():
            raise Missing("There is no picture of this style.")
        kind = mimetypes.guess_type(style.preview, strict=False)[0] or "image/*"
        return web.FileResponse(style.preview, headers={**PRIVATE, hdrs.CONTENT_TYPE: kind})

    async def jobs(self, request: web.Request) -> web.Response:
        """The asker's own jobs, newest first."""
        asker = self._askers.of(request)
        asker.require_no_link()
        limit = _number(request.query.get("limit", str(PAGE)), 1, MOST)
        cursor = request.query.get("cursor")
        if cursor is not None:
            await self._intake.own(asker, cursor)
        found = await self._queue.last(asker.owner, limit + 1, cursor)
        shapes = [self._shaping.job(job, spoken(request)) for job in found[:limit]]
        more = found[limit - 1].id if len(found) > limit else None
        return _json(JobsShape(jobs=shapes, next=more))

    async def job(self, request: web.Request) -> web.StreamResponse:
        """A job as it is now, or as it goes on."""
        job = await self._own(request)
        if request.method == "GET" and EVENTS in request.headers.get("Accept", ""):
            if is_over(job) and request.headers.get("Last-Event-ID") == LAST:
                return web.Response(status=204)  # or an EventSource would come for it for ever
            return await self._stream(request, job)
        self._watching.want_preview(job)
        return self._answer(request, job)

    async def end(self, request: web.Request) -> web.Response:
        """Cancel a job, or delete what it has made."""
        asker = self._askers.of(request)
        job = await self._intake.own(asker, request.match_info["id"])
        if job.status.is_live or asker.link is not None:  # whose result is Discord's by now
            await self._queue.cancel(job.id)
        else:
            await self._queue.erase(job.id)
        return web.Response(status=204)

    async def preview(self, request: web.Request) -> web.Response:
        """What a job looks like so far."""
        job = await self._own(request)
        self._watching.want_preview(job)
        preview = self._watching.preview(job)
        if preview is None:
            raise Missing("There is no preview of this job now.")
        return web.Response(body=preview, content_type="image/jpeg", headers=PRIVATE)

    async def result(self, request: web.Request) -> web.StreamResponse:
        """A picture or a video, or a range of its bytes."""
        artifact = await self._artifact(request)
        request = _with_a_range_that_is_served(request, artifact.path)
        _require_range(request, artifact.size)
        kind = "attachment" if "download" in request.query else "inline"
        headers = {
            **PRIVATE,
            hdrs.CONTENT_TYPE: str(artifact.media_type),
            hdrs.CONTENT_DISPOSITION: f'{kind}; filename="{artifact.safe_name}"',
        }
        return _File(request, artifact.path, headers)

    async def thumbnail(self, request: web.Request) -> web.Response:
        """A small picture of a result. A result never changes, so its address is its tag."""
        artifact = await self._artifact(request)
        answer = web.Response(content_type="image/webp", headers=PRIVATE)
        if not is_known(request, answer, request.path):
            async with self._decoding:  # a gallery asks for all at once, and they may be large
                answer.body = await asyncio.to_thread(
                    lambda: thumbnail(artifact.path.read_bytes(), THUMBNAIL)
                )
        return answer

    async def _artifact(self, request: web.Request) -> StoredArtifact:
        """The result that an address means. Raises Malformed, NoSuchJob, Missing, Withheld."""
        job = await self._own(request)
        number = _number(request.match_info["number"], 0, MOST)
        return self._intake.result(job, number)

    async def _own(self, request: web.Request) -> Job:
        return await self._intake.own(self._askers.of(request), request.match_info["id"])

    def _answer(self, request: web.Request, job: Job, *, status: int = 200) -> web.Response:
        return _json(self._shaping.job(job, spoken(request)), status=status)

    async def _stream(self, request: web.Request, job: Job) -> web.StreamResponse:
        """Server-sent events: the job, whenever something about it changes."""
        if self._watching.count(job.id) >= STREAMS:
            raise TooOften("So many watch this job already. Please close some of them.", 15)
        headers = {hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"}
        answer = web.StreamResponse(headers=headers)
        answer.content_type = EVENTS
        answer.charset = "utf-8"
        await answer.prepare(request)
        if request.transport is not None:  # all that is kept for one that does not read
            request.transport.set_write_buffer_limits(high=BUFFER)
        language, told = spoken(request), ""
        with suppress(TimeoutError, ConnectionResetError, AtelierError):
            async for now in self._watching.looks(job.id):
                self._askers.of(request)  # whose token may have been revoked meanwhile
                said = ":\n\n" if now is None else self._event(now, language)
                if said == told:
                    continue
                if now is not None:
                    told = said
                await asyncio.wait_for(answer.write(said.encode()), STALLED)
        return answer

    def _event(self, job: Job, language: Language) -> str:
        mark = f"id: {LAST}\n" if is_over(job) else ""
        return f"event: job\n{mark}data: {self._shaping.job(job, language).model_dump_json()}\n\n"


class _File(web.FileResponse):
    """A file, or the range of its bytes that `request` asks for."""

    def __init__(self, request: web.Request, path: Path, headers: Mapping[str, str]) -> None:
        super().__init__(path, headers=headers)
        self._request = request

    async def prepare(self, _: web.BaseRequest) -> AbstractStreamWriter | None:
        """Begin to send it."""
        return await super().prepare(self._request)


def _json(shape: Shape, *, status: int = 200) -> web.Response:
    text = shape.model_dump_json()
    return web.Response(status=status, text=text, content_type="application/json", headers=PRIVATE)


def _with_a_range_that_is_served(request: web.Request, path: Path) -> web.Request:
    """The request, without a range in another unit, of several, or of another file than this."""
    wanted = request.headers.get(hdrs.RANGE, "bytes=")
    is_one = wanted.lower().startswith("bytes=") and "," not in wanted
    if is_one and not _is_of_another(request, path):
        return request
    headers = request.headers.copy()
    headers.popall(hdrs.RANGE)
    return request.clone(headers=headers)


def _is_of_another(request: web.Request, path: Path) -> bool:
    """Whether a part is wanted only if a file still has a tag that this one has not."""
    tag = request.headers.get(hdrs.IF_RANGE, "")
    if not tag.endswith('"'):
        return False  # a date, which aiohttp compares, but tags it passes over
    stat = path.stat()
    return tag != f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'  # as its FileResponse says it


def _require_range(request: web.Request, size: int) -> None:
    """Raise Unsatisfiable where bytes are asked for that there are not, or that mean nothing."""
    try:
        start = request.http_range.start
    except ValueError:
        raise Unsatisfiable(size) from None
    if start is not None and start >= size:
        raise Unsatisfiable(size)


def _number(text: str, least: int, most: int) -> int:
    """A number of an address. Raises Malformed."""
    if len(text) < 10 and text.isascii() and text.isdigit() and least <= int(text) <= most:
        return int(text)
    raise Malformed(
        "“{value}” is no number from {least} to {most}.",
        value=text[:20],
        least=least,
        most=most,
    )
