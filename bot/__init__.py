"""The Discord bot: asyncio lives here, torch does not."""

__version__ = "0.1.0"
