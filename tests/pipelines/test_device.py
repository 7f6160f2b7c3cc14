import math
import os

import pytest
import torch

from pipelines.catalog import Dtype
from pipelines.contract.errors import DeviceMissing
from pipelines.device import (
    card_of,
    choose_device,
    dtype_on,
    hindrance,
    is_lost,
    is_out_of_memory,
    is_out_of_ram,
    leave_a_core,
)
from pipelines.driver import Driver, Version
from pipelines.plan import GIB


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [
        ("cpu", "float16", torch.float32),
        ("cpu", "bfloat16", torch.float32),
        ("cuda", "float16", torch.float16),
        ("cuda", "bfloat16", torch.bfloat16),
        ("mps", "float32", torch.float32),
    ],
)
def test_a_cpu_computes_in_float32(device: str, dtype: Dtype, expected: torch.dtype) -> None:
    assert dtype_on(torch.device(device), dtype) is expected


def test_the_budget_is_as_configured_and_a_cpus_is_endless() -> None:
    cpu = choose_device("cpu")
    assert card_of(cpu, None).budget == math.inf
    assert card_of(cpu, 12.5).budget == 12.5 * GIB


@pytest.mark.parametrize(
    ("vram_gib", "ram_gib", "gib"),
    [(None, None, 23), (20, None, 20), (None, 27, 27), (20, 18, 18), (20, 27, 20)],
)
def test_a_mac_has_one_budget(
    vram_gib: float | None, ram_gib: float | None, gib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.mps.recommended_max_memory", lambda: 24 * GIB)
    monkeypatch.setattr("pipelines.device.total_ram", lambda: 36 * GIB)
    card = card_of(torch.device("mps"), vram_gib, ram_gib=ram_gib)
    assert card.budget == card.ram == gib * GIB


def test_a_core_is_left_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(64)
        leave_a_core(choose_device("cpu"))
        assert torch.get_num_threads() == max(1, (os.cpu_count() or 1) - 1)
        torch.set_num_threads(1)
        leave_a_core(choose_device("cpu"))
        assert torch.get_num_threads() == 1
        monkeypatch.setenv("OMP_NUM_THREADS", "5")
        torch.set_num_threads(5)
        leave_a_core(choose_device("cpu"))
        assert torch.get_num_threads() == 5
    finally:
        torch.set_num_threads(before)


def test_auto_takes_a_device_that_is_there() -> None:
    torch.zeros(1, device=choose_device("auto"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_that_a_card_is_not_taken_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    choose_device("cpu")
    choose_device("auto")
    assert not caplog.messages
    monkeypatch.setattr("pipelines.device.ask_driver", lambda: Driver(Version(12, 2), 1))
    monkeypatch.setattr("torch.version.cuda", "13.0")
    assert choose_device("auto").type in ("cpu", "mps")
    (said,) = caplog.messages
    assert said.startswith(
        "gpu.device is 'auto': models run on the CPU although there is a card: the driver speaks "
        "CUDA 12.2, this torch needs 13.0"
    )
    caplog.clear()
    with pytest.raises(DeviceMissing):
        choose_device("cuda:0")
    assert "the driver speaks CUDA 12.2" in caplog.text and "CPU" not in caplog.text


def test_a_card_without_kernels_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "GeForce")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (6, 1))
    monkeypatch.setattr("torch.cuda.get_arch_list", lambda: ["sm_75", "sm_90"])
    assert "no kernels for GeForce" in str(hindrance())
    assert choose_device("auto").type in ("cpu", "mps")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (7, 5))
    assert hindrance() is None
    assert choose_device("auto").type == "cuda"


def test_a_card_that_refuses_everything_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: torch.device) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("torch.cuda.synchronize", lambda device: None)
    assert not is_lost(torch.device("cuda:0"))
    monkeypatch.setattr("torch.cuda.synchronize", refuse)
    assert is_lost(torch.device("cuda:0"))
    assert not is_lost(torch.device("cpu"))


def test_what_counts_as_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50)
    assert is_out_of_memory(raised.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"))
    began = "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"
    assert is_out_of_memory(RuntimeError(began))
    none = "GET was unable to find an engine to execute this computation"
    assert is_out_of_memory(RuntimeError(none))
    assert not is_out_of_memory(RuntimeError("The size of tensor a (4) must match"))
    assert not is_out_of_memory(KeyError("out of memory"))


def test_what_counts_as_out_of_ram() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50)
    paging_file = OSError("Die Auslagerungsdatei ist zu klein. (os error 1455)")
    for error in (raised.value, MemoryError(), paging_file):
        assert is_out_of_ram(error)
        assert is_out_of_memory(error)
    assert not is_out_of_ram(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_ram(OSError("(os error 2)"))
