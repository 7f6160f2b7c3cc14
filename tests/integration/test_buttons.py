"""Buttons pressed twice, late, by the wrong person, and after a restart."""

import asyncio
import io
import time

import pytest

from bot.app import App
from bot.config import Config
from bot.errors import NoSuchJob
from bot.jobs.events import JobTold
from bot.jobs.job import Status
from demo.sample import draw_sample
from pipelines.contract.requests import AnimateRequest, ImagineRequest, SketchRequest
from tests.integration.apps import Heard, serving
from tests.integration.shown import button, end_of, jobs_of, wait_of, waits
from tests.loopback import Interaction, LoopbackDiscord, Member, Message, Upload
from tests.loopback.model import MANAGE_MESSAGES, ORDINARY
from tests.loopback.runner import Studio

PROMPT = "a lighthouse"


async def answered(server: LoopbackDiscord, clicks: list[Interaction]) -> None:
    """Wait until every click is acknowledged."""
    await server.wait_for(lambda: all(c.acknowledged is not None for c in clicks))
    assert not [c.refusals for c in clicks if c.refusals]


async def test_many_clicks_on_cancel_cancel_once(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    studio.gate.clear()
    message = await wait_of(server, await ada.slash("imagine", prompt=PROMPT))
    cancel = button(message, "cancel")
    clicks = await asyncio.gather(*(ada.press(message, cancel) for _ in range(6)))
    await answered(server, clicks)
    [job_id] = jobs_of(message)
    await server.wait_for(lambda: not waits(message))
    assert (await app.queue.get(job_id)).status is Status.CANCELLED
    studio.gate.set()
    await end_of(server, await ada.slash("imagine", prompt="the next one runs"))
    assert not message.files


async def test_many_clicks_on_delete_delete_once(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt=PROMPT))
    delete = button(message, "delete")
    clicks = await asyncio.gather(*(ada.press(message, delete) for _ in range(6)))
    await answered(server, clicks)
    await server.wait_for(lambda: message.deleted)
    await server.wait_for(lambda: sum(bool(c.followups) for c in clicks) >= len(clicks) - 1)
    assert all(m.ephemeral for c in clicks for m in c.followups)


async def test_a_stranger_neither_cancels_nor_deletes_but_a_moderator_does(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    bob = server.member("bob")
    carol = server.member("carol", permissions=ORDINARY | MANAGE_MESSAGES)
    studio.gate.clear()
    message = await wait_of(server, await ada.slash("imagine", prompt=PROMPT))
    refused = await bob.click(message, button(message, "cancel"))
    await server.wait_for(lambda: refused.followups)
    assert "Only" in refused.said
    studio.gate.set()
    await server.wait_for(lambda: message.files)
    refused = await bob.click(message, button(message, "delete"))
    await server.wait_for(lambda: refused.followups)
    assert not message.deleted
    await carol.click(message, button(message, "delete"))
    await server.wait_for(lambda: message.deleted)


async def test_buttons_of_before_a_restart_still_work(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio
) -> None:
    async with serving(server, config, studio):
        message = await end_of(server, await ada.slash("imagine", prompt=PROMPT, seed=1))
    await server.wait_for(lambda: not server.gateway.connected)
    async with serving(server, config, studio) as app:
        again = await ada.click(message, button(message, "again"))
        fresh = await end_of(server, again)
        assert fresh is not message
        assert len(fresh.files) == 1
        await ada.click(message, button(message, "delete"))
        await server.wait_for(lambda: message.deleted)
        assert not fresh.deleted
        assert (await app.queue.get(*jobs_of(fresh))).status is Status.DELIVERED


async def test_a_button_of_a_job_that_is_forgotten_says_so(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt=PROMPT))
    await heard.of(JobTold)
    [job_id] = jobs_of(message)
    await app.store.forget_before(time.time() + 1)
    used = await ada.click(message, button(message, "again"))
    await server.wait_for(lambda: used.followups)
    with pytest.raises(NoSuchJob) as caught:
        await app.queue.get(job_id)
    assert used.said == caught.value.sentence


