"""What the bot sees in a picture: described, and before a drawing is painted, agreed to."""

import asyncio
import io

import pytest
from PIL import Image

from bot.app import App
from bot.config import Config
from bot.jobs.events import JobTold
from demo.sample import draw_sample
from pipelines.contract.requests import (
    AnimateRequest,
    DescribeRequest,
    ImagineRequest,
    SketchRequest,
)
from tests.integration.apps import Heard, serving
from tests.integration.shown import button, end_of, jobs_of
from tests.loopback import Interaction, LoopbackDiscord, Member, Message, Upload
from tests.loopback.runner import Studio

CAPTION = "a drawing of noise"


def drawn() -> Upload:
    file = io.BytesIO()
    draw_sample().save(file, "PNG")
    return Upload("drawing.png", file.getvalue())


async def reviewed(server: LoopbackDiscord, ada: Member) -> Message:
    """A drawing of ada's, of which she was shown what it is taken for."""
    used = await ada.slash("sketch", drawing=drawn(), prompt="in gold", strength=40, review=True)
    return await end_of(server, used)


def answers_of(server: LoopbackDiscord, clicks: list[Interaction]) -> list[Message]:
    """The public messages that clicks were answered with, as far as they still stand."""
    answers = [c.original for c in clicks if c.original is not None]
    return [m for m in answers if not m.ephemeral and not m.deleted]


async def test_go_paints_once_what_was_shown_also_after_a_restart(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio
) -> None:
    async with serving(server, config, studio):
        message = await reviewed(server, ada)
        assert f"**I take this for:** {CAPTION}" in message.text
        assert len(message.files) == 1
    await server.wait_for(lambda: not server.gateway.connected)
    async with serving(server, config, studio) as app:
        go = button(message, "paint")
        clicks = await asyncio.gather(*(ada.press(message, go) for _ in range(3)))
        await server.wait_for(lambda: sum(bool(c.followups) for c in clicks) == 2)
        [first] = [c for c in clicks if not c.followups]
        assert all("started already" in c.said for c in clicks if c is not first)
        painted = await end_of(server, first)
        assert answers_of(server, clicks) == [painted]
        review, job = [await app.queue.get(*jobs_of(m)) for m in (message, painted)]
        assert isinstance(review.request, SketchRequest)
        assert isinstance(job.request, SketchRequest)
        assert (job.request.caption, job.request.prompt) == (CAPTION, "in gold")
        assert (job.request.strength, job.request.seed) == (40, review.request.seed)
        assert not job.request.review
        assert (job.parent, job.owner) == (review.id, ada.user.id)
        late = await ada.press(message, go)
        await server.wait_for(lambda: late.followups)
        assert len(await app.queue.of(ada.user.id)) == 2


async def test_only_who_asked_says_go(server: LoopbackDiscord, ada: Member, app: App) -> None:
    message = await reviewed(server, ada)
    refused = await server.member("bob").press(message, button(message, "paint"))
    await server.wait_for(lambda: refused.said)
    assert refused.said.startswith("Only the member who asked")


async def test_edit_puts_right_what_was_seen_and_paints(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    message = await reviewed(server, ada)
    await heard.of(JobTold)
    opened = await ada.click(message, button(message, "edit"))
    await server.wait_for(lambda: opened.modal)
    assert opened.modal is not None
    filled = {c["component"]["custom_id"]: c["component"] for c in opened.modal["components"]}
    assert (filled["caption"]["value"], filled["strength"]["value"]) == (CAPTION, "40")
    painted = await end_of(server, await ada.submit(opened, {"caption": "a heart"}))
    job = await app.queue.get(*jobs_of(painted))
    assert isinstance(job.request, SketchRequest)
    assert (job.request.caption, job.request.prompt) == ("a heart", "in gold")
    assert not job.request.review
    assert [job.parent] == list(jobs_of(message))


async def test_go_on_what_is_no_longer_kept(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    message = await reviewed(server, ada)
    await heard.of(JobTold)
    await app.queue.erase(*jobs_of(message))
    used = await ada.press(message, button(message, "paint"))
    await server.wait_for(lambda: used.said)
    assert "no longer kept" in used.said


async def described(server: LoopbackDiscord, ada: Member) -> Message:
    return await end_of(server, await ada.slash("describe", image=drawn()))


async def test_a_picture_is_described_and_imagined(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    message = await described(server, ada)
    await heard.of(JobTold)
    assert message.text.splitlines()[0] == CAPTION
    [file] = message.files
    assert Image.open(io.BytesIO(file.data)).size == draw_sample().size
    opened = await ada.click(message, button(message, "imagine"))
    await server.wait_for(lambda: opened.modal)
    imagined = await end_of(server, await ada.submit(opened, {"seed": "8"}))
    job = await app.queue.get(*jobs_of(imagined))
    assert job.request == ImagineRequest(prompt=CAPTION, seed=8)
    assert [job.parent] == list(jobs_of(message))


@pytest.mark.parametrize(("action", "of"), [("sketch", SketchRequest), ("animate", AnimateRequest)])
async def test_what_was_described_is_sketched_and_animated(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard, action: str, of: type
) -> None:
    message = await described(server, ada)
    await heard.of(JobTold)
    made = await end_of(server, await ada.click(message, button(message, action)))
    [before], [after] = jobs_of(message), jobs_of(made)
    picture, job = (await app.queue.get(before)).request, await app.queue.get(after)
    assert isinstance(picture, DescribeRequest) and isinstance(job.request, of)
    assert picture.image in [getattr(job.request, name, None) for name in ("drawing", "image")]
