from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from llamad.errors import SettingsError
from llamad.settings import OPTIONS, Settings
from llamad.settings.sources import BUILD_VARIABLES, load_settings

ROOT = Path(__file__).parents[3]

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
    "memory_budget": ("1.5GiB", '"1.5 GiB"', 3 << 29),
    "keep_alive": ("1h30m", '"90m"', 5400.0),
    "models_config": ("a, b,a", '["a", "b"]', (Path("a"), Path("b"))),
    "host": ("::1", '"::1"', "::1"),
    "port": ("0", "0", 0),
    "monitor_host": ("localhost", '"localhost"', "localhost"),
    "monitor_port": ("-1", "-1", -1),
    "ssl_certfile": ("chain.pem", '"chain.pem"', Path("chain.pem")),
    "ssl_keyfile": ("key.pem", '"key.pem"', Path("key.pem")),
    "ssl_keyfile_password": ("two words", '"two words"', "two words"),
    "max_connections": ("10", "10", 10),
    "header_timeout": ("2.5", "2.5", 2.5),
    "max_header_kib": ("8", "8", 8),
    "api_key": ("sk-a, sk-b", '["sk-a", "sk-b"]', ("sk-a", "sk-b")),
    "api_key_file": ("keys.toml", '"keys.toml"', Path("keys.toml")),
    "admin_key": ("sk-c", '"sk-c"', "sk-c"),
    "cors_origin": ("https://A.example", '["https://a.example"]', ("https://a.example",)),
    "allowed_host": ("a.example,[::1]", '["a.example", "[::1]"]', ("a.example", "[::1]")),
    "n_parallel": ("8", "8", 8),
    "n_ctx": ("0", "0", 0),
    "threads": ("2", "2", 2),
    "threads_batch": ("3", "3", 3),
    "n_gpu_layers": ("-1", "-1", -1),
    "split_mode": ("row", '"row"', "row"),
    "tensor_split": ("3,1", "[3, 1]", (3.0, 1.0)),
    "main_gpu": ("1", "1", 1),
    "n_batch": ("64", "64", 64),
    "n_ubatch": ("32", "32", 32),
    "itl_target_ms": ("16", "16", 16),
    "flash_attn": ("on", '"on"', "on"),
    "backend_sampling": ("off", '"off"', "off"),
    "decode_padding": ("on", '"on"', "on"),
    "cache_type_k": ("q8_0", '"q8_0"', "q8_0"),
    "cache_type_v": ("q4_0", '"q4_0"', "q4_0"),
    "kv_unified": ("true", "true", True),
    "swa_full": ("0", "false", False),
    "prefix_cache_mib": ("-1", "-1", -1),
    "prefix_cache_dir": ("some/cache", '"some/cache"', Path("some/cache")),
    "rope_scaling": ("yarn", '"yarn"', "yarn"),
    "rope_scale": ("4", "4", 4.0),
    "rope_freq_base": ("10000.5", "10000.5", 10000.5),
    "rope_freq_scale": ("0.25", "0.25", 0.25),
    "yarn_orig_ctx": ("4096", "4096", 4096),
    "yarn_ext_factor": ("0", "0", 0.0),
    "yarn_attn_factor": ("-1", "-1", -1.0),
    "yarn_beta_fast": ("32", "32", 32.0),
    "yarn_beta_slow": ("1", "1", 1.0),
    "max_queue": ("0", "0", 0),
    "queue_timeout": ("2.5", "2.5", 2.5),
    "request_timeout": ("0", "0", 0.0),
    "max_body_mib": ("1", "1", 1),
    "max_unread_kib": ("64", "64", 64),
    "read_timeout": ("0.5", "0.5", 0.5),
    "write_timeout": ("0.5", "0.5", 0.5),
    "stall_timeout": ("0.5", "0.5", 0.5),
    "lameduck": ("0", "0", 0.0),
    "trust_request_chat_template": ("true", "true", True),
    "log_level": ("debug", '"debug"', "debug"),
    "log_format": ("json", '"json"', "json"),
    "allocator": ("jemalloc", '"jemalloc"', "jemalloc"),
}


