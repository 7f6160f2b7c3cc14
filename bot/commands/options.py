"""Options that more than one command has."""

from discord import app_commands

from pipelines.contract.requests import MAX_PROMPT, MAX_SEED

Prompt = app_commands.Range[str, 1, MAX_PROMPT]
Seed = app_commands.Range[int, 0, MAX_SEED]

SEED_HELP = "The same number and words give the same result again. Left out: a new one every time."
