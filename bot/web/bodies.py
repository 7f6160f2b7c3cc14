"""What a request carries: fields, and pictures as bytes. Never more is read than is taken."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http import HttpProcessingError

from bot.web.problems import Malformed, TooMuch, TooOften, TooSlow, Unreadable

MIB = 2**20
JSON, FORM = "application/json", "multipart/form-data"
PICTURES = ("image", "file", "sketch", "drawing")  # fields that may be as long as an upload
SMALL = 64 * 1024  # bytes of a body that needs no place, and of one without a picture
FIELD = 16 * 1024  # bytes that another field of a form may have
NAME = 40  # letters of a field's name that are said
FIELDS = 32
MARKS = 8192  # commas and brackets in JSON, of which each takes far more memory than its byte
BASE64 = 4 / 3
AT_ONCE = 8  # large bodies that are held at a time …
EACH = 2  # … and of one owner
PLACE = 20.0  # seconds that are waited for a place
IDLE, WHOLE = 15.0, 120.0  # seconds for the next piece of a body, and for all of it
UNREAD = (  # what is raised where a body is broken, or whoever sends it hangs up
    ValueError,
    RuntimeError,
    ConnectionError,
    HttpProcessingError,
    web.RequestPayloadError,
)


@dataclass(frozen=True, slots=True)
class Body:
    """`fields` by their names: JSON's values, or a form's strings, and files as bytes."""

    fields: dict[str, Any]
    is_form: bool = False
    sent_as: Mapping[str, str] = field(default_factory=dict)
    """What a field was called by whoever sent it, where that is another name."""


class Bodies:
    """Reads bodies of which no picture has more than `upload_mib`."""

    def __init__(self, upload_mib: float) -> None:
        self._file = int(upload_mib * MIB)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._own: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def reading(
        self, request: web.Request, owner: int, *, has_picture: bool = True
    ) -> AsyncIterator[Body]:
        """The body of a request. A large one has a place for as long as it is used.

        Raises Malformed, TooMuch, TooOften, TooSlow, Unreadable.
        """
        if request.content_type not in (JSON, FORM):
            raise Unreadable("Please send JSON, or a form as multipart/form-data.")
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            raise Unreadable("Please send this as it is, not compressed.")
        most = self._picture + MIB if has_picture else SMALL
        length = request.content_length
        if (length or 0) > most:
            raise self._too_much(most)
        async with AsyncExitStack() as places:
            if length is None or length > SMALL:
                await self._enter(places, owner)
            yield await self._read(request, most)

    @property
    def _picture(self) -> int:
        """The bytes of a picture, which may be base64."""
        return int(self._file * BASE64)

    async def _enter(self, places: AsyncExitStack, owner: int) -> None:
        """Take a place, of which nobody has many: who sends slowly is in nobody else's way."""
        own = self._own.setdefault(owner, asyncio.Semaphore(EACH))
        try:
            async with asyncio.timeout(PLACE):
                await places.enter_async_context(own)
                await places.enter_async_context(self._room)
        except TimeoutError:
            raise TooOften(
                "Many pictures are being sent just now. Please try again in a moment.", PLACE
            ) from None

    async def _read(self, request: web.Request, most: int) -> Body:
        is_form = request.content_type == FORM
        try:
            async with asyncio.timeout(WHOLE):
                if is_form:
                    return Body(await self._form(await request.multipart(), most), is_form=True)
                data = await _all(request.content.readany, most, self._too_much(most))
                return Body(await asyncio.to_thread(_object, data))
        except TimeoutError:
            raise TooSlow("What was sent came too slowly. Please try again.") from None
        except UNREAD as error:
            raise unreadable(is_form=is_form) from error

    async def _form(self, reader: MultipartReader, most: int) -> dict[str, Any]:
        """The parts of a form, `most` bytes in all. Of each name the last counts."""
        fields: dict[str, Any] = {}
        left = most
        for _ in range(FIELDS + 1):
            part = await asyncio.wait_for(reader.next(), IDLE)
            if part is None:
                return fields
            if not isinstance(part, BodyPartReader) or not part.name:
                raise unreadable(is_form=True)
            part.name.encode()  # or it could not be said: raises ValueError for what is no text
            may_have = self._share(part)
            over = self._too_much(most) if may_have > left else self._too_long(part.name, may_have)
            data = await _all(part.read_chunk, min(left, may_have), over)
            left -= len(data)
            fields[part.name] = data if _is_file(part) else data.decode()
        raise _too_many()

    def _share(self, part: BodyPartReader) -> int:
        """The bytes that a part of a form may have."""
        if _is_file(part):
            return self._file
        return self._picture if part.name in PICTURES else FIELD

    def _too_long(self, name: str, most: int) -> TooMuch:
        """What a part of a form is told that has more than `most` bytes."""
        if most > FIELD:
            return self._too_large()
        return TooMuch(
            "“{field}” is longer than is taken here. Please send at most {most} KiB of it.",
            field=name[:NAME],
            most=most // 1024,
        )

    def _too_much(self, most: int) -> TooMuch:
        """What a body is told that has more than `most` bytes."""
        if most > SMALL:
            return self._too_large()
        return TooMuch(
            "This is more than is taken here. Please send at most {most} KiB.", most=most // 1024
        )

    def _too_large(self) -> TooMuch:
        return TooMuch(
            "This is more than is taken here. Please send a file of at most {most} MiB.",
            most=round(self._file / MIB, 1),
        )


async def _all(read: Callable[[], Awaitable[bytes]], most: int, over: TooMuch) -> bytes:
    """All that is read; raises `over` where that is more than `most` bytes."""
    data = bytearray()
    while piece := await asyncio.wait_for(read(), IDLE):
        data += piece
        if len(data) > most:
            raise over
    return bytes(data)


def _is_file(part: BodyPartReader) -> bool:
    """Whether a part is bytes; some clients name the type of text, too."""
    kind = part.headers.get(hdrs.CONTENT_TYPE, "text/plain").lower()
    return part.filename is not None or not kind.startswith(("text/", JSON))


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises Malformed, TooMuch."""
    if sum(map(data.count, (b",", b"[", b"{"))) > MARKS:
        raise _too_many()
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise unreadable(is_form=False) from None
    if not isinstance(fields, dict):
        raise Malformed("Please send a JSON object: fields and their values, in braces.")
    if len(fields) > FIELDS:
        raise _too_many()
    return fields


def _too_many() -> TooMuch:
    return TooMuch("This has too many fields. Please send those that /docs names.")


def unreadable(*, is_form: bool) -> Malformed:
    """What is said of a body that is neither a form nor JSON, whatever it should have been."""
    if is_form:
        return Malformed("This form cannot be read: a part of it is broken, or its end is missing.")
    return Malformed("This is not JSON. Please send a JSON object as UTF-8.")
