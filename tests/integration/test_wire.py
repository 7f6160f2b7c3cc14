"""Three commands over real sockets, and results that arrive whatever Discord answers."""

import io
from typing import Any

import pytest
from PIL import Image

from bot.app import App
from bot.jobs.events import JobTold
from bot.jobs.job import Status
from pipelines.contract.requests import AnimateRequest, ImagineRequest, Request, SketchRequest
from tests.integration.apps import Heard
from tests.integration.shown import end_of, jobs_of, stayed_final, wait_of
from tests.loopback import ALWAYS, Cut, Interaction, LoopbackDiscord, Member, Message, Upload
from tests.loopback.problems import ApiProblem, rate_limited
from tests.loopback.runner import Studio, paint

EDITS = "/webhooks/*/messages/*"
SENDS = "/channels/*/messages"


def drawing() -> Upload:
    """A drawing as a member makes it: black on white, a PNG."""
    image = Image.new("RGB", (200, 150), "white")
    image.paste("black", (50, 50, 150, 60))
    data = io.BytesIO()
    image.save(data, "PNG")
    return Upload("house.png", data.getvalue())


async def imagine(ada: Member, prompt: str = "a lighthouse", seed: int = 7) -> Interaction:
    return await ada.slash("imagine", prompt=prompt, seed=seed)


def painted(prompt: str = "a lighthouse", seed: int = 7) -> bytes:
    """What the runner makes of `imagine`."""
    return paint(ImagineRequest(prompt=prompt, seed=seed))[0].data


def only_message(server: LoopbackDiscord) -> Message:
    """The channel's one message."""
    [message] = [m for m in server.messages if not m.ephemeral]
    return message


@pytest.mark.parametrize(
    ("command", "options", "kind"),
    [
        ("imagine", {"prompt": "a lighthouse", "seed": 7, "count": 3}, ImagineRequest),
        ("sketch", {"drawing": drawing(), "prompt": "a house", "seed": 7}, SketchRequest),
        ("animate", {"image": drawing(), "seed": 7}, AnimateRequest),
        ("animate", {"prompt": "waves", "seed": 7}, AnimateRequest),
    ],
)
async def test_a_command_travels_the_whole_way(
    server: LoopbackDiscord,
    ada: Member,
    app: App,
    heard: Heard,
    studio: Studio,
    command: str,
    options: dict[str, Any],
    kind: type[Request],
) -> None:
    used = await ada.slash(command, **options)
    message = await end_of(server, used)
    [request] = studio.runs
    assert isinstance(request, kind)
    painted = [a.data for a in paint(request)]
    singles, beside = message.files[: len(painted)], message.files[len(painted) :]
    assert [f.data for f in singles] == painted
    assert [f.filename for f in beside] == (["grid-7.jpg"] if len(painted) > 1 else [])
    assert message is only_message(server)
    assert not message.loading
    job = (await heard.of(JobTold)).job
    assert jobs_of(message) == {job.id}
    assert job.status is Status.DELIVERED
    assert [await app.files.read(a.path) for a in job.artifacts] == [f.data for f in singles]


