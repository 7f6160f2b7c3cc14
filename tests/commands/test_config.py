"""An administrator sets the rules; members meet them wherever they ask, from that moment on."""

import asyncio
import logging
import time
from typing import Any

import discord
import pytest
from simcord.actors import MemberActor
from simcord.backend.errors import SetupError
from simcord.builders import ChannelHandle, RoleHandle
from simcord.results import InteractionResult

from bot.app import App
from bot.config import Config
from bot.jobs.settings import Settings, SettingsBook
from bot.jobs.store import Store
from bot.jobs.usage import DAY
from bot.ui.rule_board import CHANNELS
from pipelines.contract.requests import Kind
from tests.jobs.samples import ROOMY, a_job, enqueue
from tests.jobs.studio import heard
from tests.ui.channel import Channel, Shown, whispered
from tests.ui.fixtures import Ends, Moods, open_app, restarted


@pytest.fixture
def root(channel: Channel) -> MemberActor:
    return channel.member("root", administrator=True)


@pytest.fixture
def other(channel: Channel) -> ChannelHandle:
    return channel.guild.create_text_channel("workshop")


async def board(here: Channel, member: MemberActor, **options: Any) -> Shown:
    """What /config shows."""
    result = await member.slash(here.handle, "config", **options)
    assert result.response is not None and result.response.ephemeral
    return Shown(here.env, result.response.message)


async def opened(member: MemberActor, shown: Shown, group: str) -> InteractionResult:
    """The form of a group of settings."""
    [change] = [i for i in shown.selects if ":change:" in i]
    return await member.select(shown.message, [group], custom_id=change)


async def change(member: MemberActor, shown: Shown, group: str, **values: Any) -> InteractionResult:
    form = await opened(member, shown, group)
    assert form.modal is not None
    return await member.submit_modal(form, values)


async def imagine(channel: Channel, member: MemberActor, **options: Any) -> InteractionResult:
    where = options.pop("where", channel.handle)
    return await member.slash(where, "imagine", prompt="a lighthouse", **options)


async def test_it_shows_what_holds(channel: Channel, root: MemberActor) -> None:
    shown = await board(channel, root)
    assert shown.text.splitlines() == [
        "### Rules of this server",
        f"**Commands** {', '.join(f'/{kind}' for kind in Kind)}",
        "**Members** everyone",
        "**Styles** all",
        "**Pictures** up to 4 at a time, in 1:1, 3:2, 2:3, 16:9, 9:16",
        "**Share of a member** no limit: everyone takes turns",
        "**Waiting** up to 3 jobs of a member",
        "**Turns** the same for everyone",
        "**Language** of whoever asks",
        "**Previews** shown",
        "**Kept** for 30 days after the end",
        "**Log** none",
    ]
    assert shown.buttons == []


async def test_animate_switched_off_in_one_channel(
    app: App,
    channel: Channel,
    other: ChannelHandle,
    root: MemberActor,
    ada: MemberActor,
    studio: Moods,
    ends: Ends,
) -> None:
    await imagine(channel, ada)
    await ends.next()
    [picture] = channel.shown()
    shown = await board(channel, root)
    [where] = [i for i in shown.selects if ":where:" in i]
    await root.select(shown.message, [channel.handle], custom_id=where)
    assert shown.text.startswith(f"### Rules of {channel.handle.mention}")
    on = [kind.value for kind in Kind if kind is not Kind.ANIMATE]
    await change(root, shown, "use", commands=on)
    assert "switched off: /animate · *only here*" in shown.text
    assert shown.buttons == ["The server's rules", "All as in the server"]

    sentence = "/animate is switched off here. Try it in another channel, or ask an administrator"
    refused = await ada.slash(channel.handle, "animate", prompt="waves")
    assert not refused.deferred and whispered(refused).startswith(sentence)
    assert whispered(await ada.click(picture.message, label="Animate")).startswith(sentence)
    assert len(channel.shown()) == 1
    await ada.slash(other, "animate", prompt="waves")
    assert (await ends.next()).kind is Kind.ANIMATE
    assert [run.kind for run in studio.runs] == [Kind.IMAGINE, Kind.ANIMATE]

    await root.click(shown.message, label="All as in the server")
    assert shown.text.startswith(f"**Forget all that was set for {channel.handle.mention}?**")
    await root.click(shown.message, label="All as in the server")
    assert "*only here*" not in shown.text
    await ada.slash(channel.handle, "animate", prompt="waves")
    assert (await ends.next()).kind is Kind.ANIMATE


