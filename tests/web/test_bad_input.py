"""Whatever is sent: the right status, a sentence that says why, and nothing run."""

import asyncio
import base64
import gzip
import io
import json
import resource
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from PIL import Image

from bot.app import App
from bot.config import Config
from bot.languages import language
from bot.ui.whiteboard import Whiteboard
from bot.web import bodies, server
from bot.web.askers import Askers
from bot.web.problems import TooOften
from tests.loopback.runner import Studio
from tests.web.serving import client, opened, tokens, web_config

MIB = 2**20


async def refused(answer: aiohttp.ClientResponse) -> tuple[int, str]:
    assert answer.content_type == "application/problem+json"
    problem = await answer.json()
    assert problem["status"] == answer.status
    assert problem["detail"].endswith((".", "!"))
    return answer.status, problem["code"]


def picture(width: int, height: int) -> str:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


SENT: dict[str, tuple[Callable[[], dict[str, Any]], int, str]] = {
    "no picture": (lambda: {"drawing": "bm90IGEgcGljdHVyZQ=="}, 422, "bad_input"),
    "no base64": (lambda: {"drawing": "!!!"}, 422, "bad_input"),
    "sixty megapixels": (lambda: {"drawing": picture(10_000, 6_000)}, 422, "bad_input"),
    "a bomb": (lambda: {"drawing": picture(14_000, 14_000)}, 422, "bad_input"),
    "nothing": (dict, 422, "bad_input"),
    "a stranger field": (lambda: {"drawing": picture(9, 9), "steps": 9}, 422, "bad_input"),
    "too firm": (lambda: {"drawing": picture(9, 9), "strength": 101}, 422, "bad_input"),
    "no such style": (lambda: {"drawing": picture(9, 9), "style": "../x"}, 422, "bad_input"),
    "no such LoRA": (lambda: {"drawing": picture(9, 9), "lora": "../x"}, 422, "bad_input"),
    "another's job": (lambda: {"drawing": {"job": "0" * 16}}, 404, "no_such_job"),
    "an odd job": (lambda: {"drawing": {"job": "../../x", "index": -1}}, 404, "no_such_job"),
    "half a character": (lambda: {"drawing": {"job": "\ud800"}}, 404, "no_such_job"),
}


@pytest.mark.parametrize("sent", SENT)
async def test_what_cannot_be_done(ada: aiohttp.ClientSession, studio: Studio, sent: str) -> None:
    body, status, code = SENT[sent]
    assert await refused(await ada.post("/v1/sketch", json=body())) == (status, code)
    assert studio.runs == []


FORM_IN_A_FORM = (
    b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\nhi\r\n--y--\r\n--x--\r\n"
)
NO_LETTERS = b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n%s\r\n--x--\r\n' % (
    b"x" * 20_000
)
"""A field that is too long, by a name that cannot be said."""
ZIPPED = {"Content-Encoding": "gzip"}  # a few bytes that may be very many
# Without the time, which would be part of the test's name: each worker must collect the same.
ZIPPED_JSON = gzip.compress(b'{"prompt": "x"}', mtime=0)
MANY_KEYS = json.dumps(dict.fromkeys(map(str, range(40)))).encode()


