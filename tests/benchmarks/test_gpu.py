"""benchmarks.gpu on a CPU: all of it, and what it says where a card is not what it hoped for."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from benchmarks import gpu
from benchmarks._ahead import AHEAD
from benchmarks._bench import KEYS, NAMES, Bench, Seen, of_the_demo, twin
from benchmarks._idle import Marks, synchronisations
from benchmarks._step import Step, kind_of, step_of
from pipelines.acceleration import WHOLE
from pipelines.catalog import ModelKey
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.errors import OutOfMemory
from pipelines.fitting import denoiser_of
from pipelines.loading import Loader
from pipelines.plan import GIB
from pipelines.runner import Runner


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """With one model, and that in two steps."""
    monkeypatch.setattr(gpu, "KEYS", (ModelKey.IMAGINE,))
    return of_the_demo(tmp_path).quick(2)


def test_it_runs_on_the_small_models(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.main(tiny=True)
    assert ended.value.code == 0
    assert logging.getLogger("pipelines").isEnabledFor(logging.WARNING)  # as before
    said = capfd.readouterr()
    for name in NAMES.values():
        assert f"gpu, {name}: differs from stock by" in said.out
        for share in gpu.SHARES:
            assert f"{share:<8.0%}{name:12}" in said.out
    assert "pictures decoded in tiles" in said.out
    assert "both halves of guidance" in said.out
    assert "6 of 6 runs completed" in said.out
    assert "a video made in" in said.out  # in less, after memory ran out
    assert "20 of 20 pictures after it as before" in said.out
    assert "gpu, idle: " in said.out and "of them for the disk" in said.out
    for of_a_card in ("busy", "of floor", "peak", "stock GiB", "synchronisations", "85%", "missed"):
        assert of_a_card not in said.out
    assert "it/s" not in said.out + said.err  # bars of progress


def test_when_the_time_is_up_it_says_what_was_not_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.main([gpu.Part.CARDS, gpu.Part.SWAPS], tiny=True, minutes=0.0)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for part in ("cards", "swaps"):
        assert f"{part}: the time is up: python -m benchmarks.gpu {part} measures it" in said
    assert "GiB/s" not in said


def test_where_stock_does_not_fit_it_says_so_and_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def overfill(self: Bench, pipeline: object, key: ModelKey, seed: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Bench, "stock", overfill)
    assert list(gpu.speed(bench)) == []
    said = capsys.readouterr().out
    assert f"{'SD3.5 Large':16}stock does not fit this card" in said
    assert "; ours takes " in said


def test_stock_has_the_card_for_itself_where_both_do_not_fit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paint, evict = Bench.stock, Runner.evict
    evicted: list[Runner] = []

    def overfill(self: Bench, *args: Any) -> None:
        if not evicted:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        paint(self, *args)

    def watched(self: Runner) -> None:
        evicted.append(self)
        evict(self)

    monkeypatch.setattr(Bench, "stock", overfill)
    monkeypatch.setattr(Runner, "evict", watched)
    assert list(gpu.speed(bench)) == [True]
    assert evicted
    assert "does not fit" not in capsys.readouterr().out


def test_what_differs_from_stock_is_missed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of_ours = gpu._of_ours

    def other(bench: Bench, key: ModelKey, seed: int, runner: Runner, seen: Seen) -> gpu.Made:
        made = of_ours(bench, key, seed, runner, seen)
        return made._replace(pixels=made.pixels + 1 / 1024)  # which eight bits would not show

    monkeypatch.setattr(gpu, "_of_ours", other)
    assert list(gpu.speed(bench)) == [False]
    assert "differs from stock by 9.8e-04" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("card", "has_goals"),
    [
        ("NVIDIA H100 80GB HBM3", True),
        ("NVIDIA H200", True),
        ("NVIDIA A100-SXM4-80GB", False),
        ("NVIDIA GeForce RTX 4090", False),
    ],
)
def test_a_card_with_goals_is_known_by_its_name(
    card: str, has_goals: bool, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks._bench.name_of", lambda device: card)
    assert bench.has_goals == has_goals


@pytest.mark.parametrize("has_goals", [True, False])
def test_goals_are_those_of_the_card_that_they_are_of(
    has_goals: bool,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Bench, "has_goals", has_goals)
    met = list(gpu.speed(bench))
    said = capsys.readouterr().out
    assert ("of floor" in said) is ("goal ≥ 1.8×" in said) is has_goals
    assert len(met) == 1 + has_goals


@pytest.mark.parametrize(
    ("total", "names"),
    [(80, ["8 GiB", "12 GiB", "16 GiB", "24 GiB"]), (11.6, ["8 GiB", "no cap"])],
)
def test_caps_are_those_that_the_card_can_be_given(
    total: float,
    names: list[str],
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fractions = [1.0]
    card = SimpleNamespace(total_memory=total * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: fractions[-1])
    monkeypatch.setattr(
        torch.cuda,
        "set_per_process_memory_fraction",
        lambda fraction, device: fractions.append(fraction),
    )
    assert list(gpu._on_cards(bench)) == [True] * len(names)
    said = capsys.readouterr().out
    assert [line[:8].strip() for line in said.splitlines()] == names
    # capped, not while weights are made, capped again, and as it was
    eight = (8 - gpu.CONTEXT) / total
    assert fractions[:5] == [1.0, eight, 1.0, eight, 1.0]
    assert fractions[-1] == 1.0


def test_a_model_that_does_not_fit_is_a_line_of_the_table(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*args: object) -> None:
        raise OutOfMemory("Too large.") from torch.OutOfMemoryError("Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(Runner, "run", run)
    assert list(gpu.cards(bench)) == [False]
    assert "not made in 0.30 GiB: Tried to allocate 20.00 GiB." in capsys.readouterr().out


def test_what_the_processor_waits_for_within_the_steps_is_counted() -> None:
    modes: list[str] = []

    def run(context: RunContext) -> None:
        for step in range(4):  # of which the first is before all steps, and the last after them
            context.step(Phase.PAINTING, step, 3)
            if modes[-1] == "warn":
                warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
                warnings.warn("does not yet detect all synchronizing operations", stacklevel=1)
        context.step(Phase.ENCODING)

    assert synchronisations(run, modes.append) == 2
    assert modes[-1] == "default"


@dataclass
class FakeEvent:
    """A CUDA event, on a clock of the test's."""

    enable_timing: bool
    at: float = field(default=0.0)
    now: ClassVar[float] = 0.0

    def record(self) -> None:
        FakeEvent.now += 1.0
        self.at = FakeEvent.now

    def elapsed_time(self, other: "FakeEvent") -> float:
        return other.at - self.at


