"""The page and its files, and what anybody may know: whether the bot is up, and how it is used."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from bot.jobs.executor import Executor
from bot.jobs.queue import JobQueue
from bot.web.askers import Askers
from bot.web.openapi import document
from bot.web.problems import Missing
from bot.web.sentences import STATIC, words
from bot.web.shapes import HealthShape
from bot.web.tags import is_known

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain",
}
SAFE = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Pages:
    """Files of the page, and the state of the bot."""

    def __init__(
        self,
        queue: JobQueue,
        askers: Askers,
        executors: Sequence[Executor],
        registry: CollectorRegistry,
    ) -> None:
        self._queue = queue
        self._askers = askers
        self._executors = executors
        self._registry = registry
        self._files = _page_files()
        self._document = json.dumps(document(), ensure_ascii=False)

    def routes(self) -> list[web.AbstractRouteDef]:
        """Where they are."""
        return [
            web.get("/", self.studio),
            web.get("/draw/{link}", self.studio),
            web.get("/docs", self.docs),
            web.get("/static/words/{tag}.json", self.words),
            web.get("/static/{path:.+}", self.file),
            web.get("/openapi.json", self.openapi),
            web.get("/health", self.health),
            web.get("/metrics", self.metrics),
        ]

    async def studio(self, request: web.Request) -> web.Response:
        """The studio, or its whiteboard alone."""
        return self._of(request, "studio.html")

    async def docs(self, request: web.Request) -> web.Response:
        """A page that shows the document."""
        return self._of(request, "docs.html")

    async def file(self, request: web.Request) -> web.Response:
        """A file of the page; only those that were there at the start are found."""
        return self._of(request, request.match_info["path"])

    async def words(self, request: web.Request) -> web.StreamResponse:
        """What the page says in a language, by its English."""
        tag = request.match_info["tag"]
        said = await asyncio.to_thread(words, tag)
        if not said:
            raise Missing("There is nothing at this address. The API is described at /docs.")
        text = json.dumps({"tag": tag, "words": said}, ensure_ascii=False)  # which is shorter
        headers = {"Cache-Control": "no-cache"}
        return web.Response(text=text, content_type="application/json", headers=headers)

    async def openapi(self, _: web.Request) -> web.Response:
        """The OpenAPI document."""
        return web.Response(text=self._document, content_type="application/json")

    async def health(self, _: web.Request) -> web.Response:
        """Whether anything can be made: 503 where no graphics card can be used."""
        usable = sum(executor.usable() for executor in self._executors)
        told = HealthShape(
            status="running" if usable else "down",
            executor={"cards": len(self._executors), "usable": usable},
            queue={"waiting": self._queue.length(), "running": len(self._queue.running())},
            models=sorted(self._queue.models()),
        )
        return web.Response(
            status=200 if usable else 503,
            text=told.model_dump_json(),
            content_type="application/json",
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """For Prometheus, which has a token as everyone."""
        self._askers.of(request).require_no_link()
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=generate_latest(self._registry), headers=headers)

    def _of(self, request: web.Request, name: str) -> web.Response:
        file = self._files.get(name)
        if file is None:
            raise Missing("There is nothing at this address. The API is described at /docs.")
        headers = {**SAFE, "Content-Type": f"{file.kind}; charset=utf-8"}
        answer = web.Response(headers={**headers, "Cache-Control": "no-cache"})
        if not is_known(request, answer, file.tag):
            answer.body = file.data
        return answer


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was at the start, so that during an update a page is all of one kind."""

    data: bytes
    kind: str
    tag: str


def _page_files() -> dict[str, _File]:
    paths = [path for path in STATIC.rglob("*.*") if path.suffix in TYPES]
    return {path.relative_to(STATIC).as_posix(): _read(path) for path in paths}


def _read(path: Path) -> _File:
    data = path.read_bytes()
    return _File(data, TYPES[path.suffix], hashlib.sha256(data).hexdigest()[:16])
