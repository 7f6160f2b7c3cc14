"""Placeholders: messages that are posted first, for the jobs that are written next.

Each is noted in the store, and the note goes in the transaction that writes its job. Where no job
comes, the placeholder is deleted; where the process ends before that, the next one deletes it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

import discord
from discord import ui

from bot.errors import StorageFailed
from bot.jobs.pauses import growing
from bot.jobs.queue import JobQueue
from bot.ui.origin import Origin
from bot.ui.roads import UNREACHABLE, Roads
from bot.ui.text import plain
from bot.ui.views import view_of
from pipelines.contract.requests import Request

log = logging.getLogger(__name__)

ROOM = 200  # characters of markdown for a prompt


@asynccontextmanager
async def placeholders(
    queue: JobQueue, roads: Roads, here: Origin, requests: Sequence[Request]
) -> AsyncIterator[list[Origin]]:
    """Post a message for each request, and give the origins that their jobs are to have.

    They are messages of the interaction of `here`, which need no permission of the bot's. Whatever
    is raised inside has them deleted. Raises UNREACHABLE, StorageFailed.
    """
    posted: list[Origin] = []
    try:
        for request in requests:
            message_id = await roads.follow(here, _placeholder(request))
            posted.append(replace(here, message_id=message_id))
            await queue.add_placeholder(posted[-1].to_json())
        yield posted
    except Exception:
        for origin in posted:
            with suppress(*UNREACHABLE, StorageFailed):  # then the next start does it
                await _delete(origin, queue, roads)
        raise


async def delete_left(left: Iterable[Origin], queue: JobQueue, roads: Roads) -> None:
    """Delete the placeholders that an earlier process left, as far as Discord lets us."""
    for origin in left:
        for pause in growing():
            try:
                await _delete(origin, queue, roads)
            except (*UNREACHABLE, StorageFailed) as error:
                log.info("message %d cannot be deleted yet: %s", origin.message_id, error)
                await asyncio.sleep(pause)
            else:
                break


def _placeholder(request: Request) -> ui.LayoutView:
    """What is shown until the progress board changes it: the prompt."""
    return view_of(plain(request.prompt, ROOM) or "…")


async def _delete(origin: Origin, queue: JobQueue, roads: Roads) -> None:
    """Delete a placeholder, or give it up where Discord refuses that for good.

    Raises UNREACHABLE or StorageFailed where a later try may succeed.
    """
    ways = []
    if roads.token_lives(origin):
        ways.append(partial(roads.delete_by_token, origin))
    if origin.may_post:
        ways.append(partial(roads.delete, origin.channel_id))
    for way in ways:
        try:
            await way(origin.message_id)
            break
        except discord.HTTPException as error:
            if error.status >= 500 or error.status == 429:
                raise
            log.info("message %d is not deleted: %s", origin.message_id, error)
    await queue.remove_placeholder(origin.message_id)
