"""Whether it is opened at all, and where."""

import re
from pathlib import Path

import pytest

from bot.app import App
from bot.config import MetricsConfig, load_config
from bot.errors import ConfigError, PortTaken
from tests.integration.apps import light_config, light_executor
from tests.loopback.runner import Studio
from tests.web.serving import opened, web_config


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('host = "0.0.0.0"\nopen = true', "web: open is for this machine alone"),
        ('url = "paint.example"', "web.url: is 'paint.example'; use an address that begins with"),
        ('url = "https://example.com/paint"', "and has no path, as https://paint.example.com"),
        ('url = "https://example.com/?paint"', "and has no path"),
        ('url = "https://example.com#paint"', "and has no path"),
        ("port = 70000", "web.port"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, written: str, said: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[web]\n{written}\n")
    with pytest.raises(ConfigError, match=said):
        load_config(file)


def test_an_address_may_end_with_a_slash(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[web]\nurl = "https://paint.example/"\n')
    assert load_config(file).web.url == "https://paint.example/"


async def test_it_is_off_unless_configured(tmp_path: Path) -> None:
    app = await App.open(light_config(tmp_path), executors=[light_executor(Studio())])
    assert app.studio is None
    await app.close()


async def test_a_port_that_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "bot.app")
    config = web_config(tmp_path / "one").model_copy(update={"metrics": MetricsConfig(port=0)})
    async with opened(config, Studio()) as app:
        metrics, studio = caplog.messages  # nobody else says which port it is where 0 is given
        assert metrics.startswith("the metrics are at 127.0.0.1, port ")
        assert studio == f"the studio is at {app.studio}"
        port = int(str(app.studio).rstrip("/").rpartition(":")[2])
        web = config.web.model_copy(update={"port": port})
        other = web_config(tmp_path / "two").model_copy(update={"web": web})
        with pytest.raises(PortTaken, match=r"web\.port: another program uses"):
            async with opened(other, Studio()):
                pass


@pytest.mark.parametrize(
    ("host", "why"),
    [("192.0.2.1", "Cannot assign requested address"), ("no.such.host.invalid", "not known")],
)
async def test_an_address_that_is_not_this_machines(tmp_path: Path, host: str, why: str) -> None:
    config = web_config(tmp_path)
    web = config.web.model_copy(update={"host": host, "open": False})
    with pytest.raises(ConfigError) as refused:
        async with opened(config.model_copy(update={"web": web}), Studio()):
            pass
    assert re.fullmatch(
        rf"web: cannot listen on {host}:0 \([^()]*{why}\)\. Correct web.host and web.port\.",
        refused.value.sentence,
    )