async def test_nothing_is_forgotten_before_it_is_asked_about(
    channel: Channel, root: MemberActor, ada: MemberActor
) -> None:
    shown = await board(channel, root)
    await change(root, shown, "shares", daily_seconds="5", waiting="2")
    assert shown.buttons == ["Forget all changes"]
    await root.click(shown.message, label="Forget all changes")
    assert shown.text.startswith("**Forget all that was set for this server?**")
    assert shown.buttons == ["Forget all changes", "Cancel"]
    await root.click(shown.message, label="Cancel")
    assert "**Waiting** up to 2 jobs of a member" in shown.text
    await root.click(shown.message, label="Forget all changes")
    await root.click(shown.message, label="Forget all changes")
    assert "**Waiting** up to 3 jobs of a member" in shown.text
    assert shown.buttons == []


async def test_a_role_that_was_taken_away(
    app: App, channel: Channel, root: MemberActor, studio: Moods, ends: Ends
) -> None:
    painters = channel.guild.create_role("painters")
    shown = await board(channel, root)
    await change(root, shown, "use", commands=[k.value for k in Kind], roles=[painters])
    assert f"**Members** with {painters.mention}" in shown.text
    eve = channel.guild.add_member(channel.env.create_user("eve"), roles=[painters])
    await imagine(channel, eve)
    await ends.next()
    [picture] = channel.shown()
    take_away(channel, eve, painters)
    for refused in (
        await eve.click(picture.message, label="Again"),
        await eve.click(picture.message, label="Edit…"),
        await imagine(channel, eve),
    ):
        assert whispered(refused).startswith(f"Here I work only for members with <@&{painters.id}>")
    assert len(studio.runs) == 1
    assert [message.text for message in channel.shown()] == [picture.text]


def take_away(channel: Channel, member: MemberActor, role: RoleHandle) -> None:
    guild = channel.env.backend.get_guild(channel.guild.id)
    guild.members[member.id].role_ids.remove(role.id)


@pytest.mark.parametrize(
    ("values", "options", "says"),
    [
        (
            {"styles": ["pixel art"], "pictures": ["4"]},
            {"style": "watercolour"},
            "Choose one of: pixel",
        ),
        (
            {"aspects": ["16:9", "9:16"], "pictures": ["4"]},
            {},
            "The shape 1:1 is not offered here.",
        ),
        ({"pictures": ["2"]}, {"count": 3}, "at most 2 at a time, not 3"),
    ],
)
async def test_what_may_be_chosen(
    channel: Channel,
    root: MemberActor,
    ada: MemberActor,
    values: dict[str, Any],
    options: dict[str, Any],
    says: str,
) -> None:
    await change(root, await board(channel, root), "choices", **values)
    if "style" in options:
        offered = await ada.autocomplete(channel.handle, "sketch", "style", "", **A_DRAWING)
        assert [choice["value"] for choice in offered] == ["pixel art"]
        result = await ada.slash(channel.handle, "sketch", **A_DRAWING, **options)
    else:
        result = await imagine(channel, ada, **options)
    assert says in whispered(result)
    assert channel.shown() == []


A_DRAWING = {"drawing": ("house.png", b"never looked at")}


