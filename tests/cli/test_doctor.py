import asyncio
import os
import shutil
import socket
import sqlite3
from contextlib import closing
from math import inf
from pathlib import Path

import pytest
import torch

from bot import doctor
from bot.account import Account
from bot.config import (
    Config,
    DiscordConfig,
    GpuConfig,
    MetricsConfig,
    ModerationConfig,
    StorageConfig,
    WebConfig,
)
from bot.doctor import (
    Finding,
    Level,
    check_absent,
    check_caches,
    check_decoders,
    check_device,
    check_devices,
    check_encoder,
    check_loras,
    check_metrics,
    check_models,
    check_plans,
    check_presets,
    check_previews,
    check_servers,
    check_storage,
    check_web,
    check_words,
    examine,
    plans_on,
)
from bot.fetch import Hub
from bot.jobs.store import Store
from bot.tokens import TokenBook
from pipelines.catalog import (
    Acceleration,
    AnimateModel,
    CaptionModel,
    Catalog,
    Checkpoint,
    ImagineModel,
    SafetyModel,
    SketchModel,
    Style,
)
from pipelines.driver import Driver, Version
from pipelines.plan import GIB, Card
from tests.cli.command import command
from tests.cli.hub import Repository, captioner, hub_of, painter
from tests.strangers import locked, visible_folder
from tests.tensors import SD3_LAYER, lora


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING_FACE", "ATELIER_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))


def by_subject(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def test_a_configuration_that_cannot_be_read_is_the_only_finding(tmp_path: Path) -> None:
    (finding,) = examine(tmp_path / "config.toml")
    assert finding.level is Level.PROBLEM
    assert "no such file" in finding.text


def test_the_models_here_and_there_and_out_of_reach(tmp_path: Path) -> None:
    catalog = Catalog(
        caption=CaptionModel(source="acme/blip"), sketch=SketchModel(source="acme/sdxl")
    )
    with hub_of(blip=Repository(captioner()), sdxl=Repository(painter(), gated=True)) as hub:
        ours = Hub(tmp_path, hub.url)
        before = by_subject(list(check_models(catalog, ours)))
        plan = ours.plan("caption", CaptionModel(source="acme/blip"))
        ours.download(plan, lambda _: None)
        after = by_subject(list(check_models(catalog, ours)))
        assert "unet/diffusion_pytorch_model.safetensors" not in hub.downloads()
    assert before["caption"].level is Level.PROBLEM
    assert "acme/blip is not here (0.0 GiB): `python -m bot fetch`" in before["caption"].text
    assert before["sketch"].level is Level.PROBLEM
    assert "is gated. Accept its licence" in before["sketch"].text
    assert after["caption"] == Finding(Level.FINE, "caption", "acme/blip")


def test_models_that_will_not_fit_on_the_disk(tmp_path: Path) -> None:
    claimed = shutil.disk_usage(tmp_path).total * 2
    repository = Repository(captioner(), sizes={"model.safetensors": claimed})
    catalog = Catalog(caption=CaptionModel(source="acme/blip"))
    with hub_of(blip=repository) as hub:
        findings = by_subject(list(check_models(catalog, Hub(tmp_path, hub.url))))
    assert findings["disk"].level is Level.PROBLEM
    assert "gpu.models_folder" in findings["disk"].text


def test_a_missing_model_without_a_network(tmp_path: Path) -> None:
    catalog = Catalog(caption=CaptionModel(source="acme/blip"))
    (finding,) = check_models(catalog, Hub(tmp_path, "http://127.0.0.1:9"))
    assert finding.level is Level.PROBLEM
    assert "Check the network" in finding.text


def test_a_licence_that_is_known_of_is_said_without_a_network(tmp_path: Path) -> None:
    catalog = Catalog(caption=CaptionModel(source="acme/blip", gated=True))
    (finding,) = check_models(catalog, Hub(tmp_path, "http://127.0.0.1:9"))
    assert finding.level is Level.PROBLEM
    assert "is gated. Accept its licence at https://huggingface.co/acme/blip" in finding.text


def test_no_models_at_all(tmp_path: Path) -> None:
    (finding,) = check_models(Catalog(), Hub(tmp_path))
    assert finding.level is Level.WARNING
    assert "none is configured" in finding.text


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_machine_without_cuda() -> None:
    assert check_device("cuda").level is Level.PROBLEM
    finding = check_device("auto")
    assert finding.level is Level.WARNING
    assert finding.text.startswith("the CPU: the bot works, but")
    assert check_device("cpu").level is Level.WARNING


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_driver_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("bot.device", "pipelines.device"):
        monkeypatch.setattr(f"{module}.ask_driver", lambda: Driver(Version(12, 2), 1))
    monkeypatch.setattr("torch.version.cuda", "13.0")
    why = "the driver speaks CUDA 12.2, this torch needs 13.0: update the driver"
    finding = check_device("cuda")
    assert finding.level is Level.PROBLEM and finding.text.startswith(why)
    finding = check_device("auto")
    assert finding.level is Level.WARNING
    assert finding.text.startswith("the CPU, where a picture takes many minutes")
    assert f"although there is a card: {why}" in finding.text
    monkeypatch.setattr("torch.version.cuda", None)
    assert "was not built for CUDA" in check_device("cuda").text


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA here; on a machine with a GPU: pytest -m gpu"
)
def test_a_machine_with_cuda() -> None:
    for device in ("auto", "cuda", "cuda:0"):
        finding = check_device(device)
        assert finding.level is Level.FINE
        assert "GiB" in finding.text
    assert check_device("cuda:63").level is Level.PROBLEM


