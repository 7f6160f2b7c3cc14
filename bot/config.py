"""config.toml, read by tomllib and checked by pydantic before anything starts."""

import difflib
import ipaddress
import json
import os
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from bot.errors import ConfigError, TokenRefused
from pipelines.catalog import Catalog, LocalPath

Location = tuple[int | str, ...]

TOKEN_VARIABLE = "ATELIER_TOKEN"
UTF8 = "utf-8-sig"  # with or without the mark that editors on Windows put before it


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DiscordConfig(_Table):
    """[discord]"""

    token_file: LocalPath | None = None
    """Read when the environment variable ATELIER_TOKEN is empty."""
    install: Literal["servers", "servers-and-members"] = "servers"
    """Who may add the bot: servers, or also members to their own account, for direct messages."""
    previews: bool = True
    """Whether members see a picture while it is painted, where a model has a `preview`."""


class StorageConfig(_Table):
    """[storage]"""

    folder: LocalPath = Path("data")
    """Holds all that the bot writes."""
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """How long results and drawings are kept after a job has ended."""

    @property
    def database(self) -> Path:
        """The file of the jobs."""
        return self.folder / "jobs.sqlite3"

    @property
    def compiled(self) -> Path:
        """The folder of what torch has compiled."""
        return self.folder / "compiled"

    @property
    def batches(self) -> Path:
        """The file of what `measure` found out about painting together."""
        return self.folder / "batches.json"


class LimitsConfig(_Table):
    """[limits]"""

    waiting_per_member: Annotated[int, Field(ge=1)] = 5
    waiting_in_all: Annotated[int, Field(ge=1)] = 200
    permutations: Annotated[int, Field(ge=1, le=50)] = 16
    """How many prompts the braces of one may stand for."""
    upload_mib: Annotated[float, Field(gt=0, le=500)] = 25.0
    upload_megapixels: Annotated[float, Field(gt=0, le=200)] = 50.0


def _devices(written: object) -> str | tuple[str, ...]:
    """What `gpu.device` names: a device, or a list of cards, each once."""
    one = isinstance(written, str)
    names = [written] if one else written
    form = r"auto|cpu|mps|cuda(:\d+)?" if one else r"cpu|cuda:\d+"
    if (
        not isinstance(names, list | tuple)
        or not names
        or not all(isinstance(name, str) and re.fullmatch(form, name) for name in names)
    ):
        raise PydanticCustomError("string_pattern_mismatch", "names no device")
    cards = [name for name in names if name != "cpu"]
    if len(set(cards)) < len(cards):
        raise PydanticCustomError("twice", "must name each card once")
    return written if isinstance(written, str) else tuple(names)


class GpuConfig(_Table):
    """[gpu]"""

    device: Annotated[
        str | tuple[str, ...],
        BeforeValidator(_devices),
        Field(description='auto, cpu, mps, cuda, cuda:0 or ["cuda:0", "cuda:1"]'),
    ] = "auto"
    """Several cards work side by side, each on a job of its own."""
    vram_gib: Annotated[float, Field(gt=0)] | None = None
    """The budget for models on each card; without it, what the card has less 1 GiB."""
    ram_gib: Annotated[float, Field(gt=0)] | None = None
    """The budget for models in RAM, for all cards together; without it, four fifths of it."""
    models_folder: LocalPath | None = None
    """Where `fetch` puts models; without it, the Hugging Face cache."""
    preload: bool = True
    """Load models at start, behind the commands, as far as they fit."""
    patience_seconds: Annotated[float, Field(ge=0)] = 120.0
    """How long a job may be passed over for one whose model is already loaded."""

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices, of which each runs a job at a time."""
        return (self.device,) if isinstance(self.device, str) else self.device


def _host(host: str) -> str:
    """A name or an address that a server may listen on; whether it is there, is asked later.

    An empty one would be all of this machine's, unsaid.
    """
    with suppress(UnicodeError):
        if host.encode("idna"):
            return host
    raise PydanticCustomError("no_host", "is no name or address; use 127.0.0.1")


Host = Annotated[str, AfterValidator(_host)]
Sensitive = Literal["withhold", "spoiler", "show"]


class ModerationConfig(_Table):
    """[moderation]"""

    words: tuple[str, ...] = ()
    """What prompts must not hold, however it is spelt; `*` at the end for all that begin so."""
    words_file: LocalPath | None = None
    """More of them, one a line; what follows a # is a comment."""
    sensitive: Sensitive = "withhold"
    """What becomes of a result in which models.safety finds something."""
    sensitive_for_adults: Sensitive = "spoiler"
    """The same in channels that are age-restricted."""

    def for_sensitive(self, *, adults: bool) -> Sensitive:
        """What becomes of it in a channel, which is for adults only or not."""
        return self.sensitive_for_adults if adults else self.sensitive