async def test_it_is_acknowledged_before_the_drawing_is_fetched_and_its_link_may_die(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    studio.gate.clear()
    used = await ada.slash("sketch", drawing=drawing())
    message = await wait_of(server, used)
    calls = [c.path for c in server.calls]
    acknowledged = next(n for n, path in enumerate(calls) if "/callback" in path)
    fetched = next(n for n, path in enumerate(calls) if path.startswith("/attachments/"))
    assert acknowledged < fetched
    server.expire_links()
    studio.gate.set()
    assert await end_of(server, used) is message
    again = await ada.click(message, next(c for c in message.custom_ids if "again" in c))
    await end_of(server, again)
    assert len(studio.runs) == 2


async def test_a_job_that_begins_at_once_is_not_first_said_to_wait(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    studio.gate.clear()
    message = await wait_of(server, await imagine(ada))
    other = await wait_of(server, await imagine(ada, seed=8))
    studio.gate.set()
    assert not any("in line" in version.text for version in message.versions)
    assert "next in line" in other.text


async def test_what_discord_finds_too_large_is_made_smaller_and_not_painted_again(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    server.state.upload_limit = 1 << 20  # though every interaction promises 10 MiB
    message = await end_of(server, await imagine(ada, "a large lighthouse"))
    assert [call.status for call in server.called("PATCH", "/webhooks/")].count(413) >= 1
    [file] = message.files
    assert len(file.data) <= 1 << 20
    with Image.open(io.BytesIO(file.data)) as image:
        assert image.format in ("WEBP", "JPEG")
    assert file.filename.endswith((".webp", ".jpg"))
    assert len(studio.runs) == 1


async def test_a_promised_limit_is_kept_without_trying(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    server.attachment_size_limit = 1 << 20
    message = await end_of(server, await imagine(ada, "a large lighthouse"))
    assert len(message.files[0].data) <= 1 << 20
    assert 413 not in [call.status for call in server.calls]


async def test_a_rate_limit_is_waited_out(server: LoopbackDiscord, ada: Member, app: App) -> None:
    server.faults.refuse("PATCH", EDITS, rate_limited(0.3), times=2, uploads=True)
    message = await end_of(server, await imagine(ada))
    assert [f.data for f in message.files] == [painted()]
    refused = [c.at for c in server.calls if c.status == 429]
    edits = [c.at for c in server.called("PATCH", "/webhooks/")]
    assert len(refused) == 2
    assert all(min(at for at in edits if at > limited) - limited >= 0.29 for limited in refused)


async def test_a_ban_by_cloudflare_is_sat_out(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    fault = server.faults.refuse("PATCH", EDITS, rate_limited(60, via=False), uploads=True)
    message = await end_of(server, await imagine(ada))
    assert fault.met == 1
    assert [f.data for f in message.files] == [painted()]
    assert len(studio.runs) == 1


async def test_a_server_that_is_ill_for_a_while_gets_it_later_and_once(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    server.faults.fail("PATCH", EDITS, 502, uploads=True)
    message = await end_of(server, await imagine(ada))
    assert [f.data for f in message.files] == [painted()]
    assert only_message(server) is message
    assert len(studio.runs) == 1


@pytest.mark.parametrize("when", Cut)
async def test_a_line_cut_in_the_final_edit_leaves_one_message(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard, studio: Studio, when: Cut
) -> None:
    fault = server.faults.cut("PATCH", EDITS, when, uploads=True)
    used = await imagine(ada)
    message = await end_of(server, used)
    await server.wait_for(lambda: fault.met == 1)
    await heard.of(JobTold)
    assert [f.data for f in message.files] == [painted()]
    assert only_message(server) is message
    assert stayed_final(message)
    assert len(studio.runs) == 1


async def test_a_new_message_whose_answer_was_lost_is_not_sent_twice(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard, studio: Studio
) -> None:
    studio.gate.clear()
    used = await imagine(ada)
    waiting = await wait_of(server, used)
    server.clock.advance(16 * 60)
    server.state.messages.delete(waiting)  # by a moderator
    fault = server.faults.cut("POST", SENDS, Cut.AFTER)
    studio.gate.set()
    await server.wait_for(lambda: len(server.called("POST", SENDS[:9])) >= 2)
    message = only_message(server)
    await heard.of(JobTold)
    assert fault.met == 1
    assert message is not waiting
    assert [f.data for f in message.files] == [painted()]
    assert message.allowed_mentions == {"parse": [], "users": [ada.user.id]}
    assert len(studio.runs) == 1


async def test_a_thread_that_a_lost_message_opened_again_shows_the_result_once(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard, studio: Studio
) -> None:
    studio.gate.clear()
    waiting = await wait_of(server, await imagine(ada))
    server.clock.advance(16 * 60)
    archived = ApiProblem(400, 50083, "Thread is archived")
    server.faults.refuse("PATCH", "/channels/*", archived)
    server.faults.cut("POST", SENDS, Cut.AFTER)
    studio.gate.set()
    await heard.of(JobTold)
    message = only_message(server)
    assert message is not waiting
    assert [f.data for f in message.files] == [painted()]


async def test_a_token_that_expired_meanwhile_leaves_the_edit_to_the_bots_own(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    studio.gate.clear()
    used = await imagine(ada)
    waiting = await wait_of(server, used)
    server.clock.advance(16 * 60)
    studio.gate.set()
    message = await end_of(server, used)
    assert message is waiting is only_message(server)
    assert [f.data for f in message.files] == [painted()]
    assert 401 in [c.status for c in server.called("PATCH", "/webhooks/")]
    assert [c.status for c in server.called("PATCH", "/channels/")] == [200]


async def test_where_it_may_not_write_any_more_the_member_is_told_once_and_the_result_kept(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard, studio: Studio
) -> None:
    studio.gate.clear()
    used = await imagine(ada)
    waiting = await wait_of(server, used)
    [job_id] = jobs_of(waiting)
    server.clock.advance(16 * 60)
    server.channel.permissions = 0
    studio.gate.set()
    whisper = await server.wait_for(
        lambda: next((m for m in server.messages if m.channel is ada.direct), None)
    )
    assert (await heard.of(JobTold)).job.id == job_id
    job = await app.queue.get(job_id)
    assert job.status is Status.RENDERED
    assert job.told
    assert job.error_code == "undeliverable"
    assert await app.files.read(job.artifacts[0].path) == painted()
    assert [m for m in server.messages if m.channel is ada.direct] == [whisper]
    assert len(studio.runs) == 1


async def test_where_even_the_member_is_out_of_reach_it_does_not_try_for_ever(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard, studio: Studio
) -> None:
    studio.gate.clear()
    used = await imagine(ada)
    await wait_of(server, used)
    server.clock.advance(16 * 60)
    server.channel.permissions = 0
    server.state.closed_to_direct.add(ada.user.id)
    studio.gate.set()
    assert (await heard.of(JobTold)).job.error_code == "undeliverable"
    refused = [c for c in server.calls if c.status in (401, 403)]
    assert len(refused) <= 6


async def test_one_whose_way_is_shut_does_not_hold_up_the_others(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    stuck = await imagine(ada, seed=1)
    waiting = await wait_of(server, stuck)
    server.faults.fail("PATCH", f"/webhooks/*/{stuck.token}/*", 503, times=ALWAYS)
    message = await end_of(server, await imagine(server.member("bob"), seed=2))
    assert [f.data for f in message.files] == [painted(seed=2)]
    server.faults.clear()
    assert await end_of(server, stuck) is waiting


async def test_a_drawing_that_discord_no_longer_has_is_refused_in_private(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    used = await ada.slash("sketch", drawing=drawing())
    server.expire_links()
    await server.wait_for(lambda: used.followups)
    assert "upload it again" in used.said
    assert all(m.ephemeral for m in used.messages)
    assert used.original is not None
    assert used.original.deleted, "it still says that it is thinking"
    assert not studio.runs


async def test_a_file_that_is_said_to_be_too_large_is_not_even_fetched(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    large = Upload("house.png", drawing().data, claimed=60 << 20)
    used = await ada.slash("sketch", drawing=large)
    await server.wait_for(lambda: used.said)
    assert "60 MiB" in used.said
    assert all(m.ephemeral for m in used.messages)
    assert not server.called("GET", "/attachments/")


async def test_an_acknowledgement_that_comes_too_late_leaves_no_job(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    gate = server.faults.hold("POST", "/interactions/*")
    used = await imagine(ada)
    await gate.arrived.wait()
    server.clock.advance(4)
    gate.open()
    await server.wait_for(lambda: used.refusals)
    assert used.refusals == [10062]
    await end_of(server, await imagine(ada, seed=8))
    assert [run.seed for run in studio.runs] == [8]
