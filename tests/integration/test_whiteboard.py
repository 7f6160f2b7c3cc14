"""From /sketch without a file, by the link, to the picture in the channel."""

import asyncio
import json
import time
from pathlib import Path

import aiohttp
import pytest

from bot.app import App
from bot.config import Config
from bot.ui.answers import TROUBLE
from tests.integration.apps import light_config, serving
from tests.integration.shown import answered, invited, is_final
from tests.loopback import LoopbackDiscord, Member
from tests.loopback.faults import Cut
from tests.loopback.problems import unknown_channel
from tests.loopback.runner import Studio
from tests.web.serving import client, drawing, web_config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return web_config(tmp_path)


async def draw(
    session: aiohttp.ClientSession, *, width: int = 64, **fields: str
) -> aiohttp.ClientResponse:
    form = aiohttp.FormData(fields)
    form.add_field("drawing", drawing(width), filename="drawing.png")
    return await session.post("/v1/sketch", data=form)


async def test_a_drawing_lands_in_the_channel_once(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    link, used = await invited(server, ada, prompt="a fox", strength=40, seed=7)
    async with client(app, link) as page:
        options = await (await page.get("/v1/options")).json()
        assert options["link"]["request"] == {
            "prompt": "a fox",
            "style": None,
            "strength": 40,
            "lora": None,
            "seed": 7,
        }
        assert options["link"]["job"] is None
        answers = await asyncio.gather(*(draw(page, strength="55") for _ in range(3)))
        assert sorted(each.status for each in answers) == [202, 409, 409]
        [job] = [await each.json() for each in answers if each.status == 202]
        await server.wait_for(lambda: any(is_final(m) for m in used.followups if not m.ephemeral))
        [message] = [m for m in used.followups if not m.ephemeral]
        assert message.text.startswith("a fox")
        assert len(message.files) == 1
        [run] = studio.runs
        assert (run.prompt, run.seed, getattr(run, "strength", 0)) == ("a fox", 7, 55)
        kept = len(list(app.files.folder.glob("*")))
        again = await draw(page, width=65)
        assert (again.status, (await again.json())["code"]) == (409, "link_used")
        assert len(list(app.files.folder.glob("*"))) == kept
        told = await (await page.get(f"/v1/jobs/{job['id']}")).json()
        assert told["id"] == job["id"]
        assert (await page.get("/v1/jobs")).status == 401
        assert (await page.get("/metrics")).status == 401
        assert (await page.get("/metrics")).status == 401
        assert (await page.post("/v1/imagine", json={"prompt": "x"})).status == 401
        assert (await page.get("/v1/jobs/0123456789abcdef")).status == 404


async def test_the_rules_are_asked_again_when_the_drawing_arrives(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    link, used = await invited(server, ada)
    assert used.channel.guild_id is not None
    await app.queue.settings.change(used.channel.guild_id, commands_off=frozenset({"sketch"}))
    async with client(app, link) as page:
        answer = await draw(page)
        assert (answer.status, (await answer.json())["code"]) == (403, "not_allowed")
    assert studio.runs == []
    assert [m for m in used.followups if not m.ephemeral] == []
    assert list(app.files.folder.glob("*")) == []


async def test_a_queue_that_is_full_by_then_takes_the_message_back(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    studio.gate.clear()
    link, used = await invited(server, ada)
    gate = server.faults.hold("POST", "/webhooks/*")
    async with client(app, link) as page:
        sending = asyncio.create_task(draw(page))
        await gate.arrived.wait()
        for _ in range(5):
            await ada.slash("imagine", prompt="a fox")
        await server.wait_for(lambda: app.queue.length() + len(app.queue.running()) == 5)
        gate.open()
        answer = await sending
        assert (answer.status, (await answer.json())["code"]) == (429, "queue_full")
        [message] = [m for m in used.followups if not m.ephemeral]
        assert message.deleted
        assert (await draw(page)).status == 429  # of which nothing is posted any more
    assert [m for m in used.followups if not m.ephemeral] == [message]


async def test_a_discord_that_does_not_take_the_message_is_said_and_the_link_stays_good(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    link, used = await invited(server, ada)
    server.faults.refuse("POST", "/webhooks/*", unknown_channel())
    server.faults.cut("POST", "/webhooks/*", Cut.BEFORE)
    async with client(app, link) as page:
        for says in ("Discord says that the channel is gone.", str(TROUBLE)):
            answer = await draw(page)
            told = await answer.json()
            assert (answer.status, told["code"]) == (503, "discord_failed")
            assert told["detail"] == says
        assert (await draw(page)).status == 202
    assert len([m for m in used.followups if not m.ephemeral]) == 1


async def test_what_is_kept_for_a_link_is_told_copied_and_deleted(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    link, _ = await invited(server, ada, prompt="a fox")
    assert "I keep 1 link to the whiteboard" in (await answered(server, ada)).said
    copy = await answered(server, ada, action="export")
    assert copy.original is not None
    [kept] = json.loads(copy.original.files[0].data)["links"]
    assert kept["channel"] == "pictures" and kept["request"]["prompt"] == "a fox"
    await answered(server, ada, action="delete")
    assert "whiteboard" not in (await answered(server, ada)).said
    async with client(app, link) as page:
        assert (await (await draw(page)).json())["code"] == "link_invalid"


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    ("prompt", "says"), [("{red, blue} star", "one at a time"), ("{red star", "without its")]
)
async def test_a_link_is_for_one_prompt(
    server: LoopbackDiscord, ada: Member, prompt: str, says: str
) -> None:
    used = await ada.slash("sketch", prompt=prompt)
    await server.wait_for(lambda: used.said)
    assert says in used.said and "Draw" not in used.said


async def test_without_a_whiteboard_a_drawing_is_asked_for(
    server: LoopbackDiscord, ada: Member, tmp_path: Path, studio: Studio
) -> None:
    async with serving(server, light_config(tmp_path), studio):
        used = await ada.slash("sketch")
        await server.wait_for(lambda: used.said)
        assert used.said.startswith("Please attach a drawing")


async def test_a_drawing_is_taken_although_its_sender_hangs_up(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    link, used = await invited(server, ada, prompt="a fox")
    gate = server.faults.hold("POST", "/webhooks/*")
    async with client(app, link) as page:
        sending = asyncio.create_task(draw(page))
        await gate.arrived.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    gate.open()
    await server.wait_for(lambda: any(is_final(m) for m in used.followups if not m.ephemeral))
    assert len(studio.runs) == 1


async def test_a_job_may_be_cancelled_after_its_link_has_ended(
    server: LoopbackDiscord,
    ada: Member,
    app: App,
    studio: Studio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    studio.gate.clear()
    link, _ = await invited(server, ada, prompt="a fox")
    async with client(app, link) as page:
        path = f"/v1/jobs/{(await (await draw(page)).json())['id']}"
        later = time.time() + 3600
        monkeypatch.setattr(app.client.whiteboard._links, "_now", lambda: later)
        assert (await page.delete("/v1/jobs/0123456789abcdef")).status == 404
        assert (await page.delete(path)).status == 204
        told = await page.get(path, headers={"Accept": "text/event-stream"})
        assert '"state":"cancelled"' in await told.text()


async def test_a_job_may_be_watched_after_its_link_has_ended(
    server: LoopbackDiscord, ada: Member, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, used = await invited(server, ada, prompt="a fox")
    async with client(app, link) as page:
        job = await (await draw(page)).json()
        await server.wait_for(lambda: any(is_final(m) for m in used.followups if not m.ephemeral))
        later = time.time() + 3600
        monkeypatch.setattr(app.client.whiteboard._links, "_now", lambda: later)
        assert (await page.get(f"/v1/jobs/{job['id']}/results/0")).status == 200
        assert (await page.get("/v1/jobs/0123456789abcdef")).status == 404
        assert (await page.get("/v1/options")).status == 401
        assert (await draw(page)).status == 401
