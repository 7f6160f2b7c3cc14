"""Braces in a prompt: all of it is queued, once, or nothing."""

import asyncio
from pathlib import Path

import pytest

from bot.app import App
from bot.client import HANDLERS
from bot.config import Config, LimitsConfig
from bot.errors import StorageFailed
from tests.integration.apps import light_config, serving
from tests.integration.shown import button, end_of, is_final, jobs_of
from tests.jobs.studio import held
from tests.loopback import Interaction, LoopbackDiscord, Member, Message
from tests.loopback.runner import Studio

PROMPT = "a {red, blue} star"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return light_config(tmp_path, LimitsConfig(waiting_per_member=2))


async def asked(server: LoopbackDiscord, member: Member) -> Message:
    """The question, once it is there."""
    used = await member.slash("imagine", prompt=PROMPT, seed=7)
    await server.wait_for(lambda: used.said)
    assert used.original is not None and used.original.ephemeral
    return used.original


def answer(question: Message, which: str) -> str:
    return next(i for i in question.custom_ids if i.startswith(f"atelier:{which}:"))


async def said(server: LoopbackDiscord, used: Interaction) -> str:
    await server.wait_for(lambda: used.said)
    return used.said


async def test_go_pressed_often_and_after_a_restart_queues_once(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio
) -> None:
    async with serving(server, config, studio):
        question = await asked(server, ada)
    await server.wait_for(lambda: not server.gateway.connected)
    async with serving(server, config, studio):
        go = answer(question, "go")
        stranger = await server.member("bob").press(question, go)
        assert "answered already" in await said(server, stranger)
        clicks = await asyncio.gather(*(ada.press(question, go) for _ in range(4)))
        public = [m for c in clicks for m in c.followups if not m.ephemeral]
        await server.wait_for(
            lambda: sum(is_final(m) for c in clicks for m in c.followups if not m.ephemeral) == 2
        )
        public = [m for c in clicks for m in c.followups if not m.ephemeral]
        assert [m.text.splitlines()[0] for m in public] == ["a red star", "a blue star"]
        assert [len(m.files) for m in public] == [1, 1]
        assert sorted(run.prompt for run in studio.runs) == ["a blue star", "a red star"]
        assert sum("answered already" in c.said for c in clicks) == 3
        await server.wait_for(lambda: not question.custom_ids)


async def test_braces_in_a_form_are_asked_about_and_what_they_make_comes_of_the_edited(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt=r"a \{kept\} star", seed=7))
    opened = await ada.click(message, button(message, "edit"))
    await server.wait_for(lambda: opened.modal)
    assert opened.modal is not None
    prompt = opened.modal["components"][0]["component"]["value"]
    assert prompt == r"a \{kept\} star"
    sent = await ada.submit(opened, {"prompt": f"{prompt} on {{a hill, the sea}}"})
    await server.wait_for(lambda: sent.said)
    assert sent.original is not None and sent.original.ephemeral
    go = await ada.press(sent.original, answer(sent.original, "go"))
    made = await server.wait_for(
        lambda: ended if len(ended := [m for m in go.followups if is_final(m)]) == 2 else None
    )
    jobs = [await app.queue.get(*jobs_of(each)) for each in made]
    assert {job.request.prompt for job in jobs} == {
        "a {kept} star on a hill",
        "a {kept} star on the sea",
    }
    assert {job.parent for job in jobs} == jobs_of(message)


async def test_cancel_leaves_nothing(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    question = await asked(server, ada)
    dropped, went = [await ada.click(question, answer(question, which)) for which in ("drop", "go")]
    assert "answered already" in await said(server, went)
    await server.wait_for(lambda: question.text == "Nothing was queued.")
    assert not dropped.followups
    assert not studio.runs and not await app.queue.of(ada.user.id)


async def test_without_room_nothing_is_queued_and_the_question_stays(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    question = await asked(server, ada)
    studio.gate.clear()
    other = await ada.slash("imagine", prompt="a harbour")
    await server.wait_for(lambda: studio.runs)
    refused = await ada.click(question, answer(question, "go"))
    assert "there is room for 1 more of yours" in await said(server, refused)
    again = await ada.slash("imagine", prompt=PROMPT)
    await server.wait_for(lambda: again.followups)
    assert "there is room for 1 more of yours" in again.said
    assert [m.ephemeral for m in refused.followups] == [True]
    studio.gate.set()
    await end_of(server, other)
    went = await ada.click(question, answer(question, "go"))
    await server.wait_for(lambda: sum(map(is_final, went.followups)) == 2)
    assert len(await app.queue.of(ada.user.id)) == 3


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("a {red star", "a { without its }"),
        ("{1, 2, 3} stars", "more than 2 prompts"),
        ("{, }", "the prompt is empty"),
    ],
)
async def test_braces_that_cannot_be_are_refused_in_private(
    server: LoopbackDiscord, ada: Member, app: App, prompt: str, sentence: str
) -> None:
    used = await ada.slash("imagine", prompt=prompt)
    assert sentence in await said(server, used)
    assert used.original is not None and used.original.ephemeral


async def test_what_was_forbidden_meanwhile_is_not_queued(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    question = await asked(server, ada)
    await app.queue.settings.change(server.guild_id, commands_off={"imagine"})
    refused = await ada.click(question, answer(question, "go"))
    assert "switched off here" in await said(server, refused)
    assert all(message.ephemeral for message in refused.followups)
    await app.queue.settings.clear(server.guild_id)
    went = await ada.click(question, answer(question, "go"))
    await server.wait_for(lambda: sum(map(is_final, went.followups)) == 2)
    assert len(studio.runs) == 2


async def test_what_is_not_queued_after_all_takes_its_messages_with_it(
    server: LoopbackDiscord, ada: Member, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = await asked(server, ada)

    async def refuse(*_: object, **__: object) -> None:
        raise StorageFailed("The disk is full.")

    with monkeypatch.context() as full:
        full.setattr(app.queue, "accept", refuse)
        refused = await ada.click(question, answer(question, "go"))
        await server.wait_for(lambda: "The disk is full." in refused.said)
    assert [m.deleted for m in refused.followups if not m.ephemeral] == [True, True]
    went = await ada.click(question, answer(question, "go"))
    await server.wait_for(lambda: sum(map(is_final, went.followups)) == 2)


@pytest.mark.parametrize("minutes", [0, 20])
async def test_what_was_posted_when_the_bot_ended_is_taken_back_by_the_next(
    server: LoopbackDiscord,
    ada: Member,
    config: Config,
    studio: Studio,
    monkeypatch: pytest.MonkeyPatch,
    minutes: int,
) -> None:
    monkeypatch.setattr("bot.client.LAST", 0.01)
    async with serving(server, config, studio) as app:
        question = await asked(server, ada)
        queueing, _ = held(monkeypatch, app.queue, "accept")
        went = await ada.press(question, answer(question, "go"))
        await queueing.wait()
    await server.wait_for(lambda: not server.gateway.connected)
    for task in [each for each in asyncio.all_tasks() if each.get_name().startswith(HANDLERS)]:
        task.cancel()  # as the end of the process does
    assert [m.deleted for m in went.followups] == [False, False]
    server.clock.advance(minutes * 60)
    async with serving(server, config, studio):
        shown = await end_of(server, await ada.slash("imagine", prompt="a harbour"))
        await server.wait_for(lambda: all(m.deleted for m in went.followups))
        assert not shown.deleted
