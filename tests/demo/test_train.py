"""Training that can be interrupted, and losses that ask for what the samplers expect."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demo.shapes.geometry import Shape, Size
from demo.shapes.scene import random_scene
from demo.tokenizers import CLIP_TOKENS
from demo.train import sd3, sdxl, svd, text
from demo.train.caption import build_captioner
from demo.train.cards import write_card
from demo.train.classifier import build_classifier
from demo.train.latents import CELL, CHANNELS, latents_of
from demo.train.loop import Recipe, fit
from demo.train.preview import build_preview
from demo.train.room import CHUNK, OutOfTimeError, Room
from demo.train.stages import STAGES, MissingStageError, run
from demo.train.upscale import SCALE, build_upscaler
from demo.train.vae import SHAPES, build_vae


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(state=tmp_path / "state", weights=tmp_path / "weights")


def _train(room: Room, steps: int = 12) -> dict[str, Tensor]:
    """A little regression with noise in it."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)

    def loss(step: int) -> Tensor:
        seen = torch.randn(8, 3) + step / steps
        error: Tensor = model(seen).float() - seen.sum(dim=1, keepdim=True)
        return error.pow(2).mean()

    fit("line", model, loss, Recipe(steps, rate=0.1, warm=3), room)
    return dict(model.state_dict())


def test_an_interrupted_run_ends_as_one_that_was_not(room: Room, tmp_path: Path) -> None:
    whole = _train(room)
    hurried = replace(room, state=tmp_path / "other", deadline=time.monotonic())
    for _ in range(11):
        with pytest.raises(OutOfTimeError, match="line"):
            _train(hurried)
    pieces = _train(hurried)
    assert all(torch.equal(whole[key], pieces[key]) for key in whole)


def test_another_seed_is_another_run(room: Room, tmp_path: Path) -> None:
    other = _train(replace(room, state=tmp_path / "other", seed=2))
    assert not torch.equal(_train(room)["weight"], other["weight"])


def test_an_array_goes_on_where_it_stopped(room: Room) -> None:
    asked: list[int] = []

    def make(rows: range) -> NDArray[np.int64]:
        asked.extend(rows)
        return np.arange(rows.start, rows.stop)[:, None]

    count = 2 * CHUNK + 1
    hurried = replace(room, deadline=time.monotonic())
    with pytest.raises(OutOfTimeError):
        hurried.array("numbers", (count, 1), make, dtype=np.int64)
    assert asked == list(range(CHUNK))
    rows = room.array("numbers", (count, 1), make, dtype=np.int64)
    assert asked == list(range(count))
    assert rows[:, 0].tolist() == list(range(count))
    room.array("numbers", (count, 1), make, dtype=np.int64)
    assert len(asked) == count
    room.array("numbers", (count, 1), make, dtype=np.int64, depends="something else")
    assert len(asked) == 2 * count


def test_a_stage_says_what_it_stands_on(room: Room) -> None:
    with pytest.raises(MissingStageError, match="Run the stage vae first"):
        run("sdxl", room)


@pytest.mark.parametrize(
    "name", [name for name in STAGES if not name.endswith(("vae", "clip", "t5"))]
)
def test_every_checkpoint_has_a_card(name: str, tmp_path: Path) -> None:
    write_card("blip" if name == "caption" else name, tmp_path)
    assert "demo.evaluate" in (tmp_path / "README.md").read_text()


# --- a model that knows the answer has no loss, and its sampler finds the answer -----------------