async def test_over_the_share_waits_behind_and_is_told(
    app: App, channel: Channel, root: MemberActor, ada: MemberActor, bob: MemberActor, studio: Moods
) -> None:
    shown = await board(channel, root)
    await change(root, shown, "shares", daily_seconds="5", waiting="3")
    assert "**Share of a member** 5 s of GPU time in 24 hours; whoever has used it" in shown.text
    studio.gate.clear()
    for member in (ada, ada, bob):
        await imagine(channel, member)
    first, behind, _ = [await app.queue.get(m.job_id) for m in channel.shown()]
    assert (first.relaxed, behind.relaxed) == (False, True)
    assert app.queue.place(behind.id) == 2
    waits = channel.shown()[1]
    await channel.until(lambda: "place 2 in line" in waits.text or "next in line" in waits.text)
    assert "You have used your share of the graphics card for today" in waits.text
    told = whispered(await bob.slash(channel.handle, "queue"))
    assert f"2. `/imagine` for <@{ada.id}>, whose share of today is used up" in told
    used = whispered(await ada.slash(channel.handle, "usage"))
    assert used.splitlines()[:3] == [
        "You have used **40 s** of the GPU here in the last 24 hours.",
        "`/imagine` · 40 s · 2 jobs",
        "Your share of 5 s is used up: what you ask for now waits behind others, and begins when "
        "nobody else needs the GPU.",
    ]


async def test_rules_and_forms_outlive_a_restart(
    app: App, channel: Channel, root: MemberActor, ada: MemberActor, studio: Moods
) -> None:
    shown = await board(channel, root)
    form = await opened(root, shown, "use")
    later = await restarted(channel, app, studio)
    try:
        await root.submit_modal(form, {"commands": ["imagine"]})
        assert "switched off: /sketch, /animate" in shown.text
        again = await restarted(channel, later, studio)
        assert "switched off" in (await board(channel, root)).text
        sentence = whispered(await ada.slash(channel.handle, "animate", prompt="waves"))
        assert sentence.startswith("/animate is switched off here.")
    finally:
        await again.close()


async def test_turns_by_role_language_and_the_rest(
    app: App, channel: Channel, root: MemberActor, ends: Ends
) -> None:
    patron = channel.guild.create_role("patron")
    donor = channel.guild.create_role("donor")
    shown = await board(channel, root)
    await change(root, shown, "weights", weighted=[patron], weight="3")
    await change(root, shown, "weights", weighted=[donor], weight="1,5")
    assert f"**Turns** <@&{patron.id}> × 3, <@&{donor.id}> × 1.5" in shown.text
    await change(root, shown, "weights", weighted=[donor], weight="1")
    assert f"**Turns** <@&{patron.id}> × 3\n" in shown.text
    await change(root, shown, "rest", language=["de"], previews=["hidden"], keep_days="7")
    assert "**Language** Deutsch\n**Previews** not shown\n**Kept** for 7 days" in shown.text
    await change(root, shown, "log", log_channel=[channel.handle])
    assert f"**Log** in {channel.handle.mention}" in shown.text
    assert "I cannot write" not in shown.text
    eve = channel.guild.add_member(channel.env.create_user("eve"), roles=[patron, donor])
    await imagine(channel, eve)
    job = await ends.next()
    assert (job.weight, job.origin["locale"]) == (1.0, "de")
    await imagine(channel, root)
    assert (await ends.next()).weight == 1 / 3


async def test_what_a_role_had_goes_with_it(app: App, channel: Channel, root: MemberActor) -> None:
    patron, donor = map(channel.guild.create_role, ("patron", "donor"))
    shown = await board(channel, root)
    for role, weight in ((patron, "9"), (donor, "2")):
        await change(root, shown, "weights", weighted=[role], weight=weight)
    server = channel.guild.id
    channel.env.backend.delete_role(server, patron.id)
    await channel.until(lambda: app.queue.settings.of(server).role_weights == {donor.id: 2.0})


