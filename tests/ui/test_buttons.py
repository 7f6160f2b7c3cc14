"""Again, Delete and Cancel: who may press them, twice, and after a restart."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import discord
import pytest
import simcord
from simcord.actors import MemberActor

from bot.app import App
from bot.client import OUTDATED
from bot.jobs.events import JobStarted
from bot.jobs.job import Job, Status
from bot.ui import presses
from tests.integration.apps import Heard
from tests.ui.channel import Channel, Shown, whispered
from tests.ui.fixtures import Ends, Moods, restarted


@pytest.fixture
async def picture(channel: Channel, ada: MemberActor, ends: Ends) -> Shown:
    """A finished job of ada's."""
    await ada.slash(channel.handle, "imagine", prompt="a lighthouse", seed=7)
    await ends.next()
    [message] = channel.shown()
    return message


@pytest.fixture
def moderator(channel: Channel) -> MemberActor:
    return channel.member("mod", manage_messages=True)


async def press(member: MemberActor, message: Shown, label: str) -> Any:
    return await member.click(message.message, label=label)


async def job_of(app: App, message: Shown) -> Job:
    return await app.queue.get(message.job_id)


# -- Again ----------------------------------------------------------------------------------


async def test_anyone_may_have_the_same_again_with_another_seed(
    app: App, channel: Channel, picture: Shown, bob: MemberActor, ends: Ends, studio: Moods
) -> None:
    await press(bob, picture, "Again")
    again = await ends.next()
    first, second = studio.runs
    assert first.prompt == second.prompt and first.seed != second.seed
    assert again.owner == bob.id
    assert again.parent == (await job_of(app, picture)).id
    before, after = channel.shown()
    assert before.text == picture.text
    assert f"for <@{bob.id}>" in after.text and f"seed {second.seed} " in after.text


async def test_again_counts_against_the_limits(
    channel: Channel, picture: Shown, bob: MemberActor, studio: Moods
) -> None:
    studio.gate.clear()
    for _ in range(3):
        await press(bob, picture, "Again")
        await channel.env.advance_time(2)  # or it would be a double click
    assert "3 jobs" in whispered(await press(bob, picture, "Again"))
    assert len(channel.shown()) == 4


async def test_again_of_what_is_forgotten(
    app: App, channel: Channel, picture: Shown, bob: MemberActor
) -> None:
    assert await app.store.forget_before(1e12) == 1
    assert "no longer known" in whispered(await press(bob, picture, "Again"))
    assert len(channel.shown()) == 1


def test_a_press_is_a_double_one_at_once_and_by_the_same_member_and_the_latest_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presses, "REMEMBERED", 2)
    pressed, begun = presses.Presses(), datetime(2026, 1, 1, tzinfo=UTC)

    def is_double(member: int, button: str, seconds: float) -> bool:
        at = begun + timedelta(seconds=seconds)
        return pressed.is_double(Mock(user=Mock(id=member), created_at=at), button)

    assert not is_double(1, "again", 0.0)
    assert is_double(1, "again", 0.9)
    assert not is_double(1, "again", 1.9)
    assert not is_double(2, "again", 2.0)
    assert not is_double(1, "vary", 2.1)  # and the first of three is forgotten
    assert [is_double(*each, 2.2) for each in ((2, "again"), (1, "vary"))] == [True, True]
    assert len(pressed._latest) == 2


# -- Delete ---------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["ada", "moderator"])
async def test_its_owner_or_a_moderator_deletes_the_message_and_the_result(
    app: App,
    channel: Channel,
    picture: Shown,
    who: str,
    request: pytest.FixtureRequest,
) -> None:
    job = await job_of(app, picture)
    await press(request.getfixturevalue(who), picture, "Delete")
    assert channel.shown() == []
    assert (await app.queue.get(job.id)).artifacts == ()
    assert job.artifacts[0].path not in await app.store.named_files()


async def test_nobody_else_deletes_it(
    app: App, channel: Channel, picture: Shown, bob: MemberActor
) -> None:
    result = await press(bob, picture, "Delete")
    [whisper] = result.followups
    assert whisper.ephemeral
    assert whisper.content == ("Only the member who asked for this, or a moderator, can delete it.")
    assert len(channel.shown()) == 1
    assert (await job_of(app, picture)).artifacts


async def test_deleting_what_is_deleted_already(
    channel: Channel, picture: Shown, ada: MemberActor
) -> None:
    # Two clicks before either is answered: the message is gone when the second is served.
    channel.env.inject_error("DELETE", "/webhooks/*/messages/@original", status=404, code=10008)
    result = await press(ada, picture, "Delete")
    assert [f.content for f in result.followups] == ["It has been deleted already."]
    await press(ada, picture, "Delete")
    assert channel.shown() == []


