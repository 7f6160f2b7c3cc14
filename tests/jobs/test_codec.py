import dataclasses
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.jobs.codec import decode_job, decode_request, encode_job, encode_request, path_fields
from bot.jobs.job import Job, Status
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import (
    MAX_SEED,
    AnimateRequest,
    Aspect,
    DescribeRequest,
    ImagineRequest,
    Kind,
    Request,
    SketchRequest,
)
from pipelines.contract.text import Text
from tests.jobs.samples import a_job, an_artifact

FOLDER = Path("/data/files")
ELSEWHERE = Path("/moved/files")

names = st.text(string.ascii_lowercase, min_size=1).map(lambda name: FOLDER / f"{name}.png")
prompts = st.text(max_size=50)
loras = st.none() | st.text(string.ascii_letters, min_size=1, max_size=9)
seeds = st.integers(0, MAX_SEED)
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(
        SketchRequest,
        drawing=names,
        prompt=prompts,
        style=st.none() | st.text(max_size=9),
        strength=st.integers(0, 100),
        lora=loras,
        seed=seeds,
        review=st.booleans(),
    ),
    st.builds(DescribeRequest, image=names),
    st.builds(
        ImagineRequest,
        prompt=st.text(string.ascii_letters, min_size=1),
        negative=prompts,
        aspect=st.sampled_from(Aspect),
        count=st.integers(1, 4),
        lora=loras,
        seed=seeds,
    ),
    st.builds(AnimateRequest, image=names, motion=st.integers(1, 255), seed=seeds),
    st.builds(AnimateRequest, prompt=st.text("abc", min_size=1), seed=seeds),
)


@given(requests)
def test_a_request_comes_back_as_it_went(request: Request) -> None:
    text = encode_request(request, FOLDER)
    assert decode_request(request.kind, text, FOLDER) == request


@given(requests)
def test_a_moved_folder_takes_its_files_along(request: Request) -> None:
    moved = decode_request(request.kind, encode_request(request, FOLDER), ELSEWHERE)
    for field in path_fields(type(request)):
        before, after = getattr(request, field), getattr(moved, field)
        assert after == (before and ELSEWHERE / before.name)


def test_a_file_elsewhere_stays_where_it_is() -> None:
    request = SketchRequest(drawing=Path("/home/me/fox.png"), seed=1)
    assert decode_request(Kind.SKETCH, encode_request(request, FOLDER), ELSEWHERE) == request


def test_the_files_of_every_kind_are_known() -> None:
    assert path_fields(SketchRequest) == ("drawing",)
    assert path_fields(AnimateRequest) == ("image",)
    assert path_fields(ImagineRequest) == ()


def test_a_request_from_before_there_were_loras() -> None:
    request = decode_request("imagine", '{"prompt": "a fox", "seed": 1}', FOLDER)
    assert request == ImagineRequest(prompt="a fox", seed=1)


def test_a_stored_request_is_held_to_the_rules() -> None:
    with pytest.raises(BadInput):
        decode_request("imagine", '{"prompt": "", "seed": 1}', FOLDER)
    with pytest.raises(ValueError, match="validation error"):
        decode_request("imagine", '{"prompt": "a fox"}', FOLDER)


def test_a_job_comes_back_as_it_went() -> None:
    job = a_job(
        parent="0123456789abcdef",
        status=Status.RENDERED,
        attempt=2,
        crashes=1,
        started_at=5.0,
        ended_at=6.5,
        gpu_seconds=1.5,
        artifacts=(an_artifact(FOLDER), an_artifact(FOLDER, "owl.png")),
        error_code="bad_input",
        error_sentence="It is blue — too blue.",
        error_text=Text("It is {colour} — too {colour}.", colour=Text("blue")),
        told=True,
    )
    assert decode_job(encode_job(job, FOLDER), FOLDER) == job


def test_an_origin_must_be_json() -> None:
    with pytest.raises(TypeError):
        encode_job(a_job(origin={"when": object()}), FOLDER)


def test_no_field_of_a_job_is_forgotten() -> None:
    row = encode_job(a_job(), FOLDER)
    assert set(row) == {"kind", *(f.name for f in dataclasses.fields(Job))}
