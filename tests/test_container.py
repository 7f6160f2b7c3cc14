"""What can be known of the container without building it: that nothing is missing in it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COPIED = [
    name for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.M) for name in line.split()
]


def test_the_build_is_sent_what_it_copies_and_nothing_else() -> None:
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.M)
    assert sorted(let_through) == sorted(COPIED)


def test_what_is_copied_is_a_whole_bot(tmp_path: Path) -> None:
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    modules = "bot.app, bot.doctor, bot.fetch, bot.measure, bot.render, pipelines.runner"
    show = f"import bot, {modules}; from pathlib import Path; print(Path(bot.__file__).parent)"
    for arguments, told in (
        (["-c", show], str(tmp_path / "bot")),
        (["-m", "bot", "run"], "Copy config.example.toml to config.toml"),
    ):
        ended = subprocess.run(
            [sys.executable, *arguments], cwd=home, env=environment, capture_output=True, text=True
        )
        assert told in ended.stdout + ended.stderr


def test_the_owners_folder_is_the_home_of_the_container() -> None:
    [home] = re.findall(r"\bHOME=(\S+)", DOCKERFILE)
    assert f"WORKDIR {home}\n" in DOCKERFILE
    assert f"target: {home}\n" in (ROOT / "compose.yaml").read_text("utf-8")
