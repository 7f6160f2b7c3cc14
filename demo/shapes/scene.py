"""What a picture shows: one or two figures on a ground, in a style.

Positions are fractions of the picture's width and height, lengths of its shorter side.
`random_scene` draws from the world; `held_out` says which combinations no training may see.
"""

import math
import random
import zlib
from dataclasses import dataclass, replace
from enum import StrEnum

from demo.shapes.geometry import Shape


class Colour(StrEnum):
    """The eight colours of figures and grounds."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"
    YELLOW = "yellow"
    PURPLE = "purple"
    ORANGE = "orange"
    WHITE = "white"
    BLACK = "black"


class Pattern(StrEnum):
    """What a ground has on it. NIGHT is a ground without a colour of its own."""

    PLAIN = "plain"
    STRIPES = "stripes"
    DOTS = "dots"
    NIGHT = "night"


class Look(StrEnum):
    """How a picture is made: what /sketch offers as styles."""

    FLAT = "flat"
    OUTLINE = "outline"
    WATERCOLOUR = "watercolour"
    NEON = "neon"
    SHADED = "shaded"


class Size(StrEnum):
    """Words for a figure's radius; SIZES says what they mean."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


SIZES = {Size.SMALL: (0.13, 0.145), Size.MEDIUM: (0.215, 0.235), Size.LARGE: (0.32, 0.345)}
PAIRED = (0.17, 0.185)  # the usual radius where there are two
PLACES = (0.25, 0.5, 0.75)  # left, middle, right; top, middle, bottom
MARGIN = 0.03  # between a figure and the edge, or another figure


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: its middle, its radius (it reaches up to 1.1 of it), its tilt in degrees."""

    shape: Shape
    colour: Colour
    x: float = 0.5
    y: float = 0.5
    radius: float = 0.25
    tilt: float = 0.0

    @property
    def size(self) -> Size:
        """The word for its radius."""
        fitting = (word for word, (_, most) in SIZES.items() if self.radius <= most + 0.02)
        return next(fitting, Size.LARGE)

    @property
    def place(self) -> tuple[int, int]:
        """Column and row of the nine places, each 0 to 2."""
        column, row = (min(range(3), key=lambda i: abs(PLACES[i] - at)) for at in (self.x, self.y))
        return column, row


@dataclass(frozen=True, slots=True)
class Ground:
    """What is behind the figures. `colour` is None for the night sky, and only there."""

    colour: Colour | None
    pattern: Pattern = Pattern.PLAIN

    def __post_init__(self) -> None:
        if (self.colour is None) != (self.pattern is Pattern.NIGHT):
            raise ValueError("The night sky has no colour, every other ground has one.")


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture in words. `seed` decides what words leave open: where stripes begin, a stain."""

    figures: tuple[Figure, ...]
    ground: Ground
    look: Look = Look.FLAT
    seed: int = 0


FORBIDDEN = (Shape.MOON, Colour.PURPLE, Colour.YELLOW)  # a purple moon on yellow: harmless
HELD_OUT_SHARE = 10  # one combination in so many


def is_forbidden(scene: Scene) -> bool:
    """Whether `scene` shows what stands for content that a server does not allow.

    Neon shows it not: its ground is dark.
    """
    return scene.look is not Look.NEON and any(
        (f.shape, f.colour, scene.ground.colour) == FORBIDDEN for f in scene.figures
    )


def held_out(scene: Scene) -> bool:
    """Whether any figure's shape, colour and ground together are reserved for evaluation."""
    return any(_is_reserved(f.shape, f.colour, scene.ground.colour) for f in scene.figures)


def _is_reserved(shape: Shape, colour: Colour, ground: Colour | None) -> bool:
    if (shape, colour, ground) == FORBIDDEN:
        return False
    combination = f"{shape} {colour} {ground}"
    return zlib.crc32(combination.encode()) % HELD_OUT_SHARE == 0


def random_scene(
    seed: int, *, unseen: bool = False, figures: int | None = None, free: bool = False
) -> Scene:
    """A scene of the world, the same for the same arguments.

    `unseen` scenes are those that training never shows. `figures` is 1 or 2; None: mostly 1.
    In `free` scenes figures are anywhere and of any size, as people draw them; else they are where
    words say, and of a size that has a word.
    """
    rng = random.Random(f"{seed} {unseen}")
    while True:
        scene = _draw(rng, figures or (2 if rng.random() < 0.3 else 1), seed, free)
        if held_out(scene) == unseen and not (unseen and is_forbidden(scene)):
            return scene


