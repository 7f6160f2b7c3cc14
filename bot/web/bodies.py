"""What a request carries: fields, and pictures as bytes. Never more is read than is taken."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http import HttpProcessingError

from bot.web.problems import Malformed, TooMuch, Unreadable

MIB = 2**20
FIELD = 16 * 1024  # bytes that a field of a form may have
FIELDS = 32
BASE64 = 4 / 3
AT_ONCE = 8  # bodies that are read at a time, each as large as an upload may be
IDLE, WHOLE = 15.0, 120.0  # seconds for the next piece of a body, and for all of it


@dataclass(frozen=True, slots=True)
class Body:
    """`fields` by their names: JSON's values, or a form's strings, and files as bytes."""

    fields: dict[str, Any]
    is_form: bool = False


class Bodies:
    """Reads bodies of which no picture has more than `upload_mib`."""

    def __init__(self, upload_mib: float) -> None:
        self._most = int(upload_mib * MIB)
        self._room = asyncio.Semaphore(AT_ONCE)

    async def read(self, request: web.Request) -> Body:
        """The body of a request. Raises Malformed, TooMuch, Unreadable."""
        kind = request.content_type
        if kind not in ("application/json", "multipart/form-data"):
            raise Unreadable("Please send JSON, or a form as multipart/form-data.")
        is_form = kind == "multipart/form-data"
        most = self._most + MIB if is_form else int(self._most * BASE64) + MIB
        if (request.content_length or 0) > most:
            raise self._too_much()
        try:
            async with self._room, asyncio.timeout(WHOLE):
                if is_form:
                    return Body(await self._form(await request.multipart()), is_form=True)
                data = await self._whole(request, most)
                return Body(await asyncio.to_thread(_object, data))
        except TimeoutError:
            raise Malformed("What was sent came too slowly. Please try again.") from None
        except (ValueError, RuntimeError, HttpProcessingError, web.RequestPayloadError) as error:
            raise _unreadable(is_form=is_form) from error

    async def _whole(self, request: web.Request, most: int) -> bytes:
        data = bytearray()
        while piece := await asyncio.wait_for(request.content.readany(), IDLE):
            data += piece
            if len(data) > most:
                raise self._too_much()
        return bytes(data)

    async def _form(self, reader: MultipartReader) -> dict[str, Any]:
        """The parts of a form. Of each name the last counts."""
        fields: dict[str, Any] = {}
        for _ in range(FIELDS):
            part = await asyncio.wait_for(reader.next(), IDLE)
            if part is None:
                return fields
            if not isinstance(part, BodyPartReader) or not part.name:
                raise _unreadable(is_form=True)
            fields[part.name] = await self._part(part)
        raise TooMuch("This form has too many fields.")

    async def _part(self, part: BodyPartReader) -> str | bytes:
        """A file's bytes, or a field's text."""
        is_file = part.filename is not None or hdrs.CONTENT_TYPE in part.headers
        most = self._most if is_file else FIELD
        data = bytearray()
        while piece := await asyncio.wait_for(part.read_chunk(64 * 1024), IDLE):
            data += piece
            if len(data) > most:
                raise self._too_much()
        return bytes(data) if is_file else data.decode()

    def _too_much(self) -> TooMuch:
        return TooMuch(
            "This is more than is taken here. Please send a file of at most {most} MiB.",
            most=round(self._most / MIB, 1),
        )


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises Malformed."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise _unreadable(is_form=False) from None
    if not isinstance(fields, dict):
        raise Malformed("Please send a JSON object: fields and their values, in braces.")
    return fields


def _unreadable(*, is_form: bool) -> Malformed:
    if is_form:
        return Malformed("This form cannot be read: a part of it is broken, or its end is missing.")
    return Malformed("This is not JSON. Please send a JSON object as UTF-8.")
