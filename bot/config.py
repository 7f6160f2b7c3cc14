"""config.toml, read by tomllib and checked by pydantic before anything starts."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.errors import ConfigError, TokenRefused
from pipelines.catalog import Catalog

TOKEN_VARIABLE = "ATELIER_TOKEN"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DiscordConfig(_Table):
    """[discord]"""

    token_file: Path | None = None
    """Read when the environment variable ATELIER_TOKEN is empty."""


class StorageConfig(_Table):
    """[storage]"""

    folder: Path = Path("data")
    """Holds jobs.sqlite3 and files/."""
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """How long results and drawings are kept after a job has ended."""


class LimitsConfig(_Table):
    """[limits]"""

    waiting_per_member: Annotated[int, Field(ge=1)] = 5
    waiting_in_all: Annotated[int, Field(ge=1)] = 200
    upload_mib: Annotated[float, Field(gt=0, le=500)] = 25.0
    upload_megapixels: Annotated[float, Field(gt=0, le=200)] = 50.0


class GpuConfig(_Table):
    """[gpu]"""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    vram_gib: Annotated[float, Field(gt=0)] | None = None
    """The budget for models; without it, what the card has less 1 GiB."""
    models_folder: Path | None = None
    """Where `fetch` puts models; without it, the Hugging Face cache."""
    preload: bool = True
    """Load models at start, behind the commands, as far as they fit."""
    patience_seconds: Annotated[float, Field(ge=0)] = 120.0
    """How long a job may be passed over for one whose model is already loaded."""


class MetricsConfig(_Table):
    """[metrics] Prometheus. Off unless a port is given."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] | None = None


class LogConfig(_Table):
    """[log]"""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(_Table):
    """The whole file. Relative paths are relative to the file's folder."""

    discord: DiscordConfig = DiscordConfig()
    storage: StorageConfig = StorageConfig()
    limits: LimitsConfig = LimitsConfig()
    gpu: GpuConfig = GpuConfig()
    metrics: MetricsConfig = MetricsConfig()
    log: LogConfig = LogConfig()
    models: Catalog = Catalog()


def load_config(path: Path) -> Config:
    """Read and check a file. Raises ConfigError with file, key and remedy in one line."""
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file. Copy config.example.toml to {path} and edit it."
        ) from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}.") from None
    try:
        config = Config.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_remedy(error)}") from None
    return _anchored(config, path.resolve().parent)


def read_token(config: Config) -> str:
    """The bot's token, from the environment or the configured file. Raises TokenRefused."""
    if token := os.environ.get(TOKEN_VARIABLE, "").strip():
        return token
    file = config.discord.token_file
    if file is None:
        raise TokenRefused(
            f"There is no bot token. Set {TOKEN_VARIABLE}, or discord.token_file in the "
            "configuration; the token is on your application's Bot page at "
            "https://discord.com/developers/applications."
        )
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenRefused(f"The token file {file} cannot be read: {error}.") from None
    if not token:
        raise TokenRefused(f"The token file {file} is empty. Paste the bot's token into it.")
    return token


def _remedy(error: ValidationError) -> str:
    """Every problem of a file in one line, each with its key and what would be right."""
    return "; ".join(_problem(e["type"], e["loc"], e["msg"]) for e in error.errors()) + "."


def _problem(type_: str, loc: tuple[int | str, ...], message: str) -> str:
    key = ".".join(map(str, loc))
    if type_ == "extra_forbidden":
        known = ", ".join(_keys_beside(loc))
        return f"{key}: there is no such key; remove it, or use one of: {known}"
    if type_ == "missing":
        return f"{key}: this key is required; add it"
    return f"{key}: {message[0].lower()}{message[1:]}"


def _keys_beside(loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the table which holds `loc` accepts."""
    model: type[BaseModel] = Config
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        if field is None:
            continue  # a name of the owner's choosing, as of a style
        inner = _model_in(field.annotation)
        if inner is None:
            return []
        model = inner
    return sorted(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _model_in(part)) is not None:
            return found
    return None


def _anchored(config: Config, folder: Path) -> Config:
    """`config` with every path absolute, and model folders beside the file found there."""

    def anchor(path: Path | None) -> Path | None:
        return None if path is None else folder / path.expanduser()

    return config.model_copy(
        update={
            "discord": config.discord.model_copy(
                update={"token_file": anchor(config.discord.token_file)}
            ),
            "storage": config.storage.model_copy(update={"folder": anchor(config.storage.folder)}),
            "gpu": config.gpu.model_copy(
                update={"models_folder": anchor(config.gpu.models_folder)}
            ),
            "models": config.models.anchored(folder),
        }
    )
