"""The end of a job reaches Discord, whatever became of token, size or channel.

The roads, best first: the message is edited by the interaction's token; by the bot's own; a new
message is posted. Where Discord closes one for good the next is tried, and where it only has
trouble the caller tries again later. An edit may be repeated without harm, and Discord drops a
second post with the same nonce: so a member sees each end once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from pathlib import Path

import discord
from discord import ui

from bot.config import ModerationConfig
from bot.errors import FileDamaged, Lost, StorageFailed, Undeliverable
from bot.jobs.files import FileStore
from bot.jobs.job import Job, Status
from bot.jobs.queue import JobQueue
from bot.languages import language
from bot.ui import messages
from bot.ui.origin import Origin, exposure_of, has_message
from bot.ui.progress import ProgressBoard
from bot.ui.roads import UNREACHABLE, Roads, Upload
from pipelines import media
from pipelines.contract.artifact import MediaType
from pipelines.contract.errors import AtelierError, TooLarge
from pipelines.contract.text import Text

log = logging.getLogger(__name__)

MESSAGE_BYTES = 24 * 2**20  # Discord takes 25 MiB a request, text and boundaries included
SMALLEST_LIMIT = 256 * 2**10  # below this a refusal is not about the size

# Discord's error codes where the HTTP status alone does not tell.
TOKEN_INVALID = 50027
TOO_LARGE = 40005
TOO_MANY_LATE_EDITS = 30046  # of a message older than an hour; allowed again after a while


class _Verdict(Enum):
    """What a refusal of Discord's means for the road it was met on."""

    LATER = auto()
    SMALLER = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class _Result:
    """A file as the pipeline made it."""

    name: str
    media_type: MediaType
    data: bytes


Road = Callable[[Origin, ui.LayoutView, Sequence[Upload]], Awaitable[None]]


class Delivery:
    """Tells a job's owner how it ended, by the first road that is open."""

    def __init__(
        self,
        roads: Roads,
        board: ProgressBoard,
        queue: JobQueue,
        files: FileStore,
        moderation: ModerationConfig,
    ) -> None:
        self._roads = roads
        self._board = board
        self._queue = queue
        self._files = files
        self._moderation = moderation
        self._unanswered: set[str] = set()  # jobs whose new message may be there already

    async def deliver(self, job: Job) -> None:
        """Show the result or the reason.

        Raises Undeliverable when that can never be, and what discord.py and aiohttp raise when a
        later try may succeed.
        """
        if not has_message(job):
            return  # whoever asked comes for it
        await self._board.release(job.id)
        if await self._is_settled(job):  # deleted while it waited its turn
            return
        origin = Origin.from_json(job.origin)
        if job.status is not Status.RENDERED:
            await self._carry(job, origin, messages.ended(job), why_none=messages.reason(job))
            return
        if exposure_of(job, self._moderation) == "withhold":
            await self._carry(job, origin, messages.withheld(job), why_none=messages.WITHHELD)
            return
        try:
            await self._show_result(job, origin)
        except (TooLarge, FileDamaged) as error:
            with suppress(Undeliverable):  # which is not why there is nothing to see
                await self._carry(
                    job, origin, messages.ended(_failed(job, error)), why_none=error.text
                )
            end = Lost if isinstance(error, FileDamaged) else Undeliverable
            raise end(error.text) from error

    async def _show_result(self, job: Job, origin: Origin) -> None:
        """Deliver in a size that Discord takes, smaller each time it says no."""
        results = [
            _Result(a.safe_name, a.media_type, await self._files.read(a.path))
            for a in job.artifacts
        ]
        single = len(results)
        if single > 1:
            results.append(await asyncio.to_thread(_grid, job, results))
        limit = self._roads.filesize_limit(origin)
        while True:
            uploads = await asyncio.to_thread(_fit, results, limit)
            names = [upload.name for upload in uploads]
            view = messages.finished(
                job,
                names[:single],
                beside=names[single:],
                spoiler=exposure_of(job, self._moderation) == "spoiler",
                models=self._queue.models(),
            )
            try:
                return await self._carry(job, origin, view, uploads)
            except discord.HTTPException as error:
                if _verdict(error) is not _Verdict.SMALLER:
                    raise
                limit = _next_limit(uploads)
                log.info("job %s: Discord finds it too large; trying %d bytes", job.id, limit)

    async def _carry(
        self,
        job: Job,
        origin: Origin,
        view: ui.LayoutView,
        uploads: Sequence[Upload] = (),
        why_none: Text | str | None = None,
    ) -> None:
        """Take the first road that is open. Raises Undeliverable when none is.

        `why_none` is why the view shows no result, for a member who cannot see the view either.
        """
        refusal: discord.HTTPException | None = None
        for road in self._roads_for(job, origin):
            try:
                await road(origin, view, uploads)
                return
            except discord.HTTPException as error:
                if _verdict(error) is not _Verdict.CLOSED:
                    raise
                log.info("job %s: a road is closed: %s", job.id, error)
                refusal = error
        if job.status is not Status.CANCELLED:  # of that its owner knows
            raise await self._give_up(job, origin, _farewell(job, origin, refusal, why_none))

    def _roads_for(self, job: Job, origin: Origin) -> Iterator[Road]:
        if job.id in self._unanswered:  # which may have opened the thread of the old one again
            yield partial(self._post_anew, job)
        if self._roads.token_lives(origin):
            yield self._roads.edit_by_token
        if not origin.may_post:
            return
        yield self._roads.edit_as_bot
        if job.status is not Status.CANCELLED:  # where its message is gone, so is the matter
            yield partial(self._post_anew, job)

    async def _post_anew(
        self, job: Job, origin: Origin, view: ui.LayoutView, uploads: Sequence[Upload]
    ) -> None:
        if await self._is_settled(job):  # an edit was seen, though Discord said no, and deleted
            return
        self._unanswered.discard(job.id)
        try:
            message_id = await self._roads.send(origin, view, uploads, nonce=job.id)
        except UNREACHABLE as error:
            if _is_trouble(error):
                self._unanswered.add(job.id)
            raise
        with suppress(StorageFailed):  # else it would be posted again: it is not known to be told
            await self._queue.set_origin(job.id, origin.moved(message_id).to_json())
        with suppress(*UNREACHABLE):  # a thread that was archived is open again: it has two now
            await self._roads.delete(origin.channel_id, origin.message_id)

    async def _is_settled(self, job: Job) -> bool:
        """Whether there is nothing left to tell. While the store refuses, there is."""
        try:
            return await self._queue.is_settled(job.id)
        except StorageFailed:
            return False

    async def _give_up(self, job: Job, origin: Origin, farewell: Text) -> Undeliverable:
        """Tell the member once, privately, if even that is possible. Returns what is to be raised.

        Raises what a later try may get round.
        """
        sentence = language(origin.reader or origin.locale).say(farewell)
        ways = [self._roads.write_to]
        if self._roads.token_lives(origin):
            ways.insert(0, self._roads.whisper)
        trouble: Exception | None = None
        for way in ways:
            try:
                await way(origin, sentence)
                return Undeliverable(farewell)
            except UNREACHABLE as error:
                log.info("job %s: its owner could not be told either: %s", job.id, error)
                if _is_trouble(error):
                    trouble = error
        if trouble is not None:
            raise trouble
        return Undeliverable(farewell)


