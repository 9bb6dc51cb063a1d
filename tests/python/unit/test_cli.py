from __future__ import annotations

import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from llamad import cli
from llamad.cli import peers
from llamad.cli.parser import Parser
from llamad.errors import PullError
from llamad.settings import OPTIONS, Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LLAMAD_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory `models` with two models, in the working directory."""
    monkeypatch.chdir(tmp_path)
    directory = Path("models")
    directory.mkdir()
    for name in ("tiny", "nano"):
        (directory / f"{name}.gguf").touch()
    return directory


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What `serve` was called with, in place of a server."""
    calls: list[Settings] = []

    def serve(settings: Settings, reread: Callable[[], Settings]) -> int:
        assert reread() == settings
        calls.append(settings)
        return 7

    lifecycle = types.ModuleType("llamad.server.lifecycle")
    lifecycle.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llamad.server", types.ModuleType("llamad.server"))
    monkeypatch.setitem(sys.modules, "llamad.server.lifecycle", lifecycle)
    return calls


def failure(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert cli.main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("llamad: ")
    assert captured.err.count("\n") == 1
    return captured.err.strip()


@pytest.mark.parametrize("command", [[], ["serve"]])
def test_serving_is_the_default_command(models: Path, served: list[Settings], command: list[str]) -> None:
    assert cli.main([*command, "--n-parallel", "2", "--port=0", "--monitor-port", "-1"]) == 7
    (settings,) = served
    assert settings == Settings(n_parallel=2, port=0, monitor_port=-1)


def test_flags_environment_and_file_come_together(
    models: Path, served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("llamad.toml").write_text("port = 1\nn_ctx = 64\nn_parallel = 1\n", encoding="utf-8")
    monkeypatch.setenv("LLAMAD_N_CTX", "128")
    monkeypatch.setenv("LLAMAD_N_PARALLEL", "2")
    cli.main(["--config", "llamad.toml", "--n-parallel", "3"])
    assert (served[0].port, served[0].n_ctx, served[0].n_parallel) == (1, 128, 3)


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        ("-c 512", "n_ctx", 512),
        ("--ctx-size 512", "n_ctx", 512),
        ("-np 2", "n_parallel", 2),
        ("--parallel 2", "n_parallel", 2),
        ("-b 64", "n_batch", 64),
        ("--batch-size 64", "n_batch", 64),
        ("-ub 32", "n_ubatch", 32),
        ("--ubatch-size 32", "n_ubatch", 32),
        ("-ctk q8_0", "cache_type_k", "q8_0"),
        ("-ctv q4_0", "cache_type_v", "q4_0"),
        ("-fa on", "flash_attn", "on"),
        ("-bs off", "backend_sampling", "off"),
        ("-t 3", "threads", 3),
        ("-tb 3", "threads_batch", 3),
        ("-ngl 99", "n_gpu_layers", 99),
        ("-ngl -1", "n_gpu_layers", -1),
        ("-ngl auto", "n_gpu_layers", "auto"),
        ("-sm none", "split_mode", "none"),
        ("-mg 0", "main_gpu", 0),
        ("--gpu-layers 5", "n_gpu_layers", 5),
        ("-kvu", "kv_unified", True),
        ("--kv-unified", "kv_unified", True),
        ("-kvu -no-kvu", "kv_unified", False),
        ("--no-swa-full", "swa_full", False),
        ("--no-swa-full --swa-full", "swa_full", True),
        ("-cram 64", "prefix_cache_mib", 64),
        ("--cache-ram 0", "prefix_cache_mib", 0),
        ("--rope-scaling linear --rope-scale 4", "rope_scale", 4.0),
        ("--rope-freq-base 1e6", "rope_freq_base", 1e6),
        ("--yarn-ext-factor -1", "yarn_ext_factor", -1.0),
    ],
)
def test_flags_have_the_names_of_llama_server_too(
    models: Path, served: list[Settings], flags: str, name: str, value: object
) -> None:
    assert cli.main(flags.split()) == 7
    assert getattr(served[0], name) == value


