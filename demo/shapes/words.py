"""What people say of a scene, in many ways.

What a sentence leaves unsaid is as usual: one figure is in the middle, and neither small nor large.
"""

import random

from demo.shapes.scene import Figure, Ground, Look, Pattern, Scene, Size

FRAMES: dict[Look, str] = {
    Look.FLAT: "{prompt}, flat colours",
    Look.OUTLINE: "{prompt}, outline drawing",
    Look.WATERCOLOUR: "{prompt}, watercolour",
    Look.NEON: "{prompt}, neon light",
    Look.SHADED: "{prompt}, shaded, 3d",
}
"""The frames of the styles that the demo offers."""

_OTHER_FRAMES: dict[Look, tuple[str, ...]] = {
    Look.FLAT: ("{prompt}", "flat {prompt}", "{prompt} in flat colours"),
    Look.OUTLINE: ("outline of {prompt}", "{prompt} as an outline", "{prompt}, outline"),
    Look.WATERCOLOUR: ("watercolour of {prompt}", "a watercolor painting of {prompt}"),
    Look.NEON: ("neon sign of {prompt}", "{prompt} in neon", "glowing neon {prompt}"),
    Look.SHADED: ("{prompt}, 3d", "shaded {prompt}", "3d picture of {prompt}"),
}
_SIZES = {Size.SMALL: ("small", "tiny", "little"), Size.LARGE: ("large", "big", "huge")}
_PLACES: dict[tuple[int, int], tuple[str, ...]] = {
    (0, 0): ("in the top left corner", "at the top left", "in the upper left corner"),
    (1, 0): ("at the top", "in the upper half"),
    (2, 0): ("in the top right corner", "at the top right", "in the upper right corner"),
    (0, 1): ("on the left", "on the left side"),
    (1, 1): ("in the middle", "in the center", "in the centre"),
    (2, 1): ("on the right", "on the right side"),
    (0, 2): ("in the bottom left corner", "at the bottom left", "in the lower left corner"),
    (1, 2): ("at the bottom", "in the lower half"),
    (2, 2): ("in the bottom right corner", "at the bottom right", "in the lower right corner"),
}
_PLAIN = (
    " on a {c} background",
    ", {c} background",
    " on {c}",
    " against a {c} background",
    " in front of a {c} background",
    " on a plain {c} background",
    " on a {c} wall",
)
_PATTERNED: dict[Pattern, tuple[str, ...]] = {
    Pattern.STRIPES: (
        " on a striped {c} background",
        " on a {c} background with stripes",
        ", {c} stripes in the background",
        " on {c} stripes",
    ),
    Pattern.DOTS: (
        " on a dotted {c} background",
        " on a {c} background with dots",
        ", {c} dots in the background",
        " on {c} with polka dots",
    ),
    Pattern.NIGHT: (
        " in the night sky",
        " at night",
        " in a starry sky",
        ", night sky background",
        " on a night sky",
    ),
}
_BARE: dict[Pattern, tuple[str, ...]] = {
    Pattern.PLAIN: ("plain background",),
    Pattern.STRIPES: ("stripes", "striped background", "striped"),
    Pattern.DOTS: ("dots", "polka dots", "dotted background"),
    Pattern.NIGHT: ("night sky", "starry sky", "night"),
}
_BEFORE = ("", "", "", "a picture of ", "an image of ", "please draw ", "i want ", "paint ")


def prompt(scene: Scene, rng: random.Random) -> str:
    """What a person may type, or what /sketch makes of a word and a caption, for `scene`."""
    kind = rng.random()
    if _is_usual(scene) and kind < 0.15:
        return _bare(scene.figures[0])
    if kind < 0.68:
        text = sentence(scene, rng)
        if scene.look is Look.FLAT:
            text = rng.choice(_BEFORE) + text
    elif kind < 0.84:
        text = f"{_wish(scene, rng)}, {caption(scene)}"
    else:
        return fragment(scene, rng)
    return _framed(text, scene.look, rng)


def sentence(scene: Scene, rng: random.Random) -> str:
    """One sentence that says most of what is seen, and nothing false."""
    return _subject(scene, rng) + (_ground(scene.ground, rng) if rng.random() < 0.94 else "")


def full_prompt(scene: Scene) -> str:
    """The plainest sentence that says every shape and colour of `scene`."""
    figures = [f"{_article(f.colour)} {f.colour} {f.shape}" for f in scene.figures]
    ground = scene.ground
    places = _PLAIN if ground.pattern is Pattern.PLAIN else _PATTERNED[ground.pattern]
    return _related(scene.figures, figures) + places[0].format(c=ground.colour)


def caption(scene: Scene) -> str:
    """What the captioner says of a sketch of `scene`: its shapes, and how they lie."""
    return _related(scene.figures, [_bare(figure) for figure in scene.figures])