class MetricsConfig(_Table):
    """[metrics] Prometheus. Off unless a port is given."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] | None = None


class WebConfig(_Table):
    """[web] The whiteboard, the studio and the HTTP API. Off unless a port is given."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^/?#\s]+/?$", max_length=200)] | None = None
    """What the outside world calls it: links in Discord begin so. Without it there are none.

    It has no path, for the page asks for its files and for the API at the root.
    """
    open: bool = False
    """Whether everyone on this machine may use studio and API, without a token."""
    per_minute: Annotated[int, Field(ge=1)] = 60
    """Requests a minute that one token may make things by, unless it says otherwise."""

    @model_validator(mode="after")
    def _is_open_here_only(self) -> Self:
        if self.open and not self.is_loopback:
            raise ValueError(
                "open is for this machine alone; set web.host to 127.0.0.1, or make tokens with "
                "`python -m bot token add`"
            )
        if (
            self.open
            and self.url is not None
            and not is_loopback_name(urlsplit(self.url).hostname or "")
        ):
            raise ValueError(
                "open is for this machine alone, and web.url is for others; remove one of them, or "
                "make tokens with `python -m bot token add`"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can reach it."""
        return is_loopback_name(self.host)


def is_loopback_name(host: str) -> bool:
    """Whether a name or an address is of this machine, and reached from it alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
    moderation: ModerationConfig = ModerationConfig()
    metrics: MetricsConfig = MetricsConfig()
    web: WebConfig = WebConfig()
    log: LogConfig = LogConfig()
    models: Catalog = Catalog()

    @model_validator(mode="after")
    def _listens_once(self) -> Self:
        hosts = {self.web.host, self.metrics.host}
        meet = len(hosts) == 1 or hosts & {"0.0.0.0", "::"}
        if self.web.port and self.web.port == self.metrics.port and meet:
            raise ValueError("web.port and metrics.port are the same; choose another for one")
        return self


def load_config(path: Path) -> Config:
    """Read and check a file. Raises ConfigError with file, key and remedy in one line."""
    try:
        table = tomllib.loads(path.read_text(UTF8))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file. Copy config.example.toml to {path} and edit it."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {unreadable(error)}.") from None
    except tomllib.TOMLDecodeError as error:
        hint = " In a path write each \\ as /." if _is_of_escapes(error) else ""
        raise ConfigError(f"{path}: cannot be read as TOML: {error}.{hint}") from None
    try:
        # As JSON, so that pydantic takes no number for a text and no truth for a number.
        config = Config.model_validate_json(json.dumps(table, default=_as_table), strict=True)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_remedy(error)}") from None
    return _anchored(config, path.resolve().parent)


def _is_of_escapes(error: tomllib.TOMLDecodeError) -> bool:
    """Whether it may be the path of somebody on Windows, as "C:\\Users"."""
    return any(word in str(error) for word in ("Unescaped", "hex value", "Escaped character"))


def _as_table(moment: object) -> dict[str, str]:
    """What JSON has for TOML's dates and times, which no key asks for."""
    return {"time": str(moment)}


def read_token(config: Config) -> str:
    """The bot's token, from the environment or the configured file. Raises TokenRefused."""
    if token := os.environ.get(TOKEN_VARIABLE, "").strip():
        return _as_token(token, TOKEN_VARIABLE)
    file = config.discord.token_file
    if file is None:
        raise TokenRefused(
            f"There is no bot token. Set {TOKEN_VARIABLE}, or discord.token_file in the "
            "configuration; the token is on your application's Bot page at "
            "https://discord.com/developers/applications."
        )
    try:
        token = file.read_text(UTF8).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenRefused(f"The token file {file} cannot be read: {unreadable(error)}.") from None
    if not token:
        raise TokenRefused(f"The token file {file} is empty. Paste the bot's token into it.")
    return _as_token(token, f"The token file {file}")


