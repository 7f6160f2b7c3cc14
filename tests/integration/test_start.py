"""What the log says when the bot starts."""

import asyncio
from pathlib import Path

import pytest

from bot.config import Config
from tests.integration.apps import serving
from tests.loopback import LoopbackDiscord
from tests.loopback.runner import Studio
from tests.tensors import lora


async def test_loras_that_are_not_offered_are_named_once(
    server: LoopbackDiscord,
    config: Config,
    studio: Studio,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "sketch").mkdir()
    (tmp_path / "sketch" / "ink.safetensors").write_bytes(lora())
    (tmp_path / "sketch" / "half.safetensors").write_bytes(lora()[:-1])
    (tmp_path / "sketch" / "old.ckpt").write_bytes(b"a pickle")
    models = config.models.model_copy(update={"loras": tmp_path})
    async with serving(server, config.model_copy(update={"models": models}), studio):
        async with asyncio.timeout(20):
            while "old.ckpt" not in caplog.text:  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(0.01)
    said = [line for line in caplog.messages if line.startswith("models.loras: ")]
    assert len(said) == 2
    assert "cannot be read" in said[0] and "Members are not offered it." in said[0]
    assert said[1].endswith("sketch/old.ckpt is no .safetensors file.")
