"""`python -m bot styles`: what each style looks like, painted by the bot's own models."""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw
from rich.console import Console

from bot.config import Config
from bot.errors import ConfigError
from bot.render import painter, vetted
from pipelines.catalog import Style
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import SketchRequest
from pipelines.media import thumbnail

SHAPE, WISH = "a star", "yellow on a blue background"  # also what the demo's models know
SEED = 3


def paint_previews(
    config: Config, console: Console, drawing: Path | None, prompt: str, *, anew: bool
) -> None:
    """Paint one drawing in each style that names a preview which is not there, or `anew` in all.

    Raises BadInput, ConfigError, and what `Runner.run` raises.
    """
    wanted = {n: s.preview for n, s in config.models.styles.items() if s.preview is not None}
    if not wanted:
        raise ConfigError(_unnamed(config.models.styles))
    missing = {name: file for name, file in wanted.items() if anew or not file.is_file()}
    for name in wanted:
        if name not in missing:
            console.print(f"{name}: is there already", markup=False)
    if not missing:
        return
    for file in missing.values():
        _require_writable(file)
    with _drawn(config, drawing) as picture, painter(config, console) as paint:
        for name, file in missing.items():
            request = SketchRequest(
                drawing=picture,
                caption="" if drawing else SHAPE,
                prompt=prompt or ("" if drawing else WISH),
                style=name,
                seed=SEED,
            )
            _save(thumbnail(paint(request).data), file)
            console.print(f"{name}: {file}", markup=False, soft_wrap=True)


@contextmanager
def _drawn(config: Config, drawing: Path | None) -> Iterator[Path]:
    """What is painted: the owner's drawing, or a star."""
    if drawing is not None:
        with vetted(drawing, config) as path:
            yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "star.png")
        _star().save(path)
        yield path


def _star(size: int = 512) -> Image.Image:
    """Five points, in one line, on white paper."""
    picture = Image.new("RGB", (size, size), "white")
    corners = []
    for turn in range(11):
        radius = size * (0.4 if turn % 2 == 0 else 0.2)
        angle = math.tau * turn / 10 - math.pi / 2
        corners.append((size / 2 + radius * math.cos(angle), size / 2 + radius * math.sin(angle)))
    ImageDraw.Draw(picture).line(corners, fill=(32, 32, 40), width=size // 64, joint="curve")
    return picture


def _require_writable(file: Path) -> None:
    """Make its folder, and raise BadInput where nothing can be written there: painting is slow."""
    with _explained(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=file.parent).close()


def _save(data: bytes, file: Path) -> None:
    with _explained(file):
        file.write_bytes(data)


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Turn what the disk refuses into BadInput."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}.") from error


def _unnamed(styles: dict[str, Style]) -> str:
    name = next(iter(styles), "ink")
    return (
        f'No style names a preview. Add a line such as preview = "styles/{name}.webp" to '
        f"[models.styles.{name}], and ask again."
    )
