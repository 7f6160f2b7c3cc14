"""`python -m bot doctor`: what is right on this machine, what is not, and what to do about it.

Each check is a function that returns a Finding, or some. Nothing is changed, but that lists of
parts, which are small, are put where `fetch` would put them.
"""

import asyncio
import errno
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

from bot.account import Account, ask_discord, invitation, members_link
from bot.config import (
    Config,
    GpuConfig,
    MetricsConfig,
    ModerationConfig,
    StorageConfig,
    is_loopback_name,
    load_config,
    read_token,
)
from bot.device import require_device
from bot.errors import (
    AlreadyRunning,
    ConfigError,
    DiscordUnreachable,
    StartupError,
    TooLittleDisk,
)
from bot.fetch import Hub, check_disk, free_bytes, is_here
from bot.jobs.database import check_database, require_sqlite
from bot.startup import FirstWait
from bot.tokens import TokenBook
from bot.words import read_words
from pipelines import loras
from pipelines.caching import computed
from pipelines.catalog import PREVIEW, Catalog, Model, ModelKey, Network
from pipelines.checkpoints import check_preview, require_whole, weigh
from pipelines.compilers import lacking
from pipelines.contract.errors import (
    AtelierError,
    DeviceMissing,
    ModelUnavailable,
)
from pipelines.driver import RIGHT_TORCH
from pipelines.media import encode_mp4
from pipelines.placement import slow, unmet, would_fit
from pipelines.plan import GIB, Card, Plan
from pipelines.presets import PRESETS
from pipelines.ram import Sizes, plan_all, together
from pipelines.visible import nearest, require_visible


