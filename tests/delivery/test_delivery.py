"""Every end of a job reaches its owner by the first road that is open, once."""

import io
from dataclasses import replace
from unittest.mock import Mock

import discord
import pytest
from PIL import Image
from simcord.actors import MemberActor

from bot import delivery
from bot.app import App
from bot.config import ModerationConfig
from bot.delivery import Delivery
from bot.errors import Lost, StorageFailed, Undeliverable
from bot.jobs.events import JobEnded
from bot.jobs.job import Status
from bot.ui import progress
from pipelines.contract.errors import OutOfMemory
from tests.delivery.jobs import FINAL, PICTURE, begin, finish
from tests.integration.apps import Heard
from tests.ui.channel import Channel, Shown
from tests.ui.fixtures import Ends, Moods, restarted

TOKEN_EDIT = ("PATCH", "/webhooks/*/messages/*")
FAILED = ["Again", "Edit…", "Delete"]


def delivery_of(app: App) -> Delivery:
    return Delivery(app.client.roads, app.board, app.queue, app.files, app.config.moderation)


@pytest.fixture
async def running(app: App, channel: Channel, ada: MemberActor, studio: Moods) -> Shown:
    """A job of ada's that is held on the GPU until `studio.gate` is set; its message."""
    return await begin(app, channel, ada, studio)


def requests(channel: Channel, method: str, path: str) -> int:
    """How often the bot has called a route."""
    return sum(r.method == method and path in r.path for r in channel.env.http_requests)


# -- the roads ------------------------------------------------------------------------------


async def test_the_interactions_token_edits_the_message(
    channel: Channel, running: Shown, ends: Ends, studio: Moods
) -> None:
    job = await finish(studio, ends)
    assert job.status is Status.DELIVERED
    assert [m.buttons for m in channel.shown()] == [FINAL]
    assert await running.files() == [PICTURE]
    assert requests(channel, "PATCH", "/channels/") == 0


async def test_after_fourteen_minutes_the_bot_edits_it_as_itself(
    channel: Channel, running: Shown, ends: Ends, studio: Moods
) -> None:
    await channel.env.advance_time(16 * 60)
    await finish(studio, ends)
    assert [m.buttons for m in channel.shown()] == [FINAL]
    assert await running.files() == [PICTURE]
    assert requests(channel, "PATCH", "/channels/") == 1


@pytest.mark.parametrize(
    ("status", "code"), [(401, 50027), (403, 50013), (404, 10015), (404, 10008), (400, 0)]
)
async def test_any_refusal_of_the_token_leaves_it_to_the_bot(
    channel: Channel, running: Shown, ends: Ends, studio: Moods, status: int, code: int
) -> None:
    channel.env.inject_error(*TOKEN_EDIT, status=status, code=code, times=None)
    await finish(studio, ends)
    assert [m.buttons for m in channel.shown()] == [FINAL]
    assert await running.files() == [PICTURE]


async def test_a_message_that_was_deleted_is_replaced_by_one_that_calls_its_owner(
    app: App,
    channel: Channel,
    running: Shown,
    ada: MemberActor,
    ends: Ends,
    studio: Moods,
) -> None:
    moderator = channel.member("mod", manage_messages=True)
    await moderator.delete(running.message)
    job = await finish(studio, ends)
    [message] = channel.shown()
    assert message.message.id != running.message.id
    assert await message.files() == [PICTURE]
    [post] = [r for r in channel.env.http_requests if r.path.endswith("/messages")]
    assert post.json is not None
    assert (post.json["nonce"], post.json["enforce_nonce"]) == (job.id, True)
    assert post.json["allowed_mentions"]["users"] == [ada.id]
    assert f"<@{ada.id}>" in message.text
    await app.store.database.run("DELETE FROM jobs")  # it is deleted by its member all the same
    await channel.member("bob").click(message.message, label="Delete")
    assert len(channel.shown()) == 1
    await ada.click(message.message, label="Delete")
    assert channel.shown() == []


