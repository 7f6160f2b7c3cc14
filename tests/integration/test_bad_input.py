"""What nobody should send, and some do: a sentence that only they see, and nothing is run."""

import asyncio

import pytest

from bot.app import App
from bot.jobs.events import JobTold
from bot.jobs.job import Standing, new_job_id
from pipelines.contract.requests import ImagineRequest
from tests.integration.apps import Heard
from tests.integration.shown import button, end_of, jobs_of
from tests.loopback import LoopbackDiscord, Member
from tests.loopback.runner import Studio

MAKING = ("again", "vary", "animate")


@pytest.mark.parametrize("action", MAKING)
async def test_a_double_click_makes_one_thing(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard, studio: Studio, action: str
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt="a lighthouse"))
    await heard.of(JobTold)
    twice = await asyncio.gather(*(ada.click(message, button(message, action)) for _ in range(2)))
    await server.wait_for(lambda: all(used.acknowledged for used in twice))
    assert not [used.refusals for used in twice if used.refusals]
    made, nothing = sorted(twice, key=lambda used: used.original is message)
    await end_of(server, made)
    assert not nothing.said and not message.deleted
    bob = server.member("bob")
    await end_of(server, await bob.click(message, button(message, action)))
    assert len(studio.runs) == 3


@pytest.mark.parametrize("action", ["again", "delete", "cancel"])
async def test_a_button_that_the_message_does_not_show(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio, action: str
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt="a lighthouse"))
    used = await ada.press(message, f"atelier:{action}:{new_job_id()}")
    await server.wait_for(lambda: used.said)
    assert "no longer there" in used.said
    assert all(each.ephemeral for each in used.messages) and not message.deleted
    assert len(studio.runs) == 1


async def test_a_form_of_a_job_of_another_server(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt="a lighthouse"))
    [job_id] = jobs_of(message)
    origin = (await app.queue.get(job_id)).origin
    elsewhere = Standing(server=server.guild_id + 1)
    studio.gate.clear()
    secret = ImagineRequest(prompt="a secret", seed=1)
    job = await app.queue.submit(secret, owner=ada.user.id, origin=origin, standing=elsewhere)
    opened = await ada.click(message, button(message, "edit"))
    await server.wait_for(lambda: opened.modal)
    assert opened.modal is not None
    for form in (f"atelier:edit:{job.id}:1", f"atelier:reason:{job.id}:1"):
        opened.modal["custom_id"] = form
        used = await ada.submit(opened, {})
        await server.wait_for(lambda used=used: "not made in this server" in used.said)  # type: ignore[misc]
    assert not await app.queue.moderation.open_reports()
    assert [each.request.prompt for each in await app.store.of(ada.user.id)].count("a secret") == 1
    studio.gate.set()


@pytest.mark.parametrize("custom_id", ["atelier:again:xyz", "atelier:vary:0123456789abcdef:0", "x"])
async def test_what_is_no_button_of_ours(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio, custom_id: str
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt="a lighthouse"))
    used = await ada.press(message, custom_id)
    await server.wait_for(lambda: "older version" in used.said)
    assert len(studio.runs) == 1
