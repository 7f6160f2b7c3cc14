"""The HTTP server beside Discord: off unless it is configured."""

import logging
from collections.abc import Sequence

from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client import CollectorRegistry

from bot.config import Config
from bot.errors import cannot_listen
from bot.jobs.executor import Executor
from bot.jobs.queue import JobQueue
from bot.tasks import Tasks
from bot.tokens import TokenBook
from bot.ui.whiteboard import Whiteboard
from bot.web.api import Api
from bot.web.askers import Askers
from bot.web.bodies import Bodies
from bot.web.generate import Generate
from bot.web.intake import Intake, Keep
from bot.web.pages import Pages
from bot.web.problems import problems
from bot.web.shapes import Shaping
from bot.web.watching import Watching

log = logging.getLogger(__name__)

IDLE = 30.0  # seconds in which a connection must have sent a request's head
LAST = 2.0  # seconds that answers under way have at the end


class WebServer:
    """Studio, whiteboard and API, from `open` to `close`."""

    def __init__(
        self,
        config: Config,
        queue: JobQueue,
        keep: Keep,
        watching: Watching,
        whiteboard: Whiteboard,
        executors: Sequence[Executor],
        registry: CollectorRegistry,
    ) -> None:
        self._config = config.web
        self.watching = watching
        self._tasks = Tasks()
        shaping = Shaping(queue, watching, config.moderation)
        askers = Askers(config, TokenBook.in_storage(config.storage.folder), whiteboard)
        bodies = Bodies(config.limits.upload_mib)
        intake = Intake(queue, keep, config.models, whiteboard, shaping)
        api = Api(config, queue, askers, bodies, intake, watching, shaping, whiteboard)
        generate = Generate(queue, askers, bodies, intake, watching, self._tasks)
        app = web.Application(middlewares=[problems], client_max_size=0)
        app.add_routes(Pages(queue, askers, executors, registry).routes())
        app.add_routes([*api.routes(), web.post("/generate", generate.handle)])
        app.on_response_prepare.append(_unsniffed)
        self.runner = web.AppRunner(
            app,
            access_log=None,
            logger=log,
            handler_cancellation=True,
            auto_decompress=False,  # `Bodies` refuses what is compressed
            keepalive_timeout=IDLE,
            lingering_time=LAST,
            shutdown_timeout=LAST,
        )

    async def open(self) -> str:
        """Listen, and return the address. Raises PortTaken, ConfigError."""
        host, port = self._config.host, self._config.port
        await self.runner.setup()
        try:
            await web.TCPSite(self.runner, host, port).start()
        except OSError as error:
            await self.runner.cleanup()
            raise cannot_listen("web", host, port, error) from error
        port = self.runner.addresses[0][1]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    async def close(self) -> None:
        """Take no more requests; those that wait for a job end."""
        await self.runner.cleanup()
        await self._tasks.join()


def _is_no_fault_of_theirs(record: logging.LogRecord) -> bool:
    """Who sends what cannot be read is told so, and does not fill the log with tracebacks."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


log.addFilter(_is_no_fault_of_theirs)


async def _unsniffed(_: web.Request, answer: web.StreamResponse) -> None:
    """Browsers are to take every answer for what it says it is."""
    answer.headers.setdefault("X-Content-Type-Options", "nosniff")