@pytest.mark.parametrize(
    ("headers", "data", "status"),
    [
        ({"Content-Type": "text/plain"}, b"hello", 415),
        ({**ZIPPED, "Content-Type": "application/json"}, ZIPPED_JSON, 415),
        ({**ZIPPED, "Content-Type": "multipart/form-data; boundary=x"}, b"--x--", 415),
        ({"Content-Type": "application/json"}, b"{", 400),
        ({"Content-Type": "application/json"}, b"[" * 8_000, 400),
        ({"Content-Type": "application/json"}, b"[" * 60_000, 413),
        ({"Content-Type": "application/json"}, b'{"prompt": "%s"}' % (b"x" * 70_000), 413),
        ({"Content-Type": "application/json"}, MANY_KEYS, 413),
        ({"Content-Type": "application/json"}, b"\xff", 400),
        ({"Content-Type": "application/json"}, b'{"prompt": "x", "\\ud800": 1}', 400),
        ({"Origin": "http://["}, b"{}", 403),
        ({"Content-Type": "application/json"}, b"[1]", 400),
        ({"Content-Type": "multipart/form-data"}, b"x", 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--y", 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x\r\n\r\nhi\r\n--x--", 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, FORM_IN_A_FORM, 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, NO_LETTERS, 400),
    ],
)
async def test_what_cannot_be_read(
    ada: aiohttp.ClientSession, headers: dict[str, str], data: bytes, status: int
) -> None:
    answer = await ada.post("/v1/imagine", headers=headers, data=data)
    assert (await refused(answer))[0] == status


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("/v1/imagine", {"prompt": "x" * 70_000}, "Please send at most 64 KiB."),
        ("/v1/imagine", {"prompt": "x" * 20_000}, "“prompt” is longer than is taken here. "),
        ("/v1/sketch", {"prompt": "x" * 20_000}, "Please send at most 16 KiB of it."),
    ],
)
async def test_what_is_too_long_is_told_what_may_be_sent(
    ada: aiohttp.ClientSession, path: str, fields: dict[str, str], said: str
) -> None:
    form = aiohttp.FormData(fields, default_to_multipart=True)
    answer = await ada.post(path, data=form)
    assert answer.status == 413
    assert said in (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("count", "each", "status"),
    [(bodies.FIELDS, 9, 422), (bodies.FIELDS + 1, 9, 413), (5, 15_000, 413)],
)
async def test_a_form_has_so_many_fields_and_is_so_long_in_all(
    ada: aiohttp.ClientSession, count: int, each: int, status: int
) -> None:
    async def fields() -> AsyncIterator[bytes]:  # so that nobody knows how many come
        for number in range(count):
            head = f'--x\r\nContent-Disposition: form-data; name="{number}"\r\n\r\n'
            yield head.encode() + b"x" * each + b"\r\n"
        yield b"--x--\r\n"

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await ada.post("/v1/imagine", data=fields(), headers=kind)
    assert (await refused(answer))[0] == status


async def test_nobody_is_let_in_without_a_good_token(
    app: App, config: Config, studio: Studio
) -> None:
    book = tokens(config)
    revoked = book.add("gone")
    async with client(app, revoked) as session:
        assert (await session.get("/v1/jobs")).status == 200
        book.revoke("gone")  # while the bot runs
        assert await refused(await session.get("/v1/jobs")) == (401, "unidentified")
    for token in (None, "atl_wrong", "wrong", "é"):
        async with client(app, token) as session:
            for path in ("/v1/options", "/v1/jobs", "/v1/jobs/x", "/v1/jobs/x/results/0"):
                answer = await session.get(path)
                assert (await refused(answer))[0] == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert (await session.post("/generate", data={"image": b"x" * MIB})).status == 401
    assert studio.runs == []


async def test_a_wrong_token_is_one_where_there_is_no_whiteboard(
    config: Config, studio: Studio
) -> None:
    web = config.web.model_copy(update={"url": None})
    async with (
        opened(config.model_copy(update={"web": web}), studio) as app,
        client(app, "wrong") as session,
    ):
        assert (await session.get("/v1/jobs")).status == 401


async def test_somebody_elses_job_is_not_there(
    ada: aiohttp.ClientSession, app: App, config: Config
) -> None:
    job = await (await ada.post("/v1/imagine", json={"prompt": "a fox"})).json()
    path = f"/v1/jobs/{job['id']}"
    async with client(app, tokens(config).add("bob")) as bob:
        for each in (path, f"{path}/preview", f"{path}/results/0"):
            assert await refused(await bob.get(each)) == (404, "no_such_job")
        assert await refused(await bob.delete(path)) == (404, "no_such_job")
        assert (await (await bob.get("/v1/jobs")).json())["jobs"] == []


