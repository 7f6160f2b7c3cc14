"""The OpenAPI document: what is written here of the routes, and what the models say of bodies."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bot.web.forms import FORMS, PictureOf, SketchForm
from bot.web.generate import KNOWN
from bot.web.shapes import HealthShape, JobShape, JobsShape, ProblemShape
from pipelines.contract.requests import USUAL_MOTION, USUAL_STRENGTH

VERSION = "1.0.0"
REF = "#/components/schemas/{model}"
PROBLEM = "application/problem+json"
DESCRIPTION = """\
Jobs are made by a POST and answered at once; a job is then asked for, or watched as server-sent
events (`Accept: text/event-stream`), and its results are fetched from the addresses that it names.
`/generate` waits instead and answers the picture.

A program shows its token, which `python -m bot token add` makes, with every request: \
`Authorization: Bearer atl_…`. Pages of other websites are refused, with a token too.

Errors are problem documents (RFC 9457): `detail` is a sentence in the language of Accept-Language,
`code` is for programs. After 429 and 503, `Retry-After` says in how many seconds to try again.
"""
REFUSALS = {
    400: "What was sent cannot be read.",
    401: "There is no token, or none that is good; or a link from Discord has expired.",
    403: "Another website asks, a rule forbids it, or the result is withheld.",
    404: "There is no such thing, or it is somebody else's.",
    408: "What was sent did not come in time.",
    409: "It is too late for that, or a link from Discord was used already, or it was cancelled.",
    413: "That is more than is taken.",
    415: "That type is not read here.",
    416: "The result has no such bytes.",
    422: "A field is missing, or not what it should be.",
    429: "Too many requests or uploads, or too many jobs wait.",
    500: "Painting failed; the bot's log says why.",
    503: "The disk or every graphics card is unavailable.",
}
CURL = 'curl -H "Authorization: Bearer $TOKEN"'
SAMPLES = {
    "sketch": f'-F drawing=@drawing.png -F prompt="a fox in snow" -F strength={USUAL_STRENGTH}',
    "imagine": '-F prompt="a fox in snow" -F aspect=3:2 -F count=2',
    "animate": f"-F image=@photo.jpg -F motion={USUAL_MOTION}",
    "upscale": "-F image=@photo.jpg -F scale=2",
}


def document() -> dict[str, Any]:
    """The whole of it."""
    schemas = _schemas()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Atelier", "version": VERSION, "description": DESCRIPTION},
        "security": [{"token": []}, {}],
        "paths": _paths(schemas[SketchForm.__name__]["properties"]),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`python -m bot token add` makes one. On the bot's own machine "
                    "none is needed where `web.open` is set.",
                }
            },
        },
    }


def _paths(sketch: dict[str, Any]) -> dict[str, Any]:
    """The routes; `sketch` are the schemas of its fields, which /generate takes too."""
    job = [_parameter("id", "path", {"type": "string"}, "The job's id.")]
    number = _parameter("number", "path", {"type": "integer", "minimum": 0}, "Which of them.")
    return {
        **{f"/v1/{kind}": {"post": _makes(kind, form)} for kind, form in FORMS.items()},
        "/v1/options": {"get": _reads("What can be chosen", _json({"type": "object"}), 401, 403)},
        "/v1/styles/{name}/preview": {
            "get": {
                **_reads("A style's picture", _file("image/*"), 401, 403, 404),
                "parameters": [_parameter("name", "path", {"type": "string"}, "The style.")],
            }
        },
        "/v1/jobs": {
            "get": {
                **_reads("Your jobs, newest first", _json(_of(JobsShape)), 400, 401, 403, 404),
                "parameters": [
                    _parameter("cursor", "query", {"type": "string"}, "`next` of a page before."),
                    _parameter(
                        "limit",
                        "query",
                        {"type": "integer", "minimum": 1, "maximum": 100, "default": 24},
                        "How many.",
                    ),
                ],
            }
        },
        "/v1/jobs/{id}": {
            "get": {
                **_watches(),
                **_sample('-N -H "Accept: text/event-stream" $URL/v1/jobs/$ID'),
                "parameters": job,
            },
            "delete": {
                "summary": "Cancel a job, or delete what it has made",
                "parameters": job,
                "responses": {"204": {"description": "Done"}, **_refusals(401, 403, 404, 409, 429)},
            },
        },
        "/v1/jobs/{id}/preview": {
            "get": {
                **_reads("What it looks like so far", _file("image/jpeg"), 401, 403, 404),
                "parameters": job,
            }
        },
        "/v1/jobs/{id}/results/{number}": {
            "get": {
                **_reads("A result, or a range of it", _file("*/*"), 400, 401, 403, 404, 416),
                **_sample('-OJ "$URL/v1/jobs/$ID/results/0?download"'),
                "parameters": [
                    *job,
                    number,
                    _parameter("download", "query", {"type": "string"}, "To be saved."),
                ],
            }
        },
        "/v1/jobs/{id}/results/{number}/thumbnail": {
            "get": {
                **_reads("A small picture of a result", _file("image/webp"), 400, 401, 403, 404),
                "parameters": [*job, number],
            }
        },
        "/generate": {"post": _generates(sketch)},
        "/health": {
            "get": {
                "summary": "Whether anything can be made",
                "security": [{}],
                "responses": {
                    "200": {"description": "Yes", "content": _json(_of(HealthShape))},
                    "503": {"description": "No", "content": _json(_of(HealthShape))},
                },
            }
        },
        "/metrics": {"get": _reads("For Prometheus", _file("text/plain"), 401, 403)},
    }


def _makes(kind: str, form: type[BaseModel]) -> dict[str, Any]:
    return {
        "summary": (form.__doc__ or "").strip(),
        "operationId": kind,
        "requestBody": _body(_of(form)),
        **_sample(f"{SAMPLES[kind]} $URL/v1/{kind}"),
        "responses": {
            "202": {
                "description": "Queued",
                "headers": {"Location": {"schema": {"type": "string"}}},
                "content": _json(_of(JobShape)),
            },
            **_refusals(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
        },
    }


def _generates(sketch: dict[str, Any]) -> dict[str, Any]:
    sent = {
        "type": "object",
        "properties": {"image": sketch["drawing"], **{name: sketch[name] for name in KNOWN}},
        "required": ["image"],
    }
    told = {
        "type": "object",
        "properties": {
            "image": {"type": "string", "description": "A data: URL."},
            "job": {"type": "string"},
            "seed": {"type": "integer"},
            "caption": {"type": ["string", "null"]},
        },
        "required": ["image", "job", "seed"],
    }
    return {
        "summary": "Paint a sketch and wait for the picture",
        "description": "The sketch may be called `image`, `file`, `sketch` or `drawing`. JSON is "
        "answered by JSON, a form by the picture; `Accept` chooses otherwise. Other fields are "
        "passed over.",
        "requestBody": _body(sent),
        **_sample("-F image=@drawing.png -F prompt=fox -o fox.png $URL/generate"),
        "responses": {
            "200": {"description": "The picture", "content": {**_json(told), **_file("image/png")}},
            **_refusals(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503),
        },
    }


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "required": True,
        "content": {
            "application/json": {"schema": schema},
            "multipart/form-data": {"schema": schema},
        },
    }


def _reads(summary: str, content: dict[str, Any], *refusals: int) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": content}, **_refusals(*refusals)},
    }


def _refusals(*statuses: int) -> dict[str, Any]:
    content = {PROBLEM: {"schema": _of(ProblemShape)}}
    return {str(each): {"description": REFUSALS[each], "content": content} for each in statuses}


def _sample(rest: str) -> dict[str, Any]:
    """A command that does it, as readers of such documents show it."""
    return {"x-codeSamples": [{"lang": "Shell", "source": f"{CURL} {rest}"}]}


def _watches() -> dict[str, Any]:
    events = {"text/event-stream": {"schema": {"type": "string"}}}
    content = {**_json(_of(JobShape)), **events}
    reads = _reads("A job, now or as it goes on", content, 401, 403, 404, 429)
    reads["responses"]["204"] = {"description": "`Last-Event-ID` was the last event's"}
    return reads


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _file(media_type: str) -> dict[str, Any]:
    return {media_type: {"schema": {"type": "string", "format": "binary"}}}


def _of(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": REF.format(model=model.__name__)}


def _parameter(name: str, where: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "schema": schema,
        "description": description,
    }


def _schemas() -> dict[str, Any]:
    sent = [(model, "validation") for model in (*FORMS.values(), PictureOf)]
    told = [(model, "serialization") for model in (HealthShape, JobShape, JobsShape, ProblemShape)]
    _, schema = models_json_schema([*sent, *told], ref_template=REF)  # type: ignore[list-item]
    schemas: dict[str, Any] = schema["$defs"]
    return schemas