def test_the_loras_and_what_lies_beside_them(tmp_path: Path) -> None:
    styles = {"inky": Style(lora="ink"), "faded": Style(lora="gone")}
    catalog = Catalog(loras=tmp_path, styles=styles)
    (tmp_path / "sketch").mkdir()
    for name in ("gold.safetensors", "ink.safetensors", "old.pt"):
        (tmp_path / "sketch" / name).write_bytes(lora())
    offered, beside, none, gone = check_loras(catalog)
    assert offered == Finding(Level.FINE, "sketch loras", f"2 in {tmp_path}/sketch: gold, ink")
    assert beside.level is none.level is Level.WARNING
    assert beside.text.startswith(f"old.pt in {tmp_path}/sketch: not offered")
    assert (none.subject, gone.subject) == ("imagine loras", "style faded")
    assert gone.level is Level.PROBLEM
    assert "no LoRA 'gone'; correct models.styles.faded.lora" in gone.text
    assert list(check_loras(Catalog())) == []


def test_loras_that_cannot_be_used(tmp_path: Path) -> None:
    catalog = Catalog(loras=tmp_path, styles={"inky": Style(lora="half")})
    (tmp_path / "sketch").mkdir()
    (tmp_path / "imagine").mkdir()
    for name, data in {"half": lora()[:-1], "other": lora(SD3_LAYER), "whole": lora()}.items():
        (tmp_path / "sketch" / f"{name}.safetensors").write_bytes(data)
    (tmp_path / "imagine" / "text.safetensors").write_text("nothing of the kind")
    fine, half, other, text, style = check_loras(catalog)
    assert fine == Finding(Level.FINE, "sketch loras", f"1 in {tmp_path}/sketch: whole")
    assert half.level is text.level is Level.PROBLEM
    assert "half.safetensors cannot be read" in half.text and "not offered" in half.text
    assert (text.subject, other.level) == ("imagine loras", Level.WARNING)
    assert f"other.safetensors is for /imagine. Move it to {tmp_path}/imagine." in other.text
    assert (style.level, style.subject) == (Level.PROBLEM, "style inky")
    assert "its LoRA 'half' cannot be used" in style.text


def test_styles_that_nobody_has_seen(tmp_path: Path) -> None:
    (tmp_path / "ink.webp").touch()
    files = {"ink": tmp_path / "ink.webp", "oil": tmp_path / "oil.webp", "clay": None}
    styles = {name: Style(preview=file) for name, file in files.items()}
    [finding] = check_previews(Catalog(styles=styles))
    assert finding.level is Level.WARNING and finding.text.startswith("no preview yet of oil; ")


