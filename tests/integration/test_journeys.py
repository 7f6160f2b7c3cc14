"""The three commands with nothing replaced: discord.py, the store, the thread, diffusers, PyAV."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from bot.app import App
from bot.config import Config, GpuConfig, StorageConfig
from demo.sample import draw_sample
from pipelines.catalog import Catalog
from tests.integration.shown import end_of, jobs_of
from tests.loopback import LoopbackDiscord, Member, Upload

PATIENCE = 120.0
PROMPT = "a red star on a blue background"


@pytest.fixture
def config(tmp_path: Path, tiny_catalog: Catalog) -> Config:
    return Config(
        storage=StorageConfig(folder=tmp_path / "data"),
        gpu=GpuConfig(device="cpu", preload=False),
        models=tiny_catalog,
    )


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
    assert [await app.files.read(a.path) for a in job.artifacts] == [f.data for f in message.files]
    assert len(message.files) == options.get("count", 1)
    for file in message.files:
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
