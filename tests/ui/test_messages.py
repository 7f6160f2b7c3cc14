"""What each message says, and that none asks more of Discord than it takes."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from discord import ui

from bot.jobs.job import Job, Status, StoredArtifact
from bot.languages import languages
from bot.ui import messages
from bot.ui.buttons import Action, JobButton
from pipelines.catalog import ModelKey
from pipelines.contract.artifact import MediaType
from pipelines.contract.context import Phase, Progress
from pipelines.contract.errors import Withheld
from pipelines.contract.requests import (
    MAX_NAME,
    MAX_PROMPT,
    MAX_SEED,
    AnimateRequest,
    DescribeRequest,
    ImagineRequest,
    Request,
    SketchRequest,
    UpscaleRequest,
)

ADA = 100000000000000001
WORST = "\\" * MAX_PROMPT  # every character is escaped
LONGEST = "*" * MAX_NAME
DRAWING = Path("drawing.png")


def job(request: Request, locale: str = "en-US", **fields: Any) -> Job:
    return Job(
        id="0123456789abcdef",
        owner=ADA,
        request=request,
        origin={"locale": locale},
        queued_at=0.0,
        **fields,
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
        (Progress(Phase.CAPTIONING), ["**Looking at the picture**"]),
        (Progress(Phase.PAINTING, 14, 28), ["**Painting** · step 14 of 28", "▰" * 8 + "▱" * 8]),
        (Progress(Phase.ANIMATING, 25, 25), ["**Animating** · step 25 of 25", "▰" * 16]),
        (Progress(Phase.UPSCALING, 1, 4), ["**Upscaling** · step 1 of 4", "▰" * 4 + "▱" * 12]),
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
        (LIGHTHOUSE, {"precision": "fp8"}, "`/imagine` · fp8 · 1:1"),
        (
            LIGHTHOUSE,
            {"computed": 16, "steps": 28},
            "`/imagine` · 16 of 28 steps computed · 1:1",
        ),
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


def actions(view: ui.LayoutView) -> list[Action]:
    return [item.action for item in view.walk_children() if isinstance(item, JobButton)]


@pytest.mark.parametrize(
    ("request_", "caption", "lines", "offered"),
    [
        (
            DescribeRequest(image=DRAWING),
            "a *red* heart",
            [r"a \*red\* heart", f"-# `/describe` · 1 s · for <@{ADA}>"],
            [Action.IMAGINE, Action.SKETCH, Action.UPSCALE, Action.ANIMATE, Action.DELETE],
        ),
        (
            DescribeRequest(image=DRAWING),
            "",
            ["I have no words for this picture.", f"-# `/describe` · 1 s · for <@{ADA}>"],
            [Action.SKETCH, Action.UPSCALE, Action.ANIMATE, Action.DELETE],
        ),
        (
            SketchRequest(drawing=DRAWING, prompt="in gold", seed=7, review=True),
            "a heart",
            [
                "**I take this for:** a heart",
                "**Go** paints it so; **Edit…** lets you put it right first.",
                "in gold",
                f"-# `/sketch` · strength 70 · seed 7 · 1 s · for <@{ADA}>",
            ],
            [Action.PAINT, Action.EDIT, Action.DELETE],
        ),
        (
            SketchRequest(drawing=DRAWING, seed=7, review=True),
            "",
            [
                "**I cannot tell what this is.**",
                "**Edit…** lets you say it; with **Go** I follow the lines alone.",
                f"-# `/sketch` · strength 70 · seed 7 · 1 s · for <@{ADA}>",
            ],
            [Action.PAINT, Action.EDIT, Action.DELETE],
        ),
    ],
)
def test_a_look_at_a_picture_is_told_and_what_can_be_made_of_it(
    request_: Request, caption: str, lines: list[str], offered: list[Action]
) -> None:
    seen = job(
        request_, status=Status.RENDERED, artifacts=(artifact(caption=caption),), gpu_seconds=1.0
    )
    view = messages.finished(seen, ["a.png"])
    assert text(view).splitlines() == lines
    assert actions(view) == offered


UPSCALE = UpscaleRequest(image=DRAWING, scale=4)


def test_an_upscale_says_what_the_picture_was_made_of() -> None:
    made = artifact(prompt="a *lighthouse*", caption="a tower", scale=4)
    done = job(UPSCALE, status=Status.RENDERED, artifacts=(made,), gpu_seconds=1.0)
    shown = messages.finished(done, ["a.png"])
    details = f"-# `/upscale` · upscaled ×4 · 1 × 1 · 1 s · for <@{ADA}>"
    assert text(shown).splitlines() == [r"a \*lighthouse\*", "-# caption: a tower", details]
    assert actions(shown) == [Action.ANIMATE, Action.DELETE]


def test_an_upscale_that_came_to_nothing_has_nothing_to_edit() -> None:
    assert actions(messages.withheld(job(UPSCALE, status=Status.RENDERED))) == [Action.DELETE]
    cancelled = messages.ended(job(UPSCALE, status=Status.CANCELLED))
    assert actions(cancelled) == [Action.AGAIN, Action.DELETE]


def test_six_buttons_are_two_rows_of_three() -> None:
    done = job(LIGHTHOUSE, status=Status.RENDERED, artifacts=(artifact(),), gpu_seconds=1.0)
    view = messages.finished(done, ["a.png"])
    rows = [row for row in view.walk_children() if isinstance(row, ui.ActionRow)]
    assert [len(row.children) for row in rows] == [3, 3]
    assert actions(view) == list(messages.PICTURES)


def test_no_button_is_offered_for_a_model_that_is_not_set_up() -> None:
    models = [ModelKey.CAPTION, ModelKey.SKETCH]
    seen = job(DescribeRequest(image=DRAWING), artifacts=(artifact(caption="a heart"),))
    view = messages.finished(seen, ["a.png"], models=models)
    assert actions(view) == [Action.SKETCH, Action.DELETE]


def test_a_description_that_failed_has_no_words_to_edit() -> None:
    failed = job(DescribeRequest(image=DRAWING), status=Status.FAILED, error_code="render_failed")
    assert actions(messages.ended(failed)) == [Action.AGAIN, Action.DELETE]


@pytest.mark.parametrize(
    ("code", "again"),
    [("out_of_memory", True), ("render_failed", True), ("bad_input", False), ("too_large", False)],
)
def test_again_is_offered_where_it_may_help(code: str, again: bool) -> None:
    failed = job(LIGHTHOUSE, status=Status.FAILED, error_code=code, error_sentence="No.")
    assert actions(messages.ended(failed)) == [Action.AGAIN] * again + [Action.EDIT, Action.DELETE]


def test_the_reason_of_a_failure_formats_nothing() -> None:
    failed = job(LIGHTHOUSE, status=Status.FAILED, error_sentence="@everyone **x**\n# y")
    assert "@everyone" not in text(messages.ended(failed))
    assert r"\*\*x\*\* # y" in text(messages.ended(failed))


def test_a_failure_is_told_in_the_language_of_who_asked() -> None:
    error = Withheld("This job was cancelled.")
    fields = {"status": Status.FAILED, "error_sentence": error.sentence}
    asked = job(LIGHTHOUSE, "de", error_text=error.text, **fields)
    shown = text(messages.ended(asked)).splitlines()[:2]
    assert shown == ["**Das hat nicht geklappt**", "Dieser Auftrag wurde abgebrochen."]
    of_an_earlier_version = job(LIGHTHOUSE, "de", **fields)
    shown = text(messages.ended(of_an_earlier_version)).splitlines()[:2]
    assert shown == ["**Das hat nicht geklappt**", "This job was cancelled."]


def _worst_cases() -> list[ui.LayoutView]:
    requests: list[Request] = [
        SketchRequest(drawing=DRAWING, prompt=WORST, style=WORST, lora=LONGEST, seed=MAX_SEED),
        ImagineRequest(prompt=WORST, negative=WORST, count=4, lora=LONGEST, seed=MAX_SEED),
        AnimateRequest(prompt=WORST, seed=MAX_SEED),
        SketchRequest(drawing=DRAWING, prompt=WORST, style=WORST, review=True, seed=MAX_SEED),
        DescribeRequest(image=DRAWING),
        UPSCALE,
    ]
    views = []
    for request, locale in product(requests, languages()):
        made = (artifact(caption=WORST, prompt=WORST),)
        done = job(request, locale, status=Status.RENDERED, artifacts=made, gpu_seconds=9e4)
        failed = job(request, locale, status=Status.FAILED, error_sentence=WORST)
        running = Progress(Phase.PAINTING, 200, 200)
        views += [
            messages.waiting(job(request, locale), 10**6),
            messages.running(job(request, locale), running),
            messages.withheld(done),
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