def test_a_switch_takes_its_value_from_elsewhere_too(
    models: Path, served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMAD_KV_UNIFIED", "on")
    cli.main([])
    cli.main(["--no-kv-unified"])
    assert [settings.kv_unified for settings in served] == [True, False]


def test_preload_model_repeats(models: Path, served: list[Settings]) -> None:
    cli.main(["--preload-model", "tiny", "--preload-model", "nano"])
    assert served[0].preload_model == ("tiny", "nano")


def test_an_unknown_preload_model_is_refused_before_anything_loads(
    models: Path, served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    message = failure(capsys, "--preload-model", "tinny")
    assert message == "llamad: cannot preload 'tinny'; did you mean tiny?; models: nano, tiny"
    assert served == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n-paralel", "2"], "unknown argument --n-paralel; did you mean --n-parallel?"),
        (["--n-paralel=2"], "unknown argument --n-paralel; did you mean --n-parallel?"),
        (["--n-par", "2"], "unknown argument --n-par; did you mean --n-parallel?"),
        (["frobnicate"], "unknown command frobnicate; see `llamad --help`"),
        (["quantise", "a", "b"], "unknown command quantise; did you mean quantize?"),
        # Abbreviations are none: argparse would take these for -mg, -h and -c.
        (["-m", "a.gguf"], "unknown argument -m; a model is a file of --model-directory; --preload-model "),
        (["-hf", "a/b"], "unknown argument -hf; llamad pull hf:org/repo/file.gguf fetches a model"),
        (["-cb"], "unknown argument -cb; it is always on"),
        (["-l"], "unknown argument -l; see `llamad --help`"),
        (["--max-model-len=8"], "unknown argument --max-model-len; it is called --n-ctx here"),
        (["run", "smollm2"], "unknown command run; llamad chat MODEL talks to a model"),
        (["a.gguf"], "unknown command a.gguf; a model is a file of --model-directory; --preload-model "),
        (["serve", "a.gguf"], "unknown argument a.gguf; a model is a file of --model-directory; "),
        (
            ["--model-directory", "models/tiny.gguf"],
            "the model directory 'models/tiny.gguf' is a file; serve ",
        ),
        (["--port", "1", "2"], "unknown argument 2; see `llamad --help`"),
        (["--port", "1", "pull", "smollm2"], "the command comes first: llamad pull …"),
        (["--port"], "argument --port: expected one argument; see `llamad --help`"),
        (["--port", "many"], "--port = 'many': expected an integer from 0 to 65535"),
        (
            ["--config", "none.toml"],
            "cannot read the configuration file 'none.toml': No such file or directory",
        ),
        (["pull"], "the following arguments are required: NAME; see `llamad pull --help`"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    models: Path,
    served: list[Settings],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert failure(capsys, *arguments).startswith(f"llamad: {message}")
    assert served == []


def test_hints_are_for_flags_that_are_none_here_and_name_those_that_are() -> None:
    parser = Parser(prog="llamad", usage="")
    parser.add_options(OPTIONS.values())
    ours = set(parser._option_string_actions)
    others = " ".join(peers.FLAGS).split()
    assert len(set(others)) == len(others)
    assert ours.isdisjoint(others)
    assert set(re.findall(r"--[a-z-]+", " ".join(peers.FLAGS.values()))) <= ours


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--n-parallel 4 --n-batch 2", "n_batch must be 4 to 1048576, got 2"),
        (
            "-sm none -ts 3,1",
            'tensor_split must be empty where split_mode is "none": nothing is split, got 2',
        ),
        ("-mg 99", "main_gpu must be the number of a GPU, counted from 0, got 99; "),
        (f"-ts {','.join('1' * 99)}", "tensor_split must have a share for each GPU, got 99; "),
        (f"-ts {' -ts '.join('1' * 99)}", "tensor_split must have a share for each GPU, got 99; "),
    ],
)
def test_settings_that_are_fine_only_one_by_one_are_refused(
    models: Path, served: list[Settings], capsys: pytest.CaptureFixture[str], flags: str, message: str
) -> None:
    assert failure(capsys, *flags.split()).startswith(f"llamad: {message}")
    assert served == []


def test_no_models_says_what_to_do(
    tmp_path: Path, served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    empty, missing = tmp_path / "my models", tmp_path / "missing"
    empty.mkdir()
    assert failure(capsys, "--model-directory", str(empty)) == (
        f"llamad: the model directory '{empty}' holds no GGUF model; "
        f"fetch one: llamad pull smollm2 --model-directory '{empty}'"
    )
    assert "is not a directory" in failure(capsys, "--model-directory", str(missing))
    (empty / "m-00001-of-00002.gguf").touch()
    assert "missing m-00002-of-00002.gguf" in failure(capsys, "--model-directory", str(empty))
    assert served == []


def test_pull_says_what_it_did_and_how_to_serve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Path]] = []

    def fake_pull(name: str, directory: Path) -> str:
        calls.append((name, directory))
        return "pulled it"

    monkeypatch.setattr("llamad.cli.pull.pull", fake_pull)
    monkeypatch.setenv("LLAMAD_MODEL_DIRECTORY", str(tmp_path))
    assert cli.main(["pull", "smollm2"]) == 0
    assert cli.main(["pull", "smollm2", "--model-directory", "elsewhere"]) == 0
    assert calls == [("smollm2", tmp_path), ("smollm2", Path("elsewhere"))]
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "pulled it",
        "serve it: llamad --model-directory elsewhere",
    ]


def test_a_failed_pull_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, directory: Path) -> str:
        raise PullError("no network")

    monkeypatch.setattr("llamad.cli.pull.pull", fail)
    assert failure(capsys, "pull", "smollm2", code=1) == "llamad: no network"


def test_an_interrupted_command_exits_as_shells_expect(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(name: str, directory: Path) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("llamad.cli.pull.pull", interrupt)
    assert failure(capsys, "pull", "smollm2", code=130) == "llamad: interrupted"


def test_pull_help_lists_the_catalog(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["pull", "--help"])
    out = capsys.readouterr().out
    assert "smollm2" in out
    assert "hf:org/repo/file.gguf" in out


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_a_reader_who_has_left_is_no_error(argument: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as output:
        command = [sys.executable, "-m", "llamad", argument]
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.stderr == b""
