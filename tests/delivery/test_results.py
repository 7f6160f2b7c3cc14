"""A result that could not be shown is handed over where its member asks for it, once."""

import discord
import pytest
import simcord
from simcord.actors import MemberActor

from bot.app import App
from bot.config import Config, DiscordConfig
from bot.jobs.job import Status
from pipelines.catalog import Catalog
from tests.delivery.jobs import FINAL, PICTURE, begin, finish
from tests.ui.channel import Channel, Shown, whispered
from tests.ui.fixtures import Ends, Moods


@pytest.fixture
async def elsewhere(
    app: App, channel: Channel, ada: MemberActor, ends: Ends, studio: Moods
) -> Channel:
    """Another channel, after no road was left to that in which ada asked for a result."""
    running = await begin(app, channel, ada, studio)
    job = await app.queue.get(running.job_id)
    await app.queue.set_origin(job.id, {**job.origin, "token": "", "may_post": False})
    assert (await finish(studio, ends)).error_code == "undeliverable"
    return Channel(channel.env, channel.guild, channel.guild.create_text_channel("elsewhere"))


async def listed(channel: Channel, member: MemberActor) -> Shown:
    """What /results shows the member, and nobody else."""
    result = await member.slash(channel.handle, "results")
    assert result.ephemeral
    return Shown(channel.env, channel.handle.history(viewer=member)[-1])


async def test_it_waits_for_its_owner_and_is_shown_where_they_want(
    elsewhere: Channel, ada: MemberActor, bob: MemberActor, ends: Ends, studio: Moods, app: App
) -> None:
    mine = await listed(elsewhere, ada)
    assert "**1 result** could not be shown" in mine.text
    assert "`/imagine` · a lighthouse · <t:" in mine.text
    assert mine.buttons == ["Show here"]
    theirs = await listed(elsewhere, bob)
    assert theirs.text.startswith("Nothing waits for you")

    await ada.click(mine.message, label="Show here")
    job = await ends.next()
    assert (job.id, job.status, job.error_code) == (mine.job_id, Status.DELIVERED, None)
    [message] = elsewhere.shown()
    assert message.buttons == FINAL
    assert await message.files() == [PICTURE]
    assert len(studio.runs) == 1

    again = await ada.click(mine.message, label="Show here")
    assert "shown already" in whispered(again)
    assert len(elsewhere.shown()) == 1
    mine = await listed(elsewhere, ada)
    assert mine.text.startswith("Nothing waits for you")


async def test_it_is_shown_although_it_could_not_be_made_any_more(
    elsewhere: Channel,
    ada: MemberActor,
    ends: Ends,
    app: App,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app.queue, "_catalog", Catalog())
    mine = await listed(elsewhere, ada)
    await ada.click(mine.message, label="Show here")
    assert (await ends.next()).status is Status.DELIVERED
    [message] = elsewhere.shown()
    assert await message.files() == [PICTURE]


class TestInDirectMessages:
    @pytest.fixture
    def config(self, config: Config) -> Config:
        reach = DiscordConfig(install="servers-and-members")
        return config.model_copy(update={"discord": reach})

    async def test_a_member_is_served_there(
        self, env: simcord.Env, ada: MemberActor, ends: Ends
    ) -> None:
        await ada.user.slash("imagine", prompt="a lighthouse", seed=7)
        job = await ends.next()
        assert (job.status, job.origin["guild_id"]) == (Status.DELIVERED, None)
        [message] = ada.user.dm_channel.history()
        shown = Shown(env, message)
        assert shown.buttons == FINAL
        assert await shown.files() == [PICTURE]
        await ada.user.click(message, label="Delete")
        assert ada.user.dm_channel.history() == []

    def test_what_needs_a_servers_moderators_stays_in_servers(self, app: App) -> None:
        every = (c.to_dict(app.client.tree) for c in app.client.tree.get_commands())
        in_servers = {c["name"] for c in every if c["integration_types"] == [0]}
        assert in_servers == {"config", "moderate", "Report"}


@pytest.mark.parametrize(("by_server", "may_post"), [(False, False), (True, True)])
async def test_where_the_bot_is_not_it_knows_that_it_may_not_post(
    channel: Channel,
    ada: MemberActor,
    ends: Ends,
    monkeypatch: pytest.MonkeyPatch,
    by_server: bool,
    may_post: bool,
) -> None:
    monkeypatch.setattr(discord.Interaction, "is_user_integration", lambda _: True)
    monkeypatch.setattr(discord.Interaction, "is_guild_integration", lambda _: by_server)
    await ada.slash(channel.handle, "imagine", prompt="a lighthouse")
    assert (await ends.next()).origin["may_post"] is may_post
