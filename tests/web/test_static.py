"""The page's files, as they lie there."""

import hashlib
import re
from pathlib import Path

import pytest

from bot.languages import languages
from bot.web.sentences import STATIC, sentences, words
from pipelines.contract.requests import MOTION, STRENGTH, USUAL_MOTION, USUAL_STRENGTH

FREEHAND = "a02e221f71a757e46915a51d8f5ffc8d1788d9134e063b3edd21f429c973d46c"  # 1.2.3, from npm
VENDOR = STATIC / "vendor"


def test_the_library_is_the_one_that_was_published() -> None:
    assert hashlib.sha256((VENDOR / "perfect-freehand.mjs").read_bytes()).hexdigest() == FREEHAND
    assert "MIT License" in (VENDOR / "perfect-freehand.LICENSE").read_text()


@pytest.mark.parametrize("file", sorted(STATIC.glob("*.html")), ids=lambda file: file.name)
def test_nothing_is_inline_or_from_elsewhere(file: Path) -> None:
    html = file.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script>", html)
    assert not re.search(r'(src|href)="(https?:)?//', html)


def test_what_the_page_refers_to_is_there() -> None:
    page = (STATIC / "studio.html").read_text(encoding="utf-8")
    named = re.findall(r'"/static/([^"]+)"', page)
    modules = [f.name for f in STATIC.glob("*.js")]
    assert all((STATIC / name).is_file() for name in named)
    assert set(modules) <= set(named)  # all are fetched at once, none after another
    for svg in set(re.findall(r'href="#(i-\w+)"', page)):
        assert f'id="{svg}"' in page


@pytest.mark.parametrize(
    ("name", "allowed", "usual"),
    [("strength", STRENGTH, USUAL_STRENGTH), ("motion", MOTION, USUAL_MOTION)],
)
def test_a_slider_begins_at_what_is_usual_and_ends_where_a_request_does(
    name: str, allowed: range, usual: int
) -> None:
    page = (STATIC / "studio.html").read_text(encoding="utf-8")
    (slider,) = re.findall(rf'<input type="range" [^>]*name="{name}"[^>]*>', page)
    said = {key: int(value) for key, value in re.findall(r'(min|max|value)="(\d+)"', slider)}
    assert said == {"min": allowed[0], "max": allowed[-1], "value": usual}


@pytest.mark.parametrize("tag", languages()[1:])
def test_a_catalogue_holds_all_that_the_page_says(tag: str) -> None:
    said = {each if isinstance(each, str) else each[0] for _, _, each in sentences()}
    assert said <= words(tag).keys()
    assert len(said) > 100


def test_there_is_no_catalogue_of_what_is_not_spoken() -> None:
    assert words("en") == words("tlh") == words("../de") == {}
    assert words("tlh") is not words("tlh")  # nothing is kept of what anybody may ask for
