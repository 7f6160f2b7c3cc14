from pathlib import Path

import psutil
import pytest

from pipelines import memory
from pipelines.plan import GIB


@pytest.mark.parametrize(
    ("ours", "limits", "expected"),
    [
        ("0::/\n", {"": 6 * GIB}, 6 * GIB),  # a container sees its own group as the first
        ("0::/system.slice/atelier.service\n", {"system.slice/atelier.service": 2 * GIB}, 2 * GIB),
        ("0::/a/b\n", {"a": GIB, "a/b": "max"}, GIB),
        ("4:memory:/a\n0::/\n", {"a": GIB, "": "max"}, None),
        ("0::/../../b\n", {}, None),
        ("0::/\n", {"": 2**60}, None),
    ],
)
def test_the_least_of_all_limits_counts(
    ours: str,
    limits: dict[str, object],
    expected: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, limit in limits.items():
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "ours").write_text(ours)
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    monkeypatch.setattr(memory, "_OURS", tmp_path / "ours")
    assert memory.total_ram() == (expected or psutil.virtual_memory().total)


def test_without_control_groups_it_is_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_OURS", tmp_path / "not on this system")
    assert memory.total_ram() == psutil.virtual_memory().total
