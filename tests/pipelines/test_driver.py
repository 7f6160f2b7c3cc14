"""A driver and a torch that do not get on with each other."""

import pytest

from pipelines.driver import Build, Driver, Version, ask_driver, why_unfit, why_unseen

KERNELS = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
NEW = Build("2.13.0+cu130", Version(13, 0), KERNELS)


def test_an_old_driver_is_named_with_the_cuda_that_is_needed() -> None:
    why = why_unseen(Driver(Version(12, 2), 1), NEW)
    assert why is not None
    assert why.startswith(
        "the driver speaks CUDA 12.2, this torch needs 13.0: update the driver, or install a "
        "torch built for an older CUDA"
    )


def test_a_torch_for_the_cpu_alone_is_named() -> None:
    why = why_unseen(Driver(Version(13, 0), 1), Build("2.13.0+cpu", None))
    assert why is not None
    assert why.startswith("torch 2.13.0+cpu was not built for CUDA; install the right torch: http")


def test_a_driver_that_is_new_enough_is_not_blamed() -> None:
    for version in (Version(13, 0), Version(13, 2), None):
        why = why_unseen(Driver(version, 1), NEW)
        assert why is not None and "nvidia-smi" in why


@pytest.mark.parametrize("driver", [None, Driver(Version(12, 2), 0)])
def test_without_a_card_there_is_nothing_to_say(driver: Driver | None) -> None:
    assert why_unseen(driver, NEW) is None


@pytest.mark.parametrize(
    ("capability", "runs"),
    [
        ((6, 1), False),
        ((7, 0), False),
        ((7, 5), True),
        ((8, 9), True),  # by the kernels for 8.6
        ((11, 0), False),
        ((12, 1), True),
        ((13, 0), True),  # translated from 12.0
    ],
)
def test_a_card_without_kernels_is_named(capability: tuple[int, int], runs: bool) -> None:
    why = why_unfit("GeForce", Version(*capability), NEW)
    assert (why is None) is runs
    if why is not None:
        number = ".".join(map(str, capability))
        assert f"torch 2.13.0+cu130 has no kernels for GeForce (compute capability {number})" in why


def test_amds_kernels_are_not_judged() -> None:
    assert why_unfit("Radeon", Version(9, 4), Build("2.13.0+rocm7", None, ("gfx942",))) is None


def test_this_machines_driver_can_be_asked() -> None:
    driver = ask_driver()
    assert driver is None or driver.cards >= 0