def test_a_gap_is_from_the_last_decoder_to_the_next_first_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    marks = Marks(on_card=True)
    runner = bench.runner(watch=marks.watch)
    for seed in range(3):
        runner.run([bench.request(ModelKey.IMAGINE, seed)], RunContext())
    assert marks.gaps() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7", "attention"),
        ("nvjet_sm90_hsh_128x256_64x4_2x1_v_bz_coopA_bias_TNN", "products"),
        ("sm90_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc", "products"),
        ("triton_poi_fused_convolution_silu_3", "the rest"),
        ("void at::native::vectorized_elementwise_kernel<8>", "the rest"),
    ],
)
def test_kernels_are_told_apart_by_their_names(kernel: str, kind: str) -> None:
    assert kind_of(kernel) == kind


def test_what_is_looked_into_is_a_step_and_said_by_its_kinds(bench: Bench) -> None:
    launched: list[int] = []

    def run(hear: Callable[[int], None]) -> None:
        for step in range(1, 9):
            launched.append(step)
            hear(step)

    assert step_of(bench, 8, run).took >= 0
    assert launched == [1, 2, 3, 4]  # half-way, where there is no card to look into
    step = Step(10.0, {"nvjet": 4.0, "flash": 3.0, "triton_": 1.0, "gemm": 1.0})
    assert step.in_words() == (
        "the card computes for 9.0 ms: products 5.0, attention 3.0, the rest 1.0"
    )


def test_a_twin_has_its_own_parts_and_the_same_weights(bench: Bench) -> None:
    pipeline = bench.load(ModelKey.IMAGINE, Loader(bench.device))
    other = twin(pipeline)
    bench.stock(pipeline, ModelKey.IMAGINE, 1)
    mine, theirs = pipeline.transformer, other.transformer
    assert mine is not theirs and pipeline.scheduler is not other.scheduler
    pairs = list(zip(mine.parameters(), theirs.parameters(), strict=True))
    assert all(one is not two and one.data_ptr() == two.data_ptr() for one, two in pairs)
    pairs[0][1].data = torch.zeros_like(pairs[0][1])
    assert pairs[0][0].any()


def test_networks_compiled_ahead_are_those_compiled_as_a_whole(tmp_path: Path) -> None:
    bench = of_the_demo(tmp_path)
    networks = {key: denoiser_of(bench.load(key, Loader(bench.device))) for key in KEYS}
    whole = {key for key, network in networks.items() if type(network).__name__ in WHOLE}
    assert whole == AHEAD
