import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
OUT = ROOT / "demo" / "out"


def test_once_leaves_two_pictures_and_a_video_that_a_decoder_opens() -> None:
    for name in ("sketch.png", "imagine.png", "animate.mp4"):
        (OUT / name).unlink(missing_ok=True)

    run = subprocess.run(
        [sys.executable, "-m", "demo", "--once"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},  # a pipe on Windows takes little more
        capture_output=True,
        text=True,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    for name in ("sketch.png", "imagine.png"):
        with Image.open(io.BytesIO((OUT / name).read_bytes())) as picture:
            picture.load()
            assert picture.size == (256, 256)
    with av.open(str(OUT / "animate.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert sum(1 for _ in video.decode(stream)) >= 14
    for command in ("/sketch", "/imagine", "/animate"):
        line = next(line for line in run.stdout.splitlines() if command in line)
        assert "KiB" in line and line.rstrip().endswith(" s")


def test_a_port_in_use_is_said_before_anything_is_painted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        run = subprocess.run(
            [sys.executable, "-m", "demo", "--port", str(port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"atelier: The page cannot be at port {port} (")


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """What is started by a job in a shell's background would ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_however_it_is_ended_nothing_is_left_behind(number: int, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "demo", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        assert "The bot is up" in demo.stdout.readline()
        assert list(tmp_path.iterdir())
        demo.send_signal(number)
        try:
            assert demo.wait(60) == 0
        finally:
            demo.kill()
        assert "Traceback" not in demo.stderr.read()
    assert list(tmp_path.iterdir()) == []
