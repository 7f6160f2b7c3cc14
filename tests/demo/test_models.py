"""The demo's models mean what they paint, and a pipeline that is broken is noticed.

The same few scenes, which no training saw, go through the bot's own pipelines; what comes out is
judged by its pixels. `python -m demo.evaluate` asks the same of many more.
"""

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from demo import evaluate
from demo.evaluate import Bench, clip_of, is_heeded, measure_upscale, painted_sketch, plain
from demo.judge import iou, judge
from demo.shapes.paint import paint, silhouette
from demo.shapes.scene import Look, Scene, random_scene
from demo.shapes.sketches import Medium, sketch
from demo.shapes.words import full_prompt
from pipelines.catalog import Catalog
from pipelines.contract.requests import SketchRequest

SCENES = 5
ENOUGH = 4  # of the scenes
Check = Callable[[Bench, Scene, int], bool]


def catalog() -> Catalog:
    """What the demo runs on, but for videos that are half as long."""
    models = evaluate.catalog()
    assert models.animate is not None
    return models.model_copy(update={"animate": models.animate.model_copy(update={"frames": 7})})


def follows_the_prompt(bench: Bench, scene: Scene, seed: int) -> bool:
    return judge(bench.imagine(full_prompt(scene), seed)).shows(scene)


def tells_two_apart(bench: Bench, _: Scene, seed: int) -> bool:
    scene = replace(random_scene(seed, unseen=True, figures=2), look=Look.FLAT)
    return follows_the_prompt(bench, scene, seed)


def heeds_the_negative_prompt(bench: Bench, _: Scene, seed: int) -> bool:
    return is_heeded(bench, seed)


def follows_the_drawing(bench: Bench, scene: Scene, seed: int) -> bool:
    drawn = sketch(scene, seed, medium=Medium.PEN)
    seen = judge(painted_sketch(bench, drawn.image, scene, 100, seed))
    return iou(seen.silhouette, silhouette(drawn.scene)) > 0.6


def follows_a_drawing_of_two(bench: Bench, _: Scene, seed: int) -> bool:
    scene = replace(random_scene(seed, unseen=True, figures=2), look=Look.FLAT)
    return follows_the_drawing(bench, scene, seed)


def keeps_the_subject_while_it_moves(bench: Bench, scene: Scene, seed: int) -> bool:
    scene = plain(scene)
    frames = [judge(frame) for frame in clip_of(bench, paint(scene), 255, seed)]
    if not all(frame.shows(scene) for frame in frames):
        return False
    places = [frame.figures[0].x for frame in frames]
    return max(places) - min(places) > 0.03


def sees_what_is_drawn(bench: Bench, scene: Scene, seed: int) -> bool:
    """Without lines and prompt, it is the caption alone that says which shape was drawn."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        sketch(scene, seed, medium=Medium.PEN).image.save(file.name)
        made = bench.make(SketchRequest(drawing=Path(file.name), strength=0, seed=seed))
    seen = judge(Image.open(io.BytesIO(made.data)))
    return scene.figures[0].shape in [found.shape for found in seen.figures]


def is_done(check: Check, bench: Bench) -> bool:
    """Whether the check is true of enough scenes. No scene is made that no longer matters."""
    done = failed = 0
    for seed in range(SCENES):
        scene = replace(random_scene(seed, unseen=True, figures=1), look=Look.FLAT)
        if check(bench, scene, seed):
            done += 1
        else:
            failed += 1
        if done == ENOUGH or failed > SCENES - ENOUGH:
            break
    return done == ENOUGH


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench(catalog())
    yield bench
    bench.close()


@pytest.mark.parametrize(
    "check",
    [
        follows_the_prompt,
        tells_two_apart,
        heeds_the_negative_prompt,
        follows_the_drawing,
        follows_a_drawing_of_two,
        sees_what_is_drawn,
        keeps_the_subject_while_it_moves,
    ],
)
def test_the_models_do_as_they_are_told(check: Check, bench: Bench) -> None:
    assert is_done(check, bench)


def test_small_figures_bear_latents_of_videos_that_are_a_little_off() -> None:
    models = catalog()
    assert models.animate is not None
    vae = AutoencoderKLTemporalDecoder.from_pretrained(
        models.animate.source, subfolder="vae", dtype=torch.float32
    )
    torch.manual_seed(0)
    scenes = [plain(random_scene(seed, unseen=True, figures=1)) for seed in range(25)]
    small = [scene for scene in scenes if scene.figures[0].radius < 0.15]
    for scene in small:
        pixels = torch.from_numpy(np.array(paint(scene))).permute(2, 0, 1)[None] / 127.5 - 1
        with torch.inference_mode():
            latents = vae.encode(pixels).latent_dist.mode()
            off = latents + 0.15 * torch.randn_like(latents) / vae.config.scaling_factor
            decoded = vae.decode(off, num_frames=1).sample
        assert judge(VaeImageProcessor().postprocess(decoded)[0]).shows(scene)
    assert len(small) >= 3


def test_the_upscaler_does_better_than_arithmetic(bench: Bench) -> None:
    assert all(figure.is_reached for figure in measure_upscale(bench, 2))


def guidance_of_0(_: Path, __: pytest.MonkeyPatch) -> Catalog:
    models = catalog()
    assert models.imagine is not None
    return models.model_copy(
        update={"imagine": models.imagine.model_copy(update={"guidance": 0.0})}
    )


def adapter_off(_: Path, __: pytest.MonkeyPatch) -> Catalog:
    models = catalog()
    assert models.sketch is not None
    return models.model_copy(
        update={"sketch": models.sketch.model_copy(update={"conditioner": None})}
    )


def caption_dropped(_: Path, patch: pytest.MonkeyPatch) -> Catalog:
    patch.setattr("pipelines.describe.describe", lambda *_: "")
    return catalog()


def wrong_vae_scale(folder: Path, _: pytest.MonkeyPatch) -> Catalog:
    models = catalog()
    assert models.imagine is not None
    shutil.copytree(models.imagine.source, folder / "sd3")
    file = folder / "sd3" / "vae" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"scaling_factor": 3 * config["scaling_factor"]}))
    imagine = models.imagine.model_copy(update={"source": str(folder / "sd3")})
    return models.model_copy(update={"imagine": imagine})


def first_frame_blurred(_: Path, __: pytest.MonkeyPatch) -> Catalog:
    models = catalog()
    assert models.animate is not None
    return models.model_copy(update={"animate": models.animate.model_copy(update={"noise": 1.0})})


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (guidance_of_0, heeds_the_negative_prompt),
        (adapter_off, follows_the_drawing),
        (caption_dropped, sees_what_is_drawn),
        (wrong_vae_scale, follows_the_prompt),
        (first_frame_blurred, keeps_the_subject_while_it_moves),
    ],
)
def test_a_broken_pipeline_is_noticed(
    broken: Callable[[Path, pytest.MonkeyPatch], Catalog],
    check: Check,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(broken(tmp_path, monkeypatch))
    assert not is_done(check, bench)
    bench.close()
