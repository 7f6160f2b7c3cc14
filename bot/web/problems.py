"""One place where an error becomes a problem document (RFC 9457), in the reader's language.

Refused
├── Malformed       400  what was sent cannot be read
├── Unidentified    401  there is no token, or none that is good
├── Foreign         403  another website asks in the name of a person
├── Missing         404  there is nothing here
├── TooSlow         408  what was sent did not come in time
├── TooMuch         413  more than is taken
├── Unreadable      415  a type that is not read here
├── Unsatisfiable   416  a range that a result does not have
├── Incomplete      422  a field lacks, is too much, or is not what it should be
└── TooOften        429  more requests than were agreed
"""

import json
import logging
import math
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import ClassVar

from aiohttp import web

from bot.errors import (
    Banned,
    DiscordFailed,
    LinkExpired,
    LinkInvalid,
    LinkUsed,
    NoSuchJob,
    NotAllowed,
    QueueFull,
    Refused,
    Repeated,
    StorageFailed,
    TooLate,
    TooNew,
    WordNotAllowed,
)
from bot.languages import Language, language, languages
from bot.ui.answers import APOLOGY
from pipelines.contract.errors import AtelierError, BadInput, Cancelled, Withheld
from pipelines.contract.text import Text

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TYPE = "application/problem+json"


class Turned(Refused):
    """A request that is turned away at the door."""

    status: ClassVar[int] = 400


class Malformed(Turned):
    """What was sent cannot be read."""

    code = "malformed"


class Unidentified(Turned):
    """There is no token, or none that is good."""

    code, status = "unidentified", 401


class Foreign(Turned):
    """Another website asks in the name of a person."""

    code, status = "foreign", 403


class Missing(Turned):
    """There is nothing here."""

    code, status = "missing", 404


class TooSlow(Turned):
    """What was sent did not come in time."""

    code, status = "too_slow", 408


class TooMuch(Turned):
    """More than is taken."""

    code, status = "too_much", 413


class Unreadable(Turned):
    """A type that is not read here."""

    code, status = "unreadable", 415


class Unsatisfiable(Turned):
    """A range that a result, of `size` bytes, does not have."""

    code, status = "range", 416

    def __init__(self, size: int) -> None:
        super().__init__(
            Text("This result has {size} bytes: please ask for some of them.", size=size)
        )
        self.size = size


class Incomplete(Turned):
    """A field lacks, is too much, or is not what it should be."""

    code, status = "bad_input", 422


class TooOften(Turned):
    """More requests than were agreed; `after` is in seconds."""

    code, status = "too_often", 429

    def __init__(self, sentence: str | Text, after: float) -> None:
        super().__init__(sentence)
        self.after = after


CODES = {404: Missing.code, 405: "method_not_allowed"}  # of what aiohttp refuses by itself
STATUSES: tuple[tuple[type[AtelierError], int], ...] = (
    (LinkInvalid, 401),
    (LinkExpired, 401),
    (NotAllowed, 403),
    (Banned, 403),
    (TooNew, 403),
    (Withheld, 403),
    (NoSuchJob, 404),
    (Repeated, 409),
    (LinkUsed, 409),
    (Cancelled, 409),
    (TooLate, 409),
    (WordNotAllowed, 422),
    (BadInput, 422),
    (QueueFull, 429),
    (DiscordFailed, 503),
    (StorageFailed, 503),
)
RETRY = 30  # seconds after which the disk may have room


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The boundary around everything: what is raised inside is told."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        answer = _of_aiohttp(request, error)
    except AtelierError as error:
        answer = problem(request, error)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        answer = _document(500, "internal", spoken(request).say(APOLOGY))
    if not request.content.at_eof():
        answer.force_close()  # what still comes of a body is not waited for
    return answer


def problem(request: web.Request, error: AtelierError) -> web.Response:
    """An error of ours as a document."""
    status = status_of(error)
    if status >= 500:
        log.warning("%s %s: %s", request.method, request.path, error.sentence)
    answer = _document(status, error.code, spoken(request).say(error.text))
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        after = error.after if isinstance(error, TooOften | QueueFull) else RETRY
        answer.headers["Retry-After"] = str(max(1, math.ceil(after)))
    if isinstance(error, Unsatisfiable):
        answer.headers["Content-Range"] = f"bytes */{error.size}"
    return answer


def status_of(error: AtelierError) -> int:
    """The HTTP status that says the same."""
    if isinstance(error, Turned):
        return error.status
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def spoken(request: web.Request) -> Language:
    """The first language of Accept-Language that is spoken here, else English."""
    wanted = request.headers.get("Accept-Language", "").split(",", _MOST)[:_MOST]
    ranked = sorted((_ranked(each) for each in wanted), key=lambda each: -each[1])
    tags = (tag.strip().partition("-")[0].lower() for tag, quality in ranked if quality > 0)
    return language(next((tag for tag in tags if tag in languages()), "en"))


_MOST = 32  # tags that are read: a header has room for thousands


def _ranked(wanted: str) -> tuple[str, float]:
    tag, _, quality = re.sub(r"\s", "", wanted).partition(";q=")
    try:
        return tag, float(quality or 1)
    except ValueError:
        return tag, 0.0


def _of_aiohttp(request: web.Request, error: web.HTTPException) -> web.Response:
    """Of a path, a method or a size that aiohttp refuses by itself."""
    say = spoken(request).say
    match error.status:
        case 404:
            detail = say("There is nothing at this address. The API is described at /docs.")
        case 405:
            detail = say("This cannot be done at this address. The API is described at /docs.")
        case _:
            detail = say("This request cannot be understood. The API is described at /docs.")
    code = CODES.get(error.status, Malformed.code)
    answer = _document(error.status, code, detail)
    if "Allow" in error.headers:
        answer.headers["Allow"] = error.headers["Allow"]
    return answer


def _document(status: int, code: str, detail: str) -> web.Response:
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return web.Response(
        status=status, text=json.dumps(document, ensure_ascii=False), content_type=TYPE
    )
