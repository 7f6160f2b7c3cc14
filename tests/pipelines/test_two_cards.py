"""Two cards in one process: what one does while it builds a model is nothing to the other."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights

from demo.sample import draw_sample
from pipelines.acceleration import attention
from pipelines.catalog import Acceleration, Catalog
from pipelines.contract.context import Phase, Progress, RunContext
from pipelines.contract.requests import (
    AnimateRequest,
    ImagineRequest,
    Request,
    SketchRequest,
    UpscaleRequest,
)
from pipelines.loading import BUILDING
from pipelines.quantised import is_accurate
from pipelines.runner import Runner
from tests.pipelines.adapters import imagine_lora


@pytest.fixture(scope="module")
def offering(catalog: Catalog, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The catalogue with a LoRA."""
    folder = tmp_path_factory.mktemp("loras")
    imagine_lora(models, folder / "imagine" / "ink.safetensors")
    return catalog.model_copy(update={"loras": folder})


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    drawing = tmp_path_factory.mktemp("drawings") / "heart.png"
    draw_sample(256).save(drawing)
    return [
        SketchRequest(drawing=drawing, prompt="a red heart", seed=1),
        ImagineRequest(prompt="a red star on a blue background", seed=2),
        ImagineRequest(prompt="a red star on a blue background", lora="ink", seed=2),
        AnimateRequest(image=drawing, seed=3),
    ]


@pytest.fixture(scope="module")
def alone(offering: Catalog, requests: list[Request]) -> list[bytes]:
    """What a card makes that has the process for itself."""
    return results(Runner(offering, "cpu"), requests)


def results(runner: Runner, requests: list[Request]) -> list[bytes]:
    return [runner.run([request], RunContext())[0][0].data for request in requests]


@contextmanager
def somebody_builds() -> Iterator[None]:
    """Another thread does without pause to this process what building a model does."""
    enough = threading.Event()

    def build() -> None:
        while not enough.is_set():
            with BUILDING, init_empty_weights():
                torch.set_default_dtype(torch.bfloat16)
                time.sleep(0.002)
                torch.set_default_dtype(torch.float32)
            time.sleep(0.0005)

    builder = threading.Thread(target=build)
    builder.start()
    try:
        yield
    finally:
        enough.set()
        builder.join()


def test_what_is_made_while_another_card_builds_is_the_same(
    offering: Catalog, requests: list[Request], alone: list[bytes]
) -> None:
    with somebody_builds():
        assert results(Runner(offering, "cpu"), requests) == alone


def test_what_does_not_wait_for_another_card_has_types_of_its_own(
    catalog: Catalog, tmp_path: Path
) -> None:
    draw_sample(80).save(tmp_path / "heart.png")  # more than a part
    request = UpscaleRequest(image=tmp_path / "heart.png", scale=2)
    runner = Runner(catalog, "cpu")
    before = results(runner, [request])
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert results(runner, [request]) == before
        assert is_accurate(torch.device("cpu"))
    finally:
        torch.set_default_dtype(torch.float32)


def test_waiting_for_another_card_is_told_as_loading(
    offering: Catalog, requests: list[Request]
) -> None:
    video, runner = requests[-1], Runner(offering, "cpu")
    runner.run([video], RunContext())
    seen: list[Phase] = []
    waits = threading.Event()

    def see(progress: Progress) -> None:
        seen.append(progress.phase)
        waits.set()

    with ThreadPoolExecutor(1) as pool:
        with BUILDING:
            run = pool.submit(runner.run, [video], RunContext(see))
            assert waits.wait(60)
        run.result()
    assert seen[:2] == [Phase.LOADING, Phase.ANIMATING]


def test_two_cards_at_once_make_the_same_as_one(
    offering: Catalog, requests: list[Request], alone: list[bytes]
) -> None:
    def card(number: int) -> list[bytes]:
        runner = Runner(offering, "cpu", number=number, cards=2)
        while runner.preload():
            pass
        return results(runner, requests)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(card, range(2))) == [alone, alone]


def test_each_card_preloads_other_models_first(catalog: Catalog) -> None:
    runners = [Runner(catalog, "cpu", number=number, cards=2) for number in range(2)]
    for runner in runners:
        runner.preload()
    first, second = (runner.resident() for runner in runners)
    assert first
    assert second
    assert not first & second


def test_a_chosen_kernel_lasts_until_the_last_card_leaves() -> None:
    chosen = Acceleration(attention="efficient")
    one, two = attention(chosen), attention(chosen)
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert not torch._C._get_flash_sdp_enabled()
    two.__exit__(None, None, None)
    assert torch._C._get_flash_sdp_enabled()
