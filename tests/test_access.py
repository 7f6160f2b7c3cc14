from pathlib import Path

import pytest

from bot.access import offered, require_administrator, require_allowed
from bot.errors import NotAllowed
from bot.jobs.settings import Settings
from pipelines.contract.errors import AtelierError, BadInput
from pipelines.contract.requests import Aspect, ImagineRequest, Request, SketchRequest

PAINTER, PATRON = 5, 6
IMAGINE = ImagineRequest(prompt="a fox", aspect=Aspect.WIDE, count=2, seed=7)
SKETCH = SketchRequest(drawing=Path("fox.png"), style="ink", seed=7)
PLAIN = SketchRequest(drawing=Path("fox.png"), seed=7)


@pytest.mark.parametrize(
    ("settings", "request_", "roles"),
    [
        (Settings(), IMAGINE, ()),
        (Settings(commands_off={"sketch"}), IMAGINE, ()),
        (Settings(roles={PAINTER, PATRON}), IMAGINE, {PATRON, 9}),
        (Settings(styles={"ink"}), SKETCH, ()),
        (Settings(styles={"oil"}), PLAIN, ()),
        (Settings(aspects={"16:9"}, pictures=2), IMAGINE, ()),
        (Settings(aspects={"1:1"}), SKETCH, ()),
    ],
)
def test_what_is_allowed(settings: Settings, request_: Request, roles: set[int]) -> None:
    require_allowed(settings, request_, roles)


@pytest.mark.parametrize(
    ("settings", "request_", "error", "says"),
    [
        (Settings(commands_off={"sketch"}), SKETCH, NotAllowed, "/sketch is switched off here"),
        (Settings(roles={PATRON, PAINTER}), IMAGINE, NotAllowed, "with <@&5> / <@&6>. The"),
        (Settings(styles={"oil", "chalk"}), SKETCH, BadInput, "“ink” .* one of: chalk, oil"),
        (Settings(aspects={"1:1"}), IMAGINE, BadInput, "shape 16:9 .* one of: 1:1"),
        (Settings(pictures=1), IMAGINE, BadInput, "at most 1 at a time, not 2"),
    ],
)
def test_what_is_not(
    settings: Settings, request_: Request, error: type[AtelierError], says: str
) -> None:
    with pytest.raises(error, match=says):
        require_allowed(settings, request_, {9})


def test_what_is_offered() -> None:
    assert offered(["ink", "oil"], frozenset()) == ["ink", "oil"]
    assert offered(["ink", "oil"], {"oil", "chalk"}) == ["oil"]


def test_administrators_set_the_rules() -> None:
    require_administrator(administrates=True)
    with pytest.raises(NotAllowed):
        require_administrator(administrates=False)
