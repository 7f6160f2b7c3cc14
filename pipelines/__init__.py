"""Turns requests into pictures and videos. Torch lives here; Discord and asyncio do not."""