def test_presets_are_said(tmp_path: Path) -> None:
    catalog = Catalog.model_validate(
        {
            "sketch": {"source": "acme/sdxl", "preset": "hyper-8", "steps": 6},
            "imagine": {"preset": "turbo"},
        }
    )
    hyper, turbo = check_presets(catalog)
    assert (hyper.level, hyper.subject) == (Level.WARNING, "sketch preset")
    assert hyper.text.startswith("hyper-8: 6 steps, guidance 5; pictures differ")
    assert hyper.text.endswith("it was made for 8 steps")
    assert turbo.level is Level.FINE
    assert turbo.text.startswith("turbo: 4 steps, no guidance, and so without negative prompts;")
    assert list(check_presets(Catalog(sketch=SketchModel(source="acme/sdxl")))) == []


def test_steps_that_are_not_computed_are_said() -> None:
    catalog = Catalog.model_validate(
        {
            "sketch": {"source": "acme/sdxl", "cache_interval": 2},
            "imagine": {"preset": "turbo", "cache_interval": 3},
        }
    )
    sketch, turbo = check_caches(catalog)
    assert (sketch.level, sketch.subject) == (Level.FINE, "sketch cache")
    assert sketch.text.startswith("17 of 30 steps are computed; pictures differ")
    assert (turbo.level, turbo.subject) == (Level.WARNING, "imagine cache")
    assert turbo.text.endswith("models.imagine.cache_interval does nothing")
    assert list(check_caches(Catalog(sketch=SketchModel(source="acme/sdxl")))) == []


def test_videos_can_be_made_here() -> None:
    assert check_encoder() == Finding(Level.FINE, "video", "H.264 by libx264")


def test_the_storage_folder(tmp_path: Path) -> None:
    [fine] = check_storage(StorageConfig(folder=tmp_path / "not/yet/there"))
    assert fine.level is not Level.PROBLEM
    assert not (tmp_path / "not").exists()
    (tmp_path / "taken").write_text("")
    [taken] = check_storage(StorageConfig(folder=tmp_path / "taken"))
    assert taken.level is Level.PROBLEM
    assert taken.text.count(str(tmp_path)) == 2  # what is configured, and what is no folder


def test_a_storage_folder_that_may_not_be_seen() -> None:
    with visible_folder() as folder:
        (folder / "private" / "data").mkdir(parents=True)
        with locked(folder / "private"):
            [found] = check_storage(StorageConfig(folder=folder / "private" / "data"))
    assert found.level is Level.PROBLEM
    assert "cannot be written to: Permission denied; correct storage.folder" in found.text


@pytest.mark.parametrize("name", ["files", "link.key"])
def test_what_another_user_left_in_the_storage_folder(name: str) -> None:
    with visible_folder() as folder:
        folder.chmod(0o777)
        (folder / name).mkdir()
        with locked(folder / name):
            [found] = check_storage(StorageConfig(folder=folder))
    assert found.level is Level.PROBLEM
    assert f"may not read and write {name} in {folder}; give the folder" in found.text


def test_the_jobs_of_an_earlier_run(tmp_path: Path) -> None:
    def found() -> Finding:
        storage, jobs = check_storage(StorageConfig(folder=tmp_path))
        assert (storage.level, storage.subject, jobs.subject) == (Level.FINE, "storage", "jobs")
        return jobs

    file = tmp_path / "jobs.sqlite3"
    with asyncio.Runner() as running:
        store = running.run(Store.open(file, tmp_path / "files"))
        assert found() == Finding(Level.FINE, "jobs", "jobs.sqlite3 is in use: the bot is running")
        running.run(store.close())
    before = file.read_bytes()
    assert found() == Finding(Level.FINE, "jobs", "jobs.sqlite3 is sound")
    assert file.read_bytes() == before
    file.write_bytes(before[:5000])
    assert found().level is Level.PROBLEM
    assert "is damaged" in found().text
    file.unlink()
    with closing(sqlite3.connect(file)) as another:
        another.execute("CREATE TABLE theirs (x)")
    assert "another program's database" in found().text