class Level(StrEnum):
    """How a check ended."""

    FINE = "✓"
    WARNING = "!"
    PROBLEM = "✗"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, and what was found or is to be done."""

    level: Level
    subject: str
    text: str


def examine(config_file: Path) -> Iterator[Finding]:
    """Look at everything. Without a readable configuration there is nothing else to look at."""
    try:
        config = load_config(config_file)
    except ConfigError as error:
        yield Finding(Level.PROBLEM, "config", error.sentence)
        return
    yield Finding(Level.FINE, "config", f"{config_file} is valid")
    yield from check_account(config)
    yield from check_devices(config.gpu)
    yield check_encoder()
    yield from check_storage(config.storage)
    yield from check_words(config.moderation)
    running = is_running(config.storage)
    yield from check_metrics(config.metrics, running=running)
    yield from check_web(config, running=running)
    yield from check_models(config.models, Hub(config.gpu.models_folder))
    yield from check_absent(config.models)
    yield from check_plans(config.models, config.gpu)
    yield from check_loras(config.models)
    yield from check_previews(config.models)
    yield from check_presets(config.models)
    yield from check_caches(config.models)
    yield from check_decoders(config)
    yield from check_last_start(config.storage)


def check_account(config: Config) -> Iterator[Finding]:
    """The token, and what Discord says about it."""
    try:
        token = read_token(config)
        account = asyncio.run(ask_discord(token))
    except DiscordUnreachable as error:
        yield Finding(Level.WARNING, "token", f"present, but untested. {error.sentence}")
    except AtelierError as error:
        yield Finding(Level.PROBLEM, "token", error.sentence)
    else:
        yield Finding(Level.FINE, "token", f"Discord knows it as {account.name}")
        yield from check_servers(account)
        if config.discord.install == "servers-and-members":
            link = members_link(account.application_id)
            yield Finding(Level.FINE, "members", f"may add it to their accounts: {link}")


def check_servers(account: Account) -> Iterator[Finding]:
    """Whether the bot is in a server, and may do there what it must."""
    link = invitation(account.application_id)
    if account.servers == 0:
        yield Finding(Level.WARNING, "servers", f"in none yet; invite it: {link}")
    else:
        yield Finding(Level.FINE, "servers", f"in {account.servers}; invite it elsewhere: {link}")
    for server, missing in account.lacking.items():
        yield Finding(
            Level.WARNING,
            "permissions",
            f"{server}: its roles do not give it {', '.join(missing)}; channels may, or invite "
            "it again with the link above",
        )


def check_devices(gpu: GpuConfig) -> Iterator[Finding]:
    """Each device that models would run on."""
    for device in gpu.devices:
        yield _about(device, gpu, check_device(device))


def _about(device: str, gpu: GpuConfig, finding: Finding) -> Finding:
    """A finding that names its device, where there are several."""
    if len(gpu.devices) == 1:
        return finding
    return replace(finding, subject=f"{finding.subject} {device}")


def check_device(name: str) -> Finding:
    """A device as torch sees it."""
    try:
        require_device(name)
    except DeviceMissing as error:
        return Finding(Level.PROBLEM, "device", error.sentence)
    import torch

    from pipelines.device import hindrance

    kind, _, index = name.partition(":")
    if kind in ("auto", "cuda") and (why := hindrance(int(index or 0))):
        if kind == "cuda":
            return Finding(Level.PROBLEM, "device", why)
        return Finding(
            Level.WARNING, "device", f"the CPU, where {_SLOWLY}, although there is a card: {why}"
        )
    if kind in ("auto", "cuda") and torch.cuda.is_available():
        card = torch.cuda.get_device_properties(int(index or 0))
        return Finding(Level.FINE, "device", f"{card.name}, {card.total_memory / GIB:.1f} GiB")
    if kind in ("auto", "mps") and torch.backends.mps.is_available():
        return Finding(Level.FINE, "device", "the GPU of this Mac (mps), whose memory is RAM")
    if kind in ("cuda", "mps"):
        return Finding(
            Level.PROBLEM,
            "device",
            f"the driver is there, but torch {torch.__version__} finds no device; {RIGHT_TORCH}",
        )
    return Finding(
        Level.WARNING,
        "device",
        f"the CPU: the bot works, but {_SLOWLY}; install a driver and torch for your GPU, or use "
        "small models",
    )


_SLOWLY = "a picture takes many minutes and a video hours"


def check_encoder() -> Finding:
    """Whether a video can be made, by making one."""
    try:
        encode_mp4([Image.new("RGB", (16, 16))] * 2, 7, {})
    except (OSError, ValueError) as error:
        return Finding(
            Level.PROBLEM,
            "video",
            f"libx264 does not work here ({error}); reinstall it: pip install --force-reinstall av",
        )
    return Finding(Level.FINE, "video", "H.264 by libx264")


def check_storage(storage: StorageConfig) -> Iterator[Finding]:
    """Whether jobs and results can be written, and those that are there be read."""
    try:
        require_sqlite()
    except StartupError as error:
        yield Finding(Level.PROBLEM, "SQLite", error.sentence)
        return
    folder = storage.folder
    if (why := _unwritable(nearest(folder))) is not None:
        words = f"{folder} cannot be written to: {why}; correct storage.folder or its permissions"
        yield Finding(Level.PROBLEM, "storage", words)
        return
    if others := [name for name in _KEPT if _is_anothers(folder / name)]:
        words = (
            f"this user may not read and write {', '.join(others)} in {folder}; give the folder, "
            "and all in it, to the user that the bot runs as"
        )
        yield Finding(Level.PROBLEM, "storage", words)
        return
    free = free_bytes(folder) / GIB
    if free < 2:
        words = f"{folder}: only {free:.1f} GiB free; results need room"
        yield Finding(Level.WARNING, "storage", words)
    else:
        yield Finding(Level.FINE, "storage", f"{folder}: {free:.0f} GiB free")
    if (file := storage.database).exists():
        yield _check_jobs(file)


_KEPT = ("files", "tokens", "compiled", "link.key")  # beside the jobs, which are looked into


def _is_anothers(path: Path) -> bool:
    """Whether it is there and not for this user: root made it, or a copy forgot whose it was."""
    return path.exists() and not os.access(path, os.R_OK | os.W_OK)


def _unwritable(existing: Path) -> str | None:
    """Why no file can be made in a folder; None where one can."""
    if not existing.is_dir():
        return f"{existing} is no folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return os.strerror(errno.EACCES)
    try:
        with tempfile.TemporaryFile(dir=existing):
            return None
    except OSError as error:
        return error.strerror


def is_running(storage: StorageConfig) -> bool:
    """Whether a bot has the jobs open."""
    if not storage.database.exists():
        return False
    try:
        asyncio.run(check_database(storage.database))
    except AlreadyRunning:
        return True
    except StartupError:  # which is said of the jobs
        pass
    return False


def _check_jobs(file: Path) -> Finding:
    """Whether a bot could start with the jobs of an earlier one."""
    try:
        asyncio.run(check_database(file))
    except AlreadyRunning:
        return Finding(Level.FINE, "jobs", f"{file.name} is in use: the bot is running")
    except StartupError as error:
        return Finding(Level.PROBLEM, "jobs", error.sentence)
    return Finding(Level.FINE, "jobs", f"{file.name} is sound")


def check_words(moderation: ModerationConfig) -> Iterator[Finding]:
    """Whether the words can be read that prompts must not hold."""
    try:
        words = read_words(moderation)
    except ConfigError as error:
        yield Finding(Level.PROBLEM, "words", error.sentence)
        return
    if words:
        yield Finding(Level.FINE, "words", f"{len(words)} that prompts must not hold")


def check_metrics(metrics: MetricsConfig, *, running: bool = False) -> Iterator[Finding]:
    """Whether Prometheus could ask the bot, or the one that is running."""
    if metrics.port is not None:
        yield _check_address("metrics", metrics.host, metrics.port, running=running)


def check_web(config: Config, *, running: bool = False) -> Iterator[Finding]:
    """Whether studio and API can be reached, by whom, and whether links in Discord lead there."""
    web = config.web
    if web.port is None:
        if web.open or web.url is not None:
            yield Finding(Level.WARNING, "web", "off: web.port is not set")
        return
    yield _check_address("web", web.host, web.port, running=running)
    book = TokenBook.in_storage(config.storage.folder)
    try:
        good = [token.name for token in book.all() if token.is_good]
    except ConfigError as error:
        yield Finding(Level.PROBLEM, "web tokens", error.sentence)
    else:
        if good:
            yield Finding(Level.FINE, "web tokens", f"{len(good)}: {', '.join(good)}")
        elif not web.open:
            who = "nobody may use it" if web.url is None else "only links of /sketch lead in"
            words = f"there are none, and so {who}; `python -m bot token add NAME`"
            yield Finding(Level.WARNING, "web tokens", words)
        for what in book.damaged():
            yield Finding(Level.WARNING, "web tokens", what)
    if web.url is None:
        if not web.open:
            yield Finding(Level.FINE, "web links", "/sketch gives none: web.url is not set")
    elif web.url.startswith("http://") and not is_loopback_name(urlsplit(web.url).hostname or ""):
        yield Finding(
            Level.WARNING,
            "web links",
            f"{web.url} is not encrypted, and what is drawn can be read on the way; put a proxy "
            "with HTTPS before it",
        )
    else:
        yield Finding(Level.FINE, "web links", f"/sketch without a file leads to {web.url}")


def _check_address(table: str, host: str, port: int, *, running: bool) -> Finding:
    """Whether a server that `table` configures could listen there now."""
    name = f"{host}:{port}"
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listening:
            if os.name != "nt":  # where that binds beside whoever listens already
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            why, remedy = error.strerror, f"correct {table}.host and {table}.port"
            return Finding(Level.PROBLEM, table, f"cannot listen on {name} ({why}); {remedy}")
        if running:
            return Finding(Level.FINE, table, f"{name} is in use: the bot is running")
        words = f"{name} is taken by another program; choose another {table}.port"
        return Finding(Level.PROBLEM, table, words)
    return Finding(Level.FINE, table, f"will listen on {name}")


def check_models(catalog: Catalog, hub: Hub) -> Iterator[Finding]:
    """Each checkpoint: here, still to be downloaded, or out of reach; and whether all will fit."""
    checkpoints = dict(catalog.checkpoints())
    if not checkpoints:
        yield Finding(
            Level.WARNING,
            "models",
            "none is configured; add [models.…] tables as in config.example.toml",
        )
    missing = 0
    for place, checkpoint in checkpoints.items():
        try:
            here = is_here(place, checkpoint, hub.folder)
            size = 0 if here else hub.plan(place, checkpoint).size
        except ModelUnavailable as error:
            yield _lacking(place, error.sentence)
            continue
        missing += size
        if here:
            yield Finding(Level.FINE, place, checkpoint.source)
        else:
            absent = f"{checkpoint.source} is not here ({size / GIB:.1f} GiB)"
            yield _lacking(place, f"{absent}: `python -m bot fetch`.")
    try:
        check_disk(missing, hub.folder)
    except TooLittleDisk as error:
        yield Finding(Level.PROBLEM, "disk", error.sentence)


def check_absent(catalog: Catalog) -> Iterator[Finding]:
    """What was left out of a configuration, or is newer than it."""
    absent = [f"models.{key}" for key in ModelKey if getattr(catalog, key) is None]
    if len(absent) == len(ModelKey):
        return  # which check_models has said
    safety = f"models.{ModelKey.SAFETY}"
    if safety in absent:
        absent.remove(safety)
        words = f"{safety} is not configured: nothing looks at uploads and results"
        yield Finding(Level.WARNING, "absent", words)
    if absent:
        words = f"{', '.join(absent)}: whoever asks for what needs it is told so"
        yield Finding(Level.FINE, "absent", words)


def _lacking(place: str, text: str) -> Finding:
    """A checkpoint that cannot be used. Without its preview a model paints as well."""
    if place.endswith(f".{PREVIEW}"):
        return Finding(Level.WARNING, place, f"{text} {_UNSEEN}")
    return Finding(Level.PROBLEM, place, text)


_UNSEEN = "Until then nothing is shown while it paints."


def check_loras(catalog: Catalog) -> Iterator[Finding]:
    """Which LoRAs members may choose, what lies beside them, and styles whose LoRA is gone."""
    folder = catalog.loras
    for key in loras.MODELS if folder is not None else ():
        subject, place = f"{key} loras", f"{folder}/{key}"
        found, others = loras.names(folder, key), loras.ignored(folder, key)
        unfit = list(loras.unfit(folder, key))
        if found:
            yield Finding(Level.FINE, subject, f"{len(found)} in {place}: {', '.join(found)}")
        elif not unfit:
            yield Finding(Level.WARNING, subject, _without_loras(Path(place)))
        for each in unfit:
            level = Level.PROBLEM if each.is_damaged else Level.WARNING
            yield Finding(level, subject, each.why)
        if others:
            yield Finding(
                Level.WARNING,
                subject,
                f"{', '.join(others)} in {place}: not offered, only .safetensors files are",
            )
    offered = loras.names(folder, ModelKey.SKETCH)
    unfit_names = {each.name for each in loras.unfit(folder, ModelKey.SKETCH)}
    for name, style in catalog.styles.items():
        if style.lora in unfit_names:
            yield Finding(
                Level.PROBLEM,
                f"style {name}",
                f"its LoRA {style.lora!r} cannot be used, as said above; mend that, or correct "
                f"models.styles.{name}.lora",
            )
        elif style.lora is not None and style.lora not in offered:
            yield Finding(
                Level.PROBLEM,
                f"style {name}",
                f"there is no LoRA {style.lora!r}; correct models.styles.{name}.lora or put "
                f"{style.lora}.safetensors into the folder {ModelKey.SKETCH} of models.loras",
            )


def _without_loras(folder: Path) -> str:
    try:
        require_visible(folder)
    except PermissionError:
        return f"{folder} may not be read by this user; give it the right to read it"
    return f"none in {folder}; put .safetensors files there"


def check_previews(catalog: Catalog) -> Iterator[Finding]:
    """Styles that members would choose without having seen them."""
    unseen = [n for n, s in catalog.styles.items() if s.preview and not s.preview.is_file()]
    if unseen:
        yield Finding(
            Level.WARNING,
            "styles",
            f"no preview yet of {', '.join(unseen)}; `python -m bot styles` paints what is missing",
        )


def check_presets(catalog: Catalog) -> Iterator[Finding]:
    """Which models run in few steps, and what that means."""
    for key, model in ((ModelKey.SKETCH, catalog.sketch), (ModelKey.IMAGINE, catalog.imagine)):
        if model is None or model.preset is None:
            continue
        guidance = f"guidance {model.guidance:g}"
        if model.guidance <= 1:
            guidance = "no guidance, and so without negative prompts"
        meant = PRESETS[model.preset].steps
        yield Finding(
            Level.FINE if model.steps == meant else Level.WARNING,
            f"{key} preset",
            f"{model.preset}: {model.steps} steps, {guidance}; pictures differ from the model's own"
            + (f"; it was made for {meant} steps" if model.steps != meant else ""),
        )


def check_caches(catalog: Catalog) -> Iterator[Finding]:
    """Which models extrapolate steps instead of computing them."""
    for key, model in ((ModelKey.SKETCH, catalog.sketch), (ModelKey.IMAGINE, catalog.imagine)):
        if model is None or model.cache_interval == 1:
            continue
        count = computed(model.steps, model.cache_interval)
        subject, share = f"{key} cache", f"{count} of {model.steps} steps are computed"
        if count == model.steps:
            words = f"{share}: that few are all needed; models.{key}.cache_interval does nothing"
            yield Finding(Level.WARNING, subject, words)
        else:
            words = f"{share}; pictures differ a little from the model's own"
            yield Finding(Level.FINE, subject, words)


def check_decoders(config: Config) -> Iterator[Finding]:
    """Which models show a picture while they paint it."""
    models = config.models
    for key, model in ((ModelKey.SKETCH, models.sketch), (ModelKey.IMAGINE, models.imagine)):
        if model is None or model.preview is None:
            continue
        subject = f"{key} preview"
        folder = config.gpu.models_folder
        try:
            require_whole(key, model, folder)
            require_whole(f"{key}.{PREVIEW}", model.preview, folder)
        except ModelUnavailable:
            continue  # which check_models has said
        try:
            check_preview(key, model, folder)
        except ModelUnavailable as error:
            yield Finding(Level.WARNING, subject, f"{error.sentence} {_UNSEEN}")
            continue
        off = "" if config.discord.previews else "; off: discord.previews"
        yield Finding(Level.FINE, subject, f"shown while it paints{off}")


def check_plans(catalog: Catalog, gpu: GpuConfig) -> Iterator[Finding]:
    """How each model would be held on each card, and what is given up for that."""
    from pipelines.device import card_of, choose_device

    for device in gpu.devices:
        try:
            card = card_of(choose_device(device), gpu.vram_gib, len(gpu.devices), gpu.ram_gib)
        except DeviceMissing:
            continue  # which check_device has said
        for finding in plans_on(card, catalog, gpu.models_folder):
            yield _about(device, gpu, finding)


def plans_on(card: Card, catalog: Catalog, models_folder: Path | None) -> Iterator[Finding]:
    """The plan of each model on `card`, in words, and what all take of RAM together."""
    models: dict[ModelKey, Model] = {}
    sizes: dict[ModelKey, Sizes | None] = {}
    for key in ModelKey:
        if (model := getattr(catalog, key)) is None:
            continue
        if lacking := unmet(model, card):
            yield Finding(Level.WARNING, f"{key} precision", lacking)
        try:
            weights = weigh(key, model, models_folder)
            if weights is None and is_here(key, model, models_folder):
                continue  # a part of it is missing
        except ModelUnavailable:
            continue  # which check_models has said
        models[key], sizes[key] = model, weights
    left, plans = plan_all(card, models, sizes)
    for key, plan in plans.items():
        told = slow(key, models[key], card)
        subject, what = f"{key} fits", "" if sizes[key] else "the usual checkpoint "
        takes = f"{what}{plan.in_words(left)}"
        if plan.fits:
            yield Finding(Level.FINE, subject, takes)
        else:
            less = would_fit(key, models[key], left, sizes[key])
            remedy = _remedy(key, less, is_slow=told is not None)
            yield Finding(Level.PROBLEM, subject, f"{takes}. {remedy}")
        if told:
            yield Finding(Level.WARNING, f"{key} dtype", told)
        if catalog.acceleration.compile and plan.uncompiled:
            yield Finding(Level.WARNING, f"{key} compile", f"off here, for {plan.uncompiled}")
    yield from _compiling(card, catalog, plans)
    if (words := together(plans, card)) is not None:
        yield Finding(Level.WARNING, "RAM", words)


def _compiling(card: Card, catalog: Catalog, plans: Mapping[ModelKey, Plan]) -> Iterator[Finding]:
    """What keeps networks from being compiled, or what that would be good for."""
    quicker = [
        f"/{key}"
        for key, plan in plans.items()
        if plan.fits and plan.uncompiled is None and not isinstance(getattr(catalog, key), Network)
    ]
    if not quicker:
        return
    missing = lacking(card.kind)
    if catalog.acceleration.compile and missing:
        yield Finding(Level.WARNING, "compile", f"networks run as they are: {missing}")
    elif not catalog.acceleration.compile and card.kind == "cuda":
        but = f"; here {missing}" if missing else ", after minutes at the first start"
        yield Finding(
            Level.FINE,
            "compile",
            f"off; models.acceleration.compile makes {', '.join(quicker)} quicker{but}",
        )


def _remedy(key: ModelKey, less: str | None, *, is_slow: bool) -> str:
    """What to do about a model that does not fit; `less` are settings with which it does."""
    another = f"another models.{key}.dtype, " if is_slow else ""
    rest = f"{another}a smaller checkpoint, a smaller size, or delete [models.{key}]"
    if less is None:
        return f"Choose {rest}"
    return f"With {less} it fits, and pictures change a little. Or choose {rest}"


def check_last_start(storage: StorageConfig) -> Iterator[Finding]:
    """How long somebody waited for the first result of the latest start."""
    if (wait := FirstWait.read(storage.folder)) is not None:
        when = datetime.fromtimestamp(wait.at).strftime("%Y-%m-%d %H:%M")
        said = f"the first result, of /{wait.kind}, came after {wait.seconds:.0f} s ({when})"
        yield Finding(Level.FINE, "last start", said)