async def test_another_website_is_turned_away(tmp_path: Path, studio: Studio) -> None:
    body = {"prompt": "a fox"}
    async with opened(web_config(tmp_path, is_open=True), studio) as app, client(app) as session:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            answer = await session.post("/v1/imagine", headers=headers, json=body)
            assert await refused(answer) == (403, "foreign")
        own = {"Origin": str(app.studio).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        assert (await session.post("/v1/imagine", headers=own, json=body)).status == 202


@pytest.mark.parametrize("host", ["evil.example", "::1", "a:b", "localhost:99999"])
async def test_who_asks_for_another_host_needs_a_token(own_app: App, host: str) -> None:
    async with client(own_app) as session:
        answer = await session.get("/v1/jobs", headers={"Host": host})
    assert await refused(answer) == (401, "unidentified")


@pytest.mark.parametrize("path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/"])
async def test_only_the_pages_own_files_are_served(app: App, path: str) -> None:
    async with client(app) as session:
        answer = await session.get(f"{str(app.studio).rstrip('/')}{path}")
        assert (await refused(answer))[0] == 404


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65_536


async def parts() -> AsyncIterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="drawing"; filename="a"\r\n\r\n'
    async for piece in endless():
        yield piece


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
async def test_a_body_without_end_is_cut_off_and_memory_stays_flat(
    ada: aiohttp.ClientSession, studio: Studio, kind: str
) -> None:
    data = parts() if kind.startswith("multipart") else endless()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        answer = await ada.post("/v1/sketch", data=data, headers={"Content-Type": kind})
        assert await refused(answer) == (413, "too_much")
    except (aiohttp.ClientConnectionError, ConnectionResetError):
        pass  # it went on sending, and was hung up on
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 150 * 1024  # KiB: an upload may have 25 MiB
    assert (await ada.get("/v1/options")).status == 200


async def test_a_gigabyte_is_refused_before_it_is_sent(ada: aiohttp.ClientSession) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(2**30)}
    async with asyncio.timeout(10):
        answer = await ada.post("/v1/sketch", data=b"", headers=headers)
        assert await refused(answer) == (413, "too_much")