def test_a_list_of_words(tmp_path: Path) -> None:
    assert list(check_words(ModerationConfig())) == []
    file = tmp_path / "words.txt"
    file.write_text("fox\n\n# what else\nbad wolf\n")
    [fine] = check_words(ModerationConfig(words=("hen",), words_file=file))
    assert fine == Finding(Level.FINE, "words", "3 that prompts must not hold")
    [empty] = check_words(ModerationConfig(words=("*",)))
    assert empty.level is Level.PROBLEM and "'*' has no letter or figure" in empty.text
    [missing] = check_words(ModerationConfig(words_file=tmp_path / "absent.txt"))
    assert missing.level is Level.PROBLEM and "No such file" in missing.text


def test_what_is_not_configured() -> None:
    imagine = ImagineModel(source="a/b")
    [warning, fine] = check_absent(Catalog(imagine=imagine))
    assert warning.level is Level.WARNING and "nothing looks at uploads" in warning.text
    assert fine.level is Level.FINE
    assert "models.caption, models.sketch, models.animate, models.upscale" in fine.text
    [fine] = check_absent(Catalog(imagine=imagine, safety=SafetyModel(source="a/b")))
    assert "models.upscale" in fine.text and "models.safety" not in fine.text
    assert list(check_absent(Catalog())) == []


def test_the_metrics_port() -> None:
    assert list(check_metrics(MetricsConfig())) == []
    [free] = check_metrics(MetricsConfig(port=0))
    assert free.level is Level.FINE
    with socket.create_server(("127.0.0.1", 0)) as other:
        [taken] = check_metrics(MetricsConfig(port=other.getsockname()[1]))
    assert taken.level is Level.PROBLEM and "choose another metrics.port" in taken.text


def test_on_windows_a_port_is_taken_though_it_can_be_bound_a_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as other:  # before it listens, Linux lets two have a port as well
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        with monkeypatch.context() as patch:
            patch.setattr(os, "name", "nt")
            [taken] = check_metrics(MetricsConfig(port=other.getsockname()[1]))
    assert taken.level is Level.PROBLEM


@pytest.mark.parametrize("hidden", ["sketch", "sketch/ink.safetensors"])
def test_loras_that_may_not_be_read(hidden: str) -> None:
    with visible_folder() as folder:
        (folder / "sketch").mkdir()
        (folder / "sketch" / "ink.safetensors").write_bytes(b"whatever it is")
        with locked(folder / hidden):
            found = by_subject(list(check_loras(Catalog(loras=folder))))["sketch loras"]
    assert found.level is Level.WARNING
    assert f"{folder / hidden} may not be read" in found.text


