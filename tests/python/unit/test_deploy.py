"""The systemd unit and the Dockerfiles name what there is."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import pytest
from llamad.settings import OPTIONS, Settings
from llamad.settings.sources import load_settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "docs" / "deploy"


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((DEPLOY / "llamad.service").read_text())
    return unit["Service"]


def expanded(text: str, service: configparser.SectionProxy) -> str:
    """Put in what systemd does: for a system's services, and of several directories all."""
    text = text.replace("%S", "/var/lib").replace("%C", "/var/cache")
    directories = ":".join(f"/var/lib/{name}" for name in service["StateDirectory"].split())
    return text.replace("${STATE_DIRECTORY}", directories)


def test_the_unit_serves_a_directory_that_systemd_makes(service: configparser.SectionProxy) -> None:
    words = shlex.split(expanded(service["ExecStart"], service))
    flags = dict(zip(words[1::2], words[2::2], strict=True))
    assert flags.keys() <= {"--config"} | {option.flag for option in OPTIONS.values()}
    made = {Path("/var/lib", name) for name in service["StateDirectory"].split()}
    assert Path(flags["--model-directory"]) in made


def test_the_unit_waits_for_the_drain_and_for_the_watchdog(service: configparser.SectionProxy) -> None:
    assert int(service["TimeoutStopSec"].removesuffix("s")) > Settings().lameduck + 25
    assert (service["Type"], service["NotifyAccess"], service["KillMode"]) == ("notify", "main", "mixed")
    assert "WatchdogSec" in service


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_an_image_is_configured_by_variables_that_there_are(name: str) -> None:
    last_stage = (DEPLOY / name).read_text().rpartition("\nFROM ")[2]
    variables = dict(re.findall(r"^ +(LLAMAD_[A-Z_]+)=(\S+)", last_stage, re.MULTILINE))
    settings = load_settings({}, variables)
    assert (settings.host, settings.model_directory) == ("0.0.0.0", Path("/models"))
    assert f"127.0.0.1:{settings.monitor_port}/healthz" in last_stage


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_an_image_is_built_from_what_is_there(name: str) -> None:
    lines = (DEPLOY / f"{name}.dockerignore").read_text().splitlines()
    let_in = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert let_in
    assert [path for path in let_in if not (ROOT / path).exists()] == []