@pytest.mark.parametrize(("who", "gone"), [("ada", True), ("moderator", True), ("bob", False)])
async def test_a_message_outlives_its_job_and_can_still_be_deleted(
    app: App,
    channel: Channel,
    picture: Shown,
    who: str,
    gone: bool,
    request: pytest.FixtureRequest,
) -> None:
    assert await app.store.forget_before(1e12) == 1
    await press(request.getfixturevalue(who), picture, "Delete")
    assert (channel.shown() == []) is gone


# -- Cancel ---------------------------------------------------------------------------------


@pytest.fixture
async def waiting(app: App, channel: Channel, ada: MemberActor, studio: Moods) -> Shown:
    """A job of ada's behind one that runs."""
    studio.gate.clear()
    heard = Heard(app.events)
    await ada.slash(channel.handle, "imagine", prompt="first")
    await heard.of(JobStarted)
    await ada.slash(channel.handle, "imagine", prompt="second")
    return channel.shown()[-1]


async def test_a_waiting_job_is_cancelled_at_once(
    app: App, waiting: Shown, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    await press(ada, waiting, "Cancel")
    job = await ends.next()
    assert job.status is Status.CANCELLED
    assert waiting.text.splitlines()[0] == "**Cancelled**"
    assert waiting.buttons == ["Again", "Edit…", "Delete"]
    studio.gate.set()
    await ends.next()
    assert [run.prompt for run in studio.runs] == ["first"]


async def test_a_running_job_stops_at_its_next_step(
    channel: Channel, waiting: Shown, ada: MemberActor, ends: Ends
) -> None:
    running = channel.shown()[0]
    result = await press(ada, running, "Cancel")
    assert [f.content for f in result.followups] == ["It will stop after the step it is on."]
    assert result.followups[0].ephemeral
    assert (await ends.next()).status is Status.CANCELLED
    assert running.text.splitlines()[0] == "**Cancelled**"


async def test_cancelled_twice_before_the_message_could_change(
    app: App, channel: Channel, waiting: Shown, ada: MemberActor, ends: Ends
) -> None:
    channel.env.inject_error("PATCH", "/webhooks/*/messages/*", status=503)
    await app.queue.cancel((await job_of(app, waiting)).id)
    result = await press(ada, waiting, "Cancel")
    assert [f.content for f in result.followups] == [
        "This job has already ended, so there is nothing left to cancel."
    ]
    await ends.next()
    assert waiting.text.splitlines()[0] == "**Cancelled**"


async def test_only_its_owner_or_a_moderator_cancels_it(
    app: App, waiting: Shown, bob: MemberActor, moderator: MemberActor, ends: Ends
) -> None:
    result = await press(bob, waiting, "Cancel")
    assert "Only the member who asked" in result.followups[0].content
    assert (await job_of(app, waiting)).status is Status.QUEUED
    await press(moderator, waiting, "Cancel")
    assert (await ends.next()).status is Status.CANCELLED


# -- what is no button of today's -----------------------------------------------------------


async def test_a_button_of_an_older_version_is_answered(
    channel: Channel, ada: MemberActor, env: simcord.Env
) -> None:
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="Remix", custom_id="atelier:remix:0123456789abcdef"))
    old = await env.bot.get_partial_messageable(channel.handle.id).send("old", view=view)
    env.bot._connection._view_store._views.clear()  # as after a restart
    assert whispered(await ada.click(old, label="Remix")) == str(OUTDATED)
    assert channel.shown()[0].buttons == ["Remix"]


# -- after a restart ------------------------------------------------------------------------


async def test_buttons_survive_a_restart(
    app: App, channel: Channel, picture: Shown, ada: MemberActor, studio: Moods
) -> None:
    later = await restarted(channel, app, studio)
    ends = Ends(later.events)
    try:
        await press(ada, picture, "Again")
        await ends.next()
        assert len(channel.shown()) == 2
        await press(ada, picture, "Delete")
        assert len(channel.shown()) == 1
    finally:
        await later.close()


async def test_what_waits_and_what_ran_is_finished_after_a_restart(
    app: App, channel: Channel, waiting: Shown, studio: Moods
) -> None:
    later = await restarted(channel, app, studio)
    ends = Ends(later.events)
    try:
        studio.gate.set()
        await ends.next()
        await ends.next()
        assert [m.buttons for m in channel.shown()] == [
            ["Again", "Vary", "Upscale", "Edit…", "Animate", "Delete"]
        ] * 2
        assert [len(await m.files()) for m in channel.shown()] == [1, 1]
    finally:
        await later.close()


async def test_cancel_survives_a_restart(
    app: App, channel: Channel, waiting: Shown, ada: MemberActor, studio: Moods
) -> None:
    later = await restarted(channel, app, studio)
    ends = Ends(later.events)
    try:
        await press(ada, waiting, "Cancel")
        assert (await ends.next()).status is Status.CANCELLED
        assert waiting.text.splitlines()[0] == "**Cancelled**"
    finally:
        studio.gate.set()
        await later.close()
