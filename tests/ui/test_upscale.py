"""Upscale: which, how much, once, and whatever became of the picture."""

import io
from typing import Any

import pytest
from PIL import Image
from simcord.actors import MemberActor

from bot.app import App
from bot.jobs.job import Status
from pipelines.contract.requests import UpscaleRequest
from tests.ui.channel import Channel, Shown, whispered
from tests.ui.fixtures import Ends, Moods, restarted


async def painted(channel: Channel, member: MemberActor, ends: Ends, **options: Any) -> Shown:
    """A finished job of a member's."""
    await member.slash(channel.handle, "imagine", prompt="a lighthouse", seed=7, **options)
    await ends.next()
    return channel.shown()[-1]


async def asked(
    channel: Channel, member: MemberActor, message: Shown, label: str = "Upscale"
) -> Shown:
    """What only the member sees after a press."""
    result = await member.click(message.message, label=label)
    assert result.ephemeral
    assert result.response is not None
    return Shown(channel.env, result.response.message)


async def test_a_result_becomes_larger_beside_the_one_it_is_made_of(
    channel: Channel, ada: MemberActor, bob: MemberActor, ends: Ends
) -> None:
    picture = await painted(channel, ada, ends)
    question = await asked(channel, bob, picture)
    assert question.text == "How much larger? In pixels, ×2: 128 × 128, ×4: 256 × 256."
    assert question.buttons == ["×2", "×4"]
    await bob.click(question.message, label="×4")
    job = await ends.next()
    before, after = channel.shown()
    assert before.text == picture.text
    assert (job.owner, job.parent) == (bob.id, picture.job_id)
    [file] = await after.files()
    assert Image.open(io.BytesIO(file)).size == (256, 256)
    assert "upscaled ×4 · 256 × 256" in after.text
    assert after.text.startswith("a lighthouse")
    assert after.buttons == ["Animate", "Delete"]
    history = await bob.slash(channel.handle, "history")
    assert history.response is not None
    listed = Shown(channel.env, history.response.message).text
    assert "1. `/upscale` [a lighthouse](" in listed


async def test_of_several_one_is_chosen_then_how_much_in_the_same_place(
    app: App, channel: Channel, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    picture = await painted(channel, ada, ends, count=3)
    which = await asked(channel, ada, picture)
    assert which.buttons == ["1", "2", "3"]
    await ada.click(which.message, label="2")
    assert which.buttons == ["×2", "×4"]
    await ada.click(which.message, label="×2")
    await ends.next()
    made = await app.queue.get(picture.job_id)
    assert studio.runs[-1] == UpscaleRequest(image=made.artifacts[1].path, scale=2)


async def test_a_double_click_is_one_job(
    channel: Channel, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    question = await asked(channel, ada, await painted(channel, ada, ends))
    studio.gate.clear()
    await ada.click(question.message, label="×4")
    await ada.click(question.message, label="×4")
    studio.gate.set()
    assert (await ends.next()).status is Status.DELIVERED
    assert len(channel.shown()) == 2
    assert len(studio.runs) == 2


async def test_a_question_of_before_a_restart_is_still_answered(
    app: App, channel: Channel, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    picture = await painted(channel, ada, ends)
    question = await asked(channel, ada, picture)
    later = await restarted(channel, app, studio)
    try:
        told = Ends(later.events)
        await ada.click(question.message, label="×2")
        await told.next()
        assert (await asked(channel, ada, picture)).buttons == ["×2", "×4"]
        assert channel.shown()[-1].buttons == ["Animate", "Delete"]
    finally:
        await later.close()


@pytest.mark.parametrize("at", ["Upscale", "×4"])
async def test_what_is_no_longer_kept_cannot_be_made_larger(
    app: App, channel: Channel, ada: MemberActor, ends: Ends, at: str
) -> None:
    picture = await painted(channel, ada, ends)
    shown = picture if at == "Upscale" else await asked(channel, ada, picture)
    await app.queue.erase(picture.job_id)
    told = whispered(await ada.click(shown.message, label=at))
    assert told == "The picture is no longer kept, so nothing can be made of it."
