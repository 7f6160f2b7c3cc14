"""A right click on a message: on what somebody sent, and on what the bot made."""

import pytest
from PIL import Image

from bot.app import App
from bot.commands.menus import NO_PICTURE
from bot.jobs.events import JobTold
from pipelines.contract.requests import AnimateRequest, SketchRequest
from pipelines.media import encode_png
from tests.integration.apps import Heard
from tests.integration.shown import end_of, jobs_of
from tests.loopback import Interaction, LoopbackDiscord, Member, Upload

PICTURE = Image.effect_noise((96, 64), 80).convert("RGB")
PHOTO = Upload("photo.png", encode_png(PICTURE, {"prompt": "a harbour"}))
TEXT = Upload("notes.txt", b"nothing to see")


@pytest.mark.parametrize(
    ("entry", "field"),
    [("Sketch this", "drawing"), ("Animate this", "image"), ("Describe this", "image")],
)
async def test_what_somebody_sent_is_sketched_or_animated(
    server: LoopbackDiscord, ada: Member, app: App, entry: str, field: str
) -> None:
    message = server.member("bob").post(TEXT, PHOTO)
    [job_id] = jobs_of(await end_of(server, await ada.menu(entry, message)))
    job = await app.queue.get(job_id)
    assert job.owner == ada.user.id
    with Image.open(getattr(job.request, field)) as taken_in:
        assert taken_in.size == PICTURE.size


async def test_what_is_forwarded_is_found(server: LoopbackDiscord, ada: Member, app: App) -> None:
    message = ada.forward(server.member("bob").post(TEXT, PHOTO))
    [job_id] = jobs_of(await end_of(server, await ada.menu("Animate this", message)))
    job = await app.queue.get(job_id)
    assert isinstance(job.request, AnimateRequest) and job.request.image is not None
    with Image.open(job.request.image) as taken_in:
        assert taken_in.size == PICTURE.size


async def test_a_result_is_taken_from_the_disk_and_not_from_discord(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt="a lighthouse", seed=7))
    await heard.of(JobTold)
    made = await app.queue.get(*jobs_of(message))
    for entry, of in (("Sketch this", SketchRequest), ("Animate this", AnimateRequest)):
        job = await app.queue.get(*jobs_of(await end_of(server, await ada.menu(entry, message))))
        assert isinstance(job.request, of) and job.parent == made.id
        assert made.artifacts[0].path in (
            getattr(job.request, "drawing", None),
            getattr(job.request, "image", None),
        )


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(("entry", "files"), [("Animate this", [TEXT]), ("Show settings", [])])
async def test_a_message_without_a_picture_is_refused_in_private(
    server: LoopbackDiscord, ada: Member, entry: str, files: list[Upload]
) -> None:
    used = await ada.menu(entry, ada.post(*files))
    await server.wait_for(lambda: used.said == str(NO_PICTURE))
    assert all(each.ephemeral for each in used.messages)


async def test_the_settings_of_a_result_and_of_a_file(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt="a lighthouse", seed=7))
    await heard.of(JobTold)
    for shown, prompt in ((message, "a lighthouse"), (ada.post(PHOTO), "a harbour")):
        used = await ada.menu("Show settings", shown)

        def said(used: Interaction = used) -> str:
            return used.said

        await server.wait_for(said)
        assert f"**Prompt** {prompt}" in used.said
        assert used.original is not None and used.original.ephemeral


async def test_a_result_that_is_forgotten_says_so(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    message = await end_of(server, await ada.slash("imagine", prompt="a lighthouse"))
    await heard.of(JobTold)
    await app.store.forget_before(1e12)
    used = await ada.menu("Animate this", message)
    await server.wait_for(lambda: used.said)
    assert "no longer known" in used.said
