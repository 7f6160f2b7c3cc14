"""Bad input gets a sentence that only its sender sees, and leaves no trace."""

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image
from simcord.actors import MemberActor
from simcord.backend.errors import SetupError

from bot.app import App
from bot.config import Config
from bot.ui.answers import APOLOGY
from pipelines import uploads
from tests.ui.channel import Channel, drawing, whispered
from tests.ui.fixtures import Ends, Moods

MIB = 2**20


def bomb(side: int = 12_000) -> bytes:
    """A PNG of side² pixels in some kilobytes."""
    row = zlib.compress(b"\0" + bytes(side // 8))
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", row), (b"IEND", b"")]
    packed = (
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def noise(side: int) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 90).save(file, "PNG")
    return file.getvalue()


async def refused(
    app: App, channel: Channel, member: MemberActor, command: str, **options: Any
) -> str:
    """Use a command that must be refused, and return the sentence."""
    result = await member.slash(channel.handle, command, **options)
    sentence = whispered(result)
    assert channel.shown() == []
    assert await app.store.waiting() == []
    return sentence


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (("letter.png", b"Dear bot, this is no picture."), "not a picture"),
        (("bomb.png", bomb()), "12000 × 12000 pixels"),
        (("half.png", drawing()[:300]), "damaged or incomplete"),
        (("dot.png", noise(4)), "only 4 × 4 pixels"),
        (("empty.png", b""), "not a picture"),
    ],
)
@pytest.mark.parametrize(
    ("command", "option"), [("sketch", "drawing"), ("animate", "image"), ("upscale", "image")]
)
async def test_a_file_that_cannot_be_used(
    app: App,
    channel: Channel,
    ada: MemberActor,
    command: str,
    option: str,
    file: tuple[str, bytes],
    says: str,
) -> None:
    assert says in await refused(app, channel, ada, command, **{option: file})


async def test_an_upload_over_the_limit_is_refused_before_it_is_read(
    channel: Channel, ada: MemberActor
) -> None:
    large = noise(1200)
    assert len(large) > MIB
    result = await ada.slash(channel.handle, "sketch", drawing=("large.png", large))
    assert result.ephemeral and not result.deferred
    assert whispered(result) == "This file has 1.3 MiB. Please send one of at most 1 MiB."


@pytest.mark.parametrize(
    ("command", "options", "says"),
    [
        ("animate", {}, "give a picture to animate, or a prompt"),
        ("animate", {"image": ("a.png", drawing()), "prompt": "waves"}, "not both"),
        ("imagine", {"prompt": "  \t "}, "the prompt is empty"),
        ("imagine", {"prompt": "\u200b\u202e\u0007"}, "the prompt is empty"),
        ("sketch", {"drawing": ("a.png", drawing()), "style": "@everyone"}, "no style"),
    ],
)
async def test_what_the_options_alone_show_to_be_wrong_is_refused_without_a_trace(
    app: App,
    channel: Channel,
    ada: MemberActor,
    command: str,
    options: dict[str, Any],
    says: str,
) -> None:
    result = await ada.slash(channel.handle, command, **options)
    assert result.ephemeral and not result.deferred
    assert says in whispered(result)
    assert await app.store.waiting() == []


async def test_discord_itself_takes_no_prompt_of_6000_characters(
    channel: Channel, ada: MemberActor
) -> None:
    with pytest.raises(SetupError):
        await ada.slash(channel.handle, "imagine", prompt="a" * 6000)
    with pytest.raises(SetupError):
        await ada.slash(channel.handle, "imagine", prompt="a", count=5)


async def test_too_many_jobs_of_one_member(
    app: App, channel: Channel, ada: MemberActor, bob: MemberActor, studio: Moods
) -> None:
    studio.gate.clear()
    for _ in range(3):
        await ada.slash(channel.handle, "imagine", prompt="a lighthouse")
    result = await ada.slash(channel.handle, "imagine", prompt="one too many")
    assert "3" in whispered(result)
    await bob.slash(channel.handle, "imagine", prompt="mine")
    assert len(channel.shown()) == 4


async def test_what_the_queue_refuses_leaves_no_file(
    app: App, channel: Channel, ada: MemberActor, studio: Moods
) -> None:
    studio.gate.clear()
    for _ in range(3):
        await ada.slash(channel.handle, "imagine", prompt="a lighthouse")
    result = await ada.slash(channel.handle, "sketch", drawing=("house.png", drawing()))
    assert "3" in whispered(result)
    assert list(app.files.folder.glob("*")) == []


async def test_what_would_become_too_large_is_refused_at_once(
    app: App, channel: Channel, ada: MemberActor
) -> None:
    image = "wide.png", drawing(3200, 1600)
    sentence = await refused(app, channel, ada, "upscale", image=image)
    assert "6400 × 3200 pixels, and at most 20 megapixels" in sentence
    assert list(app.files.folder.glob("*")) == []


class TestWithoutModels:
    @pytest.fixture
    def config(self, config: Config) -> Config:
        return config.model_copy(
            update={"models": config.models.model_copy(update={"imagine": None})}
        )

    async def test_a_command_that_is_not_set_up_says_so(
        self, app: App, channel: Channel, ada: MemberActor
    ) -> None:
        sentence = await refused(app, channel, ada, "imagine", prompt="a lighthouse")
        assert "not set up" in sentence
        sentence = await refused(app, channel, ada, "animate", prompt="waves")
        assert "not set up" in sentence


async def test_a_file_that_discord_does_not_hand_over(
    app: App, channel: Channel, ada: MemberActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel.env.backend.cdn, "get", lambda url: None)
    sentence = await refused(app, channel, ada, "sketch", drawing=("a.png", drawing()))
    assert sentence == "Discord did not hand over this file. Please upload it again."


async def test_what_nobody_foresaw_is_an_apology_and_a_line_in_the_log(
    app: App,
    channel: Channel,
    ada: MemberActor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def break_down(data: bytes, **options: object) -> bytes:
        raise ZeroDivisionError("a decoder's bug")

    monkeypatch.setattr(uploads, "vet", break_down)
    assert await refused(app, channel, ada, "sketch", drawing=("a.png", drawing())) == str(APOLOGY)
    assert "a decoder's bug" in caplog.text


HOSTILE = "@everyone <@1> **x** [free](https://evil.example) \u202e\u0000# not a heading"


async def test_hostile_words_ping_nobody_and_format_nothing(
    channel: Channel, ada: MemberActor, studio: Moods, ends: Ends
) -> None:
    studio.caption = f"a sign that says {HOSTILE}"
    await ada.slash(channel.handle, "sketch", drawing=("a.png", drawing()), prompt=HOSTILE)
    await ends.next()
    [message] = channel.shown()
    assert "@everyone" not in message.text
    assert r"\<@" in message.text and "<@1>" not in message.text
    assert r"\*\*x\*\*" in message.text
    assert r"\[free\](https\://evil.example)" in message.text
    assert "\u202e" not in message.text and "\u0000" not in message.text
    for request in channel.env.http_requests:
        if request.json and "components" in request.json:
            assert request.json["allowed_mentions"]["parse"] == []