async def test_a_message_that_cannot_be_changed_does_not_stay_beside_the_new_one(
    channel: Channel, running: Shown, ends: Ends, studio: Moods
) -> None:
    """As in a thread that was archived, and that a new message opens again."""
    await channel.env.advance_time(16 * 60)
    channel.env.inject_error("PATCH", "/channels/*/messages/*", status=400, code=50083, times=None)
    await finish(studio, ends)
    [message] = channel.shown()
    assert message.message.id != running.message.id and message.buttons == FINAL


async def test_a_crash_after_a_new_message_does_not_post_a_second(
    app: App, channel: Channel, running: Shown, ends: Ends, studio: Moods
) -> None:
    moderator = channel.member("mod", manage_messages=True)
    await moderator.delete(running.message)
    job = await finish(studio, ends)
    rendered = replace(await app.queue.get(job.id), status=Status.RENDERED)
    await delivery_of(app).deliver(rendered)
    assert len(channel.shown()) == 1


async def test_a_preview_gives_way_to_the_result(
    channel: Channel,
    app: App,
    ada: MemberActor,
    ends: Ends,
    studio: Moods,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "PAUSES", (0.01,))
    running = await begin(app, channel, ada, studio)
    await channel.until(lambda: running.alt_texts == ["What it is so far"])
    [preview] = await running.files()
    assert Image.open(io.BytesIO(preview)).format == "JPEG"
    await finish(studio, ends)
    assert await running.files() == [PICTURE]
    assert running.attachments == 1


# -- what is not for every channel ------------------------------------------------------------


async def test_what_is_sensitive_is_withheld_and_its_owner_told(
    app: App, channel: Channel, running: Shown, ends: Ends, studio: Moods
) -> None:
    studio.sensitive = True
    job = await finish(studio, ends)
    assert job.status is Status.DELIVERED
    [message] = channel.shown()
    assert message.text.startswith("**Not shown**")
    assert message.buttons == FAILED
    assert await message.files() == []


@pytest.mark.parametrize(
    ("moderation", "age_restricted", "shown"),
    [
        (ModerationConfig(), True, "veiled"),
        (ModerationConfig(sensitive="spoiler"), False, "veiled"),
        (ModerationConfig(sensitive="show"), False, "open"),
        (ModerationConfig(sensitive="show", sensitive_for_adults="withhold"), True, "withheld"),
    ],
)
async def test_the_channel_and_the_owner_decide_what_becomes_of_it(
    app: App,
    channel: Channel,
    running: Shown,
    ends: Ends,
    studio: Moods,
    moderation: ModerationConfig,
    age_restricted: bool,
    shown: str,
) -> None:
    studio.sensitive = True
    job = await finish(studio, ends)
    origin = {**job.origin, "age_restricted": age_restricted}
    again = replace(job, status=Status.RENDERED, origin=origin)
    await app.store.database.run("UPDATE jobs SET told = 0")
    await Delivery(app.client.roads, app.board, app.queue, app.files, moderation).deliver(again)
    [message] = channel.shown()
    assert len(await message.files()) == (shown != "withheld")
    assert message.veiled == (shown == "veiled")


# -- all roads closed -----------------------------------------------------------------------


def close_the_channel(channel: Channel) -> None:
    """Take the bot's permissions away. The interaction's token is refused as well."""
    here = f"/channels/{channel.handle.id}/messages"
    channel.env.inject_error(*TOKEN_EDIT, status=404, code=10008, times=None)
    channel.env.inject_error("PATCH", f"{here}/*", status=403, code=50001, times=None)
    channel.env.inject_error("POST", here, status=403, code=50013, times=None)