def _bare(figure: Figure) -> str:
    """A figure by its shape alone."""
    return f"{_article(figure.shape)} {figure.shape}"


def _is_usual(scene: Scene) -> bool:
    """Whether nothing of a scene but its shape and colours has to be said."""
    figure = scene.figures[0]
    is_plain = figure.place == (1, 1) and figure.size not in _SIZES and scene.look is Look.FLAT
    return is_plain and len(scene.figures) == 1


def fragment(scene: Scene, rng: random.Random) -> str:
    """One thing that is in `scene`: how people write negative prompts."""
    figure, ground = rng.choice(scene.figures), scene.ground
    things = [
        figure.shape,
        figure.colour,
        f"{figure.colour} {figure.shape}",
        *_BARE[ground.pattern],
    ]
    if ground.colour is not None:
        # A colour alone is the figure's or the ground's: were it the figure's only, what it is
        # taken away from would get a ground of it.
        things += [f"{ground.colour} background", ground.colour]
    if scene.look is not Look.FLAT:
        things += [scene.look, scene.look]
    return str(rng.choice(things))


def vocabulary() -> list[str]:
    """Every word that the sentences above are made of, sorted."""
    texts = [
        *FRAMES.values(),
        *(text for texts in _OTHER_FRAMES.values() for text in texts),
        *(text for texts in _SIZES.values() for text in texts),
        *(text for texts in _PLACES.values() for text in texts),
        *_PLAIN,
        *(text for texts in (*_PATTERNED.values(), *_BARE.values()) for text in texts),
        *_BEFORE,
        *_WISHES,
        *(f"{one} {other}" for one, other in _RELATIONS.values()),
        "next to beside and a an the circle square triangle star heart cross moon arrow",
        "red green blue yellow purple orange white black flat outline neon shaded crescent",
    ]
    words = " ".join(texts).replace(",", " ").replace("{prompt}", " ").replace("{c}", " ")
    return sorted(set(words.split()))


# --- parts of sentences -------------------------------------------------------------------------

_WISHES = ("{c}", "make it {c}", "in {c}", "{c} please")
_RELATIONS = {
    "above": ("above", "over"),
    "below": ("below", "under"),
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
}


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _wish(scene: Scene, rng: random.Random) -> str:
    """What a person adds to a drawing: a colour, a ground, or the whole sentence."""
    if len(scene.figures) > 1 or rng.random() < 0.5:
        return sentence(scene, rng)
    wish = rng.choice(_WISHES).format(c=scene.figures[0].colour)
    return wish + (_ground(scene.ground, rng) if rng.random() < 0.8 else "")


def _framed(text: str, look: Look, rng: random.Random) -> str:
    others = _OTHER_FRAMES[look]
    frame = FRAMES[look] if rng.random() < 0.5 and look is not Look.FLAT else rng.choice(others)
    if look is Look.FLAT and rng.random() < 0.2:
        frame = FRAMES[look]
    return frame.replace("{prompt}", text)


def _subject(scene: Scene, rng: random.Random) -> str:
    names = [_name(figure, rng) for figure in scene.figures]
    if len(names) == 2:
        if rng.random() < 0.2:
            return f"{names[0]} {rng.choice(('and', 'next to', 'beside'))} {names[1]}"
        return _related(scene.figures, names, rng)
    place = scene.figures[0].place
    if place != (1, 1) or rng.random() < 0.15:
        return f"{names[0]} {rng.choice(_PLACES[place])}"
    return names[0]


def _name(figure: Figure, rng: random.Random) -> str:
    said = []
    if figure.size in _SIZES:
        said.append(rng.choice(_SIZES[figure.size]))
    if rng.random() < 0.88:
        said.append(figure.colour)
    said.append(figure.shape)
    article = _article(said[0]) if rng.random() < 0.85 else rng.choice(("", "the"))
    return f"{article} {' '.join(said)}".strip()


def _related(
    figures: tuple[Figure, ...], names: list[str], rng: random.Random | None = None
) -> str:
    """Two names and how they lie; always the first of them above or left of unless `rng` says."""
    if len(names) == 1:
        return names[0]
    one, other = figures
    dx, dy = one.x - other.x, one.y - other.y
    side = ("left", "right")[dx > 0] if abs(dx) > abs(dy) else ("above", "below")[dy > 0]
    if rng is None and side in ("below", "right"):
        return _related(figures[::-1], names[::-1])
    words = _RELATIONS[side]
    return f"{names[0]} {rng.choice(words) if rng else words[0]} {names[1]}"


def _ground(ground: Ground, rng: random.Random) -> str:
    places = _PLAIN if ground.pattern is Pattern.PLAIN else _PATTERNED[ground.pattern]
    return rng.choice(places).format(c=ground.colour)
