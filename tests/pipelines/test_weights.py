"""Weights that are in two places and the same in both."""

import pytest
import torch
from torch import nn

from pipelines.weights import Weights

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


def test_tied_weights_stay_tied_and_count_once() -> None:
    one, other = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
    other.weight = one.weight
    weights = Weights([one, other], CPU, packed=True)
    weights.move_in()
    assert one.weight is other.weight
    assert weights.size == 64 * 64 * 4


def test_on_a_cpu_nothing_is_copied() -> None:
    layers = network()
    before = {name: tensor.data_ptr() for name, tensor in layers.state_dict().items()}
    weights = Weights([layers], CPU)
    weights.move_in()
    weights.move_out()
    assert {name: tensor.data_ptr() for name, tensor in layers.state_dict().items()} == before
