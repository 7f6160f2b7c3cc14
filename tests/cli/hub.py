"""A small Hugging Face Hub of our own on 127.0.0.1: repositories, licences, and broken lines."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.tensors import of_bytes

COMMIT = "c0ffee" * 6 + "abcd"
LICENSED = "hf_a_token_that_has_accepted"


@dataclass
class Repository:
    """Files by name. `sizes` are claimed instead of the truth; `revision` is its only branch;
    `status` is what every file is refused with."""

    files: Mapping[str, bytes]
    gated: bool = False
    status: int | None = None
    revision: str = "main"
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Hub:
    """The server and what was asked of it. `cuts` says after how many bytes a file breaks off."""

    repositories: dict[str, Repository]
    url: str = ""
    cuts: dict[str, list[int]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, file, the Range header)"""

    def downloads(self) -> list[str]:
        """The files whose content was asked for, in order."""
        return [file for method, file, _ in self.asked if method == "GET"]


@contextmanager
def hub_of(**repositories: Repository) -> Iterator[Hub]:
    """A Hub with the repositories `acme/<name>`."""
    hub = Hub({f"acme/{name}": repository for name, repository in repositories.items()})

    class Handler(_Handler):
        the_hub = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    the_hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if found := _INFO.fullmatch(self.path.partition("?")[0]):
            self._answer_info(found["repository"], found["revision"] or "main")
        elif found := _FILE.fullmatch(self.path):
            self._answer_file(found["repository"], found["revision"], found["file"])
        else:
            self._refuse(404, "EntryNotFound")

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass

    def _answer_info(self, name: str, revision: str) -> None:
        if (repository := self._repository(name, revision)) is None:
            return
        files = repository.files
        siblings = [
            {"rfilename": file, "size": repository.sizes.get(file, len(files[file]))}
            for file in files
        ]
        body = json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode()
        self._send(200, body, {"Content-Type": "application/json"})

    def _answer_file(self, name: str, revision: str, file: str) -> None:
        range_ = self.headers.get("Range", "")
        self.the_hub.asked.append((self.command, file, range_))
        if (repository := self._repository(name, revision)) is None:
            return
        if repository.gated and self.headers.get("Authorization") != f"Bearer {LICENSED}":
            self._refuse(401, "GatedRepo")
        elif repository.status is not None:
            self._refuse(repository.status, "")
        elif (body := repository.files.get(file)) is None:
            self._refuse(404, "EntryNotFound")
        else:
            self._answer_bytes(file, body, range_)

    def _answer_bytes(self, file: str, body: bytes, range_: str) -> None:
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        start = int(range_.removeprefix("bytes=").partition("-")[0] or 0)
        headers = {"ETag": etag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if range_:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        cuts = self.the_hub.cuts.get(file, []) if self.command == "GET" else []
        self._send(206 if range_ else 200, body[start:], headers, cut=cuts.pop(0) if cuts else None)

    def _repository(self, name: str, revision: str) -> Repository | None:
        repository = self.the_hub.repositories.get(name)
        if repository is None:
            self._refuse(401, "RepoNotFound")
            return None
        if revision not in (repository.revision, COMMIT):
            self._refuse(404, "RevisionNotFound")
            return None
        return repository

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code})

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str], cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True


_INFO = re.compile(r"/api/models/(?P<repository>acme/[\w.-]+)(?:/revision/(?P<revision>[\w.-]+))?")
_FILE = re.compile(r"/(?P<repository>acme/[\w.-]+)/resolve/(?P<revision>[\w.-]+)/(?P<file>.+)")


def captioner(size: int = 3000) -> dict[str, bytes]:
    """The files of a BLIP repository, with what nobody needs."""
    return {
        "README.md": b"# BLIP",
        "config.json": b"{}",
        "preprocessor_config.json": b'{"p": 1}',
        "tokenizer.json": b'{"t": 1}',
        "tokenizer_config.json": b'{"tc": 1}',
        "vocab.txt": b"a\nb",
        "model.safetensors": of_bytes(bytes(range(256)) * (size // 256)),
        "pytorch_model.bin": b"a pickle",
        "tf_model.h5": b"something else",
    }


def painter() -> dict[str, bytes]:
    """The files of an SDXL repository, in two variants."""
    index = {
        "_class_name": "StableDiffusionXLPipeline",
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    files = {
        "model_index.json": json.dumps(index).encode(),
        "sd_xl_base_1.0.safetensors": b"everything in one file",
        "scheduler/scheduler_config.json": b"{}",
        "tokenizer/merges.txt": b"m",
        "tokenizer/vocab.json": b"{}",
    }
    stems = dict.fromkeys(("text_encoder", "text_encoder_2"), "model")
    stems |= dict.fromkeys(("unet", "vae"), "diffusion_pytorch_model")
    for part, stem in stems.items():
        files[f"{part}/config.json"] = f'{{"part": "{part}"}}'.encode()
        for variant in ("", ".fp16"):
            weights = of_bytes(f"{part}{variant}".encode() * 500)
            files[f"{part}/{stem}{variant}.safetensors"] = weights
    return files
