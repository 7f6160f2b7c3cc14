"""The three commands, from the slash to the picture in the channel."""

import io
import json
import re
from dataclasses import replace

import av
import pytest
from PIL import Image
from simcord.actors import MemberActor

from bot.app import App
from bot.ui import progress
from pipelines.contract.requests import (
    AnimateRequest,
    Aspect,
    DescribeRequest,
    ImagineRequest,
    SketchRequest,
    UpscaleRequest,
)
from pipelines.facts import read_facts
from pipelines.media import open_picture
from tests.loopback.runner import paint
from tests.tensors import SD3_LAYER, SDXL_LAYER, lora
from tests.ui.channel import Channel, Shown, drawing, whispered
from tests.ui.fixtures import Ends, Moods


def words(message: Shown) -> list[str]:
    """The lines of a message, with a blank for the seconds that it took."""
    return re.sub(r"\d+(\.\d)? s ", "… s ", message.text).splitlines()


async def test_imagine_ends_in_the_pictures_and_what_was_asked(
    channel: Channel, ada: MemberActor, studio: Moods, ends: Ends
) -> None:
    result = await ada.slash(
        channel.handle,
        "imagine",
        prompt="a lighthouse",
        negative="people",
        aspect="16:9",
        count=2,
        seed=7,
    )
    await ends.next()
    [message] = channel.shown()
    [request] = studio.runs
    assert request == ImagineRequest(
        prompt="a lighthouse", negative="people", aspect=Aspect.WIDE, count=2, seed=7
    )
    assert result.response is not None and result.response.id == message.message.id
    assert await message.files() == [artifact.data for artifact in paint(request)]
    assert message.alt_texts == ["a lighthouse", "a lighthouse"]
    [(name, grid)] = (await message.beside()).items()
    assert name == "grid-7.jpg"
    assert Image.open(io.BytesIO(grid)).size == (130, 64)
    assert read_facts(grid) == {"prompt": "a lighthouse", "seed": "7, 8"}
    assert words(message) == [
        "a lighthouse",
        "-# without: people",
        f"-# `/imagine` · 16:9 · seeds 7–8 · … s · for <@{ada.id}>",
    ]
    assert message.buttons == ["Again", "Vary", "Upscale", "Edit…", "Animate", "Delete"]


async def test_sketch_shows_the_caption_that_was_used(
    channel: Channel, ada: MemberActor, studio: Moods, ends: Ends
) -> None:
    await ada.slash(
        channel.handle,
        "sketch",
        drawing=("my house.png", drawing()),
        prompt="a cosy cabin",
        style="watercolour",
        strength=90,
        seed=7,
    )
    await ends.next()
    [message] = channel.shown()
    [request] = studio.runs
    assert isinstance(request, SketchRequest)
    assert open_picture(request.drawing).size == (200, 150)
    assert words(message) == [
        "a cosy cabin",
        "-# caption: a drawing of a house",
        f"-# `/sketch` · watercolour · strength 90 · seed 7 · … s · for <@{ada.id}>",
    ]
    [picture] = await message.files()
    assert Image.open(io.BytesIO(picture)).format == "PNG"


async def test_sketch_needs_a_drawing_only(
    channel: Channel, ada: MemberActor, studio: Moods, ends: Ends
) -> None:
    await ada.slash(channel.handle, "sketch", drawing=("house.png", drawing()))
    await ends.next()
    [message] = channel.shown()
    [request] = studio.runs
    assert (request.prompt, request.style, request.strength) == ("", None, 70)  # type: ignore[union-attr]
    assert message.alt_texts == ["a drawing of a house"]


@pytest.mark.parametrize("options", [{"image": ("house.png", drawing())}, {"prompt": "waves"}])
async def test_animate_ends_in_a_video_that_plays(
    channel: Channel,
    ada: MemberActor,
    studio: Moods,
    ends: Ends,
    options: dict[str, object],
) -> None:
    await ada.slash(channel.handle, "animate", motion=200, seed=7, **options)
    await ends.next()
    [message] = channel.shown()
    [request] = studio.runs
    assert isinstance(request, AnimateRequest)
    assert (request.image is None) == ("prompt" in options)
    [video] = await message.files()
    with av.open(io.BytesIO(video)) as opened:
        assert len(list(opened.decode(video=0))) == 6
    details = f"-# `/animate` · motion 200 · seed 7 · … s · for <@{ada.id}>"
    assert words(message) == [*([request.prompt] if request.prompt else []), details]


async def test_describe_shows_the_picture_and_what_it_shows(
    channel: Channel, ada: MemberActor, studio: Moods, ends: Ends
) -> None:
    await ada.slash(channel.handle, "describe", image=("house.png", drawing()))
    job = await ends.next()
    [message] = channel.shown()
    [request] = studio.runs
    assert isinstance(request, DescribeRequest)
    assert await message.files() == [request.image.read_bytes()]
    assert job.artifacts[0].path == request.image  # it is kept once
    assert words(message) == ["a drawing of a house", f"-# `/describe` · … s · for <@{ada.id}>"]
    assert message.buttons == ["Imagine it…", "Sketch", "Upscale", "Animate", "Delete"]


async def test_a_review_asks_before_it_paints(
    channel: Channel, ada: MemberActor, studio: Moods, ends: Ends
) -> None:
    await ada.slash(channel.handle, "sketch", drawing=("house.png", drawing()), review=True, seed=7)
    await ends.next()
    [review] = channel.shown()
    assert review.buttons == ["Go", "Edit…", "Delete"]
    await ada.click(review.message, label="Go")
    await ends.next()
    [_, painted] = channel.shown()
    reviewed, request = studio.runs
    assert isinstance(reviewed, SketchRequest)
    assert request == replace(reviewed, review=False, caption="a drawing of a house")
    assert painted.buttons == ["Again", "Vary", "Upscale", "Edit…", "Animate", "Delete"]


