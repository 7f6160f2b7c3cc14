import errno
import io
import os
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import logging as hub_logging
from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter
from rich.console import Console

from bot.errors import TooLittleDisk
from bot.fetch import Hub as OurHub
from bot.fetch import _Bar, fetch, free_bytes
from pipelines.catalog import CaptionModel, Catalog, SketchModel
from pipelines.checkpoints import locate, require_whole
from pipelines.contract.errors import AtelierError, ModelGated, ModelUnavailable, UnsafeModel
from pipelines.layout import gated
from tests.cli.command import command
from tests.cli.hub import LICENSED, Hub, Repository, captioner, hub_of, painter
from tests.tensors import lora

BLIP = CaptionModel(source="acme/blip")


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub_logging.set_verbosity_error()
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING_FACE")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))


def fetched(hub: Hub, folder: Path, *, caption: CaptionModel = BLIP) -> list[AtelierError]:
    return fetch(Catalog(caption=caption), folder, Console(file=io.StringIO()), hub.url)


def only_error(errors: list[AtelierError]) -> AtelierError:
    (error,) = errors
    assert "\n" not in error.sentence
    return error


def test_only_the_needed_files_are_downloaded_and_the_model_is_then_found(tmp_path: Path) -> None:
    files = captioner()
    with hub_of(blip=Repository(files)) as hub:
        assert fetched(hub, tmp_path) == []
    folder = locate("caption", BLIP, tmp_path)
    unneeded = {"README.md", "pytorch_model.bin", "tf_model.h5"}
    assert {path.name for path in folder.iterdir()} == set(files) - unneeded
    assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_of_a_pipeline_the_wanted_variant(tmp_path: Path) -> None:
    sketch = SketchModel(source="acme/sdxl", variant="fp16")
    with hub_of(sdxl=Repository(painter())) as hub:
        errors = fetch(Catalog(sketch=sketch), tmp_path, Console(file=io.StringIO()), hub.url)
    assert errors == []
    folder = locate("sketch", sketch, tmp_path)
    weights = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors"))
    assert weights == [
        "text_encoder/model.fp16.safetensors",
        "text_encoder_2/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ]


def test_of_a_preset_its_one_file(tmp_path: Path) -> None:
    sketch = SketchModel.model_validate(
        {"source": "acme/sdxl", "preset": "lightning-4", "preset_lora": {"source": "acme/fast"}}
    )
    file = "sdxl_lightning_4step_lora.safetensors"
    fast = {file: lora(), "sdxl_lightning_8step_lora.safetensors": lora(), "config.json": b"{}"}
    with hub_of(sdxl=Repository(painter()), fast=Repository(fast)) as hub:
        for _ in range(2):
            errors = fetch(Catalog(sketch=sketch), tmp_path, Console(file=io.StringIO()), hub.url)
            assert errors == []
        assert [name for name in hub.downloads() if name in fast] == [file]
    assert sketch.preset_lora is not None
    folder = locate("sketch.preset_lora", sketch.preset_lora, tmp_path)
    assert [path.name for path in folder.iterdir()] == [file]


def test_a_preset_whose_file_is_not_there(tmp_path: Path) -> None:
    sketch = SketchModel.model_validate(
        {"source": "acme/sdxl", "preset": "lightning-4", "preset_lora": {"source": "acme/fast"}}
    )
    with hub_of(sdxl=Repository(painter()), fast=Repository({"config.json": b"{}"})) as hub:
        errors = fetch(Catalog(sketch=sketch), tmp_path, Console(file=io.StringIO()), hub.url)
    sentence = only_error(errors).sentence
    assert "acme/fast has no file sdxl_lightning_4step_lora.safetensors." in sentence
    assert "Correct models.sketch.preset_lora.file." in sentence


def test_what_is_here_is_not_asked_for_again(tmp_path: Path) -> None:
    with hub_of(blip=Repository(captioner())) as hub:
        fetched(hub, tmp_path)
        hub.asked.clear()
        assert fetched(hub, tmp_path) == []
        assert hub.asked == []


def test_a_file_that_was_lost_is_all_that_is_fetched(tmp_path: Path) -> None:
    with hub_of(blip=Repository(captioner())) as hub:
        fetched(hub, tmp_path)
        lost = locate("caption", BLIP, tmp_path) / "model.safetensors"
        lost.resolve().unlink()
        lost.unlink()
        hub.asked.clear()
        assert fetched(hub, tmp_path) == []
        assert set(hub.downloads()) == {"model.safetensors"}


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("left", [0, 100])
def test_a_file_that_was_damaged_is_fetched_again(name: str, left: int, tmp_path: Path) -> None:
    files = captioner()
    with hub_of(blip=Repository(files)) as hub:
        fetched(hub, tmp_path)
        file = locate("caption", BLIP, tmp_path) / name
        file.write_bytes(b"x" + file.read_bytes()[:left])
        hub.asked.clear()
        assert fetched(hub, tmp_path) == []
        assert set(hub.downloads()) == {name}
    assert file.read_bytes() == files[name]
    require_whole("caption", BLIP, tmp_path)


def test_a_damaged_file_in_the_owners_folder_is_left_alone_and_said(
    models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "blip"
    shutil.copytree(models / "blip", folder)
    (folder / "model.safetensors").write_bytes(b"")
    caption = CaptionModel(source=str(folder))
    with hub_of() as hub:
        error = only_error(fetched(hub, tmp_path, caption=caption))
    assert error.sentence == (
        f"models.caption: {folder} is not whole: model.safetensors is cut short or damaged. Copy "
        "it there again."
    )
    assert (folder / "model.safetensors").exists()


def test_weights_come_last_so_that_a_model_with_weights_is_whole(tmp_path: Path) -> None:
    with hub_of(blip=Repository(captioner())) as hub:
        fetched(hub, tmp_path)
        assert hub.downloads()[-1] == "model.safetensors"


def test_a_dropped_connection_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    files = captioner(3 * CHUNK)
    with hub_of(blip=Repository(files)) as hub:
        hub.cuts["model.safetensors"] = [2 * CHUNK + 1000]
        assert fetched(hub, tmp_path) == []
        ranges = [r for method, file, r in hub.asked if (method, file) == _WEIGHTS]
    assert ranges == ["", f"bytes={2 * CHUNK}-"]
    found = locate("caption", BLIP, tmp_path) / "model.safetensors"
    assert found.read_bytes() == files["model.safetensors"]


CHUNK = constants.DOWNLOAD_CHUNK_SIZE
_WEIGHTS = ("GET", "model.safetensors")


def test_a_licence_that_is_not_accepted(tmp_path: Path) -> None:
    with hub_of(blip=Repository(captioner(), gated=True)) as hub:
        error = only_error(fetched(hub, tmp_path))
    assert isinstance(error, ModelGated)
    assert "https://huggingface.co/acme/blip" in error.sentence
    assert "hf auth login" in error.sentence
    assert "HF_TOKEN" in error.sentence


def test_a_token_that_may_not_read_what_is_gated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fine-grained one, whose owner has accepted the licence."""
    monkeypatch.setenv("HF_TOKEN", LICENSED)
    with hub_of(blip=Repository(captioner(), gated=True, status=403)) as hub:
        error = only_error(fetched(hub, tmp_path))
    assert "acme/blip is refused: your token may not read it." in error.sentence
    assert "access to public gated repositories" in error.sentence


def test_a_hub_that_fails_at_a_file_does_not_lack_it(tmp_path: Path) -> None:
    with hub_of(blip=Repository(captioner(), status=501)) as hub:
        error = only_error(fetched(hub, tmp_path))
    assert "lacks config.json" not in error.sentence
    assert "501" in error.sentence
    assert "run `python -m bot fetch` again" in error.sentence


def test_a_licence_that_is_known_of_is_said_without_asking_the_hub(tmp_path: Path) -> None:
    caption = CaptionModel(source="acme/blip", gated=True)
    with hub_of() as hub:
        pass  # its port is closed from here on
    error = only_error(fetched(hub, tmp_path, caption=caption))
    assert isinstance(error, ModelGated)
    assert error.sentence == gated("caption", caption).sentence


def test_what_is_here_needs_no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caption = CaptionModel(source="acme/blip", gated=True)
    with hub_of(blip=Repository(captioner(), gated=True)) as hub:
        with monkeypatch.context() as licensed:
            licensed.setenv("HF_TOKEN", LICENSED)
            assert fetched(hub, tmp_path, caption=caption) == []
        assert fetched(hub, tmp_path, caption=caption) == []


def test_a_licence_that_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", LICENSED)
    with hub_of(blip=Repository(captioner(), gated=True)) as hub:
        assert fetched(hub, tmp_path) == []


def test_one_that_cannot_be_had_does_not_keep_the_others_away(tmp_path: Path) -> None:
    catalog = Catalog(
        caption=CaptionModel(source="acme/absent"), sketch=SketchModel(source="acme/sdxl")
    )
    with hub_of(sdxl=Repository(painter())) as hub:
        errors = fetch(catalog, tmp_path, Console(file=io.StringIO()), hub.url)
    assert "acme/absent is not on the Hub" in only_error(errors).sentence
    assert locate("sketch", SketchModel(source="acme/sdxl"), tmp_path)


def test_a_revision_that_is_not_there(tmp_path: Path) -> None:
    caption = CaptionModel(source="acme/blip", revision="v9")
    with hub_of(blip=Repository(captioner())) as hub:
        error = only_error(fetched(hub, tmp_path, caption=caption))
    assert "has no revision 'v9'. Correct models.caption.revision." in error.sentence


def test_a_revision_that_is_there(tmp_path: Path) -> None:
    caption = CaptionModel(source="acme/blip", revision="v2")
    with hub_of(blip=Repository(captioner(), revision="v2")) as hub:
        assert fetched(hub, tmp_path, caption=caption) == []
    assert locate("caption", caption, tmp_path)


def test_a_repository_of_another_format(tmp_path: Path) -> None:
    with hub_of(sdxl=Repository({"sdxl.safetensors": b"one file"})) as hub:
        errors = fetch(
            Catalog(sketch=SketchModel(source="acme/sdxl")),
            tmp_path,
            Console(file=io.StringIO()),
            hub.url,
        )
    assert "lacks model_index.json" in only_error(errors).sentence


INDEX = painter()["model_index.json"]


@pytest.mark.parametrize(
    "index", [b"[]", b"no JSON", INDEX.replace(b'"UNet2DConditionModel"', b"3")]
)
def test_a_repository_whose_settings_are_of_another_kind(index: bytes, tmp_path: Path) -> None:
    files = painter() | {"model_index.json": index}
    with hub_of(sdxl=Repository(files)) as hub:
        errors = fetch(
            Catalog(sketch=SketchModel(source="acme/sdxl")),
            tmp_path,
            Console(file=io.StringIO()),
            hub.url,
        )
    assert only_error(errors).sentence == (
        "models.sketch: acme/sdxl is not whole: model_index.json is cut short or damaged. Correct "
        "models.sketch.source."
    )


def test_pickles_are_not_downloaded(tmp_path: Path) -> None:
    files = captioner()
    del files["model.safetensors"]
    with hub_of(blip=Repository(files)) as hub:
        error = only_error(fetched(hub, tmp_path))
        assert "pytorch_model.bin" not in hub.downloads()
    assert isinstance(error, UnsafeModel)


def test_a_folder_that_lacks_its_model(tmp_path: Path) -> None:
    with hub_of() as hub:
        error = only_error(fetched(hub, tmp_path, caption=CaptionModel(source="/nowhere")))
        assert hub.asked == []
    assert "the folder /nowhere does not hold the model" in error.sentence


def test_no_network(tmp_path: Path) -> None:
    with hub_of() as hub:
        pass  # its port is closed from here on
    error = only_error(fetched(hub, tmp_path))
    assert isinstance(error, ModelUnavailable)
    assert "Check the network and run `python -m bot fetch` again" in error.sentence


def test_too_little_disk_is_said_before_anything_large_is_downloaded(tmp_path: Path) -> None:
    claimed = shutil.disk_usage(tmp_path).total * 2
    repository = Repository(captioner(), sizes={"model.safetensors": claimed})
    with hub_of(blip=repository) as hub:
        with pytest.raises(TooLittleDisk, match=r"set gpu\.models_folder to a folder on a larger"):
            fetched(hub, tmp_path)
        assert "model.safetensors" not in hub.downloads()


def test_a_drive_that_is_gone_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    monkeypatch.setattr(os, "access", lambda *_: False)  # as on Windows, whose drives have no root
    monkeypatch.setattr(shutil, "disk_usage", gone)
    assert free_bytes(Path("/models/blip")) == 0


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with hub_of(blip=Repository(captioner())) as hub:
        error = only_error(fetched(hub, tmp_path / "taken"))
    assert "cannot be stored" in error.sentence


def test_the_bar_counts_every_byte_once(tmp_path: Path) -> None:
    seen: list[int] = []
    with hub_of(blip=Repository(captioner(2 * CHUNK))) as hub:
        hub.cuts["model.safetensors"] = [CHUNK + 1000]
        ours = OurHub(tmp_path, hub.url)
        plan = ours.plan("caption", BLIP)
        ours.download(plan, seen.append)
    assert sum(seen) == plan.size


def test_bytes_that_come_by_xet_are_counted_once_too() -> None:
    seen: list[int] = []

    class Bar(_Bar):
        report = staticmethod(seen.append)

    class Report:
        total_bytes = total_bytes_completed = total_transfer_bytes_completed = 500
        total_bytes_completion_rate = total_transfer_bytes_completion_rate = 1.0

    with XetDownloadProgressReporter(
        reconstruction_desc="", total=500, log_level=0, tqdm_class=Bar
    ) as reporter:
        reporter.update_progress(Report())
    assert sum(seen) == 500


def test_as_a_command(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'gpu.models_folder = "models"\n'
        'models.caption = {source = "acme/blip"}\n'
        'models.sketch = {source = "acme/secret"}'
    )
    repositories = {
        "blip": Repository(captioner()),
        "secret": Repository(painter(), gated=True),
    }
    with hub_of(**repositories) as hub:
        ended = command("fetch", cwd=tmp_path, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "hf"))
        assert ended.code == 2
        assert "✓ caption: acme/blip" in ended.out
        assert ended.complaint.startswith("models.sketch: acme/secret is gated.")
        again = command(
            "fetch",
            cwd=tmp_path,
            HF_ENDPOINT=hub.url,
            HF_HOME=str(tmp_path / "hf"),
            HF_TOKEN=LICENSED,
        )
    assert (again.code, again.err) == (0, "")
    assert "✓ sketch: acme/secret" in again.out
