"""The three commands with nothing replaced: discord.py, the store, the thread, diffusers, PyAV."""

import asyncio
import io
import math
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from bot.app import App
from bot.config import Config, StorageConfig, load_config
from demo.judge import Verdict, iou, judge
from demo.sample import draw_sample
from demo.shapes.geometry import Shape
from demo.shapes.paint import paint
from demo.shapes.scene import Colour, Figure, Ground, Scene
from tests.integration.shown import button, end_of, jobs_of
from tests.loopback import LoopbackDiscord, Member, Message, Upload

PATIENCE = 120.0
DEMO = Path(__file__).parents[2] / "demo" / "config.toml"
PROMPT = "a red star on a blue background"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """As the demo has it."""
    config = load_config(DEMO)
    gpu = config.gpu.model_copy(update={"preload": False})
    storage = StorageConfig(folder=tmp_path / "data")
    return config.model_copy(update={"storage": storage, "gpu": gpu})


@pytest.fixture
async def app(server: LoopbackDiscord, config: Config) -> AsyncIterator[App]:
    app = await App.open(config)
    task = asyncio.create_task(app.serve(server.token))
    await server.connected()
    yield app
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def sample() -> Upload:
    data = io.BytesIO()
    draw_sample().save(data, "PNG")
    return Upload("drawing.png", data.getvalue())


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("sketch", {"drawing": sample(), "prompt": PROMPT}),
        ("imagine", {"prompt": PROMPT, "count": 2}),
        ("animate", {"image": sample()}),
        ("animate", {"prompt": PROMPT}),
    ],
)
async def test_what_a_member_asks_for_comes_back_as_a_file_that_a_decoder_opens(
    server: LoopbackDiscord, ada: Member, app: App, command: str, options: dict[str, Any]
) -> None:
    used = await ada.slash(command, **options, seed=7)
    message = await end_of(server, used, PATIENCE)
    [job_id] = jobs_of(message)
    job = await app.queue.get(job_id)
    count = options.get("count", 1)
    single, joined = message.files[:count], message.files[count:]
    assert [await app.files.read(a.path) for a in job.artifacts] == [f.data for f in single]
    assert [f.filename for f in joined] == (["grid-7.jpg"] if count > 1 else [])
    for file in single:
        decode = decode_video if command == "animate" else decode_picture
        decode(file.data)
    assert "seed" in message.text
    assert f"<@{ada.user.id}>" in message.text


def decode_picture(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.format == "PNG"


def decode_video(data: bytes) -> None:
    with av.open(io.BytesIO(data)) as video:
        stream = video.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert len(list(video.decode(stream))) >= 2
    assert data.index(b"moov") < data.index(b"mdat"), "not faststart: it would not play inline"


# --- what comes back is what was drawn and asked --------------------------------------------------


def seen(message: Message) -> Verdict:
    [file] = message.files
    return judge(Image.open(io.BytesIO(file.data)))


async def test_a_red_star_on_blue_is_one_and_again_is_another(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    used = await ada.slash("imagine", prompt="a red star on a blue background", seed=7)
    first = await end_of(server, used, PATIENCE)
    again = await end_of(server, await ada.press(first, button(first, "again")), PATIENCE)
    assert first.files[0].data != again.files[0].data
    [star] = seen(first).figures
    assert star.shape is Shape.STAR
    for message in (first, again):  # of another star nobody knows the seed, nor how it turns out
        verdict = seen(message)
        assert verdict.figures[0].colour is Colour.RED
        assert verdict.ground is Colour.BLUE


async def test_a_drawn_heart_comes_back_as_a_heart_where_it_was_drawn(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    wish = "yellow on a purple background"
    used = await ada.slash("sketch", drawing=sample(), prompt=wish, strength=100, seed=7)
    message = await end_of(server, used, PATIENCE)
    assert "a heart" in message.text
    verdict = seen(message)
    [heart] = verdict.figures
    assert (heart.shape, heart.colour) == (Shape.HEART, Colour.YELLOW)
    assert verdict.ground is Colour.PURPLE
    assert iou(verdict.silhouette, judge(draw_sample()).silhouette) > 0.7


async def test_the_subject_of_a_video_is_that_of_its_picture(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    scene = Scene((Figure(Shape.STAR, Colour.RED, radius=0.22),), Ground(Colour.BLUE))
    data = io.BytesIO()
    paint(scene).save(data, "PNG")
    upload = Upload("star.png", data.getvalue())
    used = await ada.slash("animate", image=upload, motion=255, seed=7)
    message = await end_of(server, used, PATIENCE)
    with av.open(io.BytesIO(message.files[0].data)) as video:
        verdicts = [judge(frame.to_image()) for frame in video.decode(video=0)]
    assert verdicts[0].shows(scene)
    for verdict in verdicts:
        assert (verdict.ground, verdict.figures[0].colour) == (Colour.BLUE, Colour.RED)
    assert sum(verdict.shows(scene) for verdict in verdicts) >= 0.9 * len(verdicts)
    at = [(verdict.figures[0].x, verdict.figures[0].y) for verdict in verdicts]
    assert max(math.dist(at[0], place) for place in at) > 0.03