async def test_upscale_ends_in_a_larger_picture(
    channel: Channel, ada: MemberActor, studio: Moods, ends: Ends
) -> None:
    await ada.slash(channel.handle, "upscale", image=("house.png", drawing()))
    await ends.next()
    [message] = channel.shown()
    assert isinstance(studio.runs[0], UpscaleRequest)
    assert words(message) == [f"-# `/upscale` · upscaled ×2 · 400 × 300 · … s · for <@{ada.id}>"]
    [picture] = await message.files()
    assert Image.open(io.BytesIO(picture)).size == (400, 300)
    assert message.buttons == ["Animate", "Delete"]


async def test_without_a_seed_every_job_has_its_own(
    channel: Channel, ada: MemberActor, studio: Moods, ends: Ends
) -> None:
    for _ in range(3):
        await ada.slash(channel.handle, "imagine", prompt="a lighthouse")
        await ends.next()
    assert len({request.seed for request in studio.runs}) == 3


async def test_an_animated_gif_counts_as_its_first_frame(
    channel: Channel, ada: MemberActor, studio: Moods, ends: Ends
) -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    gif = io.BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    await ada.slash(channel.handle, "animate", image=("party.gif", gif.getvalue()))
    await ends.next()
    [request] = studio.runs
    assert isinstance(request, AnimateRequest) and request.image is not None
    assert open_picture(request.image).getpixel((5, 5)) == (255, 0, 0)


async def test_styles_are_completed_while_they_are_typed(
    channel: Channel, ada: MemberActor
) -> None:
    all_of_them = await ada.autocomplete(channel.handle, "sketch", "style", "")
    assert [c["name"] for c in all_of_them] == ["watercolour", "oil painting", "pixel art"]
    some = await ada.autocomplete(channel.handle, "sketch", "style", "OIL")
    assert [c["value"] for c in some] == ["oil painting"]


@pytest.mark.parametrize(
    ("command", "options"),
    [("sketch", {"drawing": ("house.png", drawing())}), ("imagine", {"prompt": "a house"})],
)
async def test_loras_are_those_that_are_in_the_folder_now(
    app: App,
    channel: Channel,
    ada: MemberActor,
    studio: Moods,
    ends: Ends,
    command: str,
    options: dict[str, object],
) -> None:
    assert await ada.autocomplete(channel.handle, command, "lora", "") == []
    assert app.config.models.loras is not None
    folder = app.config.models.loras / command
    folder.mkdir(parents=True)
    for name in ("woodcut.safetensors", "Gold leaf.safetensors", "pickle.bin"):
        (folder / name).write_bytes(lora(SDXL_LAYER if command == "sketch" else SD3_LAYER))
    offered = await ada.autocomplete(channel.handle, command, "lora", "")
    assert [c["value"] for c in offered] == ["Gold leaf", "woodcut"]
    await ada.slash(channel.handle, command, lora="Gold leaf", seed=7, **options)
    await ends.next()
    [request] = studio.runs
    assert getattr(request, "lora", None) == "Gold leaf"
    [message] = channel.shown()
    assert f"`/{command}` · Gold leaf · " in message.text
    result = await ada.slash(channel.handle, command, lora="pickle", **options)
    assert "Choose one of: Gold leaf, woodcut." in whispered(result)
    assert len(studio.runs) == 1


async def test_the_member_watches_it_come_into_being(
    channel: Channel,
    ada: MemberActor,
    bob: MemberActor,
    studio: Moods,
    ends: Ends,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "PAUSES", (0.0,))
    studio.gate.clear()
    await ada.slash(channel.handle, "imagine", prompt="a lighthouse")
    await bob.slash(channel.handle, "imagine", prompt="a harbour")
    first, second = channel.shown()
    assert "next in line" in second.text
    await channel.until(lambda: "**Painting** · step 0 of 3" in first.text)
    assert first.buttons == second.buttons == ["Cancel"]
    studio.gate.set()
    await ends.next()
    await ends.next()
    assert [len(await m.files()) for m in (first, second)] == [1, 1]


def test_the_commands_are_what_discord_allows(app: App) -> None:
    every = {c.name: c.to_dict(app.client.tree) for c in app.client.tree.get_commands()}
    menus = {"Sketch this", "Animate this", "Describe this", "Show settings", "Report"}
    assert all(every[name]["contexts"] == [0] for name in menus)
    commands = {name: command for name, command in every.items() if name not in menus}
    paint = {"sketch", "imagine", "animate", "upscale", "describe"}
    shown = {"styles", "history", "info", "results", "queue", "usage", "privacy"}
    assert set(commands) == paint | shown | {"config", "moderate"}
    assert commands["config"]["default_member_permissions"] == 8  # administrators
    assert commands["moderate"]["default_member_permissions"] == 1 << 40  # who may time out others
    for command in commands.values():
        assert command["contexts"] == [0]  # servers
        assert len(json.dumps(command)) < 8000
        assert all(1 <= len(option["description"]) <= 100 for option in command["options"])
        required = [bool(option.get("required")) for option in command["options"]]
        assert required == sorted(required, reverse=True)
    assert not any(o["required"] for o in commands["sketch"]["options"])
    assert [o["name"] for o in commands["imagine"]["options"] if o["required"]] == ["prompt"]
    assert not [o for o in commands["animate"]["options"] if o["required"]]