async def test_a_slow_loris_is_hung_up_on(
    config: Config, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE", 0.3)
    monkeypatch.setattr(server, "LAST", 0.1)
    monkeypatch.setattr(bodies, "IDLE", 0.3)
    token = tokens(config).add("ada")
    async with opened(config, studio) as app:
        port = int(str(app.studio).rstrip("/").rpartition(":")[2])
        head = f"POST /v1/sketch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        body = "Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        for sent in (b"", head.encode(), (head + body).encode()):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            async with asyncio.timeout(10):
                answer = await reader.read()
            assert not answer or answer.startswith(b"HTTP/1.1 408")
            writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",  # as TLS begins
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /v1/imagine HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/json\r\n\r\nmany\r\n",
    ],
)
async def test_what_is_no_http_is_answered_and_leaves_no_traceback(
    config: Config, studio: Studio, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    token = f"Host: x\r\nAuthorization: Bearer {tokens(config).add('ada')}".encode()
    async with opened(config, studio) as app:
        port = int(str(app.studio).rstrip("/").rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent.replace(b"Host: x", token))
        async with asyncio.timeout(10):
            assert b" 400 " in await reader.readline()
        writer.close()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
async def test_who_hangs_up_while_they_send_leaves_nothing_in_the_log(
    config: Config, studio: Studio, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level("WARNING")
    token = tokens(config).add("ada")
    async with opened(config, studio) as app, asyncio.timeout(20):
        assert app.web is not None
        reader, writer = await asyncio.open_connection(*app.web.runner.addresses[0])
        head = f"POST /v1/sketch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        body = f"Content-Type: {kind}\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n--x\r\n"
        writer.write((head + body).encode())
        assert b" 100 " in await reader.readline()  # it is being read
        writer.close()
    assert caplog.records == []


async def test_who_sends_slowly_is_in_nobody_elses_way(
    ada: aiohttp.ClientSession, app: App, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "PLACE", 0.2)
    released = asyncio.Event()
    kind = {"Content-Type": "multipart/form-data; boundary=x"}

    async def slow() -> AsyncIterator[bytes]:
        yield b"--x"
        await released.wait()

    async def post() -> int:
        async with ada.post("/v1/sketch", data=slow(), headers=kind) as answer:
            return answer.status

    sending = [asyncio.create_task(post()) for _ in range(bodies.EACH + 1)]
    done, held = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
    assert [await each for each in done] == [429]
    large = {"drawing": picture(100, 100) + " " * bodies.SMALL}
    async with client(app, tokens(config).add("bob")) as bob:
        assert (await bob.post("/v1/sketch", json=large)).status == 202
    released.set()
    assert [await each for each in held] == [400] * bodies.EACH
    assert (await ada.post("/v1/sketch", json=large)).status == 202


async def test_what_a_field_should_be_is_said(ada: aiohttp.ClientSession) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("animate", {"motion": "fast"}, "“motion” is a whole number from 1 to 255."),
        ("imagine", {"prompt": "x", "aspect": "5:4"}, "“aspect” is one of these: 1:1, 3:2,"),
        ("imagine", {"prompt": "x", "lora": "x" * 101}, "“lora” is text of at most 100"),
    ]
    for kind, fields, said in wrong:
        answer = await ada.post(f"/v1/{kind}", json=fields)
        assert answer.status == 422
        assert (await answer.json())["detail"].startswith(said)
    answer = await ada.post("/generate", json={"sketch": "!!!", "strength": "70"})
    assert (await answer.json())["detail"].startswith("“sketch” is no picture")


async def test_too_often(app: App, config: Config) -> None:
    async with client(app, tokens(config).add("eager", per_minute=2, waiting=99)) as session:
        body = {"prompt": "a fox"}
        answers = [await session.post("/v1/imagine", json=body) for _ in range(3)]
        assert [each.status for each in answers] == [202, 202, 429]
        assert await refused(answers[2]) == (429, "too_often")
        assert 0 < int(answers[2].headers["Retry-After"]) <= 31


def test_what_was_agreed_comes_back_evenly_and_to_each_their_own(config: Config) -> None:
    now = [1000.0]
    book = tokens(config)
    ada, bob = (book.add(name, per_minute=2) for name in ("ada", "bob"))
    askers = Askers(config, book, cast(Whiteboard, None), now=lambda: now[0])

    def ask(secret: str, method: str = "POST") -> None:
        headers = {"Authorization": f"Bearer {secret}"}
        askers.of(make_mocked_request(method, "/v1/imagine", headers=headers))

    for _ in range(2):
        ask(ada)
    with pytest.raises(TooOften) as refusal:
        ask(ada)
    assert refusal.value.after == 30.0
    ask(bob)
    ask(ada, "GET")  # to look is free
    now[0] += 30.0
    ask(ada)
    with pytest.raises(TooOften):
        ask(ada)
    now[0] += 3600.0  # of which no more than a minute is saved up
    for _ in range(2):
        ask(ada)
    with pytest.raises(TooOften):
        ask(ada)


async def test_the_sentence_is_in_the_readers_language(ada: aiohttp.ClientSession) -> None:
    headers = {"Accept-Language": "tlh, de-AT; q=0.9, en ;q=0.1"}
    answer = await ada.post("/v1/imagine", json={"prompt": " "}, headers=headers)
    assert (await answer.json())["detail"] == language("de").say(
        "Please say what to paint: the prompt is empty."
    )
