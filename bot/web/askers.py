"""Who asks: the holder of a token, of a link to the whiteboard, or whoever uses this machine."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from bot.config import Config, is_loopback_name
from bot.errors import LinkExpired, NoSuchJob
from bot.jobs.job import Job
from bot.jobs.limits import Terms
from bot.jobs.links import Link
from bot.tokens import LOCAL, PREFIX, TokenBook
from bot.ui.whiteboard import Whiteboard
from bot.web.problems import Foreign, TooOften, Unidentified
from pipelines.contract.text import Text

SAFE = ("GET", "HEAD", "OPTIONS")
WATCHING = 6 * 3600.0  # seconds after a link's end in which its job may be watched or cancelled
UNKNOWN = Text(
    "This token is not known here, or it was revoked. The bot's owner makes a new one with "
    "`python -m bot token add`."
)
NEEDED = Text(
    "This needs a token, sent as “Authorization: Bearer atl_…”. The bot's owner makes one with "
    "`python -m bot token add`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks, and what they may have. A `link` is good for its one job alone."""

    owner: int
    terms: Terms | None = None
    per_minute: int
    link: Link | None = None

    def require_own(self, job: Job) -> None:
        """Let the asker's own jobs pass; of others not even that they are there is told."""
        if job.owner != self.owner or (self.link is not None and job.id != self.link.job_id):
            raise NoSuchJob.unknown()

    def require_no_link(self) -> None:
        """Let those pass who may do more than draw once. Raises Unidentified."""
        if self.link is not None:
            raise Unidentified("A link from Discord is for one drawing. This needs a token.")


class Askers:
    """Finds out who asks, and how often."""

    def __init__(
        self,
        config: Config,
        tokens: TokenBook,
        whiteboard: Whiteboard,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._tokens = tokens
        self._whiteboard = whiteboard
        self._now = now
        self._full_at: dict[int, float] = {}  # when each owner's allowance is whole again

    def of(self, request: web.Request) -> Asker:
        """Who asks. Raises Foreign, Unidentified, LinkInvalid, LinkExpired, TooOften."""
        self._require_own_page(request)
        asker = self._identified(request)
        if request.method not in SAFE:
            self._count(asker)
        return asker

    def require_still(self, request: web.Request) -> None:
        """Raise Unidentified where a token was revoked since; a link may have ended."""
        with suppress(LinkExpired):
            self._identified(request)

    def _identified(self, request: web.Request) -> Asker:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            return self._local(request)
        web_, limits = self._config.web, self._config.limits
        if not secret.startswith(PREFIX):
            is_for_its_job = "id" in request.match_info
            link = self._whiteboard.read(secret, WATCHING if is_for_its_job else 0.0)
            return Asker(owner=link.member, per_minute=web_.per_minute, link=link)
        token = self._tokens.find(secret)
        if token is None:
            raise Unidentified(UNKNOWN)
        return Asker(
            owner=token.id,
            terms=token.terms(limits.waiting_per_member),
            per_minute=token.per_minute or web_.per_minute,
        )

    def _local(self, request: web.Request) -> Asker:
        """Whoever uses this machine, where it is open to them."""
        web_ = self._config.web
        if not web_.open:
            raise Unidentified(NEEDED)
        if not _is_local(request):
            raise Unidentified("Without a token this answers to the names of this machine alone.")
        if any(name in request.headers for name in _OF_PROXIES):
            raise Unidentified("What comes through a proxy needs a token.")
        return Asker(owner=LOCAL, per_minute=web_.per_minute)

    def _require_own_page(self, request: web.Request) -> None:
        """Turn other websites away, which a browser lets ask in its user's name."""
        origin = request.headers.get("Origin")
        site = request.headers.get("Sec-Fetch-Site", "")
        is_foreign = origin is not None and not self._is_own(request, origin)
        if is_foreign or site in ("cross-site", "same-site"):
            raise Foreign("Another website may not use this in your name.")

    def _is_own(self, request: web.Request, origin: str) -> bool:
        try:
            theirs = urlsplit(origin).netloc.lower()
        except ValueError:  # no address at all
            return False
        ours = {request.host.lower()}
        if self._config.web.url is not None:
            ours.add(urlsplit(self._config.web.url).netloc.lower())
        return theirs in ours

    def _count(self, asker: Asker) -> None:
        """Take one of the asker's requests a minute, which come back evenly. Raises TooOften."""
        now, each = self._now(), 60 / asker.per_minute
        full_at = max(self._full_at.get(asker.owner, -math.inf), now) + each
        if full_at - now > 60 + each / 2:
            raise TooOften(
                "That is more often than was agreed. Please wait a moment.", full_at - now - 60
            )
        self._full_at[asker.owner] = full_at
        if len(self._full_at) > 10_000:
            self._full_at = {o: at for o, at in self._full_at.items() if at > now}


_OF_PROXIES = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def _is_local(request: web.Request) -> bool:
    try:
        host = request.url.host or ""
    except ValueError:  # no address at all
        return False
    return is_loopback_name(host.strip("[]")) or host.endswith(".localhost")
