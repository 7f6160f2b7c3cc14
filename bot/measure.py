"""`python -m bot measure`: what it pays to paint together on each card, for the bot to do so."""

from rich.console import Console

from bot.config import Config
from bot.errors import ConfigError
from bot.runner import build_runner
from pipelines.batches import Batches, Seconds, best_of


def measure(config: Config, console: Console) -> None:
    """Measure every card, say what pays and write it down. Raises what a Runner raises."""
    devices, model = config.gpu.devices, config.models.imagine
    if model is None:
        console.print("[models.imagine] is not configured: nothing to measure.", markup=False)
        return
    table = Batches.read(config.storage.batches)
    _write(table)  # it takes minutes to find out what is to be written there
    for device in dict.fromkeys(devices):
        with console.status(f"painting on {device}", spinner="dots"):
            runner = build_runner(config, devices.index(device))
            try:
                seconds = runner.measure()
            finally:
                runner.close()
        table.add(runner.card, model, seconds)
        _write(table)
        console.print(f"{runner.card}: {_in_words(seconds)}", markup=False, soft_wrap=True)
    where = f"Written to {table.file}; the bot reads it when it starts."
    console.print(where, markup=False, soft_wrap=True)


def _write(table: Batches) -> None:
    try:
        table.write()
    except OSError as error:
        raise ConfigError(
            f"{table.file} cannot be written: {error.strerror}. Correct storage.folder or its "
            "permissions, or make room there."
        ) from error


def _in_words(seconds: Seconds) -> str:
    figures = ", ".join(f"{each:.2f} s in a batch of {size}" for size, each in seconds.items())
    if (best := best_of(seconds)) == 1:
        return f"/imagine takes {figures} a picture. It does not pay to paint together."
    return f"/imagine takes {figures} a picture. Up to {best} that wait are painted together."
