"""The loopback Discord itself, driven by a bare discord.Client with a command tree."""

import asyncio
import io

import aiohttp
import discord
import pytest
from discord import app_commands

from tests.loopback import ALWAYS, Cut, LoopbackDiscord, Member, Upload
from tests.loopback.conftest import SmallBot
from tests.loopback.model import ATTACH, SEND
from tests.loopback.problems import rate_limited
from tests.loopback.rules import Json

DRAWING = Upload("cat.png", b"\x89PNG not quite" * 50)


async def test_a_command_is_registered_typed_and_answered(
    server: LoopbackDiscord, bot: SmallBot, ada: Member
) -> None:
    assert set(server.state.commands) == {"echo", "mirror", "ask"}
    used = await ada.slash("echo", text="hi", times=2)
    await server.wait_for(lambda: used.original)
    assert used.said == "hihi"
    assert used.waited is not None and used.waited < 3


async def test_a_file_goes_up_and_comes_back_byte_for_byte(
    server: LoopbackDiscord, bot: SmallBot, ada: Member
) -> None:
    used = await ada.slash("mirror", drawing=DRAWING)
    message = await server.wait_for(
        lambda: used.original if used.original and used.original.files else None
    )
    assert message.files[0].data == DRAWING.data
    assert not message.loading
    assert message.custom_ids == ("delete:1",)
    assert message.payload()["attachments"] == []  # the gallery shows it
    again = await bot.get_partial_messageable(message.channel.id).fetch_message(message.id)
    gallery = again.components[0]
    assert isinstance(gallery, discord.MediaGalleryComponent)
    assert await bot.http.get_from_cdn(gallery.items[0].media.url) == DRAWING.data


async def test_an_upload_that_is_held_back_arrives_whole(
    server: LoopbackDiscord, bot: SmallBot
) -> None:
    gate = server.faults.hold("POST", "/channels/*", uploads=True)
    channel = bot.get_partial_messageable(server.channel.id)
    data = bytes(range(256)) * 4096
    sending = asyncio.create_task(channel.send(file=discord.File(io.BytesIO(data), "a.bin")))
    await gate.arrived.wait()
    assert not server.messages
    gate.open()
    await sending
    assert [f.data for m in server.messages for f in m.files] == [data]


async def test_a_modal_opens_and_is_submitted(
    server: LoopbackDiscord, bot: SmallBot, ada: Member
) -> None:
    opened = await ada.slash("ask")
    await server.wait_for(lambda: opened.modal)
    sent = await ada.submit(opened, {"name": "Ada"})
    await server.wait_for(lambda: sent.original)
    assert bot.seen == ["Ada"]
    assert sent.said == "Hello Ada"
    assert sent.original is not None and sent.original.ephemeral


async def test_a_dropped_line_is_resumed_and_what_was_missed_comes_after(
    server: LoopbackDiscord, bot: SmallBot, ada: Member
) -> None:
    await server.gateway.drop(4000)
    used = await ada.slash("echo", text="missed")
    await server.wait_for(lambda: used.original)
    assert server.gateway.resumes == 1
    assert len(server.gateway.identifies) == 1
    assert bot.seen == ["missed"]


async def test_a_pulled_cable_and_a_reconnect_are_resumed_too(
    server: LoopbackDiscord, bot: SmallBot, ada: Member
) -> None:
    await server.gateway.drop()
    await server.wait_for(lambda: server.gateway.resumes == 1)
    await server.gateway.ask_to_reconnect()
    await server.wait_for(lambda: server.gateway.resumes == 2)
    used = await ada.slash("echo", text="here")
    await server.wait_for(lambda: used.original)


async def test_a_wrong_token_is_refused(server: LoopbackDiscord) -> None:
    client = discord.Client(intents=discord.Intents.none())
    with pytest.raises(discord.LoginFailure):
        await client.start("wrong")
    await client.close()


async def test_privileged_intents_are_refused(server: LoopbackDiscord) -> None:
    client = discord.Client(intents=discord.Intents.all())
    with pytest.raises(discord.PrivilegedIntentsRequired):
        await client.start(server.token)
    await client.close()


