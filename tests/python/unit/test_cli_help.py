"""What `llamad --help` and `llamad --version` say."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import types

import llamad
import pytest
from llamad import cli
from llamad.cli.commands import COMMANDS
from llamad.settings import OPTIONS


def test_help_shows_every_setting_once_with_default_unit_and_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    words = " ".join(" ".join(lines).split())
    for option in OPTIONS.values():
        names = tuple(f"{option.flag}{end}" for end in (" ", ","))
        assert len([line for line in lines if f"{line.strip()} ".startswith(names)]) == 1
        assert words.count(f"{option.help} (default: ") == words.count(f"[{option.variable}]") == 1
        assert f"{option.group}:" in lines
    for name, default in (
        ("N_CTX", "2048 tokens"),
        ("LAMEDUCK", "30 s"),
        ("PRELOAD_MODEL", "none"),
        ("THREADS", "0"),
        ("KV_UNIFIED", "false"),
        ("PREFIX_CACHE_DIR", "unset"),
        ("ROPE_SCALING", "unset"),
    ):
        assert f"(default: {default}) [LLAMAD_{name}]" in words


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    usage = capsys.readouterr().out.partition("\n\n")[0]
    for name, command in COMMANDS.items():
        assert f"llamad {command.usage}" in usage
        assert command.summary in usage
        assert callable(importlib.import_module(f"llamad.cli.{name}").run)


OF_A_SERVER = {"n_parallel", "itl_target_ms", "kv_unified", "prefix_cache_mib", "prefix_cache_dir"}


@pytest.mark.parametrize(("command", "decided"), [("chat", set()), ("bench", {"threads_batch"})])
def test_commands_of_one_model_take_its_settings(
    command: str, decided: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    flags = {words[0].rstrip(",") for words in lines if words}
    settings = {name for name, option in OPTIONS.items() if option.group in {"engine", "context"}}
    assert {name for name in settings if OPTIONS[name].flag not in flags} == OF_A_SERVER | decided


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    native = types.ModuleType("llamad._engine")
    native.llama_cpp_commit = "abc123"  # type: ignore[attr-defined]
    native.llama_cpp_version = "9.9.9"  # type: ignore[attr-defined]
    native.cuda = True  # type: ignore[attr-defined]
    native.backends = lambda: ["CUDA", "CPU"]  # type: ignore[attr-defined]
    cpu = {"name": "CPU", "description": "Some processor", "total": 8 << 30, "free": 6 << 30}
    gpu = {"name": "CUDA0", "description": "Some GPU", "total": 80 << 30, "free": 3 << 29}
    native.devices = lambda: [cpu, gpu]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llamad._engine", native)
    monkeypatch.setattr(llamad, "_engine", native, raising=False)
    monkeypatch.setattr(importlib.metadata, "version", {"llamad": "1.2.3"}.__getitem__)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "llamad 1.2.3",
        "llama.cpp abc123 (llama-cpp-python 9.9.9)",
        "CUDA: yes",
        "backends: CUDA, CPU",
        "device CPU: Some processor, 6.0 of 8.0 GiB free",
        "device CUDA0: Some GPU, 1.5 of 80.0 GiB free",
    ]
