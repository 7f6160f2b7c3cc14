"""The body of a request: JSON, or `payload_json` and `files[n]` in parts."""

import json
from dataclasses import dataclass, field

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web

from tests.loopback.problems import invalid, too_large
from tests.loopback.rules import Json


@dataclass(frozen=True, slots=True)
class SentFile:
    filename: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Body:
    """`files` are by their number in `files[n]`."""

    payload: Json
    files: dict[int, SentFile]

    def within(self, limit: int) -> "Body":
        """Itself, if its files together fit into `limit` bytes."""
        if sum(len(f.data) for f in self.files.values()) > limit:
            raise too_large()
        return self


async def read_body(request: web.Request) -> Body:
    """Read all of it, also where it will be refused, as a proxy in between would."""
    data = await request.read()
    if request.content_type.startswith("multipart/"):
        return await _read_parts(request, data)
    return Body(json.loads(data) if data else {}, {})


async def _read_parts(request: web.Request, data: bytes) -> Body:
    payload: Json = {}
    files: dict[int, SentFile] = {}
    stream = StreamReader(request.protocol, limit=len(data) + 1)
    stream.feed_data(data)
    stream.feed_eof()
    async for part in MultipartReader(request.headers, stream):
        assert isinstance(part, BodyPartReader)
        name = part.name or ""
        if name == "payload_json":
            payload = json.loads(await part.text())
        elif name.startswith("files[") and name.endswith("]"):
            sent = SentFile(part.filename or "unnamed", bytes(await part.read()))
            files[int(name[6:-1])] = sent
        else:
            raise invalid(name or "part", "UNKNOWN_PART", "is neither payload_json nor files[n]")
    return Body(payload, files)
