"""/history: what was asked for, and what it came of."""

from dataclasses import replace
from pathlib import Path

import pytest
from simcord.actors import MemberActor
from simcord.results import InteractionResult

from bot.app import App
from bot.languages import language
from bot.ui.history import BRIEFLY, LISTED, Reader, _within, relation
from pipelines.contract.requests import AnimateRequest, ImagineRequest, Request, UpscaleRequest
from tests.jobs.samples import a_job
from tests.ui.channel import Channel, Shown, whispered
from tests.ui.fixtures import Ends

FOX = ImagineRequest(prompt="a fox", seed=1)


@pytest.mark.parametrize(
    ("child", "words"),
    [
        (replace(FOX, seed=9), "repeated from {parent}"),
        (replace(FOX, variations=(5,)), "varied from {parent}"),
        (replace(FOX, prompt="an owl"), "edited from {parent}"),
        (AnimateRequest(image=Path("fox.png"), seed=1), "animated from {parent}"),
        (UpscaleRequest(image=Path("fox.png"), scale=2), "made larger from {parent}"),
    ],
)
def test_what_a_job_is_to_its_parent(child: Request, words: str) -> None:
    assert str(relation(a_job(request=child), a_job(request=FOX), "{parent}")) == words


def test_what_came_over_http_is_in_no_channel() -> None:
    reader = Reader(user=1, channel=5, language=language("en"))
    assert reader.may_read(a_job(owner=1))
    assert not reader.may_read(a_job(owner=9, origin={"locale": "en"}))


def seen(channel: Channel, result: InteractionResult) -> Shown:
    """The answer, which the member alone sees."""
    assert result.response is not None and result.response.ephemeral
    return Shown(channel.env, result.response.message)


def linked(message: Shown) -> str:
    place = message.message
    assert place.guild is not None
    return f"https://discord.com/channels/{place.guild.id}/{place.channel.id}/{place.id}"


async def test_a_member_walks_back_to_where_it_began(
    app: App, channel: Channel, ada: MemberActor, bob: MemberActor, ends: Ends
) -> None:
    await ada.slash(channel.handle, "imagine", prompt="a *fox*", seed=7)
    first = (await ends.next()).id
    for label in ("Vary", "Animate"):
        await bob.click(channel.shown()[-1].message, label=label)
        await ends.next()
    fox, varied, video = channel.shown()
    listed = seen(channel, await bob.slash(channel.handle, "history"))
    lines = listed.text.splitlines()
    assert lines[1].startswith(f"1. `/animate` [without words]({linked(video)}) · <t:")
    asked = rf"`/imagine` [a \*fox\*]({linked(varied)})"
    origin = rf"`/imagine` [a \*fox\*]({linked(fox)})"
    assert lines[2] == f"-# animated from {asked}, varied from {origin}"
    assert lines[3].startswith(f"2. {asked}") and lines[4] == f"-# varied from {origin}"
    assert lines[5] == "-# A number shows where that one comes from."
    assert listed.buttons == ["1", "2"]
    await bob.click(listed.message, label="1")
    lines = listed.text.splitlines()
    assert lines[2:] == [f"↑ animated from {asked}", f"↑ varied from {origin}"]
    await bob.click(listed.message, label="Up")
    assert listed.text.splitlines()[2:] == [f"↑ varied from {origin}"]
    await bob.click(listed.message, label="Up")
    assert "It begins here" in listed.text and listed.buttons == ["My last requests"]
    await ada.click(fox.message, label="Delete")
    await bob.click(listed.message, label="My last requests")
    assert r"varied from `/imagine` a \*fox\* · deleted" in listed.text
    assert await app.store.get(first) is not None
    await app.queue.forget_owner(ada.id)
    gone = seen(channel, await bob.slash(channel.handle, "history", of=linked(varied)))
    assert gone.text.splitlines()[-1].startswith("↑ made from something that was deleted")


async def test_words_are_not_carried_from_one_channel_to_another(
    app: App, channel: Channel, ada: MemberActor, bob: MemberActor, ends: Ends
) -> None:
    await ada.slash(channel.handle, "imagine", prompt="a secret")
    secret = await ends.next()
    elsewhere = channel.guild.create_text_channel("elsewhere")
    refused = await bob.slash(elsewhere, "history", of=secret.id)
    assert "not made in this channel" in whispered(refused)
    [message] = channel.shown()
    refused = await bob.slash(elsewhere, "history", of=linked(message))
    assert "Please ask there." in whispered(refused)
    assert "paste the link" in whispered(await bob.slash(elsewhere, "history", of="a secret"))
    for no_id in (7, 2**63, 10**20 - 1):
        link = f"https://discord.com/channels/@me/{elsewhere.id}/{no_id}"
        assert "I know nothing of" in whispered(await bob.slash(elsewhere, "history", of=link))
    own = seen(channel, await ada.slash(elsewhere, "history", of=secret.id))
    assert "a secret" in own.text
    assert seen(channel, await bob.slash(elsewhere, "history")).text.startswith("You have not")
    [choice] = await ada.autocomplete(elsewhere, "history", "of", "SECRET")
    assert choice == {"name": "/imagine a secret", "value": secret.id}


async def test_a_long_line_is_cut_short_and_said_to_be(
    app: App, channel: Channel, ada: MemberActor, ends: Ends
) -> None:
    await ada.slash(channel.handle, "imagine", prompt="a fox")
    for _ in range(BRIEFLY + 1):
        await ends.next()
        await ada.click(channel.shown()[-1].message, label="Again")
    await ends.next()
    shown = seen(channel, await ada.slash(channel.handle, "history"))
    line = shown.text.splitlines()[2]
    assert line.count("repeated from") == BRIEFLY and line.endswith(", …")


def test_what_there_is_no_room_for_is_left_out_of_a_line_of_descent() -> None:
    steps = ["varied from a", "varied from b", "varied from c"]
    assert _within(100, steps) == "-# varied from a, varied from b, varied from c"
    assert _within(40, steps) == "-# varied from a, varied from b, …"
    assert _within(20, steps) == "-# varied from a, …"
    assert _within(10, steps) == ""


async def test_a_long_history_is_short_enough_to_be_sent(
    app: App, channel: Channel, ada: MemberActor, ends: Ends
) -> None:
    await ada.slash(channel.handle, "imagine", prompt="a fox in the snow, oil painting " * 2)
    await ends.next()
    for _ in range(LISTED):
        await ada.click(channel.shown()[-1].message, label="Vary")
        await ends.next()
    listed = seen(channel, await ada.slash(channel.handle, "history"))
    assert listed.text.count("discord.com/channels") > LISTED
    assert len(listed.text) < 4000