def _farewell(
    job: Job,
    origin: Origin,
    refusal: discord.HTTPException | None,
    why_none: Text | str | None,
) -> Text:
    """What a member is told of a job whose end cannot be shown where it was asked for.

    `why_none` is why it has no result; where it has one, `refusal` is why that cannot be shown.
    """
    command, channel = f"`/{job.kind}`", f"<#{origin.channel_id}>"
    if why_none is not None:
        return Text(
            "Your {command} in {channel} did not work: {why}",
            command=command,
            channel=channel,
            why=why_none,
        )
    return Text(
        "Your {command} has ended, but I could not show it in {channel}: {why} It is kept "
        "for you: type `/results` wherever you want it shown.",
        command=command,
        channel=channel,
        why=_why(job, origin, refusal),
    )


def _is_trouble(error: Exception) -> bool:
    """Whether a later try may get round what a road raised."""
    return not isinstance(error, discord.HTTPException) or _verdict(error) is _Verdict.LATER


def _verdict(error: discord.HTTPException) -> _Verdict:
    if error.status == 413 or error.code == TOO_LARGE:
        return _Verdict.SMALLER
    if error.status >= 500 or error.status == 429 or error.code == TOO_MANY_LATE_EDITS:
        return _Verdict.LATER
    if error.status == 401 and error.code != TOKEN_INVALID:
        return _Verdict.LATER  # the bot's own token was changed; its owner will notice
    return _Verdict.CLOSED


def _grid(job: Job, results: Sequence[_Result]) -> _Result:
    """Several pictures as one. It can be made again from them, and so is not kept."""
    data = media.join([result.data for result in results])
    return _Result(f"grid-{job.request.seed}.jpg", MediaType.JPEG, data)


def _fit(results: Sequence[_Result], limit: int) -> list[Upload]:
    """The results as files of at most `limit` bytes each that fit one message together."""
    limit = min(limit, MESSAGE_BYTES // max(1, len(results)))
    uploads = []
    for result in results:
        data, media_type = media.shrink(result.data, result.media_type, limit)
        uploads.append(Upload(str(Path(result.name).with_suffix(media_type.suffix)), data))
    return uploads


def _next_limit(uploads: Sequence[Upload]) -> int:
    """Half of what was refused. Raises TooLarge when that would be absurd."""
    limit = max((len(upload.data) for upload in uploads), default=0) // 2
    if limit < SMALLEST_LIMIT:
        raise TooLarge("Discord takes no version of this result here, however small.")
    return limit


def _failed(job: Job, error: AtelierError) -> Job:
    return replace(
        job,
        status=Status.FAILED,
        error_code=error.code,
        error_sentence=error.sentence,
        error_text=error.text,
    )


def _why(job: Job, origin: Origin, refusal: discord.HTTPException | None) -> Text:
    """What the member can do about a channel that takes no result."""
    if not origin.may_post:
        return Text("Discord lets me answer there for 15 minutes only.")
    if refusal is not None and refusal.status == 404:
        return Text("Discord says that the channel is gone.")
    if refusal is not None and refusal.status == 403:
        return _not_allowed(job)
    return Text("Discord refused the message ({error}).", error=str(refusal))


def _not_allowed(job: Job) -> Text:
    if job.request.seed is None:
        return Text(
            "I am not allowed to. Ask a moderator to give me View Channel, Send Messages and "
            "Attach Files there."
        )
    return Text(
        "I am not allowed to. Ask a moderator to give me View Channel, Send Messages and "
        "Attach Files there; the same request with seed {seed} gives the same result.",
        seed=job.request.seed,
    )
