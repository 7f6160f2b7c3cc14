import io
import subprocess
import sys
from pathlib import Path

import av
from PIL import Image

ROOT = Path(__file__).parents[2]
OUT = ROOT / "demo" / "out"


def test_once_leaves_two_pictures_and_a_video_that_a_decoder_opens() -> None:
    for name in ("sketch.png", "imagine.png", "animate.mp4"):
        (OUT / name).unlink(missing_ok=True)

    run = subprocess.run(
        [sys.executable, "-m", "demo", "--once"], cwd=ROOT, capture_output=True, text=True
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