# -- Edit… and Animate ----------------------------------------------------------------------


async def form_of(server: LoopbackDiscord, member: Member, message: Message) -> Interaction:
    """The press on Edit… that has shown `member` the form of a message's job."""
    opened = await member.click(message, button(message, "edit"))
    await server.wait_for(lambda: opened.modal)
    return opened


async def test_an_edited_request_is_a_job_of_its_own(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    bob = server.member("bob")
    used = await ada.slash("imagine", prompt=PROMPT, negative="fog", seed=7)
    message = await end_of(server, used)
    opened = await form_of(server, bob, message)
    sent = await bob.submit(opened, {"prompt": "a lighthouse in a storm", "seed": ""})
    edited = await end_of(server, sent)
    [parent], [child] = jobs_of(message), jobs_of(edited)
    job = await app.queue.get(child)
    assert (job.owner, job.parent) == (bob.user.id, parent)
    assert isinstance(job.request, ImagineRequest)
    assert (job.request.prompt, job.request.negative) == ("a lighthouse in a storm", "fog")
    assert job.request.seed != 7
    assert message.files and edited.files


async def test_a_form_that_a_rule_refuses_is_answered_in_private_alone(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt=PROMPT))
    opened = await form_of(server, ada, message)
    await app.queue.settings.change(server.guild_id, commands_off=frozenset({"imagine"}))
    sent = await ada.submit(opened, {"prompt": "a lighthouse in a storm"})
    await server.wait_for(lambda: sent.said)
    assert "/imagine" in sent.said and "> a lighthouse in a storm" in sent.said
    assert sent.original is not None and sent.original.ephemeral  # and nothing before it


async def test_what_the_captioner_saw_can_be_put_right(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    drawing = io.BytesIO()
    draw_sample().save(drawing, "PNG")
    used = await ada.slash("sketch", drawing=Upload("drawing.png", drawing.getvalue()))
    message = await end_of(server, used)
    await heard.of(JobTold)
    opened = await form_of(server, ada, message)
    assert opened.modal is not None
    fields = {
        each["component"]["custom_id"]: each["component"] for each in opened.modal["components"]
    }
    assert fields["caption"]["value"] == "a drawing of noise"
    edited = await end_of(server, await ada.submit(opened, {"caption": "a heart"}))
    request = (await app.queue.get(*jobs_of(edited))).request
    assert isinstance(request, SketchRequest) and request.caption == "a heart"


async def test_a_form_outlives_a_restart_and_returns_what_it_refuses(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio
) -> None:
    async with serving(server, config, studio):
        message = await end_of(server, await ada.slash("imagine", prompt=PROMPT))
        opened = await form_of(server, ada, message)
    await server.wait_for(lambda: not server.gateway.connected)
    async with serving(server, config, studio):
        refused = await ada.submit(opened, {"prompt": "a long thought", "seed": "seven"})
        await server.wait_for(lambda: refused.original)
        assert refused.original is not None and refused.original.ephemeral
        assert "as a whole number, not “seven”" in refused.said
        assert "> a long thought" in refused.said
        await end_of(server, await ada.submit(opened, {"seed": "8"}))


async def test_a_form_that_is_sent_off_twice_at_once_makes_one_job(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt=PROMPT))
    opened = await form_of(server, ada, message)
    first, second = await asyncio.gather(*(ada.submit(opened, {"seed": "8"}) for _ in range(2)))
    await end_of(server, first)
    await server.wait_for(second.callback.is_set)
    assert len(await app.queue.of(ada.user.id)) == 2


async def test_a_form_that_is_dismissed_is_not_kept(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt=PROMPT))
    await form_of(server, ada, message)
    assert app.client._connection._view_store._modals == {}


