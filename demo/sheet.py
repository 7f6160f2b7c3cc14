"""`python -m demo.sheet FOLDER`: contact sheets of the small world, and of what the models make.

Look at them after a change: figures say whether a picture is right, not whether it is pleasant.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw, ImageFont

from demo.evaluate import Bench, catalog, clip_of, painted_sketch, plain, wish
from demo.shapes import motion
from demo.shapes.geometry import Shape
from demo.shapes.paint import paint
from demo.shapes.scene import Colour, Figure, Ground, Look, Scene, Size, random_scene
from demo.shapes.sketches import sketch
from demo.shapes.words import full_prompt
from pipelines.contract.requests import MOTION, STRENGTH, USUAL_MOTION
from pipelines.drawing import read_drawing
from pipelines.media import on_white

CELL, GAP = 160, 4
COLUMNS = 6  # of the models' sheet, whose words can then still be read where it is shown smaller
PAPER = "#505050"
FONT = ImageFont.load_default(15)
Rows = Iterable[Sequence[Image.Image] | str]


def grid(rows: Rows) -> Image.Image:
    """Pictures in rows, each in a cell as wide as the others; words are above the row to come."""
    table = [row if isinstance(row, str) else [_fitted(each) for each in row] for row in rows]
    width = GAP + max(len(row) for row in table if not isinstance(row, str)) * (CELL + GAP)
    bands = [
        _written(row, width, above=4 * GAP) if isinstance(row, str) else _band(row, width)
        for row in table
    ]
    sheet = Image.new("RGB", (width, GAP + sum(band.height for band in bands)), PAPER)
    y = GAP
    for band in bands:
        sheet.paste(band, (0, y))
        y += band.height
    return sheet


def _band(cells: Sequence[Image.Image], width: int) -> Image.Image:
    """Cells side by side, and the gap below them."""
    band = Image.new("RGB", (width, max(cell.height for cell in cells) + GAP), PAPER)
    for column, cell in enumerate(cells):
        band.paste(cell, (GAP + column * (CELL + GAP), 0))
    return band


def _fitted(picture: Image.Image) -> Image.Image:
    """`picture` as wide as a cell, or less where it is tall."""
    small = on_white(picture).convert("RGB")
    small.thumbnail((CELL, 2 * CELL), Image.Resampling.LANCZOS)
    return small


def world() -> Rows:
    """Every shape in every look, then scenes at random."""
    colours = [colour for colour in Colour if colour is not Colour.BLACK]
    for number, look in enumerate(Look):
        yield [
            paint(
                Scene(
                    (Figure(shape, colours[i % 7], radius=0.3),),
                    Ground(colours[(i + 3 - number // 3) % 7]),
                    look,
                    seed=i,
                )
            )
            for i, shape in enumerate(Shape)
        ]
    for row in range(4):
        yield [paint(random_scene(8 * row + i)) for i in range(8)]


def sketches() -> Rows:
    """Drawings, and the picture and the lines that the sketch command reads from them."""
    for row in range(6):
        cells = []
        for seed in range(3 * row, 3 * row + 3):
            drawn = sketch(random_scene(seed), seed).image
            read = read_drawing(drawn)
            cells += [drawn, read.picture, read.lines]
        yield cells


def clips() -> Rows:
    """How each shape moves."""
    for shape in Shape:
        scene = Scene((Figure(shape, Colour.RED, radius=0.22),), Ground(Colour.BLUE))
        yield motion.pictures(scene, 200)[::2]


def models(bench: Bench) -> Rows:
    """What the models make of scenes they were never trained on."""
    if bench.catalog.imagine is not None:
        yield "/imagine"
        for figures in (1, 2):
            prompts = [full_prompt(scene) for scene in _various(_unseen(figures=figures))]
            yield [_told(bench.imagine(prompt, i), prompt) for i, prompt in enumerate(prompts)]
    if bench.catalog.caption is not None and bench.catalog.sketch is not None:
        yield from _painted_sketches(bench)
    if bench.catalog.animate is not None:
        scenes = (s for s in _unseen(figures=1) if s.figures[0].size is Size.MEDIUM)
        picture = paint(plain(next(scenes)))
        for value, words in ((MOTION[0], "least"), (USUAL_MOTION, "usual"), (MOTION[-1], "most")):
            yield f"/animate with motion {value}, the {words}"
            frames = clip_of(bench, picture, value, 0)
            yield [frames[i * (len(frames) - 1) // (COLUMNS - 1)] for i in range(COLUMNS)]


def _painted_sketches(bench: Bench) -> Rows:
    scenes = drawn_scenes()
    drawings = [sketch(scene, seed).image for seed, scene in enumerate(scenes)]
    yield "Drawings for /sketch, and what is said to them"
    yield [_told(d, wish(scene)) for d, scene in zip(drawings, scenes, strict=True)]
    for strength in (STRENGTH[-1], STRENGTH[-1] // 2, STRENGTH[0]):
        yield f"/sketch with strength {strength}"
        yield [
            painted_sketch(bench, drawing, scene, strength, seed)
            for seed, (drawing, scene) in enumerate(zip(drawings, scenes, strict=True))
        ]
    yield "/sketch in five styles"
    drawing, scene = max(zip(drawings, scenes, strict=True), key=lambda d: d[1].figures[0].radius)
    yield [_told(drawing, wish(scene))] + [
        _told(painted_sketch(bench, drawing, scene, STRENGTH[-1], 0, look), look) for look in Look
    ]


def drawn_scenes() -> list[Scene]:
    """Of one large figure each, which is so far off the middle that steering shows."""

    def is_off(scene: Scene) -> bool:
        (figure,) = scene.figures
        return figure.radius > 0.2 and math.hypot(figure.x - 0.5, figure.y - 0.5) > 0.12

    return _various(filter(is_off, _unseen(figures=1, free=True)))


def _various(scenes: Iterable[Scene]) -> list[Scene]:
    """As many scenes as there are columns, no two of a first figure of the same shape or colour."""
    found: list[Scene] = []
    for scene in scenes:
        figure, others = scene.figures[0], [each.figures[0] for each in found]
        if not any(figure.shape is o.shape or figure.colour is o.colour for o in others):
            found.append(scene)
        if len(found) == COLUMNS:
            break
    return found


def _unseen(*, figures: int, free: bool = False) -> Iterator[Scene]:
    """Scenes without black, which neon cannot show."""
    for seed in count():
        scene = random_scene(seed, unseen=True, figures=figures, free=free)
        if Colour.BLACK not in {scene.ground.colour, *(f.colour for f in scene.figures)}:
            yield replace(scene, look=Look.FLAT)


def _told(picture: Image.Image, words: str) -> Image.Image:
    """`picture` in the size of a cell, with words below it."""
    text = _written(words, CELL)
    told = Image.new("RGB", (CELL, CELL + text.height), PAPER)
    told.paste(_fitted(picture), (0, 0))
    told.paste(text, (0, CELL))
    return told


def _written(words: str, width: int, above: int = GAP) -> Image.Image:
    """Words on paper of a width, in as many lines as they need, with some room above."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if FONT.getlength(longer) <= width - 2 * GAP:
            lines[-1] = longer
        else:
            lines.append(word)
    text = "\n".join(lines)
    *_, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((GAP, above), text, FONT)
    written = Image.new("RGB", (width, math.ceil(bottom) + GAP), PAPER)
    ImageDraw.Draw(written).multiline_text((GAP, above), text, "white", FONT)
    return written


def main(
    folder: Annotated[Path, typer.Argument(help="Where the sheets go.")],
) -> None:
    """Write contact sheets, and one of the models if they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("world", world()), ("sketches", sketches()), ("clips", clips())):
        grid(rows).save(folder / f"{name}.png")
    bench = Bench(catalog())
    if made := list(models(bench)):
        grid(made).save(folder / "models.webp", quality=85, method=6)  # as the documents show it


if __name__ == "__main__":
    typer.run(main)
