"""Jobs over HTTP: asked for, watched, fetched, ended."""

import asyncio
import base64
import io
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from PIL import Image
from pydantic import ValidationError

from bot.app import App
from bot.config import Config, WebConfig
from bot.errors import StorageFailed
from bot.jobs.events import JobEnded, JobStarted, JobTold
from bot.jobs.job import Job
from bot.jobs.settings import Settings
from bot.tasks import Tasks
from bot.web import api, bodies, watching
from pipelines.contract.requests import ImagineRequest, SketchRequest
from tests.integration.apps import Heard
from tests.loopback.runner import Studio
from tests.web.serving import client, drawing, opened, tokens, web_config


async def imagine(session: aiohttp.ClientSession, **fields: Any) -> dict[str, Any]:
    answer = await session.post("/v1/imagine", json={"prompt": "a fox", "seed": 7, **fields})
    assert answer.status == 202, await answer.text()
    job: dict[str, Any] = await answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    return job


async def stream(session: aiohttp.ClientSession, job_id: str) -> AsyncIterator[dict[str, Any]]:
    """What a stream says of a job, to its end."""
    path, headers = f"/v1/jobs/{job_id}", {"Accept": "text/event-stream"}
    async with session.get(path, headers=headers) as answer:
        async for line in answer.content:
            if line.startswith(b"data:"):
                yield json.loads(line[5:])


async def states(session: aiohttp.ClientSession, job_id: str) -> list[dict[str, Any]]:
    return [each async for each in stream(session, job_id)]


async def test_a_job_is_watched_to_its_end_and_fetched_in_ranges(
    ada: aiohttp.ClientSession, studio: Studio
) -> None:
    studio.gate.clear()
    job = await imagine(ada, count=2)
    told = []
    async for now in stream(ada, job["id"]):
        told.append(now)
        if now["preview"] is not None:  # made because somebody watches
            assert (await ada.get(now["preview"])).content_type == "image/jpeg"
            studio.gate.set()
    assert told[-1]["state"] == "delivered"
    assert [r["name"] for r in told[-1]["results"]] == ["imagine-7-0.png", "imagine-7-1.png"]
    url = told[-1]["results"][1]["url"]
    whole = await (await ada.get(url)).read()
    assert len(whole) == told[-1]["results"][1]["size"]
    part = await ada.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status, await part.read()) == (206, whole[10:20])
    beyond = await ada.get(url, headers={"Range": f"bytes={len(whole)}-"})
    assert (beyond.status, (await beyond.json())["code"]) == (416, "range")
    assert beyond.headers["Content-Range"] == f"bytes */{len(whole)}"
    for unknown in ("bytes=0-1,4-5", "pages=1-2"):
        answer = await ada.get(url, headers={"Range": unknown})
        assert (answer.status, await answer.read()) == (200, whole)
    tag = part.headers["ETag"]
    others = {"Range": f"bytes={len(whole)}-", "If-Range": '"of another"'}
    for headers in (others, {**others, "Range": "bytes=10-19"}, {**others, "If-Range": f"W/{tag}"}):
        answer = await ada.get(url, headers=headers)
        assert (answer.status, await answer.read()) == (200, whole)
    same = await ada.get(url, headers={"Range": "bytes=10-19", "If-Range": tag})
    assert (same.status, await same.read()) == (206, whole[10:20])
    again = await ada.get(url, headers={"If-None-Match": tag})
    assert again.status == 304
    saved = await ada.get(f"{url}?download")
    assert saved.headers["Content-Disposition"] == 'attachment; filename="imagine-7-1.png"'
    small = await ada.get(told[-1]["results"][1]["thumbnail"])
    assert small.content_type == "image/webp"
    assert max(Image.open(io.BytesIO(await small.read())).size) <= 480
    again = await ada.get(small.url.path, headers={"If-None-Match": small.headers["ETag"]})
    assert again.status == 304