async def test_all_words_of_a_long_form_that_is_refused_are_returned(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt=PROMPT))
    opened = await form_of(server, ada, message)
    long = {"prompt": "word " * 200, "negative": "fog " * 249 + "end", "seed": "seven"}
    refused = await ada.submit(opened, long)
    await server.wait_for(lambda: refused.original)
    assert refused.original is not None and refused.original.ephemeral
    assert refused.original.text.count("word") == 200
    assert refused.original.text.endswith("fog end")


async def test_a_form_of_a_job_that_is_forgotten_says_so(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt=PROMPT))
    await heard.of(JobTold)
    opened = await form_of(server, ada, message)
    await app.store.forget_before(time.time() + 1)
    refused = await ada.submit(opened, {"prompt": "anything"})
    await server.wait_for(lambda: refused.said)
    assert "no longer known" in refused.said and refused.said.endswith("\n> anything")


async def test_one_of_several_results_is_set_in_motion(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt=PROMPT, count=3))
    await heard.of(JobTold)
    asked = await ada.click(message, button(message, "animate"))
    await server.wait_for(lambda: asked.original)
    assert asked.original is not None and asked.original.ephemeral
    chosen = await ada.click(asked.original, asked.original.custom_ids[1])
    video = await end_of(server, chosen)
    [parent], [child] = jobs_of(message), jobs_of(video)
    made, job = await app.queue.get(parent), await app.queue.get(child)
    assert isinstance(job.request, AnimateRequest)
    assert job.request.image == made.artifacts[1].path
    assert job.parent == parent
    assert not any("animate" in each for each in video.custom_ids)


async def test_one_of_several_results_is_varied_and_again(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt=PROMPT, count=3, seed=7))
    asked = await ada.click(message, button(message, "vary"))
    await server.wait_for(lambda: asked.original)
    assert asked.original is not None and asked.original.ephemeral
    varied = await end_of(server, await ada.click(asked.original, asked.original.custom_ids[1]))
    once = (await app.queue.get(*jobs_of(varied))).request
    assert isinstance(once, ImagineRequest)
    assert (once.seed, once.count, len(once.variations)) == (8, 1, 1)
    assert "seed 8 · varied · " in varied.text
    further = await end_of(server, await ada.click(varied, button(varied, "vary")))
    twice = (await app.queue.get(*jobs_of(further))).request
    assert isinstance(twice, ImagineRequest)
    assert twice.variations[:1] == once.variations and len(twice.variations) == 2
    again = await end_of(server, await ada.click(further, button(further, "again")))
    anew = (await app.queue.get(*jobs_of(again))).request
    assert isinstance(anew, ImagineRequest) and not anew.variations


async def test_what_is_no_longer_kept_cannot_be_set_in_motion(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt=PROMPT))
    await heard.of(JobTold)
    [job_id] = jobs_of(message)
    await app.queue.erase(job_id)
    used = await ada.press(message, button(message, "animate"))
    await server.wait_for(lambda: used.said)
    assert "no longer kept" in used.said


async def test_what_could_not_be_shown_is_shown_to_nobody_but_its_owner_and_once(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard, studio: Studio
) -> None:
    studio.gate.clear()
    message = await wait_of(server, await ada.slash("imagine", prompt=PROMPT))
    [job_id] = jobs_of(message)
    job = await app.queue.get(job_id)
    await app.queue.set_origin(job_id, {**job.origin, "token": "", "may_post": False})
    studio.gate.set()
    assert (await heard.of(JobTold)).job.error_code == "undeliverable"

    listed = await ada.slash("results")
    await server.wait_for(lambda: listed.original and listed.original.custom_ids)
    assert listed.original is not None and listed.original.ephemeral
    show = button(listed.original, "show")
    refused = await server.member("bob").press(listed.original, show)
    await server.wait_for(lambda: refused.said)
    assert "Only the member who asked" in refused.said
    clicks = await asyncio.gather(*(ada.press(listed.original, show) for _ in range(3)))
    await server.wait_for(lambda: sum("shown already" in c.said for c in clicks) == 2)
    [shown] = [c for c in clicks if "shown already" not in c.said]
    assert (await end_of(server, shown)).files
