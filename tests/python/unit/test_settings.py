from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from llamad.errors import SettingsError
from llamad.options import EngineOptions
from llamad.settings import BUILD_VARIABLES, OPTIONS, Settings, engine_options, load_settings

Config = Callable[[str], str]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    def write(text: str) -> str:
        path = tmp_path / "llamad.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def failure(
    flags: Mapping[str, str | Sequence[str]] | None = None,
    environ: Mapping[str, str] | None = None,
    config: str | None = None,
) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags or {}, environ or {}, config)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_nothing_given_is_the_defaults() -> None:
    assert load_settings({}, {}) == Settings()


def test_flag_beats_environment_beats_file_beats_default(config: Config) -> None:
    path = config("n_parallel = 2\nn_ctx = 512\nport = 1\n")
    environ = {"LLAMAD_N_PARALLEL": "3", "LLAMAD_N_CTX": "1024"}
    settings = load_settings({"n_parallel": "5"}, environ, path)
    assert (settings.n_parallel, settings.n_ctx, settings.port) == (5, 1024, 1)
    assert settings.n_batch == Settings().n_batch


def test_config_file_from_the_environment_unless_the_flag_names_one(config: Config, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("port = 2")
    environ = {"LLAMAD_CONFIG": str(other)}
    assert load_settings({}, environ).port == 2
    assert load_settings({}, environ, config("port = 3")).port == 3


def test_an_empty_config_variable_counts_as_unset() -> None:
    assert load_settings({}, {"LLAMAD_CONFIG": ""}) == Settings()
    assert "cannot read the configuration file ''" in failure(config="")


SAMPLES: dict[str, tuple[str, str, object]] = {
    "model_directory": ("some/models", '"some/models"', Path("some/models")),
    "preload_model": ("a, b,a", '["a", "b"]', ("a", "b")),
    "load_timeout": ("1.5", "1.5", 1.5),
    "host": ("::1", '"::1"', "::1"),
    "port": ("0", "0", 0),
    "monitor_host": ("localhost", '"localhost"', "localhost"),
    "monitor_port": ("-1", "-1", -1),
    "n_parallel": ("8", "8", 8),
    "n_ctx": ("0", "0", 0),
    "threads": ("2", "2", 2),
    "n_gpu_layers": ("-1", "-1", -1),
    "n_batch": ("64", "64", 64),
    "n_ubatch": ("32", "32", 32),
    "itl_target_ms": ("16", "16", 16),
    "flash_attn": ("on", '"on"', "on"),
    "cache_type_k": ("q8_0", '"q8_0"', "q8_0"),
    "cache_type_v": ("q4_0", '"q4_0"', "q4_0"),
    "max_queue": ("0", "0", 0),
    "max_body_mib": ("1", "1", 1),
    "lameduck": ("0", "0", 0.0),
    "log_level": ("debug", '"debug"', "debug"),
}


def test_there_is_a_sample_of_every_setting() -> None:
    assert set(SAMPLES) == set(OPTIONS) == {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_setting_reads_the_same_from_each_source(name: str, config: Config) -> None:
    text, toml, expected = SAMPLES[name]
    option = OPTIONS[name]
    assert option.flag == "--" + name.replace("_", "-")
    assert option.variable == "LLAMAD_" + name.upper()
    flag = ["a", "b", "a"] if option.repeatable else text
    assert getattr(load_settings({name: flag}, {}), name) == expected
    assert getattr(load_settings({}, {option.variable: text}), name) == expected
    assert getattr(load_settings({}, {}, config(f"{name} = {toml}")), name) == expected


@pytest.mark.parametrize("name", SAMPLES)
def test_every_default_passes_its_own_check(name: str) -> None:
    option = OPTIONS[name]
    default = option.default
    native = list(default) if isinstance(default, tuple) else default
    native = str(default) if isinstance(default, Path) else native
    assert option.kind.check(native) == default


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("n_parallel", "0", "an integer from 1 to 256"),
        ("n_parallel", "257", "an integer from 1 to 256"),
        ("n_parallel", "four", "an integer from 1 to 256"),
        ("n_parallel", "4.0", "an integer from 1 to 256"),
        ("n_parallel", "", "an integer from 1 to 256"),
        ("n_parallel", "9" * 5000, "an integer from 1 to 256"),
        ("n_ctx", "7", "an integer of 8 or more, or 0"),
        ("max_queue", str(2**31), "an integer of 0 or more"),
        ("port", "65536", "an integer from 0 to 65535"),
        ("monitor_port", "-2", "an integer from -1 to 65535"),
        ("load_timeout", "0", "a number of seconds, above 0"),
        ("lameduck", "-1", "a number of seconds, 0 or more"),
        ("lameduck", "nan", "a number of seconds, 0 or more"),
        ("lameduck", "inf", "a number of seconds, 0 or more"),
        ("flash_attn", "yes", "one of auto, on, off"),
        ("log_level", "INFO", "one of debug, info, warning, error"),
        ("host", " ", "a host name or an address"),
        ("model_directory", "", "the path of a directory"),
    ],
)
def test_a_wrong_value_names_source_value_and_what_is_expected(name: str, text: str, expected: str) -> None:
    option = OPTIONS[name]
    assert failure(flags={name: text}) == f"{option.flag} = {text!r}: expected {expected}"
    assert failure(environ={option.variable: text}) == f"{option.variable} = {text!r}: expected {expected}"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('n_parallel = "4"', "n_parallel = '4': expected an integer"),
        ("n_parallel = true", "n_parallel = True: expected an integer"),
        ("n_parallel = 4.0", "n_parallel = 4.0: expected an integer"),
        ("lameduck = true", "lameduck = True: expected a number of seconds"),
        (f"lameduck = {10**400}", "expected a number of seconds"),
        ('preload_model = "a"', "preload_model = 'a': expected a list of names"),
        ("preload_model = [1]", "preload_model = [1]: expected a list of names"),
        ("host = 1", "host = 1: expected a host name"),
        ('model_directory = "a\\u0000b"', "expected the path of a directory"),
        ("flash_attn = true", "flash_attn = True: expected one of auto, on, off"),
    ],
)
def test_toml_values_have_toml_types(config: Config, line: str, shown: str) -> None:
    path = config(line)
    message = failure(config=path)
    assert message.startswith(f"{path}: ")
    assert shown in message


