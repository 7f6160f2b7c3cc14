"""Every setting that makes networks quicker leaves the pictures as they were."""

import io
import shutil
from collections.abc import Callable
from functools import cache, partialmethod
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.vae import Decoder
from numpy.typing import NDArray
from PIL import Image
from torch.nn.attention import SDPBackend
from torch.nn.functional import scaled_dot_product_attention

from pipelines import acceleration, animate, imagine
from pipelines.acceleration import OneToken, accelerate
from pipelines.catalog import Acceleration, Catalog, ModelKey
from pipelines.contract.artifact import Artifact
from pipelines.contract.context import RunContext
from pipelines.contract.requests import AnimateRequest, ImagineRequest, Request, SketchRequest
from pipelines.loading import Loader
from pipelines.placement import plan_model
from pipelines.plan import Card, Precision
from pipelines.recording import Recorded
from pipelines.runner import Runner
from pipelines.weights import Weights

NOTHING = Acceleration(compile=False, attention="auto")
CPU = torch.device("cpu")
KINDS = ("sketch", "imagine", "animate")
CHOSEN = {
    "flash": "FLASH_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
}
LEVELS = (
    2.0 / 255
)  # by which rounding to eight bits, and H.264 after it, may move a pixel on average


@pytest.fixture(scope="module")
def requests(drawing: Path) -> dict[str, Request]:
    return {
        "sketch": SketchRequest(drawing=drawing, prompt="a red heart", seed=1),
        "imagine": ImagineRequest(prompt="a red star on a blue background", seed=2),
        "animate": AnimateRequest(image=drawing, seed=3),
    }


def made(catalog: Catalog, settings: Acceleration, request: Request) -> NDArray[np.float64]:
    quick = catalog.model_copy(update={"acceleration": settings})
    ((artifact,),) = Runner(quick, device="cpu").run([request], RunContext())
    return pixels(artifact)


