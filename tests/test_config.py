from pathlib import Path

import pytest

from bot.config import TOKEN_VARIABLE, Config, DiscordConfig, load_config, read_token
from bot.errors import ConfigError, TokenRefused
from pipelines.catalog import CaptionModel


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


DEVICES = 'auto, cpu, mps, cuda, cuda:0 or ["cuda:0", "cuda:1"]'


def problem(folder: Path, text: str) -> str:
    """What is said of a configuration, less the file's name."""
    path = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    sentence = caught.value.sentence
    assert "\n" not in sentence
    assert sentence.startswith(f"{path}: ")
    return sentence.removeprefix(f"{path}: ")


def test_an_empty_file_is_a_configuration(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, ""))
    assert (config.gpu.device, config.gpu.devices) == ("auto", ("auto",))
    assert config.metrics.port is None
    assert config.storage.folder == tmp_path / "data"


def test_several_cards(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, 'gpu.device = ["cuda:0", "cuda:1"]'))
    assert config.gpu.devices == ("cuda:0", "cuda:1")
    assert load_config(written(tmp_path, 'gpu.device = ["cpu", "cpu"]')).gpu.devices == ("cpu",) * 2


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.chdir("/")
    config = load_config(
        written(
            tmp_path,
            """
            discord.token_file = "secret/token"
            storage.folder = "~/atelier"
            gpu.models_folder = "/models"
            models.loras = "my/loras"
            models.imagine.source = "./weights/sd3"
            models.sketch.source = "owner/name"
            models.sketch.vae.source = "../vae"
            """,
        )
    )
    assert config.discord.token_file == tmp_path / "secret/token"
    assert config.storage.folder == Path("/home/somebody/atelier")
    assert config.gpu.models_folder == Path("/models")
    assert config.models.loras == tmp_path / "my/loras"
    assert config.models.imagine is not None
    assert config.models.imagine.source == str(tmp_path / "weights/sd3")
    assert config.models.sketch is not None
    assert config.models.sketch.source == "owner/name"
    assert config.models.sketch.vae is not None
    assert config.models.sketch.vae.source == str(tmp_path.parent / "vae")


@pytest.mark.parametrize("source", ["D:/weights/blip", r"C:\weights\blip", r"\\nas\weights\blip"])
def test_a_folder_of_windows_is_no_repository(source: str) -> None:
    assert CaptionModel(source=source).is_folder  # as it is written, or made of ./weights/blip


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file\. Copy config\.example\.toml"):
        load_config(tmp_path / "config.toml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory\."):
        load_config(tmp_path)


def test_what_is_not_toml_is_said_with_its_place(tmp_path: Path) -> None:
    assert "line 2, column 8" in problem(tmp_path, "[gpu]\ndevice cuda")


@pytest.mark.parametrize("path", [r"C:\Users\ada", r"D:\models", r"C:\udata"])
def test_a_path_as_on_windows_is_said_how_to_write(tmp_path: Path, path: str) -> None:
    said = problem(tmp_path, f'storage.folder = "{path}"')
    assert "line 1" in said
    assert said.endswith(". In a path write each \\ as /.")


def test_a_text_that_is_not_closed_is_no_path_of_windows(tmp_path: Path) -> None:
    said = problem(tmp_path, '[storage]\nfolder = "data\n')
    assert said.endswith("(at line 2, column 15).")


