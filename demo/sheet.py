"""`python -m demo.sheet FOLDER`: contact sheets of the small world, and of what the models make.

Look at them after a change: figures say whether a picture is right, not whether it is pleasant.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw, ImageFont

from demo.evaluate import Bench, catalog, clip_of, painted_sketch
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
    """Pictures in rows, each in a cell as wide as the others."""
    table = [[_fitted(picture) for picture in row] for row in rows]
    heights = [GAP + max(cell.height for cell in row) for row in table]
    width = GAP + max(map(len, table)) * (CELL + GAP)
    sheet = Image.new("RGB", (width, GAP + sum(heights)), "#808080")
    y = GAP
    for row, height in zip(table, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (GAP + column * (CELL + GAP), y))
        y += height
    return sheet


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
    flat = [replace(random_scene(seed, unseen=True), look=Look.FLAT) for seed in range(8)]
    if bench.catalog.imagine is not None:
        yield [_told(bench.imagine(full_prompt(s), i), full_prompt(s)) for i, s in enumerate(flat)]
    if bench.catalog.caption is not None and bench.catalog.sketch is not None:
        drawings = [sketch(scene, seed).image for seed, scene in enumerate(flat)]
        yield [_told(drawing, "a drawing") for drawing in drawings]
        for strength in (100, 50, 0):
            yield [
                _told(painted_sketch(bench, drawing, scene, strength, seed), f"strength {strength}")
                for seed, (drawing, scene) in enumerate(zip(drawings, flat, strict=True))
            ]
        yield [
            _told(painted_sketch(bench, drawings[seed], flat[seed], 100, seed, look), look)
            for seed, look in enumerate(Look)
        ]
    if bench.catalog.animate is not None:
        for seed, motion_value in ((0, 1), (1, 127), (2, 255)):
            frames = clip_of(bench, paint(flat[seed]), motion_value, seed)
            yield [_told(frame, f"motion {motion_value}") for frame in frames[::2]]


def _told(picture: Image.Image, words: str) -> Image.Image:
    """`picture` in the size of a cell, with words below it."""
    font = ImageFont.load_default(11)
    lines = textwrap.wrap(words, 27)
    told = Image.new("RGB", (CELL, CELL + 3 + 13 * len(lines)), "#808080")
    told.paste(_fitted(picture), (0, 0))
    ImageDraw.Draw(told).multiline_text((2, CELL + 1), "\n".join(lines), "white", font)
    return told


def main(
    folder: Annotated[Path, typer.Argument(help="Where the sheets go.")],
) -> None:
    """Write contact sheets, and one of the models if they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("world", world()), ("sketches", sketches()), ("clips", clips())):
        grid(rows).save(folder / f"{name}.png")
    bench = Bench(catalog())
    if made := list(models(bench)):
        grid(made).save(folder / "models.png")


if __name__ == "__main__":
    typer.run(main)
