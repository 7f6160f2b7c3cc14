"""`render`, with small models of the real classes."""

import errno
import io
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from bot.cli import cli
from bot.config import Config
from bot.render import _save, output_file
from bot.styles import paint_previews
from pipelines.catalog import Catalog, Style
from pipelines.contract.artifact import Artifact, MediaType
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import Kind
from tests.cli.command import command, python, surroundings
from tests.pipelines.adapters import imagine_lora
from tests.pipelines.sheets import heart, inked, photographed
from tests.strangers import locked, visible_folder

CONFIG = """
[models.caption]
source = "{models}/blip"
[models.sketch]
source = "{models}/sdxl"
conditioner = {{source = "{models}/sdxl-adapter", type = "t2i-adapter"}}
steps = {steps}
size = 256
[models.imagine]
source = "{models}/sd3"
steps = {steps}
size = 256
text_tokens = 32
[models.animate]
source = "{models}/svd"
steps = 2
frames = 3
width = 256
height = 256
[models.upscale]
source = "{models}/upscaler"
[models.styles.ink]
frame = "ink drawing of {{prompt}}"
"""


@pytest.fixture
def here(models: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with a configuration and a drawing, in which the test runs."""
    (tmp_path / "config.toml").write_text(CONFIG.format(models=models, steps=3))
    photographed(inked(heart(), (20, 20, 60))).save(tmp_path / "heart.jpg")
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def rendered(*words: str) -> str:
    """What `render` writes; it must succeed."""
    ended = CliRunner().invoke(cli, ["render", *words])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def facts(said: str) -> dict[str, str]:
    lines = [line.split(maxsplit=1) for line in said.splitlines() if line.strip()]
    return {line[0]: line[1] for line in lines}


def test_imagine_and_the_same_seed_again(here: Path) -> None:
    said = facts(rendered("imagine", "a red star", "--seed", "7", "--aspect", "16:9"))
    assert said["prompt"] == "a red star"
    assert said["seed"] == "7"
    assert float(said["seconds"]) > 0
    assert said["saved"].startswith("imagine-7.png (")
    rendered("imagine", "a red star", "--seed", "7", "--aspect", "16:9", "-o", "again.png")
    picture = Image.open(here / "imagine-7.png")
    assert picture.width > picture.height
    assert (here / "imagine-7.png").read_bytes() == (here / "again.png").read_bytes()


def test_sketch_as_webp(here: Path) -> None:
    said = facts(
        rendered("sketch", "heart.jpg", "--prompt", "a heart", "--style", "ink", "-o", "s.webp")
    )
    assert said["caption"]
    assert said["style"] == "ink"
    assert said["strength"] == "70"
    with Image.open(here / "s.webp") as picture:
        assert picture.format == "WEBP"
        assert picture.size == (256, 256)


def test_imagine_with_a_lora(here: Path, models: Path) -> None:
    config = here / "config.toml"
    config.write_text(f'models.loras = "loras"\n{config.read_text()}')
    imagine_lora(models, here / "loras" / "imagine" / "gold.safetensors")
    said = facts(rendered("imagine", "a red star", "--lora", "gold"))
    assert said["lora"] == "gold"


def test_animate_a_picture(here: Path) -> None:
    said = facts(rendered("animate", "heart.jpg", "--motion", "40", "--seed", "5"))
    assert said["motion"] == "40"
    with av.open(io.BytesIO((here / "animate-5.mp4").read_bytes())) as video:
        assert len(list(video.decode(video=0))) == 3


def test_describe_says_it_and_saves_nothing(here: Path) -> None:
    before = set(here.iterdir())
    said = facts(rendered("describe", "heart.jpg"))
    assert said["caption"] and "saved" not in said
    assert set(here.iterdir()) == before


def test_upscale_a_picture(here: Path) -> None:
    Image.new("RGB", (60, 40), "red").save(here / "flag.png")
    said = facts(rendered("upscale", "flag.png", "--scale", "4"))
    assert said["scale"] == "4"
    assert said["saved"] == "upscale-flag-x4.png (240 × 160)"
    with Image.open(here / "upscale-flag-x4.png") as picture:
        assert picture.size == (240, 160)


def test_a_failed_render_is_one_line_and_exit_code_1(here: Path) -> None:
    Image.new("RGB", (64, 64), "white").save(here / "blank.png")
    ended = CliRunner().invoke(cli, ["render", "sketch", "blank.png"])
    assert ended.exit_code == 1
    assert ended.stderr.startswith("atelier: The drawing is blank")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sketch", "absent.png"], "absent.png cannot be read"),
        (["sketch", "config.toml"], "not a picture"),
        (["sketch", "heart.jpg", "-o", "s.mp4"], "saved as .png, .webp or .jpg"),
        (["sketch", "heart.jpg", "--style", "oil"], "There is no style “oil”"),
        (["animate", "heart.jpg", "-o", "a.png"], "saved as .mp4"),
        (["upscale", "heart.jpg", "--scale", "3"], "2 or 4 times as large, not 3 times"),
        (["upscale", "heart.jpg", "-o", "a.mp4"], "saved as .png, .webp or .jpg"),
        (["animate"], "a picture to animate, or a prompt"),
        (["animate", "heart.jpg", "--prompt", "a fox"], "not both"),
        (["imagine", ""], "the prompt is empty"),
        (["imagine", "x" * 6000], "keep the prompt to 1000 characters or fewer"),
        (["imagine", "a fox", "-o", "no/folder/x.png"], "there is no folder no/folder"),
        (["imagine", "a fox", "-o", "folder.png"], "folder.png is a folder; name a file in it"),
        (["imagine", "a fox", "--config", "other.toml"], "other.toml: there is no such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(here: Path, words: list[str], said: str) -> None:
    (here / "folder.png").mkdir()
    ended = CliRunner().invoke(cli, ["render", *words])
    assert ended.exit_code in (1, 2)
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not list(here.glob("*-*.png"))


@pytest.mark.parametrize("words", [["--seed", "-1"], ["--seed", "4294967296"], ["--aspect", "3:1"]])
def test_options_out_of_range(here: Path, words: list[str]) -> None:
    assert CliRunner().invoke(cli, ["render", "imagine", "a fox", *words]).exit_code == 2


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("", "atelier: models.imagine is not configured."),
        (
            'models.imagine = {source = "acme/sd"}',
            "atelier: models.imagine: acme/sd is not on this machine. Run `python -m bot fetch`.",
        ),
    ],
)
def test_a_model_that_is_not_there(here: Path, config: str, said: str) -> None:
    (here / "config.toml").write_text(config)
    ended = CliRunner().invoke(cli, ["render", "imagine", "a fox"])
    assert ended.exit_code == 1
    assert ended.stderr.startswith(said)
    assert len(ended.stderr.splitlines()) == 1


def test_a_device_that_is_not_here(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('gpu.device = "cuda:63"')
    ended = command("render", "imagine", "a fox", cwd=tmp_path)
    assert ended.code == 2
    assert "no such device" in ended.complaint


def test_styles_are_painted_where_they_are_not_yet(here: Path) -> None:
    ended = CliRunner().invoke(cli, ["styles"])
    assert ended.exit_code == 2
    assert 'Add a line such as preview = "styles/ink.webp"' in ended.stderr
    with Path("config.toml").open("a") as config:
        config.write('preview = "looks/ink.webp"\n')
    for said in (str(here / "looks" / "ink.webp"), "is there already"):
        ended = CliRunner().invoke(cli, ["styles"])
        assert ended.exit_code == 0, ended.output
        assert said in ended.stdout
    with Image.open("looks/ink.webp") as picture:
        assert picture.size == (256, 256) and len(picture.getexif()) == 0


def test_ctrl_c_cancels_between_two_steps(here: Path, models: Path) -> None:
    (here / "config.toml").write_text(CONFIG.format(models=models, steps=200))
    screen, terminal = pty.openpty()
    words = [*python(), "render", "imagine", "a fox", "-o", "fox.png"]
    with subprocess.Popen(
        words, cwd=here, env=surroundings(TERM="xterm"), stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        seen = _read_until(screen, b" of 200", 60)
        process.send_signal(signal.SIGINT)
        seen += _read_until(screen, b"cancelled", 60)
        assert process.wait(30) == 130
    os.close(screen)
    assert b"atelier: This job was cancelled." in seen
    assert b"Traceback" not in seen
    assert not (here / "fox.png").exists()


def _read_until(screen: int, sign: bytes, seconds: float) -> bytes:
    seen, deadline = b"", time.monotonic() + seconds
    while sign not in seen:
        ready, _, _ = select.select([screen], [], [], max(0, deadline - time.monotonic()))
        assert ready, seen
        seen += os.read(screen, 65536)
    return seen


def test_a_file_that_may_not_be_written_is_said_before_anything_is_painted() -> None:
    with visible_folder() as folder:
        (folder / "x.png").touch()
        with locked(folder / "x.png"), pytest.raises(BadInput, match="may not be written"):
            output_file(Kind.IMAGINE, 7, folder / "x.png")
        with locked(folder), pytest.raises(BadInput, match="may not be written"):
            output_file(Kind.IMAGINE, 7, folder / "y.png")
        looks = Catalog(styles={"ink": Style(preview=folder / "x.png" / "ink.webp")})
        with pytest.raises(BadInput, match=r"ink\.webp cannot be written: (Not a dir|File exists)"):
            paint_previews(Config(models=looks), Console(), None, "", anew=False)


def test_a_disk_that_is_full_while_a_video_is_encoded_is_named(tmp_path: Path) -> None:
    def encode(_: object) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/video.mp4")

    video = Artifact(
        encode=encode, media_type=MediaType.MP4, name="animate-7.mp4", width=64, height=64
    )
    with pytest.raises(BadInput, match=r"^/tmp/video\.mp4 cannot be written: No space left on"):
        _save(video, tmp_path / "x.mp4")


def test_a_name_is_found_that_overwrites_nothing(here: Path) -> None:
    assert output_file(Kind.IMAGINE, 7, None) == Path("imagine-7.png")
    Path("imagine-7.png").touch()
    Path("imagine-7-2.png").touch()
    assert output_file(Kind.IMAGINE, 7, None) == Path("imagine-7-3.png")
    assert output_file(Kind.ANIMATE, 7, None) == Path("animate-7.mp4")
    assert output_file(Kind.SKETCH, 7, Path("x.JPG")) == Path("x.JPG")