async def test_in_a_thread_the_rules_of_its_channel_hold(
    app: App, channel: Channel, root: MemberActor, ada: MemberActor
) -> None:
    await app.queue.settings.change(channel.guild.id, channel.handle.id, commands_off={"imagine"})
    thread = await a_thread(channel)
    refused = await imagine(channel, ada, where=thread)
    assert whispered(refused).startswith("/imagine is switched off here.")


async def a_thread(channel: Channel) -> ChannelHandle:
    there = channel.env.bot.get_channel(channel.handle.id)
    assert isinstance(there, discord.TextChannel)
    await there.create_thread(name="details", type=discord.ChannelType.public_thread)
    [thread] = channel.handle.threads
    return thread


async def test_what_a_server_keeps_for_less_long_is_forgotten_sooner(
    config: Config, studio: Moods, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bot")
    long_ago = time.time() - 2 * DAY
    folder = config.storage.folder
    store = await Store.open(folder / "jobs.sqlite3", folder / "files", now=lambda: long_ago)
    for server, channel in ((7, 1), (7, 2), (8, 1)):
        job = a_job(server=server, channel=channel)
        await enqueue(store, job, ROOMY)
        ended = await store.cancelled(job)
        assert ended is not None
        await store.told(ended)
    book = SettingsBook(store.database, Settings())
    await book.change(7, keep_days=1)
    await book.change(7, 2, keep_days=3)
    await store.close()
    app = await open_app(config, studio)
    try:
        with heard("forgot 1 old jobs") as swept:
            app.start()
            await asyncio.wait_for(swept.wait(), 10.0)
        assert sorted(await app.store.places(), key=str) == [(7, 2), (8, 1)]
    finally:
        await app.close()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"daily_seconds": "much", "waiting": "3"}, "Please give a number, not “much”."),
        ({"daily_seconds": "0", "waiting": "3"}, "a number from 1 to 1000000000, not “0”"),
        ({"daily_seconds": "", "waiting": "2.5"}, "a whole number from 1 on, not “2.5”"),
        ({"daily_seconds": "", "waiting": "99"}, "allows at most 3 here, not 99"),
    ],
)
async def test_numbers_that_cannot_be(
    app: App, channel: Channel, root: MemberActor, values: dict[str, str], says: str
) -> None:
    result = await change(root, await board(channel, root), "shares", **values)
    assert says in _said(result)
    assert not app.queue.settings.own(channel.guild.id)


@pytest.mark.parametrize("days", ["4000", "-1", "ten"])
async def test_an_age_that_cannot_be_says_which_can(
    app: App, channel: Channel, root: MemberActor, days: str
) -> None:
    shown = await board(channel, root)
    result = await change(root, shown, "use", minimum_age_days=days)
    assert "a number" in _said(result) and f"not “{days}”" in _said(result)
    await change(root, shown, "use", minimum_age_days="0")
    assert app.queue.settings.of(channel.guild.id).minimum_age_days == 0


async def test_a_log_channel_that_is_closed_is_shown_to_be(
    app: App, channel: Channel, root: MemberActor, other: ChannelHandle
) -> None:
    shown = await board(channel, root)
    await change(root, shown, "log", log_channel=[other])
    assert "I cannot write" not in shown.text
    guild = app.client.get_guild(channel.guild.id)
    assert guild is not None
    silent: dict[Any, Any] = {guild.me: discord.PermissionOverwrite(send_messages=False)}
    hidden = channel.guild.create_text_channel("hidden", overwrites=silent)
    for closed in (hidden.id, 404):  # one that it may not write in, and one that is gone
        await app.queue.settings.change(channel.guild.id, log_channel=closed)
        text = (await board(channel, root)).text
        assert f"I cannot write into the log channel <#{closed}>" in text
        told = whispered(await root.slash(channel.handle, "moderate", action="reports"))
        assert f"I cannot write into the log channel <#{closed}>" in told


