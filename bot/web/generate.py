"""/generate, as the first system had it: a sketch comes in, and its picture goes out.

JSON with base64 is answered by JSON with a data: URL, a form by the picture itself; `Accept`
chooses otherwise. The drawing may be called image, file, sketch or drawing.
"""

import asyncio
import base64
from contextlib import suppress

from aiohttp import hdrs, web

from bot.errors import NoSuchJob, TooLate
from bot.jobs.job import Job, Status
from bot.jobs.queue import JobQueue
from bot.tasks import Tasks
from bot.ui.answers import APOLOGY
from bot.web.askers import Askers
from bot.web.bodies import PICTURES, Bodies, Body
from bot.web.forms import SketchForm
from bot.web.intake import Intake
from bot.web.problems import Incomplete, problem, spoken
from bot.web.watching import Watching
from pipelines.contract.errors import AtelierError, BadInput, Cancelled, RenderFailed, Withheld

KNOWN = ("prompt", "style", "strength", "seed", "lora")


class Generate:
    """Waits for the picture of a sketch."""

    def __init__(
        self,
        queue: JobQueue,
        askers: Askers,
        bodies: Bodies,
        intake: Intake,
        watching: Watching,
        tasks: Tasks,
    ) -> None:
        self._queue = queue
        self._askers = askers
        self._bodies = bodies
        self._intake = intake
        self._watching = watching
        self._tasks = tasks

    async def handle(self, request: web.Request) -> web.Response:
        """The picture, once it is there. Whoever hangs up meanwhile wants it no more."""
        asker = self._askers.of(request)
        asker.require_no_link()
        async with self._bodies.reading(request, asker.owner) as body:
            self._askers.require_still(request)
            is_form = body.is_form
            job = await self._intake.take(asker, SketchForm, _as_sketch(body), spoken(request))
        try:
            job = await self._watching.ended(job.id)
        except asyncio.CancelledError:
            self._tasks.start(self._give_up(job), name=f"nobody waits for {job.id}")
            raise
        self._askers.require_still(request)
        if job.status not in (Status.RENDERED, Status.DELIVERED):
            return problem(request, _why(job))
        result = self._intake.result(job, 0)
        data = await asyncio.to_thread(result.path.read_bytes)
        headers = {"X-Job": job.id, "X-Seed": str(job.request.seed)}
        if _wants_file(request, is_form=is_form):
            headers[hdrs.CONTENT_TYPE] = str(result.media_type)
            return web.Response(body=data, headers=headers)
        told = {
            "image": f"data:{result.media_type};base64,{base64.b64encode(data).decode()}",
            "job": job.id,
            "seed": job.request.seed,
            "caption": job.caption or None,
        }
        return web.json_response(told, headers=headers)

    async def _give_up(self, job: Job) -> None:
        with suppress(TooLate, NoSuchJob):  # its picture is there, or deleted
            await self._queue.cancel(job.id)


def _as_sketch(body: Body) -> Body:
    """What clients of the first system send; of what else they send nothing is made.

    JSON is read like a form, for theirs has numbers in quotes, and null for what is left out.
    """
    fields = {name: body.fields[name] for name in KNOWN if body.fields.get(name) is not None}
    name = next((name for name in PICTURES if body.fields.get(name)), None)
    if name is None:
        raise Incomplete("“{field}” is missing: please send it.", field=PICTURES[0])
    sketch = {**fields, "drawing": body.fields[name]}
    return Body(sketch, is_form=True, sent_as={"drawing": name})


def _wants_file(request: web.Request, *, is_form: bool) -> bool:
    accepted = request.headers.get("Accept", "")
    if "image/" in accepted:
        return True
    return is_form and "application/json" not in accepted


def _why(job: Job) -> AtelierError:
    """Why there is no picture."""
    if job.status is Status.CANCELLED:
        return Cancelled()
    text = job.error_text or APOLOGY
    match job.error_code:
        case "withheld":
            return Withheld(text)
        case "bad_input" | "word":
            return BadInput(text)
    return RenderFailed(text)