def test_a_mark_before_the_text_as_from_windows(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('log.level = "error"', "utf-8-sig")
    assert load_config(path).log.level == "error"


def test_what_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b'[log]\nlevel = "\xff"')
    with pytest.raises(ConfigError, match="cannot be read: it is not in UTF-8"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('gpu.devise = "cuda"', "gpu.devise: there is no such key; did you mean gpu.device?"),
        ("[limit]\nx = 1", "limit: there is no such key; did you mean limits?"),
        ("vram_gib = 8", "vram_gib: there is no such key; did you mean gpu.vram_gib?"),
        ("[gpu]\nlevel = 'info'", "gpu.level: there is no such key; did you mean log.level?"),
        (
            "[log]\ncolour = true",
            "log.colour: there is no such key; remove it, or use one of: format, level",
        ),
        (
            'models.sketch = {source = "a/b", vae = {source = "c/d", step = 3}}',
            "models.sketch.vae.step: there is no such key; "
            "remove it, or use one of: gated, revision, source, variant",
        ),
        (
            'models.styles.ink = {frames = "{prompt}"}',
            "models.styles.ink.frames: there is no such key; did you mean models.styles.ink.frame?",
        ),
        ('gpu.device = "gpu"', f"gpu.device: is 'gpu'; use {DEVICES}"),
        ("gpu.device = []", f"gpu.device: is []; use {DEVICES}"),
        ('gpu.device = ["auto", "cpu"]', f"gpu.device: is ['auto', 'cpu']; use {DEVICES}"),
        (
            'gpu.device = ["cuda:1", "cuda:1"]',
            "gpu.device: must name each card once, not ['cuda:1', 'cuda:1']",
        ),
        ('log.level = "loud"', "log.level: is 'loud'; use 'debug', 'info', 'warning' or 'error'"),
        (
            'models.styles.ink = {frame = "ink"}',
            "models.styles.ink.frame: is 'ink'; use a text that holds {prompt} once",
        ),
        (
            'models.styles.ink = {lora = "sketch/ink"}',
            "models.styles.ink.lora: is 'sketch/ink'; use the name of a file in models.loras, "
            "without its folder and its ending",
        ),
        (
            'models.sketch = {source = "a/b", preset = "turbo"}',
            "models.sketch.preset: is 'turbo'; use 'lightning-4', 'lightning-8' or 'hyper-8'",
        ),
        (
            'models.imagine = {source = "a/b", preset = "hyper-8"}',
            "models.imagine.preset: is 'hyper-8'; use 'turbo'",
        ),
        (
            'models.imagine = {source = "a/b", preset = "turbo"}',
            "models.imagine: the preset 'turbo' is stabilityai/stable-diffusion-3.5-large-turbo, "
            "not a/b; delete one of preset and source",
        ),
        (
            'models.sketch = {source = "a", preset_lora = {source = "b", file = "c.safetensors"}}',
            "models.sketch: preset_lora is for a preset; add one, or delete it",
        ),
        (
            'models.sketch = {source = "a/b", preset = "hyper-8", preset_lora = {file = "e.bin"}}',
            "models.sketch.preset_lora.file: is 'e.bin'; use a file's name, in .safetensors",
        ),
        (
            'models.acceleration.attention = "math"',
            "models.acceleration.attention: is 'math'; use 'auto', 'flash', 'cudnn' or 'efficient'",
        ),
        ("models.sketch.steps = 20", "models.sketch.source: this key is required; add it"),
        ("gpu = 3", "gpu: must be a table, written as [gpu], not 3"),
        (
            "limits.waiting_in_all = 0",
            "limits.waiting_in_all: should be greater than or equal to 1, not 0",
        ),
        ("metrics.port = 70000", "metrics.port: should be less than or equal to 65535, not 70000"),
        (
            'gpu.preload = "perhaps"',
            "gpu.preload: must be true or false, not 'perhaps'",
        ),
        ("storage.folder = true", "storage.folder: must be a text in quotes, not true"),
        ("storage.folder = 7", "storage.folder: must be a text in quotes, not 7"),
        (
            "storage.folder = 2026-11-26",
            "storage.folder: must be a text in quotes, not {'time': '2026-11-26'}",
        ),
        (
            'storage.folder = "~nobody-here/data"',
            "storage.folder: '~nobody-here/data' has no home folder; write the path in full",
        ),
        (
            'models.imagine.source = "~nobody-here/sd3"',
            "models.imagine.source: '~nobody-here/sd3' has no home folder; write the path in full",
        ),
        (
            r'storage.folder = "C:\temp"',
            r"storage.folder: 'C:\temp' holds what no path does; write each \ in it as /",
        ),
        (
            r'models.imagine.source = "C:\new\u0000"',
            r"models.imagine.source: 'C:\new\x00' holds what no path does; write each \ in it as /",
        ),
        ('metrics.host = ""', "metrics.host: '' is no name or address; use 127.0.0.1"),
        ('web.host = "a..b"', "web.host: 'a..b' is no name or address; use 127.0.0.1"),
        ('gpu.vram_gib = "8"', "gpu.vram_gib: must be a number, not '8'"),
        ("gpu.vram_gib = true", "gpu.vram_gib: must be a number, not true"),
        ("gpu.ram_gib = inf", "gpu.ram_gib: must be a number, not inf"),
        (
            "models.upscale = {source = 'a/b', max_megapixels = nan}",
            "models.upscale.max_megapixels: must be a number, not nan",
        ),
        (
            "web.port = 8080\nmetrics = {host = '0.0.0.0', port = 8080}",
            "web.port and metrics.port are the same; choose another for one",
        ),
        ("storage.keep_days = 2.5", "storage.keep_days: must be a whole number, not 2.5"),
        (
            "moderation.words = 'gore'",
            "moderation.words: must be a list, written as ['gore'], not 'gore'",
        ),
        (
            "models.safety = {source = 'a/b', labels = []}",
            "models.safety.labels: must not be empty",
        ),
        (
            "models.caption.source = ''",
            "models.caption.source: should have at least 1 character, not ''",
        ),
        (
            'models.imagine = {source = "a/b", size = 1001}',
            "models.imagine.size: should be a multiple of 8, not 1001",
        ),
    ],
)
def test_every_mistake_is_said_with_its_key_and_remedy(
    tmp_path: Path, text: str, said: str
) -> None:
    assert problem(tmp_path, text) == (said if said.endswith("?") else f"{said}.")


