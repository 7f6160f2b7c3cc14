"""/styles: the looks that there are, a page at a time."""

import io
from pathlib import Path

import pytest
from PIL import Image
from simcord.actors import MemberActor

from bot.app import App
from bot.config import Config
from bot.ui.styles import A_PAGE
from pipelines.catalog import Style
from tests.ui.channel import Channel, Shown

SEEN = "Soft *washes*"


@pytest.fixture
def config(config: Config, tmp_path: Path) -> Config:
    """Ten styles: the first has a preview, the second one that is no picture."""
    Image.new("RGB", (900, 600), "teal").save(tmp_path / "seen.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    styles = {f"style {i}": Style() for i in range(3, A_PAGE + 3)}
    styles = {
        "seen": Style(description=SEEN, preview=tmp_path / "seen.png"),
        "broken": Style(preview=tmp_path / "broken.png"),
        **styles,
    }
    models = config.models.model_copy(update={"styles": styles})
    return config.model_copy(update={"models": models})


async def test_the_catalogue_is_looked_through(channel: Channel, ada: MemberActor) -> None:
    result = await ada.slash(channel.handle, "styles")
    assert result.response is not None and result.response.ephemeral
    shown = Shown(channel.env, result.response.message)
    assert shown.text.splitlines()[1:4] == ["**seen**", r"Soft \*washes\*", "**broken**"]
    [picture] = await shown.thumbnails()
    with Image.open(io.BytesIO(picture)) as opened:
        assert (opened.format, max(opened.size)) == ("WEBP", 256)
    assert shown.buttons == ["More"]
    await ada.click(shown.message, label="More")
    assert shown.text.splitlines()[-1] == f"**style {A_PAGE + 2}**"
    assert await shown.thumbnails() == [] and shown.buttons == ["Back"]
    await ada.click(shown.message, label="Back")
    assert len(await shown.thumbnails()) == 1


async def test_what_is_said_of_a_style_is_offered_with_it(
    channel: Channel, ada: MemberActor, app: App
) -> None:
    [choice] = await ada.autocomplete(channel.handle, "sketch", "style", "WASHES")
    assert (choice["name"], choice["value"]) == (f"seen – {SEEN}", "seen")
