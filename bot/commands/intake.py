"""The steps that all commands share: acknowledge, take pictures in, submit."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import discord

from bot.config import LimitsConfig
from bot.jobs.files import FileStore
from bot.jobs.queue import JobQueue
from bot.ui.origin import Origin, standing_of
from bot.ui.proposals import submit_or_ask
from pipelines import uploads
from pipelines.catalog import Catalog
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import Request

PICTURES_AT_ONCE = 4  # one of 50 megapixels takes up to 750 MiB while it is vetted
DOWNLOAD_SECONDS = 60.0
MIB = 2**20


class Intake:
    """Takes requests into the queue. The progress board shows members where they stand."""

    def __init__(
        self, queue: JobQueue, files: FileStore, limits: LimitsConfig, catalog: Catalog
    ) -> None:
        self._queue = queue
        self._files = files
        self._limits = limits
        self._catalog = catalog
        self._room = asyncio.Semaphore(PICTURES_AT_ONCE)

    async def submit(
        self,
        interaction: discord.Interaction,
        request: Request,
        parent: str | None = None,
        **pictures: discord.Attachment | None,
    ) -> None:
        """Submit `request`, its fields `pictures` replaced by the files that were uploaded.

        `parent` is the job whose result it uses. Where there is no room in the queue, nothing is
        downloaded. Where its prompt stands for several, the member is asked first.
        """
        given = {field: picture for field, picture in pictures.items() if picture is not None}
        for picture in given.values():
            self.check_size(picture)
        take_in = partial(self._take_all_in, interaction, given)
        await submit_or_ask(interaction, self._queue, request, parent=parent, take_in=take_in)

    def check_size(self, picture: discord.Attachment) -> None:
        """Raise BadInput for a file that is too large to be looked at."""
        if picture.size > self._limits.upload_mib * MIB:
            raise BadInput(
                "This file has {size} MiB. Please send one of at most {most} MiB.",
                size=round(picture.size / MIB, 1),
                most=self._limits.upload_mib,
            )

    async def _take_all_in(
        self,
        interaction: discord.Interaction,
        given: Mapping[str, discord.Attachment],
        requests: Sequence[Request],
        origin: Origin,
    ) -> dict[str, Any]:
        """Store the uploads `given` by field. Returns their files, by field."""
        if given:  # before they are stored, for the queue may refuse
            await self._queue.check(
                requests,
                owner=interaction.user.id,
                origin=origin.to_json(),
                standing=standing_of(interaction),
            )
        return {field: await self._take_in(each, requests[0]) for field, each in given.items()}

    async def _take_in(self, picture: discord.Attachment, request: Request) -> Path:
        """Download, vet and store a picture. Its address at Discord expires, the file does not."""
        async with self._room:
            return await self._keep(await download(picture), request)

    async def keep(self, data: bytes, request: Request) -> Path:
        """Vet and store a picture of a request that came by another way. Raises BadInput."""
        async with self._room:
            return await self._keep(data, request)

    async def _keep(self, data: bytes, request: Request) -> Path:
        larger = self._catalog.larger(getattr(request, "scale", None))
        most = self._limits.upload_megapixels
        png = await asyncio.to_thread(uploads.vet, data, max_megapixels=most, larger=larger)
        return await self._files.put(png, ".png")


async def download(picture: discord.Attachment) -> bytes:
    """What a member has uploaded. Raises BadInput where Discord does not hand it over."""
    try:
        async with asyncio.timeout(DOWNLOAD_SECONDS):
            return await picture.read()
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        raise BadInput("Discord did not hand over this file. Please upload it again.") from error