async def test_answers_that_come_late_or_twice_are_refused(
    server: LoopbackDiscord, bot: SmallBot, ada: Member
) -> None:
    codes: list[int] = []

    @bot.tree.error
    async def on_error(
        interaction: discord.Interaction, error: app_commands.AppCommandError
    ) -> None:
        assert isinstance(error, app_commands.CommandInvokeError)
        assert isinstance(error.original, discord.HTTPException)
        codes.append(error.original.code)

    gate = server.faults.hold("POST", "/interactions/*")
    late = await ada.slash("echo", text="late")
    await gate.arrived.wait()
    server.clock.advance(4)
    gate.open()
    await server.wait_for(lambda: late.refusals)
    double = await ada.slash("echo", text="one")
    await server.wait_for(lambda: double.original)
    route = discord.http.Route(
        "POST",
        "/interactions/{webhook_id}/{webhook_token}/callback",
        webhook_id=double.id,
        webhook_token=double.token,
    )
    with pytest.raises(discord.HTTPException, match="40060"):
        await bot.http.request(route, json={"type": 5})
    assert codes == [10062]


async def test_a_token_lives_a_quarter_of_an_hour_and_the_bots_own_goes_on(
    server: LoopbackDiscord, bot: SmallBot, ada: Member
) -> None:
    used = await ada.slash("echo", text="old")
    message = await server.wait_for(lambda: used.original)
    server.clock.advance(15 * 60 + 1)
    webhook = discord.Webhook.partial(server.state.bot.id, used.token, client=bot)
    with pytest.raises(discord.HTTPException) as caught:
        await webhook.edit_message(message.id, content="new")
    assert (caught.value.status, caught.value.code) == (401, 50027)
    await (
        bot.get_partial_messageable(message.channel.id)
        .get_partial_message(message.id)
        .edit(content="new")
    )
    assert message.text == "new"
    assert [v.text for v in message.versions] == ["old", "new"]


async def test_a_nonce_makes_one_message_of_a_send_that_was_cut(
    server: LoopbackDiscord, bot: SmallBot
) -> None:
    channel = bot.get_partial_messageable(server.channel.id)
    server.faults.cut("POST", "/channels/*", Cut.AFTER)
    with pytest.raises((OSError, aiohttp.ClientError)):
        await channel.send("once", nonce="n1")
    await channel.send("once", nonce="n1")
    assert [m.text for m in server.messages] == ["once"]


async def test_errors_arrive_as_discord_py_raises_them(
    server: LoopbackDiscord, bot: SmallBot
) -> None:
    channel = bot.get_partial_messageable(server.channel.id)
    server.faults.refuse("POST", "/channels/*", rate_limited(0.01))
    await channel.send("after a pause")
    server.faults.refuse("POST", "/channels/*", rate_limited(0.01, via=False))
    with pytest.raises(discord.HTTPException, match="429"):
        await channel.send("banned")
    server.faults.fail("POST", "/channels/*", 503, times=ALWAYS)
    with pytest.raises(discord.DiscordServerError):
        await channel.send("ill")
    server.faults.clear()
    server.state.upload_limit = 100
    with pytest.raises(discord.HTTPException) as caught:
        await channel.send(file=discord.File(io.BytesIO(b"x" * 101), "x.png"))
    assert (caught.value.status, caught.value.code) == (413, 40005)
    server.channel.permissions &= ~ATTACH
    with pytest.raises(discord.Forbidden, match="50013"):
        await channel.send(file=discord.File(io.BytesIO(b"x"), "x.png"))
    server.channel.permissions &= ~SEND
    with pytest.raises(discord.Forbidden):
        await channel.send("mute")
    server.channel.permissions = 0
    with pytest.raises(discord.Forbidden, match="50001"):
        await channel.fetch_message(1)
    assert [m.text for m in server.messages] == ["after a pause"]