def test_the_web_server(tmp_path: Path) -> None:
    def found(web: WebConfig) -> dict[str, Finding]:
        config = Config(storage=StorageConfig(folder=tmp_path), web=web)
        return by_subject(list(check_web(config)))

    assert found(WebConfig()) == {}
    for portless in (WebConfig(url="https://paint.example"), WebConfig(open=True)):
        off = Finding(Level.WARNING, "web", "off: web.port is not set")
        assert found(portless) == {"web": off}
    here = found(WebConfig(port=0, open=True, url="http://localhost:8080"))
    assert here["web links"].level is Level.FINE  # nobody is on the way
    book = TokenBook.in_storage(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = found(WebConfig(port=other.getsockname()[1], url="http://paint.example"))
        address = other.getsockname()
        [own] = check_metrics(MetricsConfig(host=address[0], port=address[1]), running=True)
    assert own.level is Level.FINE and "the bot is running" in own.text
    assert taken["web"].level is Level.PROBLEM and "is taken" in taken["web"].text
    assert taken["web tokens"].level is Level.WARNING and "token add" in taken["web tokens"].text
    assert "only links of /sketch" in taken["web tokens"].text
    assert "nobody may use it" in found(WebConfig(port=0))["web tokens"].text
    assert taken["web links"].level is Level.WARNING and "HTTPS" in taken["web links"].text
    book.add("ada")
    book.add("bob")
    book.revoke("bob")
    fine = found(WebConfig(port=0, url="https://paint.example"))
    assert {finding.level for finding in fine.values()} == {Level.FINE}
    assert fine["web tokens"].text == "1: ada"
    (tmp_path / "tokens" / "9.json").write_text("{")
    assert found(WebConfig(port=0))["web tokens"].level is Level.WARNING
    nowhere = found(WebConfig(host="203.0.113.1", port=8080))["web"]
    assert nowhere.level is Level.PROBLEM and "web.host" in nowhere.text


def test_an_uninvited_bot_is_given_its_invitation() -> None:
    (finding,) = check_servers(Account("painter", 88, 0, {}))
    assert finding.level is Level.WARNING
    assert "https://discord.com/oauth2/authorize?client_id=88" in finding.text


def test_a_server_that_is_too_strict() -> None:
    fine, strict = check_servers(Account("painter", 88, 2, {"strict": ["attach files"]}))
    assert fine.level is Level.FINE
    assert strict.level is Level.WARNING
    assert "strict: its roles do not give it attach files" in strict.text


def test_as_a_command(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('models.caption = {source = "./nowhere"}')
    ended = command("doctor", cwd=tmp_path)
    assert ended.code == 1
    assert ended.err == ""
    lines = ended.out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["✓", "config"], ["✗", "token"]]
    assert all(line[0] in "✓!✗" for line in lines)
    assert any(line.startswith("✗ caption") and "./nowhere" not in line for line in lines)


def test_a_token_is_only_untested_where_discord_is_away(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    ended = command(
        "doctor", cwd=tmp_path, discord="http://127.0.0.1:9", ATELIER_TOKEN="some-token"
    )
    assert ended.code == 0
    (line,) = [line for line in ended.out.splitlines() if line[2:7] == "token"]
    assert line.startswith("! token")
    assert "present, but untested" in line
    assert "some-token" not in ended.out + ended.err


ALL = Catalog(
    caption=CaptionModel(source="a/b"),
    sketch=SketchModel(source="a/b"),
    imagine=ImagineModel(source="a/b"),
    animate=AnimateModel(source="a/b"),
)


def plans(card: Card, catalog: Catalog = ALL) -> dict[str, Finding]:
    return by_subject(list(plans_on(card, catalog, None)))


def test_several_cards_are_told_apart() -> None:
    gpu = GpuConfig(device=("cpu", "cpu"))
    assert [finding.subject for finding in check_devices(gpu)] == ["device cpu"] * 2
    small = Catalog(caption=CaptionModel(source="a/b"))
    assert [f.subject for f in check_plans(small, gpu)] == ["caption fits cpu"] * 2
    (alone,) = check_plans(small, GpuConfig(device="cpu"))
    assert alone.subject == "caption fits"


def test_what_a_card_means_for_each_model_is_said_with_its_remedy() -> None:
    roomy = plans(Card("cuda", 79 * GIB, 96 * GIB, (9, 0)))
    assert all(finding.level is Level.FINE for finding in roomy.values())
    assert not any(" with " in finding.text for finding in roomy.values())
    small = plans(Card("cuda", 7 * GIB, 48 * GIB, (8, 6)))
    assert all(finding.level is Level.FINE for finding in small.values())
    assert "of 7.0, with " in small["animate fits"].text
    assert "models.animate.frames" in small["animate fits"].text
    assert "streamed from RAM" in small["imagine fits"].text


def test_a_machine_that_is_too_small_is_said_so() -> None:
    tiny = plans(Card("cuda", 3 * GIB, 48 * GIB, (8, 6)))["animate fits"]
    assert tiny.level is Level.PROBLEM
    assert "card is too small" in tiny.text
    assert "[models.animate]" in tiny.text
    poor = plans(Card("cuda", 11 * GIB, 9 * GIB, (8, 6)))["imagine fits"]
    assert "computer's memory is too small" in poor.text


@pytest.mark.parametrize(
    ("kind", "ram", "settings"),
    [
        ("cpu", 46, {"text_precision": "fp8"}),
        ("cpu", 20, {"precision": "fp8", "text_precision": "fp8"}),
        ("cpu", 16, {"precision": "nf4", "text_precision": "fp8"}),
        ("cpu", 12, {}),
        ("mps", 20, {"precision": "nf4"}),
        ("mps", 12, {}),
    ],
)
def test_without_an_nvidia_card_settings_are_named_with_which_a_model_fits(
    kind: str, ram: float, settings: dict[str, str]
) -> None:
    where = Card(kind, inf, ram * GIB)
    said = plans(where, Catalog(imagine=ImagineModel(source="a/b")))["imagine fits"]
    assert said.level is Level.PROBLEM and "delete [models.imagine]" in said.text
    named = " and ".join(f'models.imagine.{name} = "{value}"' for name, value in settings.items())
    assert (f"With {named} it fits, and pictures" in said.text) is bool(settings)
    less = ImagineModel.model_validate({"source": "a/b", **settings})
    fits = plans(where, Catalog(imagine=less))["imagine fits"]
    assert (fits.level is Level.FINE) is bool(settings)


def test_models_that_have_no_room_in_ram_together_are_said_to_be_read_again() -> None:
    little = plans(Card("cuda", 23 * GIB, 19 * GIB, (8, 6)))
    assert little["RAM"].level is Level.WARNING
    assert "of 19.0 together" in little["RAM"].text and "gpu.ram_gib" in little["RAM"].text
    assert little["imagine fits"].level is Level.FINE
    assert "RAM" not in plans(Card("cuda", 23 * GIB, 48 * GIB, (8, 6)))


def test_an_old_card_is_told_of() -> None:
    old = plans(Card("cuda", 10 * GIB, 48 * GIB, (7, 5)))
    assert "float16" in old["imagine dtype"].text
    assert "Choose another models.imagine.dtype, " in old["imagine fits"].text  # attention is large
    half = Catalog(imagine=ImagineModel(source="a/b", dtype="float16"))
    assert plans(Card("cuda", 10 * GIB, 48 * GIB, (7, 5)), half)["imagine fits"].level is Level.FINE


def test_a_precision_that_a_card_cannot_do_is_named_with_what_is_done_instead() -> None:
    card = Card("cuda", 10 * GIB, 48 * GIB, (8, 6))
    fast, kept = (
        plans(card, Catalog(imagine=ImagineModel(source="a/b", precision=precision)))
        for precision in ("fp8-fast", "fp8")
    )
    assert fast["imagine precision"].level is Level.WARNING
    assert 'held as with "fp8"' in fast["imagine precision"].text
    assert fast["imagine fits"].text == kept["imagine fits"].text


def test_what_compiling_is_good_for_is_said_and_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = Card("cuda", 79 * GIB, 96 * GIB, (9, 0))
    off = plans(card)["compile"]
    assert off.level is Level.FINE and "makes /sketch, /imagine, /animate quicker" in off.text
    monkeypatch.setattr(doctor, "lacking", lambda kind: "a C compiler is missing")
    assert plans(card)["compile"].text.endswith("quicker; here a C compiler is missing")
    on = ALL.model_copy(update={"acceleration": Acceleration(compile=True)})
    found = plans(card, on)["compile"]
    assert found == Finding(
        Level.WARNING, "compile", "networks run as they are: a C compiler is missing"
    )
    assert "compile" not in plans(Card("cpu"))
    monkeypatch.setattr(doctor, "lacking", lambda kind: None)
    assert "compile" not in plans(card, on)


def test_what_is_not_compiled_although_it_is_configured_is_said() -> None:
    models = Catalog(imagine=ImagineModel(source="a/b"), animate=AnimateModel(source="c/d"))
    quick = models.model_copy(update={"acceleration": Acceleration(compile=True)})
    card = Card("cuda", 15 * GIB, 64 * GIB, (8, 6))
    assert plans(card, quick)["imagine compile"].text == "off here, for the model is streamed"
    assert "animate compile" not in plans(card, quick)
    assert "imagine compile" not in plans(card, models)


def copied(models: Path, folder: Path, *names: str) -> list[Path]:
    for name in names:
        shutil.copytree(models / name, folder / name)
    return [folder / name for name in names]


def model_findings(catalog: Catalog) -> list[Finding]:
    config = Config(models=catalog, gpu=GpuConfig(device="cpu"))
    return [
        *check_models(catalog, Hub(None, "http://127.0.0.1:9")),
        *check_plans(catalog, config.gpu),
        *check_decoders(config),
    ]


@pytest.mark.parametrize(
    ("damaged", "data"),
    [
        ("transformer/diffusion_pytorch_model.safetensors", b""),
        ("vae/diffusion_pytorch_model.safetensors", b"nothing of the kind"),
        ("text_encoder/config.json", b'{"a": '),
        ("model_index.json", b"[]"),
    ],
)
def test_a_damaged_checkpoint_is_one_problem(
    damaged: str, data: bytes, models: Path, tmp_path: Path
) -> None:
    sd3, tiny = copied(models, tmp_path, "sd3", "preview")
    preview = Checkpoint(source=str(tiny))
    catalog = Catalog(imagine=ImagineModel(source=str(sd3), preview=preview))
    assert {f.level for f in model_findings(catalog)} == {Level.FINE}
    (sd3 / damaged).write_bytes(data)
    problem, fine, *fits = model_findings(catalog)
    assert len(fits) == damaged.startswith("text")  # whose weights are whole
    assert (problem.level, problem.subject) == (Level.PROBLEM, "imagine")
    assert f"{damaged} is cut short or damaged. Copy it there again." in problem.text
    assert fine == Finding(Level.FINE, "imagine.preview", str(tiny))


def test_a_damaged_preview_is_a_warning_and_a_damaged_preset_a_problem(
    models: Path, tmp_path: Path
) -> None:
    sdxl, tiny = copied(models, tmp_path, "sdxl", "preview")
    (tiny / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    (tmp_path / "fast.safetensors").write_bytes(lora()[:-1])
    preset_lora = {"source": str(tmp_path), "file": "fast.safetensors"}
    preset = {"preset": "lightning-4", "preset_lora": preset_lora}
    sketch = {"source": str(sdxl), "preview": {"source": str(tiny)}, **preset}
    found = by_subject(model_findings(Catalog.model_validate({"sketch": sketch})))
    levels = {subject: finding.level for subject, finding in found.items()}
    assert levels == {
        "sketch": Level.FINE,
        "sketch.preset_lora": Level.PROBLEM,
        "sketch.preview": Level.WARNING,
        "sketch fits": Level.FINE,
    }
    assert "fast.safetensors is cut short or damaged" in found["sketch.preset_lora"].text
    assert found["sketch.preview"].text.endswith("nothing is shown while it paints.")


def test_what_lacks_a_part_is_not_said_to_fit(models: Path, tmp_path: Path) -> None:
    vae = Checkpoint(source=str(tmp_path / "nowhere"))
    catalog = Catalog(sketch=SketchModel(source=f"{models}/sdxl", vae=vae))
    found = {finding.subject: finding.level for finding in model_findings(catalog)}
    assert found == {"sketch": Level.FINE, "sketch.vae": Level.PROBLEM}
    (sdxl,) = copied(models, tmp_path, "sdxl")
    shutil.rmtree(sdxl / "vae")
    catalog = Catalog(sketch=SketchModel(source=str(sdxl)))
    found = {finding.subject: finding.level for finding in model_findings(catalog)}
    assert found == {"sketch": Level.PROBLEM}


def test_what_is_to_be_fetched_is_reckoned_as_the_usual_checkpoint() -> None:
    assert plans(Card("cpu"))["sketch fits"].text.startswith("the usual checkpoint takes ")


def test_whether_pictures_are_seen_to_come(models: Path) -> None:
    def found(preview: str, *, previews: bool = True) -> Finding:
        model = ImagineModel.model_validate(
            {"source": f"{models}/sd3", "preview": {"source": f"{models}/{preview}"}}
        )
        config = Config(models=Catalog(imagine=model), discord=DiscordConfig(previews=previews))
        (finding,) = check_decoders(config)
        return finding

    assert found("preview") == Finding(Level.FINE, "imagine preview", "shown while it paints")
    assert found("preview", previews=False).text.endswith("off: discord.previews")
    wrong = found("preview-of-four-channels")
    assert wrong.level is Level.WARNING
    assert "decodes latents of 4 channels, and models.imagine paints in 16" in wrong.text