async def test_an_event_source_comes_back_until_it_has_heard_the_end(
    ada: aiohttp.ClientSession,
) -> None:
    job = await imagine(ada)
    path, headers = f"/v1/jobs/{job['id']}", {"Accept": "text/event-stream"}
    *_, last = (await (await ada.get(path, headers=headers)).text()).strip().split("\n\n")
    [mark] = [line[4:] for line in last.split("\n") if line.startswith("id: ")]
    again = await ada.get(path, headers={**headers, "Last-Event-ID": mark})
    assert (again.status, await again.read()) == (204, b"")
    assert (await ada.get(path, headers={**headers, "Last-Event-ID": ""})).status == 200


async def test_a_stream_outlives_a_disk_that_refuses_for_a_while(
    ada: aiohttp.ClientSession, app: App, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT", 0.05)
    studio.gate.clear()  # or the job would be heard of without asking
    _, job = [await imagine(ada) for _ in range(2)]
    told = stream(ada, job["id"])
    await anext(told)
    get, refused = app.store.get, asyncio.Event()

    async def refuse(job_id: str) -> Job | None:
        refused.set()
        raise StorageFailed.because(OSError("disk I/O error"))

    monkeypatch.setattr(app.store, "get", refuse)
    await refused.wait()
    monkeypatch.setattr(app.store, "get", get)
    studio.gate.set()
    assert [now["state"] async for now in told][-1] == "delivered"


async def test_who_has_no_good_token_any_more_hears_no_more(
    ada: aiohttp.ClientSession, config: Config, studio: Studio
) -> None:
    studio.gate.clear()  # so that the job does not end
    told = stream(ada, (await imagine(ada))["id"])
    await anext(told)
    tokens(config).revoke("ada")
    async with asyncio.timeout(10):
        assert all(now["state"] == "running" for now in [each async for each in told])


async def test_who_asks_what_a_stream_would_say_hears_no_stream(
    ada: aiohttp.ClientSession, app: App, studio: Studio
) -> None:
    studio.gate.clear()  # or it would be a short one
    job = await imagine(ada)
    assert app.web is not None
    reader, writer = await asyncio.open_connection(*app.web.runner.addresses[0])
    token = f"Authorization: {ada.headers['Authorization']}\r\nHost: x\r\n"
    head = f"HEAD /v1/jobs/{job['id']} HTTP/1.1\r\n{token}Accept: text/event-stream\r\n\r\n"
    writer.write(f"{head}GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_what_a_proxy_compressed_on_its_way_is_not_sent_again(app: App) -> None:
    async with client(app) as session:
        tag = (await session.get("/")).headers["ETag"]
        again = await session.get("/", headers={"If-None-Match": f"W/{tag}"})
        assert (again.status, await again.read()) == (304, b"")
        other = await session.get("/", headers={"If-None-Match": 'W/"another"'})
        assert other.status == 200


async def test_a_result_is_input_and_is_deleted(ada: aiohttp.ClientSession) -> None:
    first = (await states(ada, (await imagine(ada))["id"]))[-1]
    body = {"image": {"job": first["id"], "index": 0}, "scale": 2}
    larger = await (await ada.post("/v1/upscale", json=body)).json()
    ended = (await states(ada, larger["id"]))[-1]
    assert (ended["results"][0]["width"], ended["state"]) == (128, "delivered")
    form = aiohttp.FormData({"scale": "2"}, default_to_multipart=True)
    form.add_field("image", json.dumps(body["image"]), content_type="application/json")
    larger = await (await ada.post("/v1/upscale", data=form)).json()
    assert (await states(ada, larger["id"]))[-1]["results"][0]["width"] == 128
    listed = await (await ada.get("/v1/jobs?limit=1")).json()
    assert [job["id"] for job in listed["jobs"]] == [larger["id"]]
    older = await (await ada.get(f"/v1/jobs?limit=2&cursor={listed['next']}")).json()
    assert [job["id"] for job in older["jobs"]][1:] == [first["id"]]
    assert older["next"] is None
    assert (await ada.get("/v1/jobs?cursor=none")).status == 404
    assert (await ada.delete(f"/v1/jobs/{first['id']}")).status == 204
    assert (await ada.get(first["results"][0]["url"])).status == 404


async def test_a_result_that_is_not_there_is_no_input(ada: aiohttp.ClientSession, app: App) -> None:
    made = (await states(ada, (await imagine(ada))["id"]))[-1]

    async def larger(index: int) -> tuple[int, str]:
        image = {"job": made["id"], "index": index}
        answer = await ada.post("/v1/upscale", json={"image": image})
        return answer.status, (await answer.json())["detail"]

    for index in (-2, 1):
        assert await larger(index) == (404, "This job has no such result, or it was deleted.")
    [result] = (await app.queue.get(made["id"])).artifacts
    result.path.unlink()
    status, said = await larger(0)
    assert (status, said[:35]) == (404, "The file of this result is gone. Pl")


async def test_what_nobody_may_ask_for_is_not_for_tokens_either(
    ada: aiohttp.ClientSession, app: App, studio: Studio
) -> None:
    app.queue.settings.defaults = Settings(commands_off={"animate"}, pictures=1)
    for path, fields in (("animate", {}), ("imagine", {"count": 2})):
        answer = await ada.post(f"/v1/{path}", json={"prompt": "a fox", **fields})
        assert answer.status in (403, 422), await answer.text()
    assert studio.runs == [] and (await (await ada.get("/v1/jobs")).json())["jobs"] == []


async def test_what_the_queue_refuses_leaves_no_file(
    ada: aiohttp.ClientSession, app: App, studio: Studio
) -> None:
    studio.gate.clear()
    large = {"image": base64.b64encode(drawing(3200, 1600)).decode()}
    answer = await ada.post("/v1/upscale", json=large)
    assert answer.status == 422 and "6400 × 3200" in (await answer.json())["detail"]
    for _ in range(app.config.limits.waiting_per_member):
        await imagine(ada)
    fields = {"drawing": base64.b64encode(drawing()).decode()}
    assert (await ada.post("/v1/sketch", json=fields)).status == 429
    assert list(app.files.folder.glob("*")) == []
    studio.gate.set()


async def test_a_video_is_no_picture_to_make_larger(ada: aiohttp.ClientSession) -> None:
    video = await (await ada.post("/v1/animate", json={"prompt": "a fox"})).json()
    made = (await states(ada, video["id"]))[-1]
    refused = await ada.post("/v1/upscale", json={"image": {"job": made["id"], "index": 0}})
    assert (refused.status, (await refused.json())["detail"][:25]) == (
        422,
        "That result is a video. P",
    )


async def test_a_waiting_and_a_running_job_are_cancelled(
    ada: aiohttp.ClientSession, app: App, studio: Studio
) -> None:
    studio.gate.clear()
    jobs = [await imagine(ada), await imagine(ada)]
    for job in reversed(jobs):
        assert (await ada.delete(f"/v1/jobs/{job['id']}")).status == 204
    ends = [(await states(ada, job["id"]))[-1]["state"] for job in jobs]
    assert ends == ["cancelled", "cancelled"]


async def test_a_token_has_a_share_of_its_own(app: App, config: Config, studio: Studio) -> None:
    studio.gate.clear()
    heavy = tokens(config).add("heavy", waiting=2, weight=3.0, daily_seconds=1)
    async with client(app, heavy) as session:
        [first, second] = [await imagine(session), await imagine(session)]
        refused = await session.post("/v1/imagine", json={"prompt": "a fox"})
        assert (refused.status, (await refused.json())["code"]) == (429, "queue_full")
        assert int(refused.headers["Retry-After"]) > 0
        jobs = [await app.queue.get(job["id"]) for job in (first, second)]
    assert [job.weight for job in jobs] == [3.0, 3.0]
    assert [job.relaxed for job in jobs] == [False, True]


def looking(app: App, job_id: str) -> aclosing[AsyncGenerator[Job | None]]:
    assert app.web is not None
    return aclosing(cast(AsyncGenerator[Job | None], app.web.watching.looks(job_id)))


async def test_who_looks_again_sees_what_came_of_it_meanwhile(
    ada: aiohttp.ClientSession, app: App, studio: Studio
) -> None:
    studio.gate.clear()
    first, job = [await imagine(ada) for _ in range(2)]
    async with looking(app, job["id"]) as looks:
        await anext(looks)
        heard = Heard(app.events)
        await app.queue.cancel(first["id"])
        async for now in looks:
            if now is not None and now.status == "running":
                break
    assert (await heard.of(JobTold)).job.id == first["id"]
    heard = Heard(app.events)
    studio.gate.set()
    assert (await heard.of(JobTold)).job.id == job["id"]
    async with looking(app, job["id"]) as looks:
        again = await anext(looks)
        assert again is not None and not again.status.is_live


async def test_who_does_not_read_is_let_go(
    ada: aiohttp.ClientSession, app: App, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.0)
    monkeypatch.setattr(api, "STALLED", 0.2)
    studio.steps, studio.step_seconds = 100_000, 0.001
    job = await imagine(ada, prompt="fox " * 200)
    assert app.web is not None
    seen = 0
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(app.web.runner.addresses[0])
        head = f"GET /v1/jobs/{job['id']} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        deaf.send(f"{head}Authorization: {ada.headers['Authorization']}\r\n\r\n".encode())
        async for _ in stream(ada, job["id"]):
            watchers = app.web.watching.count(job["id"])
            seen = max(seen, watchers)
            if seen == 2 and watchers == 1:
                await app.queue.cancel(job["id"])
                break
    assert seen == 2


@pytest.mark.parametrize("is_form", [True, False])
async def test_generate_answers_as_the_first_system_did(
    ada: aiohttp.ClientSession, is_form: bool
) -> None:
    if is_form:
        form = aiohttp.FormData({"prompt": "a fox", "steps": "20"})
        form.add_field("file", drawing(), filename="../../sketch.png")
        of_reading = {"Range": "bytes=0-9", "If-None-Match": "*"}  # which this is not
        answer = await ada.post("/generate", data=form, headers=of_reading)
        data = await answer.read()
        assert answer.content_type == "image/png"
    else:
        image = "data:image/png;base64," + base64.b64encode(drawing()).decode()
        answer = await ada.post("/generate", json={"image": image, "prompt": "a fox"})
        data = base64.b64decode((await answer.json())["image"].partition(",")[2])
    assert answer.status == 200
    assert data.startswith(b"\x89PNG")


@pytest.mark.parametrize("is_form", [True, False])
async def test_generate_takes_what_was_left_out_and_numbers_in_quotes(
    ada: aiohttp.ClientSession, studio: Studio, is_form: bool
) -> None:
    image = base64.b64encode(drawing() + bytes(bodies.FIELD)).decode()
    fields = {"image": image, "prompt": "", "style": None, "strength": "40", "seed": "7"}
    if is_form:
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value in fields.items():
            form.add_field(name, value or "")
        answer = await ada.post("/generate", data=form)
    else:
        answer = await ada.post("/generate", json=fields)
    assert answer.status == 200
    [run] = studio.runs
    assert isinstance(run, SketchRequest)
    assert (run.style, run.strength, run.seed) == (None, 40, 7)


Waiting = tuple[asyncio.Task[aiohttp.ClientResponse], str]


@pytest.fixture
async def waiting(ada: aiohttp.ClientSession, app: App, studio: Studio) -> Waiting:
    """Somebody who waits for a picture that is being painted, and its job's id."""
    studio.gate.clear()
    heard = Heard(app.events)
    image = base64.b64encode(drawing()).decode()
    asking = asyncio.create_task(ada.post("/generate", json={"image": image}))
    return asking, (await heard.of(JobStarted)).job.id


async def test_who_hangs_up_wants_no_picture(app: App, waiting: Waiting) -> None:
    asking, job_id = waiting
    heard = Heard(app.events)
    asking.cancel()
    ended = await heard.of(JobEnded)
    assert (ended.job.id, ended.job.status) == (job_id, "cancelled")


async def test_who_hangs_up_when_the_picture_is_there_leaves_nothing_in_the_log(
    app: App,
    studio: Studio,
    waiting: Waiting,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start, given_up = Tasks.start, asyncio.get_running_loop().create_future()

    def watched(self: Tasks, work: Any, *, name: str) -> asyncio.Task[Any]:
        task = start(self, work, name=name)
        if name.startswith("nobody waits"):
            given_up.set_result(task)
        return task

    monkeypatch.setattr(Tasks, "start", watched)
    asking, _ = waiting
    heard = Heard(app.events)
    studio.gate.set()
    await heard.of(JobEnded)
    asking.cancel()
    await asyncio.wait([await given_up])
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_who_waits_for_a_picture_is_told_that_it_was_cancelled(
    ada: aiohttp.ClientSession, waiting: Waiting
) -> None:
    asking, job_id = waiting
    await ada.delete(f"/v1/jobs/{job_id}")
    answer = await asking
    assert (answer.status, (await answer.json())["code"]) == (409, "cancelled")


async def test_what_is_sent_or_waited_for_when_a_token_is_revoked_is_refused(
    ada: aiohttp.ClientSession, config: Config, studio: Studio, waiting: Waiting
) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"prompt": '
        tokens(config).revoke("ada")
        yield b'"a fox"}'

    kind = {"Content-Type": "application/json"}
    assert (await ada.post("/v1/imagine", data=slowly(), headers=kind)).status == 401
    studio.gate.set()
    assert (await waiting[0]).status == 401
    assert len(studio.runs) == 1  # that was asked for before


async def test_what_the_classifier_finds_is_withheld(
    ada: aiohttp.ClientSession, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = (await states(ada, (await imagine(ada))["id"]))[-1]
    await app.store.database.run(
        "UPDATE jobs SET artifacts = json_set(artifacts, '$[0].sensitive', json('true'))"
    )
    now = await (await ada.get(f"/v1/jobs/{job['id']}")).json()
    assert (now["results"], now["error"]["code"]) == ([], "withheld")
    fetched = await ada.get(job["results"][0]["url"])
    assert (fetched.status, (await fetched.json())["code"]) == (403, "withheld")


async def test_a_restart_loses_nothing(config: Config, studio: Studio) -> None:
    token = tokens(config).add("ada")
    async with opened(config, studio) as app, client(app, token) as session:
        job = await imagine(session)
        await states(session, job["id"])
    async with opened(config, studio) as app, client(app, token) as session:
        listed = await (await session.get("/v1/jobs")).json()
        assert [each["state"] for each in listed["jobs"]] == ["delivered"]


async def test_health_says_whether_there_is_a_card(app: App, config: Config) -> None:
    async with client(app) as session:
        answer = await session.get("/health")
        assert (answer.status, (await answer.json())["status"]) == (200, "running")
        await app.executors[0].stop()
        answer = await session.get("/health")
        assert (answer.status, (await answer.json())["status"]) == (503, "down")


async def test_metrics_are_for_those_with_a_token(
    ada: aiohttp.ClientSession, app: App, studio: Studio
) -> None:
    await app.queue.submit(ImagineRequest(prompt="x", seed=1), owner=9, origin={})
    assert "atelier_waiting" in await (await ada.get("/metrics")).text()
    async with client(app) as nobody:
        assert (await nobody.get("/metrics")).status == 401


@pytest.mark.parametrize("limit", ["0", "1000", "000000001999999999", "1" * 5000])
async def test_a_limit_that_is_none_is_refused(ada: aiohttp.ClientSession, limit: str) -> None:
    answer = await ada.get("/v1/jobs", params={"limit": limit})
    assert answer.status == 400


async def test_what_is_open_here_is_not_open_through_a_proxy(
    tmp_path: Path, studio: Studio
) -> None:
    async with opened(web_config(tmp_path, is_open=True), studio) as app, client(app) as session:
        for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"):
            answer = await session.get("/v1/jobs", headers={name: "for=203.0.113.9"})
            assert answer.status == 401
        assert (await session.get("/v1/jobs")).status == 200


def test_what_is_open_here_has_no_address_for_others() -> None:
    with pytest.raises(ValidationError, match="open is for this machine alone"):
        WebConfig(port=8080, open=True, url="https://paint.example")
    assert WebConfig(port=8080, open=True, url="http://localhost:8080").open