def test_there_is_a_sample_of_every_setting() -> None:
    assert set(SAMPLES) == set(OPTIONS) == {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_setting_reads_the_same_from_each_source(name: str, config: Config) -> None:
    text, toml, expected = SAMPLES[name]
    option = OPTIONS[name]
    assert option.flag == "--" + name.replace("_", "-")
    assert option.variable == "LLAMAD_" + name.upper()
    flag = text.replace(" ", "").split(",") if option.repeatable else text
    assert getattr(load_settings({name: flag}, {}), name) == expected
    assert getattr(load_settings({}, {option.variable: text}), name) == expected
    assert getattr(load_settings({}, {}, config(f"{name} = {toml}")), name) == expected


@pytest.mark.parametrize("name", SAMPLES)
def test_every_default_passes_its_own_check(name: str) -> None:
    option = OPTIONS[name]
    default = option.default
    native = list(default) if isinstance(default, tuple) else default
    native = str(default) if isinstance(default, Path) else "" if default is None else native
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
        ("n_gpu_layers", "-2", "an integer of -1 or more, or 'auto'"),
        ("n_gpu_layers", "all", "an integer of -1 or more, or 'auto'"),
        ("split_mode", "", "one of none, layer, row, tensor"),
        ("tensor_split", "3,-1", "a list of numbers of 0 or more, not all 0"),
        ("tensor_split", "0,0", "a list of numbers of 0 or more, not all 0"),
        ("tensor_split", "half", "a list of numbers of 0 or more, not all 0"),
        ("tensor_split", "1,inf", "a list of numbers of 0 or more, not all 0"),
        ("main_gpu", "-1", "an integer of 0 or more"),
        ("port", "65536", "an integer from 0 to 65535"),
        ("monitor_port", "-2", "an integer from -1 to 65535"),
        ("load_timeout", "0", "a number of seconds, above 0"),
        ("lameduck", "-1", "a number of seconds, 0 or more"),
        ("lameduck", "nan", "a number of seconds, 0 or more"),
        ("lameduck", "inf", "a number of seconds, 0 or more"),
        ("flash_attn", "yes", "one of auto, on, off"),
        ("backend_sampling", "yes", "one of auto, on, off"),
        ("log_level", "INFO", "one of debug, info, warning, error"),
        ("host", " ", "a host name or an address"),
        ("model_directory", "", "the path of a directory"),
        ("prefix_cache_dir", " ", "the path of a directory"),
        ("prefix_cache_mib", "-2", "an integer of -1 or more"),
        ("kv_unified", "maybe", "true or false"),
        ("kv_unified", "", "true or false"),
        ("rope_scaling", "su", "one of none, linear, yarn"),
        ("rope_scale", "-1", "a number of 0 or more"),
        ("rope_freq_base", "nan", "a number of 0 or more"),
        ("yarn_ext_factor", "-2", "a number of -1 or more"),
        ("yarn_beta_fast", "inf", "a number of -1 or more"),
        ("queue_timeout", "-1", "a number of seconds, 0 or more"),
        ("read_timeout", "0", "a number of seconds, above 0"),
        ("write_timeout", "0", "a number of seconds, above 0"),
        ("max_unread_kib", "0", "an integer from 1 to 1048576"),
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
        ("n_gpu_layers = true", "n_gpu_layers = True: expected an integer of -1 or more, or 'auto'"),
        ("tensor_split = 3", "tensor_split = 3: expected a list of numbers"),
        ("tensor_split = [true]", "tensor_split = [True]: expected a list of numbers"),
        ("host = 1", "host = 1: expected a host name"),
        ('model_directory = "a\\u0000b"', "expected the path of a directory"),
        ("flash_attn = true", "flash_attn = True: expected one of auto, on, off"),
        ('kv_unified = "true"', "kv_unified = 'true': expected true or false"),
        ("kv_unified = 1", "kv_unified = 1: expected true or false"),
        ('rope_scale = "2"', "rope_scale = '2': expected a number"),
        ("prefix_cache_dir = false", "expected the path of a directory"),
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


def test_every_option_of_the_build_may_stay_in_the_environment() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    options = project["tool"]["scikit-build"]["cmake"]["define"]
    building = (ROOT / "README.md").read_text().partition("\n## Building\n")[2]
    documented = re.findall(r"^\| `(LLAMAD_\w+)` \|", building, re.MULTILINE)
    assert documented
    assert {one["env"] for one in options.values()} | set(documented) == BUILD_VARIABLES


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


def test_no_two_settings_share_a_spelling() -> None:
    flags = [flag for option in OPTIONS.values() for flag in (*option.flags, *option.negations)]
    assert len(flags) == len(set(flags))


def test_further_variable_yields_to_the_usual_one() -> None:
    assert load_settings({}, {"LLAMAD_LOG": "debug"}).log_level == "debug"
    both = {"LLAMAD_LOG_LEVEL": "error", "LLAMAD_LOG": "debug"}
    assert load_settings({}, both).log_level == "error"
    assert load_settings({}, dict(reversed(both.items()))).log_level == "error"
    with pytest.raises(SettingsError, match="LLAMAD_LOG = 'loud': expected one of debug"):
        load_settings({}, {"LLAMAD_LOG": "loud"})
