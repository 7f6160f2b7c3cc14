"""What cannot start says so in one line, with exit code 2; what can is quick."""

import asyncio
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from bot.cli import _on_signals
from bot.jobs.store import Store
from tests.cli.command import ROOT, Ended, command, surroundings
from tests.loopback import LoopbackDiscord

TOKEN = "a-token"
HEAVY = {"torch", "diffusers", "transformers", "accelerate", "peft"}
HEAVY_FOR_HELP = {"discord", "aiohttp", "huggingface_hub", "numpy", "PIL", "av", "babel"}


def run(folder: Path, config: str = "", token: str = TOKEN, discord: str | None = None) -> Ended:
    """`python -m bot run` in `folder` with a configuration that logs little."""
    (folder / "config.toml").write_text(f'log.level = "error"\n{config}')
    return command("run", cwd=folder, discord=discord, ATELIER_TOKEN=token)


def test_without_a_configuration(tmp_path: Path) -> None:
    ended = command("run", cwd=tmp_path)
    assert ended.code == 2
    assert "config.toml: there is no such file. Copy config.example.toml" in ended.complaint


def test_an_unknown_key(tmp_path: Path) -> None:
    ended = run(tmp_path, 'gpu.devise = "cuda"')
    assert ended.code == 2
    assert "gpu.devise: there is no such key; did you mean gpu.device?" in ended.complaint


def test_without_a_token(tmp_path: Path) -> None:
    ended = run(tmp_path, token="")
    assert ended.code == 2
    assert "There is no bot token. Set ATELIER_TOKEN" in ended.complaint


def test_a_token_in_the_place_of_its_file_is_not_shown(tmp_path: Path) -> None:
    token = f"{'a' * 24}.{'b' * 6}.{'c' * 27}"
    ended = run(tmp_path, f'discord.token_file = "{token}"', token="")
    assert ended.code == 2
    assert ended.complaint == (
        f"The token file {tmp_path}/[redacted] cannot be read: No such file or directory."
    )
    checked = command("doctor", cwd=tmp_path)
    assert f"The token file {tmp_path}/[redacted] cannot be read" in checked.out


async def test_a_token_that_discord_refuses(tmp_path: Path) -> None:
    async with LoopbackDiscord() as server:
        ended = await asyncio.to_thread(run, tmp_path, token="wrong", discord=server.base)
    assert ended.code == 2
    assert "Discord refuses the bot token" in ended.complaint


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run(tmp_path, f"metrics.port = {port}")
    assert ended.code == 2
    assert f"another program uses 127.0.0.1:{port}" in ended.complaint


async def test_a_second_instance(tmp_path: Path) -> None:
    first = await Store.open(tmp_path / "data/jobs.sqlite3", tmp_path / "data/files")
    try:
        ended = await asyncio.to_thread(run, tmp_path)
    finally:
        await first.close()
    assert ended.code == 2
    assert "already running" in ended.complaint


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_without_cuda(tmp_path: Path) -> None:
    ended = run(tmp_path, 'gpu.device = "cuda"')
    assert ended.code == 2
    assert "gpu.device is 'cuda', but this machine has no such device" in ended.complaint


AS_ON_WINDOWS = "del asyncio.SelectorEventLoop.add_signal_handler\n"


