"""Weights that are in two places and the same in both."""

import copy
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn

from pipelines.fitting import stream
from pipelines.plan import _PACKED
from pipelines.shelf import Shelved
from pipelines.weights import BLOCK, Weights, _padded, _power_of_two, _shares
from tests.pipelines import phantom

CPU = torch.device("cpu")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv2d(3, 8, 3)
    first.weight.data = first.weight.data.contiguous(memory_format=torch.channels_last)
    layers = nn.Sequential(first, nn.BatchNorm2d(8), nn.Conv2d(8, 5, 1)).eval()
    layers[2].half()
    layers.register_buffer("ids", torch.arange(7).expand(2, -1))
    return layers


def first_of(layers: nn.Sequential) -> nn.Conv2d:
    first = layers[0]
    assert isinstance(first, nn.Conv2d)
    return first


@pytest.mark.parametrize("block", [1, 1024, 2**20])
def test_a_network_computes_the_same_wherever_its_weights_are(block: int) -> None:
    before, packed = network(), network()
    weights = Weights([packed], CPU, packed=True, block=block)
    home = {name: tensor.data_ptr() for name, tensor in packed.state_dict().items()}
    weights.move_in()
    for name, tensor in packed.state_dict().items():
        true = before.state_dict()[name]
        assert torch.equal(tensor, true)
        assert (tensor.dtype, tensor.shape) == (true.dtype, true.shape)
        assert tensor.data_ptr() % 64 == 0
        assert tensor.data_ptr() != home[name]
    assert first_of(packed).weight.is_contiguous(memory_format=torch.channels_last)
    picture = torch.rand(1, 3, 8, 8)
    assert torch.equal(packed[0](picture), before[0](picture))
    weights.move_out()
    assert {name: tensor.data_ptr() for name, tensor in packed.state_dict().items()} == home


def test_what_became_of_weights_on_the_card_is_forgotten() -> None:
    before, packed = network(), network()
    weights = Weights([packed], CPU, packed=True)
    weights.move_in()
    packed.float()  # as a pipeline does that decodes in float32, and fails half-way
    with torch.no_grad():
        first_of(packed).weight.zero_()
    weights.move_out()
    for name, tensor in packed.state_dict().items():
        true = before.state_dict()[name]
        assert tensor.dtype == true.dtype
        assert torch.equal(tensor, true)


def test_on_a_mac_there_is_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """This processor stands in for its GPU, which computes in RAM too."""
    monkeypatch.setattr("pipelines.weights.has_unified_memory", lambda kind: True)
    before, packed = network(), network()
    weights = Weights([packed], CPU, packed=True)
    home = {name: tensor.data_ptr() for name, tensor in packed.state_dict().items()}
    weights.move_in()
    assert {name: tensor.data_ptr() for name, tensor in packed.state_dict().items()} == home
    weights.settle([packed[2].float().half()])
    packed[2].float()
    weights.move_out()
    for name, tensor in packed.state_dict().items():
        assert tensor.data_ptr() == home[name]
        assert torch.equal(tensor, before.state_dict()[name])


def test_the_copy_that_was_on_the_card_is_freed() -> None:
    weights = Weights([network()], CPU, packed=True)
    weights.move_in()
    there = weakref.ref(weights._there[0])
    weights.move_out()
    assert there() is None


