"""Messages that are posted before their jobs are written, and are taken back where none is."""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial

import discord
from discord import ui

from bot.errors import StorageFailed
from bot.jobs.pauses import growing
from bot.jobs.queue import JobQueue
from bot.ui.origin import Origin
from bot.ui.roads import UNREACHABLE, Roads
from bot.ui.text import plain
from pipelines.contract.requests import Request

log = logging.getLogger(__name__)

ROOM = 200  # characters of markdown for a prompt


def coming(request: Request) -> ui.LayoutView:
    """What a job's message shows until the progress board does."""
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.TextDisplay(plain(request.prompt, ROOM) or "…"))
    return view


async def take_back_left(left: Iterable[Origin], queue: JobQueue, roads: Roads) -> None:
    """Take back what an earlier process posted and wrote no job for, as far as Discord lets us."""
    for origin in left:
        for pause in growing():
            try:
                await _take_back(origin, queue, roads)
            except (*UNREACHABLE, StorageFailed) as error:
                log.info("message %d cannot be taken back yet: %s", origin.message_id, error)
                await asyncio.sleep(pause)
            else:
                break


async def _take_back(origin: Origin, queue: JobQueue, roads: Roads) -> None:
    """Delete a message, or give it up. Raises what a later try may get round."""
    ways = []
    if roads.token_lives(origin):
        ways.append(partial(roads.take_back, origin))
    if origin.may_post:
        ways.append(partial(roads.delete, origin.channel_id))
    for way in ways:
        try:
            await way(origin.message_id)
            break
        except discord.HTTPException as error:
            if error.status >= 500 or error.status == 429:
                raise
            log.info("message %d is not taken back: %s", origin.message_id, error)
    await queue.unannounce(origin.message_id)