def _as_token(token: str, place: str) -> str:
    """`token`, if it could be one: anything else is never sent."""
    if not re.fullmatch(r"[\w.-]+", token, re.ASCII):
        raise TokenRefused(
            f"{place} holds more than a line, or signs that no token has, such as quotes. Paste "
            "the bot's token into it and nothing else."
        )
    return token


def unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Why a file of text cannot be read, without its name."""
    return str(error.strerror) if isinstance(error, OSError) else "it is not in UTF-8"


def _remedy(error: ValidationError) -> str:
    """Every problem of a file in one line, each with its key and what would be right."""
    problems = "; ".join(map(_problem, error.errors(include_url=False)))
    return problems if problems.endswith("?") else f"{problems}."


def _problem(error: ErrorDetails) -> str:
    location, found = error["loc"], _shown(error["input"])
    key = ".".join(map(str, location))
    message = error["msg"].removeprefix("Input ").removeprefix("String ")
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: there is no such key; {_nearest(location)}"
        case "missing":
            return f"{key}: this key is required; add it"
        case "model_type" | "dict_type":
            return f"{key}: must be a table, written as [{key}], not {found}"
        case "no_home" | "no_path" | "no_host":
            return f"{key}: {found} {error['msg']}"
        case "too_short":
            return f"{key}: must not be empty"
        case "tuple_type":
            return f"{key}: must be a list, written as [{found}], not {found}"
        case "string_type":
            return f"{key}: must be a text in quotes, not {found}"
        case "bool_type":
            return f"{key}: must be true or false, not {found}"
        case "int_type":
            return f"{key}: must be a whole number, not {found}"
        case "float_type" | "finite_number":
            return f"{key}: must be a number, not {found}"
        case "string_pattern_mismatch" if location == ("web", "url"):
            return (
                f"{key}: is {found}; use an address that begins with https:// or http:// and has "
                "no path, as https://paint.example.com: what it opens needs a host name of its own"
            )
        case "string_pattern_mismatch" if field := _field_at(location):
            return f"{key}: is {found}; use {field.description}"
        case "literal_error":
            return f"{key}: is {found}; use {error['ctx']['expected']}"
        case "value_error":
            return f"{key}: {error['ctx']['error']}".removeprefix(": ")
    return f"{key}: {message}, not {found}"


def _shown(value: object) -> str:
    """`value` as one writes it in TOML, or its beginning."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _nearest(location: Location) -> str:
    """What somebody who wrote a key that does not exist may have meant."""
    *tables, name = map(str, location)
    known = _keys_beside(location)
    if close := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {'.'.join([*tables, close[0]])}?"
    for table, field in Config.model_fields.items():
        model = _model_in(field.annotation)
        if model is not None and name in model.model_fields:
            return f"did you mean {table}.{name}?"
    return f"remove it, or use one of: {', '.join(known)}"


def _keys_beside(location: Location) -> list[str]:
    """The keys that the table which holds `location` accepts."""
    model = _model_at(location[:-1])
    return [] if model is None else sorted(model.model_fields)


def _field_at(location: Location) -> FieldInfo | None:
    model = _model_at(location[:-1])
    return None if model is None else model.model_fields.get(str(location[-1]))


def _model_at(location: Location) -> type[BaseModel] | None:
    """The table that `location` leads to, or None where it leads to a plain value."""
    model: type[BaseModel] = Config
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None:
            continue  # a name of the owner's choosing, as of a style
        inner = _model_in(field.annotation)
        if inner is None:
            return None
        model = inner
    return model


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
        return None if path is None else folder / path

    return config.model_copy(
        update={
            "discord": config.discord.model_copy(
                update={"token_file": anchor(config.discord.token_file)}
            ),
            "storage": config.storage.model_copy(update={"folder": anchor(config.storage.folder)}),
            "moderation": config.moderation.model_copy(
                update={"words_file": anchor(config.moderation.words_file)}
            ),
            "gpu": config.gpu.model_copy(
                update={"models_folder": anchor(config.gpu.models_folder)}
            ),
            "models": config.models.anchored(folder),
        }
    )