def pixels(artifact: Artifact) -> NDArray[np.float64]:
    """Of a picture, or of all frames: 0 to 1."""
    if not artifact.media_type.is_video:
        return np.asarray(Image.open(io.BytesIO(artifact.data)), np.float64) / 255
    with av.open(io.BytesIO(artifact.data)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.asarray(frames, np.float64) / 255


@pytest.fixture(scope="module")
def plain(catalog: Catalog, requests: dict[str, Request]) -> Callable[[str], NDArray[np.float64]]:
    """What a kind of request gives with nothing that makes it quicker."""
    return cache(lambda kind: made(catalog, NOTHING, requests[kind]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", CHOSEN)
def test_pictures_stay_the_same(
    kind: str,
    kernel: str,
    catalog: Catalog,
    requests: dict[str, Request],
    plain: Callable[[str], NDArray[np.float64]],
) -> None:
    """Also by a kernel that the machine has not: the processor has but one, and math."""
    after = made(catalog, NOTHING.model_copy(update={"attention": kernel}), requests[kind])
    assert np.abs(plain(kind) - after).mean() < LEVELS


@pytest.mark.parametrize("kernel", CHOSEN)
def test_a_chosen_kernel_comes_first_and_what_it_refuses_goes_to_another(kernel: str) -> None:
    before = in_order()
    wide, narrow = torch.ones(1, 1, 4, 16), torch.ones(1, 1, 4, 8)  # flash takes only one width
    with acceleration.attention(NOTHING.model_copy(update={"attention": kernel})):
        assert in_order() == list(dict.fromkeys([CHOSEN[kernel], "EFFICIENT_ATTENTION", "MATH"]))
        assert torch.equal(scaled_dot_product_attention(wide, wide, narrow), narrow)
    assert in_order() == before


def in_order() -> list[str]:
    """The attention kernels that torch may take, the first choice first."""
    enabled = {
        SDPBackend.FLASH_ATTENTION: torch._C._get_flash_sdp_enabled(),
        SDPBackend.CUDNN_ATTENTION: torch._C._get_cudnn_sdp_enabled(),
        SDPBackend.EFFICIENT_ATTENTION: torch._C._get_mem_efficient_sdp_enabled(),
        SDPBackend.MATH: torch._C._get_math_sdp_enabled(),
    }
    order = map(SDPBackend, torch._C._get_sdp_priority_order())
    return [kernel.name for kernel in order if enabled.get(kernel)]


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")
def test_compiled_blocks_compute_the_same(
    catalog: Catalog,
    requests: dict[str, Request],
    plain: Callable[[str], NDArray[np.float64]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    whole = torch.nn.Module.compile  # the decoder would take as long again
    monkeypatch.setattr(Decoder, "compile", partialmethod(whole, backend="eager"))
    request = requests["imagine"]  # compiling for a CPU takes minutes with the other two
    before = plain("imagine")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    after = made(catalog, NOTHING.model_copy(update={"compile": True}), request)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert np.abs(before - after).mean() < LEVELS


@pytest.mark.parametrize("kind", ["sketch", "animate"])
def test_what_is_compiled_as_a_whole_computes_the_same(
    kind: str,
    catalog: Catalog,
    requests: dict[str, Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the graphs that are compiled, but without the compiler, which takes minutes on a CPU."""
    less = {"steps": 1, "frames": 2, "width": 64, "height": 64, "size": 64}
    model = getattr(catalog, kind)
    less = {name: value for name, value in less.items() if hasattr(model, name)}
    catalog = catalog.model_copy(update={kind: model.model_copy(update=less)})
    whole = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(whole, backend="eager"))
    before = made(catalog, NOTHING, requests[kind])
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    after = made(catalog, NOTHING.model_copy(update={"compile": True}), requests[kind])
    assert torch._dynamo.utils.counters["frames"] == {"total": 2, "ok": 2}  # with the decoder
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    assert np.abs(before - after).mean() < LEVELS


def test_attention_to_one_token_is_its_value(catalog: Catalog) -> None:
    assert catalog.animate is not None
    unet = animate.load(catalog.animate, Loader(torch.device("cpu"))).unet
    attention = next(m for name, m in unet.named_modules() if name.endswith("attn2"))
    asking, one, more = (
        torch.randn(2, count, width)
        for count, width in (
            (9, attention.to_q.in_features),
            (1, attention.to_k.in_features),
            (3, attention.to_k.in_features),
        )
    )
    quick = OneToken(attention.processor)
    with torch.inference_mode():
        assert torch.allclose(
            quick(attention, asking, one).expand(-1, 9, -1), attention(asking, one), atol=1e-6
        )
        assert torch.equal(quick(attention, asking, more), attention(asking, more))


def test_a_video_is_what_diffusers_makes_with_all_its_queries(
    catalog: Catalog, requests: dict[str, Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = made(catalog, NOTHING, requests["animate"])
    monkeypatch.setattr(acceleration, "_skip_queries", lambda unet: None)
    assert np.abs(quick - made(catalog, NOTHING, requests["animate"])).mean() < LEVELS


def test_convolutions_over_time_spare_a_processor_its_slow_loop(catalog: Catalog) -> None:
    assert catalog.animate is not None
    quick, stock = (animate.load(catalog.animate, Loader(CPU)) for _ in range(2))
    plan = plan_model(ModelKey.ANIMATE, catalog.animate, Card("cpu"))
    accelerate(quick, NOTHING, plan, CPU)
    decoders = (quick.vae.decoder.modules(), stock.vae.decoder.modules())
    found = [
        (one, other)
        for one, other in zip(*decoders, strict=True)
        if isinstance(one, torch.nn.Conv3d) and one.kernel_size[0] > 1
    ]
    assert found
    with torch.inference_mode():
        for one, other in found:
            videos = torch.randn(2, one.in_channels, 3, 8, 10)
            with torch.profiler.profile() as profiled:
                frames = one(videos)
            assert not [event.name for event in profiled.events() if "conv3d" in event.name]
            assert torch.allclose(frames, other(videos), atol=1e-5)


def test_what_is_on_no_card_is_called_as_it_is() -> None:
    calls = []
    recorded = Recorded(lambda x, *, y: calls.append((x, y)) or x + y)  # type: ignore[func-returns-value]
    for number in range(3):
        x = torch.full((2,), float(number))
        assert torch.equal(recorded(x, y=1), x + 1)
    assert len(calls) == 3


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA here; on a machine with a GPU: pytest -m gpu"
)
def test_a_recording_gives_what_the_call_gives() -> None:
    layer = torch.nn.Linear(8, 8, device="cuda")
    recorded = Recorded(layer.forward)
    with torch.inference_mode():
        for rows in (2, 2, 2, 3, 3, 2):
            x = torch.randn(rows, 8, device="cuda")
            assert torch.allclose(recorded(x), layer(x))
        recorded.forget()
        assert torch.allclose(recorded(x), layer(x))


@pytest.mark.parametrize(("precision", "of_float32"), [("fp8", 0.4), ("nf4", 0.28)])
def test_less_precision_takes_less_and_paints_nearly_the_same(
    catalog: Catalog, requests: dict[str, Request], precision: str, of_float32: float
) -> None:
    assert catalog.imagine is not None
    cpu = torch.device("cpu")
    full, less = (
        imagine.load(catalog.imagine, Loader(cpu, precision=kept)).transformer
        for kept in (Precision.FULL, Precision(precision))
    )
    assert Weights([less], cpu).size < of_float32 * Weights([full], cpu).size  # some stay whole
    before = made(catalog, NOTHING, requests["imagine"])
    model = catalog.imagine.model_copy(update={"precision": precision})
    after = made(catalog.model_copy(update={"imagine": model}), NOTHING, requests["imagine"])
    assert 0 < np.abs(before - after).mean() < 0.1


@pytest.mark.parametrize("precision", ["fp8", "nf4"])
def test_what_is_kept_in_less_says_so_and_is_compiled_all_the_same(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    assert catalog.imagine is not None
    whole = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(whole, backend="eager"))
    model = catalog.imagine.model_copy(update={"precision": precision, "text_precision": "fp8"})
    quick = NOTHING.model_copy(update={"compile": True})
    less = catalog.model_copy(update={"imagine": model, "acceleration": quick})
    request = ImagineRequest(prompt="a red star", seed=1)
    before = made(less, NOTHING, request)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    ((artifact,),) = Runner(less, device="cpu").run([request], RunContext())
    assert artifact.facts["precision"] == f"{precision}, T5 fp8"
    frames = torch._dynamo.utils.counters["frames"]
    assert frames["total"] == frames["ok"] > 0
    assert not torch._dynamo.utils.counters["graph_break"]
    assert np.abs(before - pixels(artifact)).mean() < LEVELS
