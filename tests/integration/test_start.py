"""What the log says when the bot starts."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from bot.app import App
from bot.config import Config
from bot.errors import StorageFailed
from tests.integration.apps import light_executor, serving
from tests.integration.shown import end_of
from tests.loopback import LoopbackDiscord, Member
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


async def test_a_disk_that_refuses_to_note_what_discord_was_told_does_not_end_the_start(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio
) -> None:
    app = await App.open(config, executors=[light_executor(studio)])
    await app.store.database._connection.execute("PRAGMA query_only = ON")
    task = asyncio.create_task(app.serve(server.token))
    try:
        await server.connected()
        refused = await ada.slash("imagine", prompt="a lighthouse")
        await server.wait_for(lambda: "storage failed" in refused.said)
        await app.store.database._connection.execute("PRAGMA query_only = OFF")
        await end_of(server, await ada.slash("imagine", prompt="a lighthouse"))
    finally:
        await app.close()
        task.cancel()
        with suppress(asyncio.CancelledError, StorageFailed):
            await task
    async with serving(server, config, studio):
        assert len(server.called("PUT", "/commands")) == 2  # that they were told was not noted