def test_sdxl_learns_what_its_sampler_asks(room: Room) -> None:
    clean = torch.randn(2, CHANNELS, 16, 16)
    signal = sdxl.Noise(room).signal

    def oracle(noisy: Tensor, steps: Tensor, **_: Any) -> Any:
        kept = signal[steps.long()].reshape(-1, 1, 1, 1).expand(len(noisy), 1, 1, 1)
        noise = (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
        return SimpleNamespace(sample=kept.sqrt() * noise - (1 - kept).sqrt() * clean)

    assert sdxl.Noise(room).loss(oracle, clean, {}).item() < 1e-6
    latents = _sampled(sdxl.build_scheduler(), 12, oracle, clean.shape)
    assert (latents - clean).abs().mean() < 0.05


def _sampled(scheduler: Any, steps: int, model: Any, shape: torch.Size) -> Tensor:
    """What a sampler makes of noise with `model`."""
    scheduler.set_timesteps(steps)
    latents: Tensor = torch.randn(shape) * scheduler.init_noise_sigma
    for at in scheduler.timesteps:
        told = model(scheduler.scale_model_input(latents, at), at[None]).sample
        latents = scheduler.step(told, at, latents).prev_sample
    return latents


@pytest.mark.parametrize("size", SHAPES)
def test_all_that_the_adapter_says_reaches_the_unet(size: Size) -> None:
    clips = [text.build_clip(tokenizer) for tokenizer in text.build_clip_tokenizers()]
    unet = sdxl.build_pipeline(build_vae(), clips).unet
    width, height = size
    said = [
        part.detach().requires_grad_()
        for part in sdxl.build_adapter()(torch.rand(1, 1, height, width))
    ]
    told = unet(
        torch.randn(1, CHANNELS, height // CELL, width // CELL),
        500,
        torch.randn(1, CLIP_TOKENS, 2 * text.WIDTH),
        added_cond_kwargs={
            "text_embeds": torch.randn(1, text.WIDTH),
            "time_ids": torch.zeros(1, 6),
        },
        down_intrablock_additional_residuals=list(said),
    ).sample
    told.square().sum().backward()
    assert all(part.grad is not None and part.grad.any() for part in said)


def test_sd3_learns_what_its_sampler_asks() -> None:
    clean = torch.randn(2, 16, 16, 16)

    def oracle(hidden_states: Tensor, timestep: Tensor, **_: Any) -> Any:
        part = (timestep / 1000).reshape(-1, 1, 1, 1)
        return SimpleNamespace(sample=(hidden_states - clean) / part)

    texts = torch.zeros(2, CLIP_TOKENS + sd3.T5_TOKENS, 8)
    assert sd3.flow_loss(oracle, clean, texts, texts).item() < 1e-6
    scheduler = sd3.build_scheduler()
    scheduler.set_timesteps(8)
    latents = torch.randn(clean.shape)
    for at in scheduler.timesteps:
        latents = scheduler.step(oracle(latents, at).sample, at, latents).prev_sample
    assert (latents - clean).abs().mean() < 0.01


def test_sd3_tells_places_apart_also_when_it_is_loaded(tmp_path: Path) -> None:
    made = sd3.build_transformer()
    made.save_pretrained(tmp_path)
    loaded = type(made).from_pretrained(tmp_path)
    for transformer in (made, loaded):
        (places,) = transformer.pos_embed.pos_embed
        rows = nn.functional.normalize(places.reshape(sd3.PLACES, sd3.PLACES, -1), dim=-1)
        assert (rows[:, 1:] * rows[:, :-1]).sum(-1).max() < 0.95
        assert (rows[1:] * rows[:-1]).sum(-1).max() < 0.95


def test_svd_learns_what_its_sampler_asks() -> None:
    clean = torch.randn(1, 5, 4, 16, 16)

    def oracle(noisy: Tensor, at: Tensor, **_: Any) -> Any:
        sigma = (4 * at).exp().reshape(-1, 1, 1, 1, 1)
        scale = (sigma**2 + 1).sqrt()
        noise = (noisy[:, :, :4] * scale - clean) / sigma
        return SimpleNamespace(sample=(noise - sigma * clean) / scale)

    first, told = clean[:, :1], torch.zeros(1, 3)
    assert svd.clip_loss(oracle, clean, first, first, told).item() < 1e-4
    latents = _sampled(svd.build_scheduler(), 10, oracle, clean.shape)
    assert (latents - clean).abs().mean() < 0.05


def test_the_first_of_two_figures_is_the_upper_or_the_left_one() -> None:
    scene = random_scene(3, figures=2)
    one, other = scene.figures
    below = replace(scene, figures=(replace(one, x=0.5, y=0.7), replace(other, x=0.5, y=0.3)))
    answers = list(text._answers(below))
    assert answers[0] == list(Shape).index(other.shape)
    assert answers[4] == list(Shape).index(one.shape)
    assert all(a < classes for a, classes in zip(answers, text.QUESTIONS, strict=True))


def test_all_models_together_stay_small() -> None:
    clips = [text.build_clip(tokenizer) for tokenizer in text.build_clip_tokenizers()]
    parts = [
        sdxl.build_pipeline(build_vae(), clips).components,
        {"adapter": sdxl.build_adapter()},
        sd3.build_pipeline(build_vae(), clips, text.build_t5()).components,
        svd.build_pipeline().components,
        {"captioner": build_captioner()[0], "classifier": build_classifier()[0]},
        {"upscaler": build_upscaler()},
        {"preview": build_preview()},
    ]
    models = [part for group in parts for part in group.values() if isinstance(part, nn.Module)]
    halves = sum(p.numel() for model in models for p in model.parameters())
    assert 2 * halves < 39_500_000  # bytes; tokenizers and settings come to half a million


def test_latents_are_the_colours_of_cells_and_what_goes_on_there() -> None:
    pictures = torch.rand(2, 3, 1, 1).expand(2, 3, 32, 48).clone()
    plain = latents_of(pictures)
    assert plain.shape == (2, CHANNELS, 2, 3)
    assert torch.allclose(plain[:, :3], pictures[:, :, :2, :3], atol=1e-6)
    assert torch.equal(plain.var(dim=(2, 3)).round(decimals=4), torch.zeros(2, CHANNELS))
    pictures[0, :, :16, :4] += 1  # the left of the first cell
    changed = latents_of(pictures) - plain
    assert changed[0, :, 0, 0].abs().count_nonzero() >= 4
    changed[0, :, 0, 0] = 0
    assert changed.abs().max() < 1e-6


def test_an_untrained_upscaler_enlarges_evenly() -> None:
    torch.manual_seed(0)
    small = torch.rand(1, 3, 6, 6).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    with torch.no_grad():
        large = build_upscaler().eval()(pixel_values=small).reconstruction
    evenly = nn.functional.interpolate(small, scale_factor=SCALE, mode="bilinear")
    middle = (..., slice(SCALE, -SCALE), slice(SCALE, -SCALE))
    assert (large - evenly)[middle].abs().mean() < 0.03


def test_an_untrained_autoencoder_lets_colours_through() -> None:
    torch.manual_seed(0)
    vae = build_vae().eval()
    reds, blues = (torch.full((1, 3, 64, 64), -1.0) for _ in range(2))
    reds[:, 0], blues[:, 2] = 1.0, 1.0
    with torch.no_grad():
        red, blue = (vae(colour).sample.mean(dim=(0, 2, 3)) for colour in (reds, blues))
    assert red[0] > red[2] + 0.2
    assert blue[2] > blue[0] + 0.2


def test_a_video_autoencoder_does_to_each_frame_what_was_trained() -> None:
    torch.manual_seed(0)
    flat = svd.build_flat_vae().eval()
    video = svd.build_pipeline().vae.eval()
    svd.transplant(flat, video)
    pictures = torch.rand(3, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        latents = flat.encode(pictures).latent_dist.mean
        seen = video.encode(pictures).latent_dist.mean
        frames = video.decode(latents, num_frames=3).sample
        assert torch.allclose(seen, latents, atol=1e-5)
        assert torch.allclose(frames, flat.decode(latents).sample, atol=1e-4)
