"""The discord.py client: the command tree, the buttons, and staying connected."""

import discord
from discord import app_commands

from bot.config import LimitsConfig
from bot.jobs.files import FileStore
from bot.jobs.queue import JobQueue
from bot.jobs.store import Store
from bot.ui.roads import Roads
from pipelines.catalog import Catalog


class AtelierClient(discord.Client):
    """Answers members. Starts no background task: the app does.

    Constructed before the board and the delivery, which are given its `roads`:

        client = AtelierClient(queue, files, store, config.models, config.limits)
        board = ProgressBoard(client.roads, queue, events)
        delivery = Delivery(client.roads, board, queue, files)
    """

    def __init__(
        self,
        queue: JobQueue,
        files: FileStore,
        store: Store,
        catalog: Catalog,
        limits: LimitsConfig,
    ) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
        )
        self.tree = app_commands.CommandTree(self)
        self.roads = Roads(self)

    async def serve(self, token: str) -> None:
        """Log in and stay connected until `close`. Raises TokenRefused when Discord says no."""