def test_an_unknown_key_is_named_with_the_nearest(config: Config) -> None:
    path = config("n-parallel = 4")
    assert failure(config=path) == f"{path}: unknown key 'n-parallel'; did you mean n_parallel?"
    path = config("[server]\nport = 1")
    assert failure(config=path).startswith(f"{path}: unknown key 'server'")


def test_an_unknown_variable_is_named_with_the_nearest() -> None:
    message = failure(environ={"LLAMAD_N_PARALEL": "4"})
    assert message == "unknown environment variable LLAMAD_N_PARALEL; did you mean LLAMAD_N_PARALLEL?"
    assert failure(environ={"LLAMAD_XYZZY": "1"}) == "unknown environment variable LLAMAD_XYZZY"


def test_build_variables_and_those_of_others_are_no_settings() -> None:
    environ = dict.fromkeys(BUILD_VARIABLES, "ON") | {"PORT": "1", "XLLAMAD_PORT": "x"}
    assert load_settings({}, environ) == Settings()


def test_a_config_file_that_cannot_be_read(config: Config, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.toml")
    assert failure(config=missing).startswith(f"cannot read the configuration file {missing!r}: ")
    assert failure(config=str(tmp_path)).startswith("cannot read the configuration file")
    assert "not a TOML file" in failure(config=config("port = "))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    assert "not a TOML file" in failure(config=str(binary))


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    settings = load_settings({"model_directory": "~/models"}, {})
    assert settings.model_directory == Path("/home/somebody/models")
    assert "expected the path" in failure(flags={"model_directory": "~nobody-of-that-name/m"})


def test_engine_options_are_known_to_the_engine_and_carry_the_values() -> None:
    settings = load_settings({"threads": "3", "n_ctx": "512", "cache_type_v": "q8_0"}, {})
    options = engine_options(settings)
    assert set(options) <= set(EngineOptions.__annotations__)
    assert (options["n_threads"], options["n_ctx"], options["cache_type_v"]) == (3, 512, "q8_0")
    for name, value in options.items():
        assert name == "n_threads" or value == getattr(settings, name)
