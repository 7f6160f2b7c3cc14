"""`python -m demo.sheet FOLDER`: contact sheets of the small world, and of what the models make.

Look at them after a change: figures say whether a picture is right, not whether it is pleasant.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from demo.evaluate import WEIGHTS, Bench, catalog, clip_of, painted_sketch
from demo.shapes import motion
from demo.shapes.geometry import Shape
from demo.shapes.paint import paint
from demo.shapes.scene import Colour, Figure, Ground, Look, Scene, random_scene
from demo.shapes.sketches import sketch
from demo.shapes.words import full_prompt
from pipelines.drawing import read_drawing
from pipelines.media import on_white

CELL, GAP = 160, 4
Rows = Iterable[Sequence[Image.Image]]


def grid(rows: Rows) -> Image.Image:
    """Pictures in rows, each in a square cell."""
    table = [list(row) for row in rows]
    across, down = max(map(len, table)), len(table)
    sheet = Image.new("RGB", (across * (CELL + GAP) + GAP, down * (CELL + GAP) + GAP), "#808080")
    for r, row in enumerate(table):
        for c, picture in enumerate(row):
            small = on_white(picture).convert("RGB")
            small.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
            sheet.paste(small, (GAP + c * (CELL + GAP), GAP + r * (CELL + GAP)))
    return sheet


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
    scenes = [random_scene(seed, unseen=True) for seed in range(8)]
    if bench.catalog.imagine is not None:
        for first in (0, 4):
            yield [bench.imagine(full_prompt(s), first + i) for i, s in enumerate(scenes)]
    if bench.catalog.caption is not None and bench.catalog.sketch is not None:
        drawings = [sketch(scene, seed).image for seed, scene in enumerate(scenes)]
        yield drawings
        for strength in (100, 0):
            yield [
                painted_sketch(bench, drawing, scene, strength, seed)
                for seed, (drawing, scene) in enumerate(zip(drawings, scenes, strict=True))
            ]
    if bench.catalog.animate is not None:
        for scene in scenes[:3]:
            yield clip_of(bench, paint(scene), 200, seed=1)[::2]


def main(
    folder: Annotated[Path, typer.Argument(help="Where the sheets go.")],
    weights: Annotated[Path, typer.Option(help="The folder of the models.")] = WEIGHTS,
) -> None:
    """Write contact sheets, and one of the models if they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("world", world()), ("sketches", sketches()), ("clips", clips())):
        grid(rows).save(folder / f"{name}.png")
    bench = Bench(catalog(weights))
    if made := list(models(bench)):
        grid(made).save(folder / "models.png")


if __name__ == "__main__":
    typer.run(main)
