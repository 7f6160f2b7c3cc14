"""The OpenAPI document is true: whatever it allows is answered as it says, and nothing breaks."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bot.web.openapi import document
from tests.loopback.runner import Studio
from tests.web.serving import opened, web_config

SETTINGS = settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS = [(path, method) for path, item in document()["paths"].items() for method in item]
CHECKS: Any = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda each: str(each))
async def test_an_operation_answers_as_it_says(tmp_path: Path, path: str, method: str) -> None:
    config = web_config(tmp_path, is_open=True)
    web = config.web.model_copy(update={"per_minute": 10**9})
    limits = config.limits.model_copy(update={"waiting_per_member": 10**6, "waiting_in_all": 10**6})
    config = config.model_copy(update={"web": web, "limits": limits})
    async with opened(config, Studio(steps=1)) as app:
        await asyncio.to_thread(_explore, path, method, str(app.studio).rstrip("/"))


def _explore(path: str, method: str, url: str) -> None:
    operation = SCHEMA[path][method]
    session = requests.Session()

    def explore(case: Any) -> None:
        answer = case.call(base_url=url, session=session)
        case.validate_response(answer, checks=CHECKS)

    SETTINGS(given(case=operation.as_strategy())(explore))()