def _said(result: InteractionResult) -> str:
    """What was told in private, beside the message that it came from."""
    return "".join(message.content for message in result.followups) or whispered(result)


async def test_only_administrators_see_and_change_the_rules(
    app: App, channel: Channel, root: MemberActor, ada: MemberActor
) -> None:
    with pytest.raises(SetupError):
        await ada.slash(channel.handle, "config")
    shown = await board(channel, root)
    form = await opened(root, shown, "shares")
    [admin] = [r for r in channel.guild.roles.values() if r.name == "root"]
    take_away(channel, root, admin)
    sentence = "Only administrators of this server can change its rules."
    assert whispered(await opened(root, shown, "shares")) == sentence
    result = await root.submit_modal(form, {"daily_seconds": "5", "waiting": "1"})
    assert whispered(result) == sentence
    assert not app.queue.settings.own(channel.guild.id)


def test_every_channel_that_takes_commands_can_be_looked_at(app: App) -> None:
    command = app.client.tree.get_command("config")
    assert isinstance(command, discord.app_commands.Command)
    [option] = command.parameters
    assert set(option.channel_types) == set(CHANNELS)
    assert {kind.name for kind in CHANNELS} >= {"stage_voice", "media"}


async def test_a_channel_that_is_gone_has_no_rules(
    app: App, channel: Channel, other: ChannelHandle, root: MemberActor
) -> None:
    shown = await board(channel, root, channel=other)
    await change(root, shown, "rest", language=["de"], previews=["hidden"], keep_days="7")
    assert f"-# Other rules hold in {other.mention}." in (await board(channel, root)).text
    channel.env.backend.delete_channel(other.id)
    assert "no longer there" in whispered(await opened(root, shown, "shares"))
    assert "Other rules" not in (await board(channel, root)).text


async def test_everyones_usage_is_for_moderators(
    app: App, channel: Channel, root: MemberActor, ada: MemberActor, ends: Ends
) -> None:
    nothing = whispered(await ada.slash(channel.handle, "usage"))
    assert nothing.startswith("You have used nothing of the GPU here")
    await imagine(channel, ada)
    await ends.next()
    refused = await ada.slash(channel.handle, "usage", whose="everyone")
    assert "Only the moderators of this server can do this" in whispered(refused)
    told = whispered(await root.slash(channel.handle, "usage", whose="everyone"))
    head, line = told.splitlines()
    assert "used here by 1 member in the last 24 hours" in head
    assert line.startswith(f"<@{ada.id}> · ") and line.endswith(" · 1 job")


async def test_new_members_may_be_asked_to_wait(
    app: App, channel: Channel, root: MemberActor
) -> None:
    shown = await board(channel, root)
    await change(root, shown, "use", minimum_age_days="7")
    assert app.queue.settings.of(channel.guild.id).minimum_age_days == 7
    assert "**Members** everyone, after 7 days in this server" in shown.text
    await change(root, shown, "use", minimum_age_days="")
    assert app.queue.settings.of(channel.guild.id).minimum_age_days == 0


async def test_a_thousand_is_written_as_people_write_it(
    app: App, channel: Channel, root: MemberActor
) -> None:
    shown = await board(channel, root)
    for written, meant in (("1.000", 1000), ("12,500", 12_500), ("1,5", 1.5), ("2.25", 2.25)):
        await change(root, shown, "shares", daily_seconds=written, waiting="3")
        assert app.queue.settings.of(channel.guild.id).daily_seconds == meant


async def test_what_was_written_is_in_the_form_again(channel: Channel, root: MemberActor) -> None:
    shown = await board(channel, root)
    for written in ("1000000000", "1234567.89"):
        await change(root, shown, "shares", daily_seconds=written, waiting="3")
        form = await opened(root, shown, "shares")
        assert form.modal is not None
        line = form.modal["components"][0]["component"]
        assert line["value"] == written and len(written) <= line["max_length"]