def test_what_does_not_fit_the_card_leaves_nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each later try would leave another piece."""
    packed = network()
    weights = Weights([packed], CPU, packed=True, block=1024)
    home = {name: tensor.data_ptr() for name, tensor in packed.state_dict().items()}
    there: list[weakref.ref[torch.Tensor]] = []

    def copied(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if there:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        copy = tensor.clone()
        there.append(weakref.ref(copy))
        return copy

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "to", copied)
        with pytest.raises(torch.OutOfMemoryError):
            weights.move_in()
    assert [copy() for copy in there] == [None]
    assert {name: tensor.data_ptr() for name, tensor in packed.state_dict().items()} == home
    weights.move_in()
    weights.settle([packed])  # each block is there once


@pytest.mark.parametrize("streams", [False, True])
def test_what_cannot_be_pinned_serves_as_well(
    streams: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on Windows, which pins no more than half of RAM."""
    empty = torch.empty
    pinned: list[object] = []

    def refuse(*args: Any, **kwargs: Any) -> torch.Tensor:
        if kwargs.get("pin_memory"):
            if pinned:
                raise RuntimeError("CUDA error: out of memory")
            pinned.append(args)
        return empty(*args, **kwargs)

    with phantom.card(monkeypatch) as bus:
        monkeypatch.setattr(torch, "empty", refuse)
        before, packed = network(), network()
        phantom.hold(packed)
        staying: list[nn.Module] = [packed] if streams else []
        visiting = [] if streams else [packed]
        weights = Weights(visiting, phantom.CARD, streamed=staying, block=1024)
        already = bus._pinned.copy()
        stream(staying, phantom.CARD)
        assert bus._pinned == already
        weights.move_in()
        with torch.inference_mode():
            picture = torch.rand(1, 3, 8, 8)
            seen = packed[1](packed[0](picture.to(phantom.CARD))).cpu()
            assert torch.equal(seen, before[1](before[0](picture)))
        weights.move_out()
    assert len(pinned) == 1
    assert "no more RAM can be pinned" in caplog.text


def test_tied_weights_stay_tied_and_count_once() -> None:
    one, other = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
    other.weight = one.weight
    weights = Weights([one, other], CPU, packed=True)
    weights.move_in()
    assert one.weight is other.weight
    assert weights.size == 64 * 64 * 4


def test_blocks_are_filled_as_far_as_they_can_be() -> None:
    """As with the layers of SD3.5: pinned one by one they would take half as much again."""
    with torch.device("meta"):
        wide = 2432
        block = [nn.Linear(wide, n * wide) for n in (6, 6, *(1,) * 8, 4, 4)]
        back = [nn.Linear(4 * wide, wide) for _ in range(2)]
        layers = [layer.bfloat16() for _ in range(38) for layer in copy.deepcopy([*block, *back])]
    weights = [tensor for layer in layers for tensor in layer.parameters()]
    whole = sum(map(_padded, weights))
    packed = sum(_power_of_two(sum(map(_padded, share))) for share in _shares(weights, BLOCK))
    alone = sum(_power_of_two(_padded(tensor)) for tensor in weights)
    assert whole <= packed < _PACKED * whole
    assert alone > 1.5 * whole


def test_what_fills_a_block_to_its_last_byte_has_one_of_that_size() -> None:
    halves = [torch.zeros(128) for _ in range(2)]
    assert len(_shares(halves, block=1024)) == 1
    assert _power_of_two(sum(map(_padded, halves))) == 1024


def test_on_a_cpu_nothing_is_copied() -> None:
    layers = network()
    before = {name: tensor.data_ptr() for name, tensor in layers.state_dict().items()}
    weights = Weights([layers], CPU)
    weights.move_in()
    weights.move_out()
    assert {name: tensor.data_ptr() for name, tensor in layers.state_dict().items()} == before


def test_what_was_cast_and_cast_back_is_where_it_was_moved_to() -> None:
    packed = network()
    weights = Weights([packed], CPU, packed=True, block=1024)
    weights.move_in()
    there = {name: tensor.data_ptr() for name, tensor in packed.state_dict().items()}
    last = packed[2].float().half()
    other = packed[1].double().float()
    moved = {name for name, at in there.items() if packed.state_dict()[name].data_ptr() != at}
    assert moved >= {"2.weight", "1.weight"}
    weights.settle([last])
    assert last.state_dict()["weight"].data_ptr() == there["2.weight"]
    assert other.state_dict()["weight"].data_ptr() != there["1.weight"]


@pytest.mark.parametrize("distrusted", [True, False])
def test_an_autoencoder_that_is_cast_for_a_run_is_put_back_after_it(distrusted: bool) -> None:
    vae = AutoencoderKL(block_out_channels=(32,), force_upcast=distrusted).half()
    shelved = Shelved(SimpleNamespace(vae=vae), Weights([vae], CPU, packed=True))
    shelved.weights.move_in()
    there = [tensor.data_ptr() for tensor in vae.parameters()]
    vae.float().half()
    shelved.settle()
    assert (there == [tensor.data_ptr() for tensor in vae.parameters()]) is distrusted
