"""What each message says, and that none asks more of Discord than it takes."""

from pathlib import Path
from typing import Any

import pytest
from discord import ui

from bot.jobs.job import Job, Status, StoredArtifact
from bot.ui import messages
from bot.ui.buttons import Action, JobButton
from pipelines.contract.artifact import MediaType
from pipelines.contract.context import Phase, Progress
from pipelines.contract.requests import (
    MAX_NAME,
    MAX_PROMPT,
    MAX_SEED,
    AnimateRequest,
    ImagineRequest,
    Request,
    SketchRequest,
)

ADA = 100000000000000001
WORST = "\\" * MAX_PROMPT  # every character is escaped
LONGEST = "*" * MAX_NAME
DRAWING = Path("drawing.png")


def job(request: Request, **fields: Any) -> Job:
    return Job(
        id="0123456789abcdef", owner=ADA, request=request, origin={}, queued_at=0.0, **fields
    )


def artifact(**facts: str | int | float) -> StoredArtifact:
    return StoredArtifact(
        path=Path("a.png"),
        media_type=MediaType.PNG,
        name="a.png",
        size=1,
        width=1,
        height=1,
        facts=facts,
    )


def text(view: ui.LayoutView) -> str:
    shown = [item.content for item in view.walk_children() if isinstance(item, ui.TextDisplay)]
    return "\n".join(shown)


LIGHTHOUSE = ImagineRequest(prompt="a lighthouse", seed=7)
DETAILS = f"-# `/imagine` · 1:1 · seed 7 · for <@{ADA}>"


@pytest.mark.parametrize(
    ("place", "headline"),
    [
        (1, "**Waiting** · next in line"),
        (2, "**Waiting** · place 2 in line"),
        (None, "**Waiting** · in line"),
    ],
)
def test_waiting(place: int | None, headline: str) -> None:
    shown = text(messages.waiting(job(LIGHTHOUSE), place))
    assert shown.splitlines() == [headline, "a lighthouse", DETAILS]


@pytest.mark.parametrize(
    ("progress", "headline"),
    [
        (None, ["**Starting**"]),
        (Progress(Phase.LOADING), ["**Loading the models**"]),
        (Progress(Phase.CAPTIONING), ["**Looking at the drawing**"]),
        (Progress(Phase.PAINTING, 14, 28), ["**Painting** · step 14 of 28", "▰" * 8 + "▱" * 8]),
        (Progress(Phase.ANIMATING, 25, 25), ["**Animating** · step 25 of 25", "▰" * 16]),
        (Progress(Phase.ENCODING), ["**Saving**"]),
    ],
)
def test_running(progress: Progress | None, headline: list[str]) -> None:
    shown = text(messages.running(job(LIGHTHOUSE, status=Status.RUNNING), progress))
    assert shown.splitlines() == [*headline, "a lighthouse", DETAILS]


def test_every_phase_has_words() -> None:
    assert set(messages.PHASES) == set(Phase)


def test_the_looks_are_told_as_far_as_they_are_known() -> None:
    styled = SketchRequest(drawing=DRAWING, style="inky", seed=7)
    chosen = SketchRequest(drawing=DRAWING, lora="_gold_", seed=7)
    for request, facts, shown in (
        (chosen, {}, r"`/sketch` · \_gold\_ · strength 70"),
        (styled, {}, "`/sketch` · inky · strength 70"),
        (styled, {"lora": "ink"}, "`/sketch` · inky · ink · strength 70"),
        (LIGHTHOUSE, {"preset": "turbo"}, "`/imagine` · turbo · 1:1"),
    ):
        done = job(request, status=Status.RENDERED, artifacts=(artifact(**facts),), gpu_seconds=1.0)
        assert f"-# {shown} · seed 7" in text(messages.finished(done, ["a.png"]))


def test_seeds_start_again_after_the_last() -> None:
    request = ImagineRequest(prompt="a lighthouse", seed=MAX_SEED, count=2)
    assert f"seeds {MAX_SEED}–0 ·" in text(messages.waiting(job(request), 1))


def test_discord_counts_down_to_what_is_expected() -> None:
    shown = text(messages.waiting(job(LIGHTHOUSE), 2, begins=1_790_000_000.4))
    assert shown.splitlines()[0] == "**Waiting** · place 2 in line · begins <t:1790000000:R>"
    progress = Progress(Phase.PAINTING, 14, 28)
    shown = text(messages.running(job(LIGHTHOUSE, status=Status.RUNNING), progress, ends=1.79e9))
    assert shown.splitlines()[0] == "**Painting** · step 14 of 28 · done <t:1790000000:R>"


@pytest.mark.parametrize(
    ("code", "again"),
    [("out_of_memory", True), ("render_failed", True), ("bad_input", False), ("too_large", False)],
)
def test_again_is_offered_where_it_may_help(code: str, again: bool) -> None:
    failed = job(LIGHTHOUSE, status=Status.FAILED, error_code=code, error_sentence="No.")
    offered = [i.action for i in messages.ended(failed).walk_children() if isinstance(i, JobButton)]
    assert offered == [Action.AGAIN] * again + [Action.EDIT, Action.DELETE]


def test_the_reason_of_a_failure_formats_nothing() -> None:
    failed = job(LIGHTHOUSE, status=Status.FAILED, error_sentence="@everyone **x**\n# y")
    assert "@everyone" not in text(messages.ended(failed))
    assert r"\*\*x\*\* # y" in text(messages.ended(failed))


def _worst_cases() -> list[ui.LayoutView]:
    requests: list[Request] = [
        SketchRequest(drawing=DRAWING, prompt=WORST, style=WORST, lora=LONGEST, seed=MAX_SEED),
        ImagineRequest(prompt=WORST, negative=WORST, count=4, lora=LONGEST, seed=MAX_SEED),
        AnimateRequest(prompt=WORST, seed=MAX_SEED),
    ]
    views = []
    for request in requests:
        done = job(
            request, status=Status.RENDERED, artifacts=(artifact(caption=WORST),), gpu_seconds=9e4
        )
        failed = job(request, status=Status.FAILED, error_sentence=WORST)
        running = Progress(Phase.PAINTING, 200, 200)
        views += [
            messages.waiting(job(request), 10**6),
            messages.running(job(request), running),
            messages.finished(done, [f"{n}.png" for n in range(4)]),
            messages.ended(failed),
        ]
    return views


@pytest.mark.parametrize("view", _worst_cases())
def test_discords_limits_hold_for_the_longest_words(view: ui.LayoutView) -> None:
    # Discord counts some characters twice; half of the 4000 is safe however it counts.
    assert len(text(view)) <= 2200
    assert sum(1 for _ in view.walk_children()) <= 40
    assert view.timeout is None
    for item in view.walk_children():
        if isinstance(item, ui.MediaGallery):
            assert 1 <= len(item.items) <= 10
            assert all(1 <= len(i.description or "") <= 256 for i in item.items)