async def test_where_it_may_not_write_the_member_is_told_once_and_the_result_kept(
    app: App, channel: Channel, running: Shown, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    close_the_channel(channel)
    job = await finish(studio, ends)
    assert (job.status, job.error_code) == (Status.RENDERED, "undeliverable")
    assert await app.files.read(job.artifacts[0].path) == PICTURE
    [whisper] = [m for m in channel.handle.history(viewer=ada) if m.flags.ephemeral]
    assert whisper.content == (
        f"Your `/imagine` has ended, but I could not show it in <#{channel.handle.id}>: I am not "
        "allowed to. Ask a moderator to give me View Channel, Send Messages and Attach Files "
        "there; the same request with seed 7 gives the same result. It is kept for you: type "
        "`/results` wherever you want it shown."
    )


async def test_when_the_token_is_dead_as_well_the_member_is_told_in_person(
    channel: Channel, running: Shown, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    close_the_channel(channel)
    channel.env.inject_error("POST", "/webhooks/*", status=401, code=50027, times=None)
    await finish(studio, ends)
    [direct] = ada.user.dm_channel.history()
    assert "I am not allowed to" in direct.content


async def test_where_a_member_brought_it_along_it_does_not_try_to_post(
    app: App, channel: Channel, running: Shown, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    job = await app.queue.get(running.job_id)
    await app.queue.set_origin(job.id, {**job.origin, "may_post": False})
    await channel.env.advance_time(16 * 60)
    assert (await finish(studio, ends)).error_code == "undeliverable"
    [direct] = ada.user.dm_channel.history()
    assert "for 15 minutes only. It is kept for you: type `/results`" in direct.content
    here = f"/channels/{channel.handle.id}/messages"
    assert not [r for r in channel.env.http_requests if here in r.path and r.method != "GET"]


async def test_when_nobody_can_be_reached_it_is_given_up(
    channel: Channel, running: Shown, ends: Ends, studio: Moods
) -> None:
    close_the_channel(channel)
    channel.env.inject_error("POST", "/webhooks/*", status=401, code=50027, times=None)
    channel.env.inject_error("POST", "/users/@me/channels", status=403, code=50007, times=None)
    assert (await finish(studio, ends)).error_code == "undeliverable"


async def test_a_private_word_that_meets_trouble_is_said_later(
    channel: Channel, running: Shown, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    close_the_channel(channel)
    channel.env.inject_error("POST", "/webhooks/*", status=401, code=50027, times=None)
    channel.env.inject_error("POST", "/users/@me/channels", status=503)
    await finish(studio, ends)
    [direct] = ada.user.dm_channel.history()
    assert "I am not allowed to" in direct.content


async def test_what_is_deleted_while_it_waits_its_turn_is_not_shown(
    app: App, channel: Channel, running: Shown, ends: Ends, studio: Moods
) -> None:
    await app.deliveries.stop()
    studio.gate.set()
    job = (await Heard(app.events).of(JobEnded)).job
    await app.queue.erase(job.id)
    await delivery_of(app).deliver(job)
    assert running.buttons == ["Cancel"]


async def test_an_edit_that_was_seen_and_deleted_is_not_posted_anew(
    app: App, channel: Channel, running: Shown, studio: Moods, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.deliveries.stop()
    studio.gate.set()
    job = (await Heard(app.events).of(JobEnded)).job

    async def edit(*_: object) -> None:  # Discord took it and said no; meanwhile it was deleted
        await app.queue.erase(job.id)
        await channel.member("mod", manage_messages=True).delete(running.message)
        raise discord.NotFound(Mock(status=404, reason="Not Found"), {"code": 10008})

    monkeypatch.setattr(app.client.roads, "edit_by_token", edit)
    await delivery_of(app).deliver(job)
    assert channel.shown() == []


async def test_a_full_disk_posts_a_result_anew_once(
    app: App,
    channel: Channel,
    running: Shown,
    ends: Ends,
    studio: Moods,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await channel.member("mod", manage_messages=True).delete(running.message)

    async def refuse(*_: object) -> None:
        raise StorageFailed("The disk is full.")

    monkeypatch.setattr(app.store, "set_origin", refuse)
    await finish(studio, ends)
    assert len([r for r in channel.env.http_requests if r.path.endswith("/messages")]) == 1


async def test_a_cancelled_job_whose_message_is_gone_is_not_spoken_of_again(
    app: App, channel: Channel, running: Shown, ada: MemberActor, ends: Ends
) -> None:
    job_id = running.job_id
    await channel.member("mod", manage_messages=True).delete(running.message)
    await app.queue.cancel(job_id)
    job = await ends.next()
    assert (job.id, job.status, job.error_code) == (job_id, Status.CANCELLED, None)
    assert channel.handle.history(viewer=ada) == []


# -- trouble that passes --------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(500, 0), (503, 0), (429, 0), (400, 30046)])
async def test_trouble_of_discords_is_waited_out_without_another_run(
    channel: Channel, running: Shown, ends: Ends, studio: Moods, status: int, code: int
) -> None:
    channel.env.inject_error(*TOKEN_EDIT, status=status, code=code)
    await finish(studio, ends)
    assert [m.buttons for m in channel.shown()] == [FINAL]
    assert requests(channel, "PATCH", "/channels/") == 0
    assert len(studio.runs) == 1


async def test_what_a_crash_left_rendered_is_delivered_after_the_restart(
    app: App, channel: Channel, running: Shown, studio: Moods
) -> None:
    await app.deliveries.stop()
    heard = Heard(app.events)
    studio.gate.set()
    await heard.of(JobEnded)
    assert running.buttons == ["Cancel"]
    later = await restarted(channel, app, studio)
    try:
        await Ends(later.events).next()
        assert [m.buttons for m in channel.shown()] == [FINAL]
        assert len(studio.runs) == 1
    finally:
        await later.close()


# -- sizes ----------------------------------------------------------------------------------


async def test_what_is_larger_than_the_channel_takes_is_made_smaller(
    app: App, channel: Channel, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    message = await begin(app, channel, ada, studio, prompt="a large lighthouse")
    await limit_files(app, message, 400_000)
    await finish(studio, ends)
    [data] = await message.files()
    assert len(data) <= 400_000
    assert Image.open(io.BytesIO(data)).format in ("WEBP", "JPEG")


async def test_what_discord_finds_too_large_is_made_smaller_and_sent_again(
    app: App, channel: Channel, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    message = await begin(app, channel, ada, studio, prompt="a large lighthouse")
    channel.env.inject_error(*TOKEN_EDIT, status=413, code=40005)
    await finish(studio, ends)
    [data] = await message.files()
    assert len(data) <= 3 * 1024 * 1024 // 2
    assert len(studio.runs) == 1


async def test_what_discord_finds_too_large_in_every_size_is_said_and_kept(
    app: App, channel: Channel, running: Shown, ends: Ends, studio: Moods
) -> None:
    channel.env.inject_error(*TOKEN_EDIT, status=413, code=40005)
    job = await finish(studio, ends)
    assert running.text.splitlines()[:2] == [
        "**That did not work**",
        "Discord takes no version of this result here, however small.",
    ]
    assert running.buttons == ["Edit…", "Delete"]
    assert (job.status, job.error_code) == (Status.RENDERED, "undeliverable")


async def test_pictures_that_go_together_fit_together(
    app: App,
    channel: Channel,
    ada: MemberActor,
    ends: Ends,
    studio: Moods,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "MESSAGE_BYTES", 1_000_000)
    message = await begin(app, channel, ada, studio, prompt="a large lighthouse", count=2)
    await finish(studio, ends)
    files = await message.files()
    assert len(files) == 2
    assert sum(map(len, files)) <= 1_000_000


async def limit_files(app: App, message: Shown, limit: int) -> None:
    """Have the job remember that the interaction allowed files of `limit` bytes."""
    job = await app.queue.get(message.job_id)
    await app.queue.set_origin(job.id, {**job.origin, "filesize_limit": limit})


# -- ends without a result ------------------------------------------------------------------


async def test_a_failure_is_told_in_the_same_message(
    channel: Channel, running: Shown, ends: Ends, studio: Moods
) -> None:
    studio.error = OutOfMemory("The card is full. Try fewer pictures at once.")
    job = await finish(studio, ends)
    assert job.status is Status.FAILED
    [message] = channel.shown()
    assert message.text.splitlines()[:3] == [
        "**That did not work**",
        r"The card is full. Try fewer pictures at once.",
        "a lighthouse",
    ]
    assert message.buttons == FAILED


async def test_where_a_failure_cannot_be_shown_its_reason_is_said_and_nothing_is_charged(
    app: App, channel: Channel, running: Shown, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    studio.error = OutOfMemory("The card is full. Try fewer pictures at once.")
    close_the_channel(channel)
    job = await finish(studio, ends)
    assert (job.status, job.error_code) == (Status.FAILED, "out_of_memory")
    assert await app.store.share_used(job.owner, job.server) == 0
    [whisper] = [m for m in channel.handle.history(viewer=ada) if m.flags.ephemeral]
    assert whisper.content == (
        f"Your `/imagine` in <#{channel.handle.id}> did not work: The card is full. Try fewer "
        "pictures at once."
    )


async def test_what_is_withheld_is_not_offered_where_that_cannot_be_shown(
    app: App, channel: Channel, running: Shown, ada: MemberActor, studio: Moods
) -> None:
    await app.deliveries.stop()
    heard = Heard(app.events)
    studio.gate.set()
    job = (await heard.of(JobEnded)).job
    sensitive = replace(job, artifacts=(replace(job.artifacts[0], sensitive=True),))
    close_the_channel(channel)
    with pytest.raises(Undeliverable):
        await delivery_of(app).deliver(sensitive)
    [whisper] = [m for m in channel.handle.history(viewer=ada) if m.flags.ephemeral]
    assert "did not work: **Not shown**" in whisper.content and "/results" not in whisper.content


async def test_a_private_word_is_in_the_language_of_its_reader(
    app: App, channel: Channel, running: Shown, ada: MemberActor, ends: Ends, studio: Moods
) -> None:
    job = await app.queue.get(running.job_id)
    assert job.origin["reader"] == "en-US"
    await app.queue.set_origin(job.id, {**job.origin, "locale": "ja", "reader": "de"})
    close_the_channel(channel)
    await finish(studio, ends)
    [whisper] = [m for m in channel.handle.history(viewer=ada) if m.flags.ephemeral]
    assert whisper.content.startswith("Dein `/imagine` ist fertig")


async def test_a_failure_that_nobody_foresaw_shows_no_traceback(
    channel: Channel, running: Shown, ends: Ends, studio: Moods
) -> None:
    studio.error = ZeroDivisionError("tensor of shape [4, 64, 64]")
    await finish(studio, ends)
    [message] = channel.shown()
    assert "nobody foresaw" in message.text
    assert "tensor" not in message.text


async def test_a_file_that_the_disk_has_damaged_is_said_and_not_charged(
    app: App, channel: Channel, running: Shown, ends: Ends, studio: Moods
) -> None:
    await app.deliveries.stop()
    heard = Heard(app.events)
    studio.gate.set()
    job = (await heard.of(JobEnded)).job
    job.artifacts[0].path.write_bytes(b"noise")
    deliver = delivery_of(app).deliver
    with pytest.raises(Lost, match="no longer holds") as lost:
        await deliver(job)
    assert await app.store.share_used(job.owner, job.server) > 0
    await app.store.told(job, lost.value)
    assert await app.store.share_used(job.owner, job.server) == 0
    [message] = channel.shown()
    assert message.text.splitlines()[0] == "**That did not work**"
    assert message.buttons == FAILED