def _text(content: str) -> Json:
    return {"type": 10, "content": content}


def _button(custom_id: str) -> Json:
    return {"type": 2, "style": 1, "label": "x", "custom_id": custom_id}


def _gallery(*urls: str) -> Json:
    return {"type": 12, "items": [{"media": {"url": url}} for url in urls]}


@pytest.mark.parametrize(
    ("components", "more"),
    [
        ([_text("x")] * 41, {}),
        ([{"type": 17, "components": [_text("x")] * 20}] * 2, {}),
        ([_text("x" * 2001)] * 2, {}),
        ([_gallery()], {}),
        ([_gallery(*["https://e.org/a.png"] * 11)], {}),
        ([_gallery("attachment://absent.png")], {}),
        ([_gallery("ftp://e.org/a.png")], {}),
        ([{"type": 1, "components": [_button("same"), _button("same")]}], {}),
        ([{"type": 1, "components": [_button("x" * 101)]}], {}),
        ([{"type": 1, "components": [_button(str(n)) for n in range(6)]}], {}),
        ([_button("loose")], {}),
        ([_text("x")], {"content": "words"}),
        ([_text("x")], {"embeds": [{"title": "x"}]}),
        ([], {}),
    ],
)
async def test_components_that_break_a_rule_are_refused(
    server: LoopbackDiscord, bot: SmallBot, components: list[Json], more: Json
) -> None:
    route = discord.http.Route(
        "POST", "/channels/{channel_id}/messages", channel_id=server.channel.id
    )
    with pytest.raises(discord.HTTPException) as caught:
        await bot.http.request(route, json={"flags": 1 << 15, "components": components, **more})
    assert caught.value.status == 400
    assert not server.messages


async def test_commands_that_break_a_rule_are_refused(
    server: LoopbackDiscord, bot: SmallBot
) -> None:
    option = {"name": "o", "description": "d", "type": 3}
    many = [option | {"name": f"o{n}"} for n in range(26)]
    long = [option | {"choices": [{"name": "x" * 100, "value": "y" * 100}] * 25}] * 2
    late = [option, option | {"name": "p", "required": True}]
    for options in (many, long, late):
        with pytest.raises(discord.HTTPException) as caught:
            await bot.http.bulk_upsert_global_commands(
                server.state.bot.id,
                [{"name": "c", "description": "d", "options": options}],
            )
        assert caught.value.code == 50035
    assert "c" not in server.state.commands


async def test_an_edit_keeps_what_it_lists_and_drops_what_it_omits(
    server: LoopbackDiscord, bot: SmallBot
) -> None:
    channel = bot.get_partial_messageable(server.channel.id)
    files = [discord.File(io.BytesIO(n.encode()), n) for n in ("a.png", "b.png")]
    sent = await channel.send(files=files)
    new = discord.File(io.BytesIO(b"c"), "c.png")
    await sent.edit(attachments=[sent.attachments[0], new])
    assert [f.filename for f in server.messages[0].files] == ["a.png", "c.png"]
    await sent.edit(content="words")
    assert [f.filename for f in server.messages[0].files] == ["a.png", "c.png"]


async def test_a_session_that_is_over_is_begun_anew(
    server: LoopbackDiscord, bot: SmallBot, ada: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(shard_id: int | None, *, initial: bool = False) -> None: ...

    monkeypatch.setattr(bot, "before_identify_hook", at_once)
    await server.gateway.invalidate()
    await server.wait_for(lambda: len(server.gateway.identifies) == 2 and server.gateway.connected)
    used = await ada.slash("echo", text="anew")
    await server.wait_for(lambda: used.original)
    assert server.gateway.resumes == 0


async def test_many_commands_at_once_are_all_answered(
    server: LoopbackDiscord, bot: SmallBot, ada: Member
) -> None:
    used = await asyncio.gather(*(ada.slash("echo", text=str(n)) for n in range(100)))
    await server.wait_for(lambda: all(u.original for u in used))
    assert sorted(u.said for u in used) == sorted(map(str, range(100)))
