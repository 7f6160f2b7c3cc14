"""What moderators read in the log channel, and that nothing waits for it."""

from itertools import repeat
from typing import Any

import pytest
import simcord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle

from bot.app import App
from bot.config import Config, ModerationConfig, Sensitive
from bot.errors import StorageFailed
from pipelines.contract.errors import Withheld
from tests.ui.channel import Channel, whispered
from tests.ui.fixtures import Ends, Moods


@pytest.fixture
def sensitive() -> Sensitive:
    return "withhold"


@pytest.fixture
def config(config: Config, sensitive: Sensitive) -> Config:
    moderation = ModerationConfig(words=("gore*",), sensitive=sensitive)
    return config.model_copy(update={"moderation": moderation})


@pytest.fixture
async def log(app: App, channel: Channel) -> ChannelHandle:
    log = channel.guild.create_text_channel("log")
    await app.queue.settings.change(channel.guild.id, log_channel=log.id)
    return log


async def lines(channel: Channel, log: ChannelHandle) -> list[str]:
    """What the log channel says, as soon as it says anything."""
    await channel.until(lambda: bool(log.history()))
    return [line for message in log.history() for line in message.content.splitlines()]


async def test_a_refused_word_is_told_by_its_rule_alone(
    channel: Channel, ada: MemberActor, log: ChannelHandle
) -> None:
    said = whispered(await ada.slash(channel.handle, "imagine", prompt="my gory g0rey secret"))
    assert "“gore” is not allowed" in said
    told = f"**Word refused** <@{ada.id}> in <#{channel.handle.id}>: “gore\\*”"
    assert await lines(channel, log) == [told]


@pytest.mark.parametrize(
    ("sensitive", "line"),
    [
        ("withhold", "**Result withheld** for what the classifier found"),
        ("spoiler", "**Result veiled** for what the classifier found"),
    ],
)
async def test_what_the_classifier_found_is_told_and_goes_no_further(
    app: App,
    channel: Channel,
    ada: MemberActor,
    log: ChannelHandle,
    studio: Moods,
    ends: Ends,
    line: str,
) -> None:
    studio.sensitive = True
    await ada.slash(channel.handle, "imagine", prompt="a lighthouse")
    job = await ends.next()
    place = f"`/imagine` of <@{ada.id}> in <#{channel.handle.id}>"
    assert await lines(channel, log) == [f"{line}: {place}"]
    where = {"server": channel.guild.id, "channel": channel.handle.id, "message": 1}
    await app.queue.moderation.report(job.id, reporter=7, owner=ada.id, reason="", **where)
    assert (await app.client.desk.show(job.id))[1] == []


async def test_a_withheld_upload_is_told(
    channel: Channel, ada: MemberActor, log: ChannelHandle, studio: Moods, ends: Ends
) -> None:
    studio.error = Withheld("This picture looks like something that is not allowed here.")
    await ada.slash(channel.handle, "imagine", prompt="a lighthouse")
    await ends.next()
    [line] = await lines(channel, log)
    assert line.startswith("**Upload withheld** by the classifier: `/imagine` of")


async def test_a_discord_that_is_ill_keeps_no_job_waiting_and_is_told_later(
    env: simcord.Env,
    channel: Channel,
    ada: MemberActor,
    log: ChannelHandle,
    studio: Moods,
    ends: Ends,
    caplog: pytest.LogCaptureFixture,
) -> None:
    env.inject_error("POST", f"/channels/{log.id}/messages", status=503)
    studio.sensitive = True
    await ada.slash(channel.handle, "imagine", prompt="a lighthouse")
    await ends.next()
    await channel.until(lambda: "cannot be written to" in caplog.text)
    assert log.history() == []
    assert len(await lines(channel, log)) == 1  # by itself, after a pause
    await ada.slash(channel.handle, "imagine", prompt="a lighthouse")
    await ends.next()
    await channel.until(lambda: len(log.history()) == 2)


async def test_a_store_that_refuses_at_the_start_is_asked_again_and_nothing_is_posted_twice(
    app: App, channel: Channel, ada: MemberActor, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ui.logchannel", "jobs.pauses"):
        monkeypatch.setattr(f"bot.{module}.growing", lambda: repeat(0.01))
    await ada.slash(channel.handle, "imagine", prompt="a lighthouse")
    job, moderation = await ends.next(), app.queue.moderation
    where = {"server": channel.guild.id, "channel": channel.handle.id, "message": 1}
    await moderation.report(job.id, reporter=7, owner=ada.id, reason="", **where)
    log = channel.guild.create_text_channel("log")
    await app.queue.settings.change(channel.guild.id, log_channel=log.id)
    refused: list[str] = []

    def refuse_twice(name: str) -> None:
        method = getattr(moderation, name)

        async def flaky(*args: Any) -> Any:
            if refused.count(name) < 2:
                refused.append(name)
                raise StorageFailed("The disk is full.")
            return await method(*args)

        monkeypatch.setattr(moderation, name, flaky)

    for name in ("open_reports", "reports_of", "noted"):
        refuse_twice(name)
    app.log_channel.start()
    outbox = app.log_channel._outboxes[channel.guild.id]
    await channel.until(lambda: len(refused) == 6 and not outbox.writing)
    assert len(log.history()) == 1
    [report] = await moderation.open_reports()
    assert report.note == log.history()[0].id