@pytest.mark.parametrize(
    ("number", "system"), [("SIGINT", ""), ("SIGINT", AS_ON_WINDOWS), ("SIGHUP", "")]
)
def test_a_signal_while_it_starts(tmp_path: Path, number: str, system: str) -> None:
    (tmp_path / "config.toml").write_text('log.level = "error"')
    script = (
        f"import asyncio, os, signal\n{system}"
        f"signal.signal(signal.{number}, signal.SIG_DFL)\n"  # whatever these tests were begun with
        "from bot.cli import cli\n"
        "from bot.jobs.store import Store\n"
        "opened = Store.open\n"
        "async def opening(*files):\n"
        f"    os.kill(os.getpid(), signal.{number})\n"
        "    return await opened(*files)\n"
        "Store.open = opening\n"
        "cli(['run'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=surroundings(ATELIER_TOKEN=TOKEN),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert (tmp_path / "data" / "jobs.sqlite3").exists()


async def test_a_terminal_that_closes_ends_nothing_that_nohup_started() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _on_signals(lambda: None):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_storage_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    ended = run(tmp_path, 'storage.folder = "taken"')
    assert ended.code == 2
    assert "taken" in ended.complaint


def test_help_names_every_command_and_imports_nothing_heavy(tmp_path: Path) -> None:
    ended = command("--help", cwd=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert ended.code == 0
    for word in ("run", "doctor", "fetch", "sync", "render"):
        assert f"\n  {word} " in ended.out
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in ended.err.splitlines()}
    assert "typer" in imported
    assert imported & (HEAVY | HEAVY_FOR_HELP) == set()


def test_each_command_is_told_in_a_whole_line(tmp_path: Path) -> None:
    for words in ((), ("render",), ("token",)):
        ended = command(*words, "--help", cwd=tmp_path, COLUMNS="80")
        assert "..." not in ended.out.partition("Commands:")[2], ended.out


def test_what_holds_without_an_option_is_told(tmp_path: Path) -> None:
    for words, held in (
        (("token", "add"), ("limits.waiting_per_member", "web.per_minute")),
        (("render", "imagine"), ("1:1", "a new file here")),
    ):
        told = " ".join(command(*words, "--help", cwd=tmp_path).out.split())
        for default in held:
            assert f"[default: ({default})" in told or f"[default: {default}]" in told, told


def test_signs_that_stdout_cannot_take_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    name = "ada ✓ " + "x" * 54
    assert command("token", "add", name, "--waiting", "3", cwd=tmp_path).code == 0
    listed = command("token", "list", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert listed.code == 0
    [line] = listed.out.splitlines()
    assert line.endswith(rf"  ada \N{{CHECK MARK}} {'x' * 54}  (3 waiting)")


def test_the_versions(tmp_path: Path) -> None:
    ended = command("--version", cwd=tmp_path)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert ended.out.startswith(f"Atelier {project['version']} on Python 3.")
    assert "\ntorch 2." in ended.out


def test_a_typing_mistake_is_no_traceback(tmp_path: Path) -> None:
    ended = command("rnu", cwd=tmp_path)
    assert ended.code == 2
    assert "rnu" in ended.err


def test_nothing_heavy_is_imported_before_the_commands_are_ready(tmp_path: Path) -> None:
    script = (
        "import sys, bot.cli, bot.app, bot.log, bot.device, bot.metrics\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    out = subprocess.check_output(
        [sys.executable, "-c", script], cwd=tmp_path, env=surroundings(), text=True
    )
    assert out == "[]\n"


async def test_sync_registers_every_command(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    async with LoopbackDiscord() as server:
        for _ in range(2):  # the second time too, though nothing has changed
            ended = await asyncio.to_thread(
                command, "sync", cwd=tmp_path, discord=server.base, ATELIER_TOKEN=server.token
            )
            assert (ended.code, ended.err) == (0, "")
            assert ended.out == f"Discord knows {len(server.state.commands)} commands.\n"
        assert len(server.state.commands) >= 3
        puts = [call for call in server.calls if call.method == "PUT"]
        assert len(puts) >= 2


async def test_sync_with_a_token_that_discord_refuses(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    async with LoopbackDiscord() as server:
        ended = await asyncio.to_thread(
            command, "sync", cwd=tmp_path, discord=server.base, ATELIER_TOKEN="wrong"
        )
    assert ended.code == 2
    assert "Discord refuses the bot token" in ended.complaint


def test_sync_without_discord(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ended = command(
        "sync", cwd=tmp_path, discord=f"http://127.0.0.1:{port}", ATELIER_TOKEN="some-token"
    )
    assert ended.code == 2
    assert "Discord gave no useful answer" in ended.complaint
