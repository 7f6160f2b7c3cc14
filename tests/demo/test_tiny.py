from pathlib import Path

import pytest

from demo.tiny import build, ensure


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "stamp")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_models_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        build(tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_what_is_there_is_left_alone_and_what_is_old_is_replaced(tmp_path: Path) -> None:
    folder = ensure(tmp_path / "models")
    made = (folder / "svd" / "model_index.json").stat().st_mtime_ns
    ensure(folder)
    assert (folder / "svd" / "model_index.json").stat().st_mtime_ns == made
    (folder / "stamp").write_text("made long ago")
    ensure(folder)
    assert (folder / "svd" / "model_index.json").stat().st_mtime_ns != made
    assert [path.name for path in tmp_path.iterdir()] == ["models"]  # nothing is left over


def test_a_folder_with_something_else_in_it_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="something else"):
        ensure(tmp_path)
    assert (tmp_path / "diary.txt").read_text() == "precious"
