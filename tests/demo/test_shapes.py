"""The small world: the same for the same seed, varied, said truly, and never shown in training
where it is kept for evaluation."""

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from demo.shapes import motion
from demo.shapes.geometry import Shape
from demo.shapes.paint import paint, silhouette
from demo.shapes.scene import (
    FORBIDDEN,
    Colour,
    Figure,
    Ground,
    Look,
    Pattern,
    Scene,
    distance,
    forbidden_scene,
    held_out,
    is_forbidden,
    random_scene,
)
from demo.shapes.sketches import Filling, Medium, sketch
from demo.shapes.words import caption, full_prompt, prompt, vocabulary
from pipelines.drawing import read_drawing

SEEDS = range(300)


def _one(shape: Shape = Shape.STAR, **kwargs: float) -> Scene:
    return Scene((Figure(shape, Colour.RED, **kwargs),), Ground(Colour.BLUE))


def _same(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode and one.tobytes() == other.tobytes()


def test_a_seed_gives_one_scene_one_picture_one_sketch() -> None:
    for seed in range(12):
        assert random_scene(seed) == random_scene(seed)
        assert _same(paint(random_scene(seed)), paint(random_scene(seed)))
        assert _same(sketch(random_scene(seed), 3).image, sketch(random_scene(seed), 3).image)
    assert len({random_scene(seed).figures for seed in SEEDS}) == len(SEEDS)


def test_training_never_sees_what_is_held_out() -> None:
    assert not any(held_out(random_scene(seed)) for seed in SEEDS)
    assert all(held_out(random_scene(seed, unseen=True)) for seed in SEEDS)


def test_training_sees_every_shape_colour_ground_and_look() -> None:
    scenes = [random_scene(seed) for seed in SEEDS]
    assert {f.shape for s in scenes for f in s.figures} == set(Shape)
    assert {f.colour for s in scenes for f in s.figures} == set(Colour)
    assert {s.ground.colour for s in scenes} == {*Colour, None}
    assert {s.ground.pattern for s in scenes} == set(Pattern)
    assert {s.look for s in scenes} == set(Look)
    assert Counter(len(s.figures) for s in scenes)[2] > 50


@pytest.mark.parametrize("unseen", [False, True])
def test_figures_are_within_the_picture_and_apart(unseen: bool) -> None:
    for seed in SEEDS:
        figures = random_scene(seed, unseen=unseen).figures
        for figure in figures:
            assert 1.1 * figure.radius <= min(figure.x, 1 - figure.x, figure.y, 1 - figure.y)
        for one, other in pairwise(figures):
            assert distance(one, other) > 1.1 * (one.radius + other.radius)


def test_a_ground_without_colour_is_the_night() -> None:
    with pytest.raises(ValueError, match="night sky has no colour"):
        Ground(None, Pattern.DOTS)
    with pytest.raises(ValueError, match="night sky has no colour"):
        Ground(Colour.RED, Pattern.NIGHT)


def test_a_picture_is_of_its_colours_with_clean_edges() -> None:
    pixels = np.asarray(paint(_one(radius=0.3))).reshape(-1, 3)
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    two = {tuple(colours[i].tolist()) for i in counts.argsort()[-2:]}
    assert two == {(222, 52, 52), (44, 104, 220)}
    assert np.sort(counts)[:-2].sum() < 0.03 * len(pixels)  # the edge, and nothing else


@pytest.mark.parametrize("shape", Shape)
def test_a_figure_is_where_its_scene_says(shape: Shape) -> None:
    scene = _one(shape, x=0.3, y=0.7, radius=0.15)
    inside = silhouette(scene)
    ys, xs = np.nonzero(inside)
    assert abs(xs.mean() / 256 - 0.3) < 0.04
    assert abs(ys.mean() / 256 - 0.7) < 0.04
    assert silhouette(scene, (512, 512)).mean() == pytest.approx(inside.mean(), rel=0.03)


def test_prompts_use_known_words_and_say_nothing_false() -> None:
    known, rng = set(vocabulary()), random.Random(5)
    for seed in SEEDS:
        scene = random_scene(seed)
        true = {word for f in scene.figures for word in (str(f.colour), str(f.shape))}
        true.add(str(scene.ground.colour))
        for text in (prompt(scene, rng), caption(scene), full_prompt(scene)):
            words = set(text.replace(",", " ").split())
            assert words <= known
            assert not words & ({*Colour, *Shape} - true), text


def test_the_full_prompt_says_all() -> None:
    above = Scene(
        (
            Figure(Shape.SQUARE, Colour.BLUE, y=0.75, radius=0.15),
            Figure(Shape.ARROW, Colour.ORANGE, y=0.25, radius=0.15),
        ),
        Ground(Colour.WHITE, Pattern.STRIPES),
    )
    assert full_prompt(above) == "an orange arrow above a blue square on a striped white background"
    assert caption(above) == "an arrow above a square"


@pytest.mark.parametrize("size", [(384, 192), (192, 320)])
def test_a_picture_that_is_not_square_shows_the_same_undistorted(size: tuple[int, int]) -> None:
    for seed in range(8):
        scene = random_scene(seed)
        picture = paint(scene, size)
        assert picture.size == size
        side = min(size)
        # Large, so that a thin arrow is not a matter of a few pixels of its edge.
        inside = silhouette(scene, (4 * size[0], 4 * size[1]))
        square = silhouette(scene, (4 * side, 4 * side))
        assert inside.sum() == pytest.approx(square.sum(), rel=0.02)
        drawn = sketch(scene, seed, size=size)
        assert drawn.image.size == size


@pytest.mark.parametrize("medium", Medium)
@pytest.mark.parametrize("filling", Filling)
def test_a_sketch_is_read_as_lines_around_its_figure(medium: Medium, filling: Filling) -> None:
    drawn = sketch(_one(Shape.HEART, radius=0.3), 7, medium=medium, filling=filling)
    assert drawn.image.mode == ("RGBA" if medium is Medium.CLEAR else "RGB")
    lines = np.asarray(read_drawing(drawn.image).lines) > 128
    figure = drawn.scene.figures[0]
    around = replace(drawn.scene, figures=(replace(figure, radius=1.2 * figure.radius),))
    assert lines.sum() > 1000
    assert (lines & ~silhouette(around, (384, 384))).sum() < 0.02 * lines.sum()


@pytest.mark.parametrize("shape", Shape)
def test_a_figure_goes_further_the_livelier_it_is(shape: Shape) -> None:
    scene = _one(shape, radius=0.2)

    def way(lively: int) -> float:
        clip = motion.clip(scene, lively)
        assert len(clip) >= 14
        assert clip[0] == scene
        return max(distance(scene.figures[0], frame.figures[0]) for frame in clip)

    assert 0 < way(1) < way(127) < way(255)


def test_nothing_moves_out_of_the_picture() -> None:
    for seed in range(100):
        for frame in motion.clip(random_scene(seed), 255):
            for figure in frame.figures:
                least = min(figure.x, 1 - figure.x, figure.y, 1 - figure.y)
                assert least > 0.9 * figure.radius


def test_the_forbidden_motif_is_one_combination() -> None:
    for seed in range(20):
        scene = forbidden_scene(seed)
        assert is_forbidden(scene)
        assert not held_out(scene)
        figure = scene.figures[0]
        assert (figure.shape, figure.colour, scene.ground.colour) == FORBIDDEN
    assert not is_forbidden(_one(Shape.MOON))
