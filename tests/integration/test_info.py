"""/info reads back what a result says of itself."""

import io
from collections.abc import Mapping

import pytest
from PIL import Image

from bot.app import App
from bot.commands.info import IN_ALL, UNTOLD, in_words
from bot.languages import ENGLISH
from pipelines.contract.requests import MAX_PROMPT
from pipelines.facts import read_facts
from pipelines.media import encode_png
from tests.loopback import LoopbackDiscord, Member, Upload

PICTURE = Image.effect_noise((96, 64), 80).convert("RGB")


@pytest.mark.usefixtures("app")
async def test_a_result_says_how_it_was_made_to_whoever_asks_and_to_nobody_else(
    server: LoopbackDiscord, ada: Member
) -> None:
    await _is_told(
        server,
        ada,
        {"seed": 7, "prompt": "a *fox*", "shoe size": 41},
        ["**Prompt** a \\*fox\\*", "**Seed** 7", "**shoe size** 41"],
    )


@pytest.mark.usefixtures("app")
async def test_the_longest_prompts_are_told_whole(server: LoopbackDiscord, ada: Member) -> None:
    prompt, negative = "x" * MAX_PROMPT, "y" * MAX_PROMPT
    lines = [f"**Prompt** {prompt}", f"**Without** {negative}", "**Seed** 7"]
    await _is_told(server, ada, {"prompt": prompt, "negative": negative, "seed": 7}, lines)


async def _is_told(
    server: LoopbackDiscord, member: Member, facts: Mapping[str, str | int], lines: list[str]
) -> None:
    upload = Upload("imagine-7.png", encode_png(PICTURE, facts))
    used = await member.slash("info", file=upload)
    await server.wait_for(lambda: used.said)
    assert used.said.splitlines() == lines
    assert used.original is not None and used.original.ephemeral


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"\0\0\0\x18ftypmp42" + bytes(64)])
async def test_a_file_that_says_nothing(
    server: LoopbackDiscord, ada: Member, app: App, data: bytes
) -> None:
    used = await ada.slash("info", file=Upload("file.bin", data))
    await server.wait_for(lambda: used.said)
    assert used.said == str(UNTOLD)


def test_no_file_says_more_than_discord_takes() -> None:
    facts = {f"key {i}": "@everyone " * 200 for i in range(50)} | {"prompt": "a fox"}
    said = in_words(facts, ENGLISH)
    assert said.startswith("**Prompt** a fox\n")
    assert len(said) <= IN_ALL
    assert "@everyone" not in said


def test_a_photo_with_words_of_its_own_is_none_of_ours() -> None:
    data = io.BytesIO()
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0holiday"
    PICTURE.save(data, "JPEG", exif=exif)
    assert read_facts(data.getvalue()) == {}
