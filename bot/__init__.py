"""The Discord bot: asyncio lives here, torch does not."""