def test_a_preset_decides_what_is_not_given(tmp_path: Path) -> None:
    models = load_config(
        written(
            tmp_path,
            """
            [models.sketch]
            source = "owner/sdxl"
            preset = "hyper-8"
            guidance = 7.0
            preset_lora.source = "./loras"
            [models.imagine]
            preset = "turbo"
            """,
        )
    ).models
    assert models.sketch is not None
    assert (models.sketch.steps, models.sketch.guidance) == (8, 7.0)
    assert models.sketch.preset_lora is not None
    assert models.sketch.preset_lora.source == str(tmp_path / "loras")
    assert models.sketch.preset_lora.file == "Hyper-SDXL-8steps-CFG-lora.safetensors"
    assert models.imagine is not None
    assert models.imagine.source == "stabilityai/stable-diffusion-3.5-large-turbo"
    assert models.imagine.gated
    assert (models.imagine.steps, models.imagine.guidance) == (4, 0.0)
    assert [place for place, _ in models.checkpoints()] == [
        "sketch",
        "sketch.preset_lora",
        "imagine",
    ]


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    said = problem(tmp_path, 'gpu.device = "x"\nlog.level = "y"')
    assert "gpu.device" in said
    assert "log.level" in said


def test_a_long_value_is_cut_and_a_misplaced_secret_is_not_shown(tmp_path: Path) -> None:
    assert len(problem(tmp_path, f'gpu.device = "{"x" * 500}"')) < 120
    assert "hunter2" not in problem(tmp_path, 'discord.token = "hunter2"')


class TestToken:
    @pytest.fixture(autouse=True)
    def _no_token_outside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(TOKEN_VARIABLE, raising=False)

    def test_the_environment_comes_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "token"
        file.write_text("from-the-file\n")
        config = Config(discord=DiscordConfig(token_file=file))
        assert read_token(config) == "from-the-file"
        monkeypatch.setenv(TOKEN_VARIABLE, "  from_outside. ")
        assert read_token(config) == "from_outside."

    def test_none_at_all(self) -> None:
        with pytest.raises(TokenRefused, match=r"no bot token\. Set ATELIER_TOKEN"):
            read_token(Config())

    @pytest.mark.parametrize(("content", "said"), [(b" \n", "is empty"), (b"\xff\xfe", "be read")])
    def test_a_file_without_one(self, tmp_path: Path, content: bytes, said: str) -> None:
        file = tmp_path / "token"
        file.write_bytes(content)
        with pytest.raises(TokenRefused, match=said):
            read_token(Config(discord=DiscordConfig(token_file=file)))

    @pytest.mark.parametrize(
        "content", ["abc\ndef", "abc\x00", "“abc”", '"abc"', "ATELIER_TOKEN=abc", "Bot abc"]
    )
    def test_what_is_no_token_is_never_sent(
        self, tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "token"
        file.write_text(content, "utf-8")
        with pytest.raises(TokenRefused, match=rf"{file} holds more than a line, or signs"):
            read_token(Config(discord=DiscordConfig(token_file=file)))
        monkeypatch.setattr("os.environ", {TOKEN_VARIABLE: content})
        with pytest.raises(TokenRefused, match=r"ATELIER_TOKEN holds more than a line"):
            read_token(Config())

    def test_a_file_with_a_mark_as_from_windows(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("abc", "utf-8-sig")
        assert read_token(Config(discord=DiscordConfig(token_file=tmp_path / "token"))) == "abc"

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(TokenRefused, match=r"cannot be read: No such file or directory\."):
            read_token(Config(discord=DiscordConfig(token_file=tmp_path / "absent")))
