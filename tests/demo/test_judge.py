"""The judge knows the truth when it sees it, also through a camera, and can say no."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from demo.judge import iou, judge, main
from demo.shapes.geometry import Shape
from demo.shapes.paint import paint, silhouette
from demo.shapes.scene import Colour, Figure, Ground, Look, Scene, random_scene

ENOUGH = 0.99


def _right(scene: Scene, image: Image.Image) -> bool:
    """Neon is on the dark whatever the ground was."""
    verdict = judge(image)
    return verdict.has_figures_of(scene) and (
        scene.look is Look.NEON or verdict.has_ground_of(scene)
    )


def _as_it_is(image: Image.Image) -> Image.Image:
    return image


def _worn(image: Image.Image) -> Image.Image:
    """Blurred, noisy, and through a JPEG of poor quality."""
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(1.0)), np.float32)
    pixels += np.random.default_rng(3).normal(0, 8, pixels.shape).astype(np.float32)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=60)
    return Image.open(file)


@pytest.mark.parametrize("change", [_as_it_is, _worn])
@pytest.mark.parametrize("unseen", [False, True])
def test_truth_is_recognised(unseen: bool, change: Callable[[Image.Image], Image.Image]) -> None:
    scenes = [random_scene(seed, unseen=unseen) for seed in range(10_000, 10_150)]
    right = [_right(scene, change(paint(scene))) for scene in scenes]
    assert sum(right) >= ENOUGH * len(right)


def test_figures_are_where_they_are() -> None:
    for seed in range(40):
        scene = random_scene(seed, figures=1)
        seen, true = judge(paint(scene)).figures[0], silhouette(scene)
        ys, xs = np.nonzero(true)
        assert abs(seen.x - xs.mean() / 256) < 0.015
        assert abs(seen.y - ys.mean() / 256) < 0.015
        assert iou(seen.mask, true) > 0.8


@pytest.mark.parametrize("size", [(128, 128), (512, 512), (320, 192), (192, 384)])
def test_pictures_of_any_size(size: tuple[int, int]) -> None:
    for seed in range(12):
        scene = random_scene(seed)
        assert _right(scene, paint(scene, size)), seed


def test_what_is_different_is_not_taken_for_the_same() -> None:
    red_star = Scene((Figure(Shape.STAR, Colour.RED),), Ground(Colour.BLUE))
    for shape in Shape:
        for colour in (Colour.RED, Colour.ORANGE):
            for ground in (Colour.BLUE, Colour.PURPLE):
                other = Scene((Figure(shape, colour),), Ground(ground))
                assert judge(paint(other)).shows(red_star) == (other == red_star)


def test_a_missing_or_second_figure_is_noticed() -> None:
    two = random_scene(2, figures=2)
    alone = Scene(two.figures[:1], two.ground)
    assert not judge(paint(alone)).shows(two)
    assert not judge(paint(two)).shows(alone)
    assert not judge(paint(Scene((), two.ground))).figures


def _noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8))


def _haze() -> Image.Image:
    ramp = np.linspace(60, 200, 256, dtype=np.float32)
    return Image.fromarray((ramp[None] + ramp[:, None]).astype(np.uint8) // 2).convert("RGB")


def _blot() -> Image.Image:
    """A red blot of no shape."""
    ys, xs = np.mgrid[:256, :256] - 127.5
    angle = np.arctan2(ys, xs)
    inside = np.hypot(xs, ys) < 60 + 22 * np.sin(2 * angle + 1) + 20 * np.sin(3 * angle)
    colours = np.array([[44, 104, 220], [222, 52, 52]], np.uint8)
    return Image.fromarray(colours[inside.astype(int)])


@pytest.mark.parametrize("make", [_noise, _haze, _blot])
def test_what_is_nothing_of_this_world_gets_no_name(make: Callable[[], Image.Image]) -> None:
    assert all(figure.shape is None for figure in judge(make()).figures)


def test_nothing_has_nothing_in_common() -> None:
    empty = np.zeros((4, 4), bool)
    assert iou(empty, empty) == 0.0
    assert iou(~empty, ~empty) == 1.0


def test_what_cannot_be_read_is_said_and_the_others_are_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, text, star = (str(tmp_path / name) for name in ("missing.png", "text.png", "star.png"))
    Path(text).write_text("nothing of the kind")
    paint(random_scene(0)).save(star)
    assert main([star])
    assert not main([missing, text, star])
    told = capsys.readouterr()
    assert f"{missing}: cannot be read: No such file" in told.err
    assert f"{text}: cannot be read: no picture" in told.err
    assert told.out.count(f"{star}: ") == 2