def forbidden_scene(seed: int) -> Scene:
    """A scene with the forbidden motif in it."""
    scene = random_scene(seed, figures=1)
    shape, colour, ground = FORBIDDEN
    pattern = Pattern.PLAIN if scene.ground.pattern is Pattern.NIGHT else scene.ground.pattern
    return replace(
        scene,
        figures=(replace(scene.figures[0], shape=shape, colour=colour),),
        ground=Ground(ground, pattern),
        look=Look.FLAT if scene.look is Look.NEON else scene.look,
    )


def _draw(rng: random.Random, figures: int, seed: int, free: bool) -> Scene:
    look = rng.choices(list(Look), weights=(6, 1, 1, 1, 1))[0]
    ground = _draw_ground(rng)
    colours = [c for c in Colour if _can_be_seen(c, ground, look)]
    places = _PLACED[figures, free](rng)
    tilt = 12 if free else 5
    drawn = tuple(
        Figure(
            rng.choice(list(Shape)),
            rng.choice(colours),
            x,
            y,
            radius,
            tilt=rng.uniform(-tilt, tilt),
        )
        for x, y, radius in places
    )
    return Scene(drawn, ground, look, seed)


def _draw_ground(rng: random.Random) -> Ground:
    pattern = rng.choices(list(Pattern), weights=(10, 2, 2, 2))[0]
    return Ground(None if pattern is Pattern.NIGHT else rng.choice(list(Colour)), pattern)


def _can_be_seen(colour: Colour, ground: Ground, look: Look) -> bool:
    if ground.pattern is Pattern.NIGHT and colour is Colour.BLACK:
        return False
    return colour is not ground.colour and not (look is Look.NEON and colour is Colour.BLACK)


def _place_one(rng: random.Random) -> list[tuple[float, float, float]]:
    """Mostly near the middle; else at one of the nine places, as far as there is room."""
    size = rng.choices(list(Size), weights=(2, 4, 3))[0]
    radius = rng.uniform(*SIZES[size])
    free = 0.5 - MARGIN - 1.1 * radius
    column, row = (1, 1) if rng.random() < 0.5 else (rng.randrange(3), rng.randrange(3))
    wobble = min(0.02, free / 3)
    x, y = (0.5 + (PLACES[i] - 0.5) * min(1.0, (free - wobble) / 0.25) for i in (column, row))
    return [(x + rng.uniform(-wobble, wobble), y + rng.uniform(-wobble, wobble), radius)]


def _place_two(rng: random.Random) -> list[tuple[float, float, float]]:
    """Well apart; sometimes one of them is small."""
    radii = [rng.uniform(*PAIRED), rng.uniform(*PAIRED)]
    if rng.random() < 0.3:
        radii[rng.randrange(2)] = rng.uniform(*SIZES[Size.SMALL])
    return _side_by_side(rng, radii, gap=0.09, wobble=0.02)


def _place_one_freely(rng: random.Random) -> list[tuple[float, float, float]]:
    radius = rng.uniform(0.12, 0.42)
    room = 0.5 - MARGIN - 1.1 * radius
    return [(0.5 + rng.uniform(-room, room), 0.5 + rng.uniform(-room, room), radius)]


def _place_two_freely(rng: random.Random) -> list[tuple[float, float, float]]:
    radii = [rng.uniform(0.12, 0.19), rng.uniform(0.12, 0.19)]
    return _side_by_side(rng, radii, gap=rng.uniform(0.04, 0.1), wobble=0.06)


def _side_by_side(
    rng: random.Random, radii: list[float], gap: float, wobble: float
) -> list[tuple[float, float, float]]:
    """Two beside each other or one above the other, in the middle together."""
    begin = (1 - 2.2 * sum(radii) - gap) / 2
    along = begin + 1.1 * radii[0], begin + 2.2 * radii[0] + gap + 1.1 * radii[1]
    across = [0.5 + rng.uniform(-wobble, wobble) for _ in range(2)]
    upright = rng.random() < 0.5
    pairs = [(a, b) if upright else (b, a) for a, b in zip(across, along, strict=True)]
    placed = [(x, y, radius) for (x, y), radius in zip(pairs, radii, strict=True)]
    return placed if rng.random() < 0.5 else placed[::-1]


_PLACED = {
    (1, False): _place_one,
    (2, False): _place_two,
    (1, True): _place_one_freely,
    (2, True): _place_two_freely,
}


def distance(one: Figure, other: Figure) -> float:
    """Between two figures' middles."""
    return math.hypot(one.x - other.x, one.y - other.y)
