"""The Runner of a card, as the configuration wants it: for the bot, and for commands without it."""

from typing import TYPE_CHECKING

from bot.config import Config
from pipelines.environment import prepare_torch

if TYPE_CHECKING:
    from pipelines.runner import Runner


def build_runner(config: Config, number: int = 0) -> "Runner":
    """That of the card with this number in `gpu.device`. Raises what a Runner raises.

    Imports torch, if nobody has.
    """
    prepare_torch(config.storage.compiled)
    from pipelines.runner import Runner

    gpu = config.gpu
    return Runner(
        config.models,
        gpu.devices[number],
        gpu.vram_gib,
        gpu.models_folder,
        batches=config.storage.batches,
        number=number,
        cards=len(gpu.devices),
        ram_gib=gpu.ram_gib,
    )
