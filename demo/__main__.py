"""`python -m demo`: the real bot in a simulated channel, for anyone to try."""

import asyncio
import io
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot.config import StorageConfig, WebConfig, load_config
from bot.errors import PortTaken
from bot.log import set_up_logging, spell_out
from demo.channel import Channel, Shown, open_channel, open_page
from demo.sample import draw_sample
from pipelines.contract.errors import AtelierError

HERE = Path(__file__).parent
OUT = HERE / "out"
WISH = "yellow on a purple background"
PROMPT = "a red star on a blue background"
console = Console(highlight=False)


def main(
    once: Annotated[
        bool, typer.Option("--once", help="Perform the three commands, save the results and end.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The page's port; 0 takes a free one.")
    ] = 8321,
) -> None:
    """Run the bot in a simulated Discord channel: no account, no GPU, no download."""
    spell_out()
    try:
        failed = asyncio.run(_demo(once=once, port=port))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return
    except AtelierError as error:
        Console(stderr=True).print(f"atelier: {error.sentence}", markup=False, soft_wrap=True)
        sys.exit(2)
    sys.exit(1 if failed else 0)


async def _demo(*, once: bool, port: int) -> int:
    """Open the channel, perform, and serve the page unless `once`. Returns how many failed."""
    _end_in_order()
    if not once:
        _require_free(port)
    config = load_config(HERE / "config.toml")
    set_up_logging(config.log)
    with tempfile.TemporaryDirectory(prefix="atelier-demo-") as folder:
        storage = StorageConfig(folder=Path(folder))
        web = WebConfig(port=None if once else 0, open=True)
        config = config.model_copy(update={"storage": storage, "web": web})
        async with open_channel(config) as channel:
            failed = await _perform_all(channel)
            if not once:
                async with open_page(channel, port) as page:
                    console.print(f"\nThe channel is at [bold]{page.url}[/bold]", soft_wrap=True)
                    console.print(
                        f"The studio is at [bold]{channel.app.studio}[/bold]", soft_wrap=True
                    )
                    console.print("Try /sketch, /imagine and /animate there. Ctrl-C ends the demo.")
                    await page.serve()
    return failed


def _end_in_order() -> None:
    """Have whoever ends the demo otherwise than by Ctrl-C leave nothing behind, either."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for name in ("SIGTERM", "SIGHUP"):
        with suppress(NotImplementedError, AttributeError):  # as on Windows
            loop.add_signal_handler(getattr(signal, name), task.cancel)


def _require_free(port: int) -> None:
    """Raise PortTaken before anything is painted for a page that cannot be served."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise PortTaken(
            f"The page cannot be at port {port} ({error.strerror}). End what uses it, or choose "
            "another: make demo PORT=8400."
        ) from error


async def _perform_all(channel: Channel) -> int:
    """The three commands, once each, their results saved under demo/out/."""
    drawing = io.BytesIO()
    draw_sample().save(drawing, "PNG")
    OUT.mkdir(exist_ok=True)
    (OUT / "drawing.png").write_bytes(drawing.getvalue())
    console.print("The bot is up. A member types three commands:")
    sketch = await channel.perform(
        "sketch", drawing=("drawing.png", drawing.getvalue()), prompt=WISH, seed=4
    )
    imagine = await channel.perform("imagine", prompt=PROMPT, seed=3)
    animate = await channel.perform("animate", prompt=PROMPT, seed=3)
    return sum(
        not _save(name, shown)
        for name, shown in (
            ("sketch.png", sketch),
            ("imagine.png", imagine),
            ("animate.mp4", animate),
        )
    )


def _save(name: str, shown: Shown) -> bool:
    """Save the first file of a result and print its line. Returns whether there was one."""
    command = "/" + Path(name).stem
    if not shown.files or Path(shown.files[0][0]).suffix != Path(name).suffix:
        console.print(f"[red]✗[/red] {command:9} {shown.sentence or 'showed no file'}")
        return False
    path = OUT / name
    path.write_bytes(shown.files[0][1])
    size = len(shown.files[0][1]) / 1024
    console.print(
        f"[green]✓[/green] {command:9} {_shown_path(path)}  {size:.0f} KiB  {shown.seconds:.1f} s"
    )
    return True


def _shown_path(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    typer.run(main)
