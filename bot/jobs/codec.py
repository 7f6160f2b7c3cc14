"""Jobs ⇄ rows of text and numbers.

Paths inside the FileStore's folder are written relative to it, so that the folder can be moved;
other paths stay absolute.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter

from bot.jobs.job import Job, Status, StoredArtifact
from pipelines.contract.artifact import MediaType
from pipelines.contract.requests import REQUEST_TYPES, Kind, Request
from pipelines.contract.text import Text

Row = Mapping[str, Any]


def encode_request(request: Request, folder: Path) -> str:
    """The request as a JSON object. Its kind is not in it: it has a column of its own."""
    fields = {f.name: getattr(request, f.name) for f in dataclasses.fields(request)}
    return json.dumps({k: _relative(v, folder) for k, v in fields.items()})


def decode_request(kind: str, text: str, folder: Path) -> Request:
    """The request that `encode_request` wrote.

    Raises ValueError or BadInput where today's rules for requests no longer accept it.
    """
    request = _adapter(Kind(kind)).validate_json(text)
    paths = {name: getattr(request, name) for name in path_fields(type(request))}
    anchored = {name: folder / path for name, path in paths.items() if path is not None}
    return dataclasses.replace(request, **anchored) if anchored else request


def path_fields(request_type: type[Request]) -> tuple[str, ...]:
    """The names of the fields that hold files."""
    hints = get_type_hints(request_type)
    return tuple(
        f.name
        for f in dataclasses.fields(request_type)
        if Path in (hints[f.name], *get_args(hints[f.name]))
    )


def encode_artifacts(artifacts: Sequence[StoredArtifact], folder: Path) -> str:
    """The artifacts as a JSON array of objects."""
    return json.dumps(
        [{k: _relative(v, folder) for k, v in _shallow(a).items()} for a in artifacts]
    )


def decode_artifacts(text: str, folder: Path) -> tuple[StoredArtifact, ...]:
    """The artifacts that `encode_artifacts` wrote."""
    return tuple(
        StoredArtifact(
            **{
                **fields,
                "path": folder / fields["path"],
                "media_type": MediaType(fields["media_type"]),
            }
        )
        for fields in json.loads(text)
    )


def encode_job(job: Job, folder: Path) -> dict[str, Any]:
    """The row of a job, by column. Raises TypeError for an origin that is not JSON-shaped."""
    return {
        **_shallow(job),
        "kind": job.kind.value,
        "request": encode_request(job.request, folder),
        "origin": json.dumps(dict(job.origin)),
        "status": job.status.value,
        "artifacts": encode_artifacts(job.artifacts, folder),
        "error_text": encode_text(job.error_text),
    }


def decode_job(row: Row, folder: Path) -> Job:
    """The job that `encode_job` wrote. Raises what `decode_request` raises."""
    plain = {name: row[name] for name in _PLAIN}
    return Job(
        **plain,
        request=decode_request(row["kind"], row["request"], folder),
        origin=json.loads(row["origin"]),
        status=Status(row["status"]),
        artifacts=decode_artifacts(row["artifacts"], folder),
        error_text=decode_text(row["error_text"]),
        told=bool(row["told"]),
        relaxed=bool(row["relaxed"]),
    )


def encode_text(text: Text | None) -> str | None:
    """A sentence as a JSON object."""
    return None if text is None else json.dumps(text.to_json())


def decode_text(text: str | None) -> Text | None:
    """The sentence that `encode_text` wrote."""
    return None if text is None else Text.from_json(json.loads(text))


COLUMNS = ("kind", *(f.name for f in dataclasses.fields(Job)))
_PLAIN = tuple(
    f.name
    for f in dataclasses.fields(Job)
    if f.name not in ("request", "origin", "status", "artifacts", "error_text", "told", "relaxed")
)


@cache
def _adapter(kind: Kind) -> TypeAdapter[Request]:
    return TypeAdapter(REQUEST_TYPES[kind])


def _shallow(record: Job | StoredArtifact) -> dict[str, Any]:
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}


def _relative(value: object, folder: Path) -> object:
    """JSON's form of a field: paths as text, mappings as dicts, and the rest as it is."""
    if isinstance(value, Path):
        return str(value.relative_to(folder) if value.is_relative_to(folder) else value)
    return dict(value) if isinstance(value, Mapping) else value
