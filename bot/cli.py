"""The command line: run, doctor, fetch, measure, styles, sync, token, render.

What a command needs is imported when it runs, so that `--help` and `run` are quick. Every error
of our own becomes one line on stderr and exit code 2, or 1 where a render failed or another try
may help.
"""

import asyncio
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from bot import __version__
from bot.config import Config, LogConfig, load_config, read_token
from bot.errors import ConfigError, StartupError
from bot.log import Redactor, set_up_logging, spell_out
from pipelines.contract.errors import AtelierError, Cancelled, CardLost
from pipelines.contract.requests import (
    MAX_SEED,
    MOTION,
    SCALES,
    STRENGTH,
    USUAL_MOTION,
    USUAL_STRENGTH,
    AnimateRequest,
    Aspect,
    DescribeRequest,
    ImagineRequest,
    Kind,
    Request,
    SketchRequest,
    UpscaleRequest,
    seed_or_new,
)

if TYPE_CHECKING:
    from bot.tokens import TokenBook

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class _Commands(TyperGroup):
    """Says an error of ours in a line, wherever in a command it comes from."""

    def main(self, *args: Any, **options: Any) -> Any:
        spell_out()
        return super().main(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AtelierError as error:
            _complain(error)
            raise typer.Exit(2) from error


cli = typer.Typer(
    cls=_Commands,
    help="Atelier, a Discord bot that paints on your own GPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
render_commands = typer.Typer(
    help="Make a picture or a video here, without Discord.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
cli.add_typer(render_commands, name="render")
token_commands = typer.Typer(
    help="Who may use studio and HTTP API; holds at once.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
cli.add_typer(token_commands, name="token")

ConfigFile = Annotated[Path, typer.Option("--config", help="The configuration.", metavar="FILE")]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="Where to save the result.",
        metavar="FILE",
        show_default="a new file here",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, max=MAX_SEED, help="The same seed gives the same result.", show_default="any"
    ),
]
Lora = Annotated[str | None, typer.Option(help="A LoRA in the folder models.loras, by its name.")]
DEFAULT_CONFIG = Path("config.toml")
LIBRARIES = ("discord.py", "torch", "diffusers", "transformers")


def _say_versions(asked: bool) -> None:
    if asked:
        out.print(f"Atelier {__version__} on Python {platform.python_version()}")
        for library in LIBRARIES:
            out.print(f"{library} {metadata.version(library)}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version",
        help="Say which versions these are, and end.",
        callback=_say_versions,
        is_eager=True,
    ),
]


@cli.callback()
def cli_options(*, version: Version = False) -> None:
    """What may stand before a command."""


@cli.command()
def run(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Run the bot, until Ctrl-C."""
    settings = load_config(config)
    token = read_token(settings)
    from bot.device import require_device

    set_up_logging(settings.log, secrets=[token])
    for device in settings.gpu.devices:
        require_device(device)
    try:
        asyncio.run(_serve(settings, token))
    except CardLost as error:  # another process may have more luck
        _complain(error)
        raise typer.Exit(1) from error


@cli.command()
def doctor(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Check machine, models and account, and say what to do."""
    from bot.doctor import Level, examine

    _quiet()
    problems = 0
    for finding in examine(config):
        problems += finding.level is Level.PROBLEM
        colour = {Level.FINE: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}[finding.level]
        told = Redactor()(finding.text)  # which an owner may show to others
        line = Text.assemble((finding.level, colour), f" {finding.subject:<19} {told}")
        out.print(line, soft_wrap=True)
    if problems:
        raise typer.Exit(1)


@cli.command()
def fetch(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Download the configured models, as far as they are not here."""
    from bot.fetch import fetch as fetch_models

    _quiet()
    settings = load_config(config)
    if not any(settings.models.checkpoints()):
        raise ConfigError(
            f"{config} names no models; add tables [models.…] as in config.example.toml."
        )
    errors = fetch_models(settings.models, settings.gpu.models_folder, out)
    for error in errors:
        _complain(error)
    if errors:
        raise typer.Exit(2)


@cli.command()
def measure(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Measure whether painting several at a time pays here."""
    from bot.device import require_device
    from bot.measure import measure as measure_cards

    _quiet()
    settings = load_config(config)
    for device in settings.gpu.devices:
        require_device(device)
    measure_cards(settings, out)


@cli.command()
def styles(
    drawing: Annotated[
        Path | None, typer.Argument(help="What each is painted of, instead of a star.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="What the drawing is to become.")] = "",
    anew: Annotated[bool, typer.Option("--anew", help="Also those that are there.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Paint the styles' previews, as far as they are not there."""
    from bot.styles import paint_previews

    settings = load_config(config)
    with _of_a_render(settings):
        paint_previews(settings, out, drawing, prompt, anew=anew)


@cli.command()
def sync(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Register the commands with Discord, changed or not."""
    settings = load_config(config)
    count = asyncio.run(_sync(settings, read_token(settings)))
    out.print(f"Discord knows {count} commands.")


@token_commands.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="Whose it is, or what for.", show_default=False)],
    daily_seconds: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=1e6,
            help="GPU-seconds a day before it waits behind others.",
            show_default="no end",
        ),
    ] = None,
    waiting: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Jobs that may wait or run at a time.",
            show_default="limits.waiting_per_member",
        ),
    ] = None,
    per_minute: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Requests a minute that make something.",
            show_default="web.per_minute",
        ),
    ] = None,
    weight: Annotated[float, typer.Option(min=0.1, max=100, help="Its share of the GPU.")] = 1.0,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Make a token and show it, once."""
    settings = load_config(config)
    secret = _tokens(settings).add(
        name,
        daily_seconds=daily_seconds,
        waiting=waiting,
        per_minute=per_minute,
        weight=weight,
    )
    out.print(secret, soft_wrap=True, markup=False)
    err.print("Keep it now: it is stored as a hash and cannot be shown again.", soft_wrap=True)
    if settings.web.port is None:
        err.print("Nothing asks for it yet: set web.port, then start the bot.", soft_wrap=True)


@token_commands.command("list")
def list_tokens(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Show which tokens there are, without what they are."""
    book = _tokens(load_config(config))
    tokens = book.all()
    if not tokens:
        out.print("There are none; `python -m bot token add NAME` makes one.", markup=False)
    for token in tokens:
        state = "revoked" if token.revoked_at is not None else "good"
        made = time.strftime("%Y-%m-%d", time.localtime(token.made_at))
        agreed = f"  ({token.agreed})" if token.agreed else ""
        line = f"{token.id:>3}  {state:<7}  {made}  {token.name}{agreed}"
        out.print(line, markup=False, soft_wrap=True)
    for what in book.damaged():
        err.print(f"atelier: {what}", markup=False, soft_wrap=True)


@token_commands.command("revoke")
def revoke_token(
    name: Annotated[str, typer.Argument(help="Its name.", show_default=False)],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Have a token be good for nothing from now on."""
    _tokens(load_config(config)).revoke(name)
    out.print(f"{name} is revoked.", markup=False, soft_wrap=True)


def _tokens(settings: Config) -> "TokenBook":
    from bot.tokens import TokenBook

    return TokenBook.in_storage(settings.storage.folder)


@render_commands.command()
def sketch(
    drawing: Annotated[Path, typer.Argument(help="A picture file.", show_default=False)],
    prompt: Annotated[str, typer.Option(help="What it is to become.")] = "",
    style: Annotated[str | None, typer.Option(help="A style of the configuration.")] = None,
    strength: Annotated[
        int, typer.Option(min=STRENGTH[0], max=STRENGTH[-1], help="How firmly the lines hold.")
    ] = USUAL_STRENGTH,
    lora: Lora = None,
    seed: Seed = None,
    config: ConfigFile = DEFAULT_CONFIG,
    output: Output = None,
) -> None:
    """Paint a drawing."""
    from bot.render import vetted

    settings = load_config(config)
    seed = seed_or_new(seed)
    with vetted(drawing, settings) as path:
        request = SketchRequest(
            drawing=path, prompt=prompt, style=style, strength=strength, lora=lora, seed=seed
        )
        _render(request, settings, output)


@render_commands.command()
def imagine(
    prompt: Annotated[str, typer.Argument(help="What to paint.", show_default=False)],
    negative: Annotated[str, typer.Option(help="What to leave out.")] = "",
    aspect: Annotated[Aspect, typer.Option(help="Width to height.")] = Aspect.SQUARE,
    lora: Lora = None,
    seed: Seed = None,
    config: ConfigFile = DEFAULT_CONFIG,
    output: Output = None,
) -> None:
    """Paint a prompt."""
    settings = load_config(config)
    seed = seed_or_new(seed)
    request = ImagineRequest(prompt=prompt, negative=negative, aspect=aspect, lora=lora, seed=seed)
    _render(request, settings, output)


@render_commands.command()
def animate(
    image: Annotated[
        Path | None, typer.Argument(help="A picture file.", show_default=False)
    ] = None,
    prompt: Annotated[str, typer.Option(help="Paint this first, instead of a file.")] = "",
    motion: Annotated[
        int, typer.Option(min=MOTION[0], max=MOTION[-1], help="How much moves.")
    ] = USUAL_MOTION,
    seed: Seed = None,
    config: ConfigFile = DEFAULT_CONFIG,
    output: Output = None,
) -> None:
    """Animate a picture, or a prompt."""
    from bot.render import vetted

    settings = load_config(config)
    seed = seed_or_new(seed)
    if image is None or prompt:
        request = AnimateRequest(image=image, prompt=prompt, motion=motion, seed=seed)
        _render(request, settings, output)
    else:
        with vetted(image, settings) as path:
            request = AnimateRequest(image=path, motion=motion, seed=seed)
            _render(request, settings, output)


@render_commands.command()
def describe(
    image: Annotated[Path, typer.Argument(help="A picture file.", show_default=False)],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Say what a picture shows."""
    from bot.render import vetted

    settings = load_config(config)
    with vetted(image, settings) as path:
        _render(DescribeRequest(image=path), settings)


@render_commands.command()
def upscale(
    image: Annotated[Path, typer.Argument(help="A picture file.", show_default=False)],
    scale: Annotated[int, typer.Option(help="How much larger: 2 or 4.")] = SCALES[0],
    config: ConfigFile = DEFAULT_CONFIG,
    output: Output = None,
) -> None:
    """Make a picture larger."""
    from bot.render import output_file, vetted

    settings = load_config(config)
    file = output_file(Kind.UPSCALE, f"{image.stem}-x{scale}", output)
    with vetted(image, settings, scale=scale) as path:
        _render(UpscaleRequest(image=path, scale=scale), settings, file)


def _render(request: Request, config: Config, output: Path | None = None) -> None:
    from bot.render import output_file, render

    # Where there is no chance, what is new is named by who asks for it, or is not a file.
    file = output if request.seed is None else output_file(request.kind, request.seed, output)
    with _of_a_render(config):
        render(request, config, file, out)


@contextmanager
def _of_a_render(config: Config) -> Iterator[None]:
    """Say an error in one line: exit code 1, or 130 where a person pressed Ctrl-C."""
    from bot.device import require_device

    _quiet()
    require_device(config.gpu.devices[0])
    try:
        yield
    except StartupError:
        raise
    except AtelierError as error:
        _complain(error)
        raise typer.Exit(130 if isinstance(error, Cancelled) else 1) from error


async def _serve(config: Config, token: str) -> None:
    """The bot, until a signal or its own end. A signal while it closes gives no more grace."""
    is_asked = False
    serving: asyncio.Task[None] | None = None
    hurry: list[asyncio.Task[None]] = []

    def stop() -> None:
        nonlocal is_asked
        is_asked = True
        if serving is None:
            return  # what is half open is opened first, and then closed in order
        if serving.cancelling() or app.is_closing:
            hurry.append(asyncio.create_task(app.close()))
        else:
            serving.cancel()

    with _on_signals(stop):
        from bot.app import App  # which takes long enough for a signal to come meanwhile

        app = await App.open(config)
        try:
            if not is_asked:
                serving = asyncio.create_task(app.serve(token))
                with suppress(asyncio.CancelledError):
                    await serving
        finally:
            await app.close()  # a signal may have come before it began to serve
    await asyncio.gather(*hurry)


@contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have what ends a program call `stop` on the event loop: a signal, or a terminal that closes.

    Not by the loop's own handlers, which Windows lacks.
    """
    loop = asyncio.get_running_loop()
    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):  # of which each system has some
        number = getattr(signal, name, None)
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            continue  # as by `nohup`
        before[number] = signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _sync(config: Config, token: str) -> int:
    """Register all commands, and say how many there are."""
    from bot.account import logged_in
    from bot.app import App

    app = await App.open(config)
    try:
        async with logged_in(app.client, token):
            await app.client.sync_commands(force=True)
        return len(app.client.tree.get_commands())
    finally:
        await app.close()


def _quiet() -> None:
    """Keep what libraries log off a terminal where a person reads findings and a bar."""
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity_error()
    set_up_logging(LogConfig(level="error"))


def _complain(error: AtelierError) -> None:
    # An owner may have put a token where its file is to be named.
    err.print(Redactor()(f"atelier: {error.sentence}"), markup=False, soft_wrap=True)
