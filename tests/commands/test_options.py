"""Options that more than one command has."""

import asyncio
import threading
from pathlib import Path

import pytest

from bot.commands import options
from bot.commands.options import check_lora
from pipelines import loras
from pipelines.catalog import ModelKey
from pipelines.contract.errors import BadInput


async def test_a_lora_that_is_not_there_is_refused_but_a_slow_folder_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="There is no LoRA “Gold leaf” for /imagine"):
        await check_lora(tmp_path, ModelKey.IMAGINE, "Gold leaf")
    answers = threading.Event()
    monkeypatch.setattr(loras, "find", lambda *_: answers.wait())
    monkeypatch.setattr(options, "LOOK", 0.01)
    try:
        async with asyncio.timeout(10):
            await check_lora(tmp_path, ModelKey.IMAGINE, "Gold leaf")
    finally:
        answers.set()
